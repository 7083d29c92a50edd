//! Inodes as bytes.

use super::super::checksum::crc32c;
use super::super::layout::{Inode, InodeExtra};
use super::geometry::{BLOCK, INODE};
use crate::base::epoch::Epoch;
use crate::format::usize_of;
use zerocopy::{FromZeros as _, IntoBytes as _};

/// Where the part begins that old filesystems have not.
const GOOD_OLD_SIZE: usize = size_of::<Inode>();
/// Bytes of the fixed fields behind it.
pub(super) const EXTRA: u16 = 32;
/// Sectors of a block.
const SECTORS: u64 = BLOCK / 512;

/// Type bits of a mode.
pub(super) mod mode {
    pub(in super::super) const FIFO: u32 = 0o010_000;
    pub(in super::super) const CHARACTER: u32 = 0o020_000;
    pub(in super::super) const DIRECTORY: u32 = 0o040_000;
    pub(in super::super) const BLOCK: u32 = 0o060_000;
    pub(in super::super) const FILE: u32 = 0o100_000;
    pub(in super::super) const LINK: u32 = 0o120_000;
}

/// What an inode says.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    /// Type and permission bits.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size: u64,
    pub(super) links: u16,
    /// Blocks of any kind that belong to it.
    pub(super) blocks: u64,
    pub(super) flags: u32,
    /// When the contents changed; nobody has read them since.
    pub(super) mtime: i64,
    /// When the inode was made.
    pub(super) made: Epoch,
    pub(super) map: [u8; 60],
    pub(super) attribute_block: u64,
    /// What stands behind the fixed fields: attributes.
    pub(super) behind: &'a [u8],
}

impl Fields<'_> {
    /// The inode's bytes; `seed` is what checksums of its structures begin with.
    pub(super) fn bytes(&self, seed: u32) -> Vec<u8> {
        let mut inode = Inode::new_zeroed();
        let mut extra = InodeExtra { i_extra_isize: EXTRA.into(), ..InodeExtra::default() };
        inode.i_mode = low(self.mode).into();
        (inode.i_uid, inode.i_uid_high) = (low(self.uid).into(), high(self.uid).into());
        (inode.i_gid, inode.i_gid_high) = (low(self.gid).into(), high(self.gid).into());
        (inode.i_size_lo, inode.i_size_high) = (lower(self.size).into(), lower(self.size >> 32).into());
        inode.i_links_count = self.links.into();
        let sectors = self.blocks * SECTORS;
        (inode.i_blocks_lo, inode.i_blocks_high) = (lower(sectors).into(), low(lower(sectors >> 32)).into());
        inode.i_flags = self.flags.into();
        inode.i_block = self.map;
        inode.i_file_acl_lo = lower(self.attribute_block).into();
        inode.i_file_acl_high = low(lower(self.attribute_block >> 32)).into();
        let (seconds, more) = time(self.mtime);
        (inode.i_mtime, inode.i_atime) = (seconds.into(), seconds.into());
        (extra.i_mtime_extra, extra.i_atime_extra) = (more.into(), more.into());
        let (seconds, more) = time(self.made.0);
        (inode.i_ctime, extra.i_crtime) = (seconds.into(), seconds.into());
        (extra.i_ctime_extra, extra.i_crtime_extra) = (more.into(), more.into());
        let mut bytes = [inode.as_bytes(), extra.as_bytes()].concat();
        bytes.resize(GOOD_OLD_SIZE + usize::from(EXTRA), 0);
        bytes.extend(self.behind);
        bytes.resize(usize_of(INODE), 0);
        let sum = crc32c(seed, &bytes).to_le_bytes();
        bytes[0x7c..0x7e].copy_from_slice(&sum[..2]);
        bytes[0x82..0x84].copy_from_slice(&sum[2..]);
        bytes
    }
}

/// A reserved inode that nothing uses: zeros, and the half of the checksum that old inodes have.
pub(super) fn unused(seed: u32) -> Vec<u8> {
    let mut bytes = vec![0; usize_of(INODE)];
    let sum = crc32c(seed, &bytes).to_le_bytes();
    bytes[0x7c..0x7e].copy_from_slice(&sum[..2]);
    bytes
}

/// The seconds' lower 32 bits, as a signed number, and how often 2^32 is to be added.
fn time(seconds: i64) -> (u32, u32) {
    let seconds = seconds.clamp(-(1 << 31), (1 << 34) - (1 << 31) - 1);
    let base = lower(seconds.cast_unsigned());
    let epochs = (seconds - i64::from(base.cast_signed())) >> 32;
    (base, u32::try_from(epochs & 3).unwrap_or(0))
}

/// The map of a device's inode: small numbers in the old form, others in the new one.
pub(super) fn device(major: u32, minor: u32) -> [u8; 60] {
    let mut map = [0; 60];
    if major < 256 && minor < 256 {
        map[..4].copy_from_slice(&(major << 8 | minor).to_le_bytes());
    } else {
        map[4..8].copy_from_slice(&(minor & 0xff | major << 8 | (minor & !0xff) << 12).to_le_bytes());
    }
    map
}

pub(super) fn lower(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).unwrap_or(0)
}

pub(super) fn low(number: u32) -> u16 {
    u16::try_from(number & 0xffff).unwrap_or(0)
}

pub(super) fn high(number: u32) -> u16 {
    low(number >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_on_after_2038() {
        let cases =
            [(0, (0, 0)), (-1, (u32::MAX, 0)), (1 << 31, (1 << 31, 1)), (1 << 32, (0, 1)), (5 << 31, (1 << 31, 3))];
        for (seconds, expected) in cases {
            assert_eq!(time(seconds), expected, "{seconds}");
        }
    }
}
