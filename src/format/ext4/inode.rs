//! Inodes: what a file is, apart from its names and contents.

use super::checksum::crc32c;
use super::layout::{
    self, FLAG_CASEFOLD, FLAG_EA_INODE, FLAG_ENCRYPT, FLAG_EXTENTS, FLAG_INDEX, FLAG_INLINE_DATA, InodeExtra,
};
use super::{Ext4Error, Filesystem};
use crate::format::usize_of;
use zerocopy::FromBytes as _;

/// Longest target of a symbolic link that stands in the inode.
const FAST_LINK: u64 = 60;
/// Where the part of an inode begins that old filesystems have not.
const GOOD_OLD_SIZE: usize = 128;

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Directory,
    /// A symbolic link.
    SymbolicLink,
    /// A character device: major, minor.
    CharacterDevice(u32, u32),
    /// A block device: major, minor.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// A time: seconds since 1970 and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Below 2^30; below 10^9 where the writer was right.
    pub nanoseconds: u32,
}

/// An inode, its checksum verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    /// Its number.
    pub number: u32,
    /// What it is.
    pub kind: Kind,
    /// Permission bits (07777).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Names.
    pub links: u32,
    /// Last access, change of the inode, change of the contents, creation.
    pub times: [Time; 4],
    /// `i_flags`.
    pub flags: u32,
    /// `i_generation`.
    pub generation: u32,
    pub(super) block: [u8; 60],
    pub(super) attribute_block: u64,
    /// What stands behind the fixed fields: attributes.
    pub(super) behind: Vec<u8>,
}

impl Inode {
    /// Whether the directory has a hash tree.
    #[must_use]
    pub fn is_indexed(&self) -> bool {
        self.flags & FLAG_INDEX != 0
    }
}

impl Filesystem<'_> {
    /// Reads an inode that is in use.
    ///
    /// # Errors
    /// When there is none of this number, it is free, its checksum is wrong or it uses what this reader does not do.
    pub fn inode(&self, number: u32) -> Result<Inode, Ext4Error> {
        let wrong = |what| Ext4Error::Inode { number, what };
        let length = usize::from(self.superblock.s_inode_size.get());
        let bytes = self.source.read_vec(self.place(number)?, length)?;
        let (raw, _) = layout::Inode::read_from_prefix(&bytes).map_err(|_| wrong("a wrong length"))?;
        let extra = match InodeExtra::read_from_prefix(bytes.get(GOOD_OLD_SIZE..).unwrap_or_default()) {
            Ok((extra, _)) if length > GOOD_OLD_SIZE => extra,
            _ => InodeExtra::default(),
        };
        let extra_size = usize::from(extra.i_extra_isize.get());
        if extra_size > length - GOOD_OLD_SIZE || !extra_size.is_multiple_of(4) {
            return Err(wrong("a wrong size of its additional fields"));
        }
        let generation = raw.i_generation.get();
        if let Some(seed) = self.inode_seed(number, generation) {
            let mut plain = bytes.clone();
            plain[0x7c..0x7e].fill(0);
            let has_high = extra_size >= 4;
            if has_high {
                plain[0x82..0x84].fill(0);
            }
            let high = if has_high { u32::from(extra.i_checksum_hi.get()) << 16 } else { 0 };
            let mask = if has_high { u32::MAX } else { 0xffff };
            if crc32c(seed, &plain) & mask != u32::from(raw.i_checksum_lo.get()) | high {
                return Err(Ext4Error::Checksum(format!("inode {number}")));
            }
        }
        if raw.i_links_count.get() == 0 {
            return Err(wrong("no names, yet it is used"));
        }
        let flags = raw.i_flags.get();
        let unsupported = [
            (FLAG_INLINE_DATA, "inline data"),
            (FLAG_ENCRYPT, "encryption"),
            (FLAG_CASEFOLD, "case folding"),
            (FLAG_EA_INODE, "attributes in inodes of their own"),
        ];
        if let Some((_, what)) = unsupported.iter().find(|(flag, _)| flags & flag != 0) {
            return Err(Ext4Error::Unsupported(what));
        }
        let mode = u32::from(raw.i_mode.get());
        let size = u64::from(raw.i_size_lo.get()) | u64::from(raw.i_size_high.get()) << 32;
        if size > self.block << 32 {
            return Err(wrong("more bytes than its blocks can be numbered"));
        }
        let kind = kind(mode, &raw.i_block).ok_or_else(|| wrong("a type that there is not"))?;
        let there = |end: usize, value: u32| if extra_size >= end { value } else { 0 };
        let times = [
            time(raw.i_atime.get(), there(16, extra.i_atime_extra.get())),
            time(raw.i_ctime.get(), there(8, extra.i_ctime_extra.get())),
            time(raw.i_mtime.get(), there(12, extra.i_mtime_extra.get())),
            time(there(20, extra.i_crtime.get()), there(24, extra.i_crtime_extra.get())),
        ];
        Ok(Inode {
            number,
            kind,
            mode: mode & 0o7777,
            uid: u32::from(raw.i_uid.get()) | u32::from(raw.i_uid_high.get()) << 16,
            gid: u32::from(raw.i_gid.get()) | u32::from(raw.i_gid_high.get()) << 16,
            size,
            links: raw.i_links_count.get().into(),
            times,
            flags,
            generation,
            block: raw.i_block,
            attribute_block: u64::from(raw.i_file_acl_lo.get()) | u64::from(raw.i_file_acl_high.get()) << 32,
            behind: bytes.get(GOOD_OLD_SIZE + extra_size..).filter(|_| extra_size > 0).unwrap_or_default().to_vec(),
        })
    }

    /// What a symbolic link says.
    ///
    /// # Errors
    /// When it is none, or its target is empty, too long or cannot be read.
    pub fn target(&self, inode: &Inode) -> Result<Vec<u8>, Ext4Error> {
        let wrong = |what| Ext4Error::Inode { number: inode.number, what };
        if inode.kind != Kind::SymbolicLink || inode.size == 0 || inode.size >= self.block {
            return Err(wrong("no usable target of a symbolic link"));
        }
        let target = if inode.flags & FLAG_EXTENTS == 0 {
            let within = inode.block.get(..usize_of(inode.size)).filter(|_| inode.size < FAST_LINK);
            within.ok_or_else(|| wrong("a target that is too long for the inode"))?.to_vec()
        } else {
            let contents = self.contents(inode)?;
            crate::format::ReadAt::read_vec(&contents, 0, usize_of(inode.size))?
        };
        if target.contains(&0) { Err(wrong("a target with a zero byte")) } else { Ok(target) }
    }
}

fn kind(mode: u32, block: &[u8; 60]) -> Option<Kind> {
    let word = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    let device = || match word(0) {
        0 => (word(4) >> 8 & 0xfff, word(4) & 0xff | word(4) >> 12 & 0xfff00),
        old => (old >> 8 & 0xff, old & 0xff),
    };
    Some(match mode & 0o170_000 {
        0o100_000 => Kind::File,
        0o040_000 => Kind::Directory,
        0o120_000 => Kind::SymbolicLink,
        0o020_000 => Kind::CharacterDevice(device().0, device().1),
        0o060_000 => Kind::BlockDevice(device().0, device().1),
        0o010_000 => Kind::Fifo,
        0o140_000 => Kind::Socket,
        _ => return None,
    })
}

/// The lower two bits of the additional field widen the seconds, the rest counts nanoseconds.
fn time(seconds: u32, extra: u32) -> Time {
    let seconds = i64::from(seconds.cast_signed()) + (i64::from(extra & 3) << 32);
    Time { seconds, nanoseconds: extra >> 2 }
}
