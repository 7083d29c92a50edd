//! Writes a filesystem from a sorted list of names: everything but the contents of files, whose places it tells.
//!
//! ```text
//! each group of 16 groups   block bitmaps | inode bitmaps | inode tables
//! groups 0, 1, 3^n 5^n 7^n  before that: superblock | descriptors | room for more of them (resize_inode)
//! then, around all this     map for growing | journal | folders, lost+found first | long links, attributes | files
//! ```
//!
//! The features are those of mke2fs 1.47 without `metadata_csum_seed` and `orphan_file`, which not every GRUB reads; so
//! are the number of inodes, the size of the journal and the room for growing. Blocks and inodes are handed out in the
//! tree's order, one behind the other. Nothing depends on clock, chance or host: times are the epoch or the tree's,
//! folders are hashed with the seed that derives from the UUID.

mod allocate;
mod attributes;
mod directory;
mod extents;
mod geometry;
mod hash;
mod inode;
mod nodes;
mod special;
mod superblock;

use super::checksum::crc32c;
use super::layout::{FLAG_EXTENTS, FLAG_INDEX};
use crate::base::byte_text::to_text;
use crate::base::epoch::Epoch;
use crate::base::ids::Uuid;
use crate::base::tree::Kind;
use crate::format::{Run, usize_of};
use allocate::Allocator;
use attributes::Attributes;
use geometry::{BLOCK, Geometry, INODE};
use inode::{Fields, mode};
use nodes::{LOST_FOUND, Node};
use std::ops::Range;
use superblock::Totals;

/// Bytes of a block: the unit of holes.
pub const BLOCK_BYTES: u64 = BLOCK;
/// Longest target of a symbolic link that stands in the inode.
const FAST_LINK: usize = 59;
/// Blocks of lost+found, so that it has room when nothing else has.
const LOST_FOUND_BLOCKS: usize = 4;

/// What the filesystem as a whole is to be.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// Bytes that it may take; a last piece that is too small for a group is left free.
    pub size: u64,
    /// Inodes that it has at least.
    pub inodes: u64,
    /// Its UUID, from which the seed of its folders' hashes derives.
    pub uuid: Uuid,
    /// Its label, up to 16 bytes.
    pub label: &'a str,
    /// The time at which it was made.
    pub epoch: Epoch,
}

/// A name, and what it names.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// Path without leading slash; empty for the root, which comes first. Sorted by components.
    pub path: &'a [u8],
    /// What it is; hard links name a file that came earlier.
    pub kind: &'a Kind,
    /// Permission bits (07777).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Whole seconds.
    pub mtime: i64,
    /// `security.*` and `user.*`.
    pub xattrs: &'a [(String, Vec<u8>)],
    /// Blocks of a file's contents, in order and apart, that hold only zeros and get no place.
    pub holes: Vec<Range<u64>>,
}

/// A part of a file's contents and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Where on the filesystem, in bytes.
    pub offset: u64,
    /// How long.
    pub length: u64,
    /// Whose: the member's place in the list.
    pub member: usize,
    /// From where on in the contents.
    pub from: u64,
}

/// A filesystem; what is in neither list is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Everything but contents, in no order.
    pub runs: Vec<Run>,
    /// The contents of files, in order.
    pub contents: Vec<Placed>,
}

/// Why there can be no such filesystem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// More than fits.
    #[error("the ext4 filesystem would need {needed} bytes")]
    TooSmall {
        /// How many bytes at least.
        needed: u64,
    },
    /// More than 32 bits can number.
    #[error("the ext4 filesystem would have more blocks or inodes than 32 bits can number")]
    TooLarge,
    /// A name out of order, in no folder, or a link to nothing.
    #[error("`/{path}` came out of order")]
    Order {
        /// Which.
        path: String,
    },
    /// A name that ext4 cannot have.
    #[error("`/{path}` has a name of no or of more than 255 bytes")]
    Name {
        /// Which.
        path: String,
    },
    /// A symbolic link to nothing, or too far.
    #[error("`/{path}` is a symbolic link of {length} bytes, 1 to 4095 were expected")]
    Target {
        /// Whose.
        path: String,
        /// How long.
        length: u64,
    },
    /// More names than a file may have.
    #[error("`/{path}` has more than 65000 names")]
    Links {
        /// Which.
        path: String,
    },
    /// A file that is too long.
    #[error("`/{path}` has {size} bytes, more than ext4 can number")]
    File {
        /// Which.
        path: String,
        /// How long.
        size: u64,
    },
    /// A folder that is too large for an index of two levels.
    #[error("the folder with inode {inode} has too many names")]
    Folder {
        /// Which.
        inode: u32,
    },
    /// An attribute that would be lost.
    #[error(
        "`/{path}` has the extended attribute `{name}`, which the filesystem would not get; only `security.*` and `user.*` are kept"
    )]
    Attribute {
        /// Whose.
        path: String,
        /// Which.
        name: String,
    },
    /// More attributes than fit one block.
    #[error("`/{path}` has {length} bytes of extended attributes, more than fit one block")]
    Attributes {
        /// Whose.
        path: String,
        /// How many.
        length: u64,
    },
}

/// Lays out a filesystem with these members.
///
/// # Errors
/// When it cannot hold one of them, or all of them.
pub fn write(options: &Options<'_>, members: &[Member<'_>]) -> Result<Written, WriteError> {
    let nodes = nodes::number(members)?;
    let last = nodes.last().map_or(LOST_FOUND, |node| node.inode.max(LOST_FOUND));
    let geometry = Geometry::new(options.size, options.inodes.max(last.into()))?;
    let mut layout = Layout {
        options,
        members,
        seed: crc32c(!0, &options.uuid.0),
        allocator: Allocator::new(&geometry),
        written: Written::default(),
        inodes: vec![Vec::new(); usize_of(last.into())],
    };
    let seeds = |layout: &Layout<'_, '_>, inode| layout.inode_seed(inode);
    for reserved in 1..LOST_FOUND {
        layout.inodes[reserved as usize - 1] = inode::unused(seeds(&layout, reserved));
    }
    let runs = &mut layout.written.runs;
    let resize = special::resize(&geometry, options.epoch, &mut layout.allocator, runs);
    layout.put(special::RESIZE, &resize);
    let blocks = special::journal_blocks(geometry.blocks);
    let journal = (blocks > 0).then(|| {
        let seed = layout.inode_seed(special::JOURNAL);
        let (allocator, runs) = (&mut layout.allocator, &mut layout.written.runs);
        special::journal(blocks, options.uuid.0, options.epoch, seed, allocator, runs)
    });
    if let Some(journal) = &journal {
        layout.put(special::JOURNAL, journal);
    }
    let folders = layout.place(&nodes)?;
    let Layout { allocator, written: Written { mut runs, contents }, inodes, .. } = layout;
    let used = allocator.finish()?;
    for (table, part) in geometry.inode_tables.iter().zip(inodes.chunks(usize_of(geometry.inodes_per_group))) {
        runs.push(Run { offset: table * BLOCK, bytes: part.concat() });
    }
    let totals = Totals { inodes: last.into(), folders: &folders, journal };
    superblock::write(options, &geometry, &used, &totals, &mut runs);
    Ok(Written { runs, contents })
}

/// What is being laid out.
struct Layout<'a, 'g> {
    options: &'a Options<'a>,
    members: &'a [Member<'a>],
    /// What all checksums begin with.
    seed: u32,
    allocator: Allocator<'g>,
    written: Written,
    /// The inodes' bytes by their numbers, less one.
    inodes: Vec<Vec<u8>>,
}

impl Layout<'_, '_> {
    fn inode_seed(&self, inode: u32) -> u32 {
        // All generations are 0.
        crc32c(crc32c(self.seed, &inode.to_le_bytes()), &[0; 4])
    }

    fn put(&mut self, inode: u32, fields: &Fields<'_>) {
        let bytes = fields.bytes(self.inode_seed(inode));
        debug_assert_eq!(bytes.len() as u64, INODE);
        self.inodes[inode as usize - 1] = bytes;
    }

    /// Places all nodes, folders first, files last. Gives the inodes of the folders in order.
    fn place(&mut self, nodes: &[Node<'_>]) -> Result<Vec<u32>, WriteError> {
        let folder = Kind::Directory;
        let kind = |node: &Node<'_>| node.member.map_or(&folder, |at| self.members[at].kind).clone();
        let rank = |kind: &Kind| match kind {
            Kind::Directory => 0,
            Kind::File { .. } => 2,
            _ => 1,
        };
        let mut ordered: Vec<(u8, usize)> =
            nodes.iter().enumerate().map(|(at, node)| (rank(&kind(node)), at)).collect();
        ordered.sort_unstable();
        let mut folders = Vec::new();
        for (rank, at) in ordered {
            if rank == 0 {
                folders.push(nodes[at].inode);
            }
            self.node(&nodes[at])?;
        }
        folders.sort_unstable();
        Ok(folders)
    }

    fn node(&mut self, node: &Node<'_>) -> Result<(), WriteError> {
        let seed = self.inode_seed(node.inode);
        let member = node.member.map(|at| &self.members[at]);
        let path = || to_text(member.map_or(&[][..], |member| member.path)).into_owned();
        let folder = Kind::Directory;
        let mut fields = Fields {
            mode: member.map_or(0o700, |member| member.mode),
            uid: member.map_or(0, |member| member.uid),
            gid: member.map_or(0, |member| member.gid),
            size: 0,
            links: node.links,
            blocks: 0,
            flags: 0,
            mtime: member.map_or(self.options.epoch.0, |member| member.mtime),
            made: self.options.epoch,
            map: [0; 60],
            attribute_block: 0,
            behind: &[],
        };
        match member.map_or(&folder, |member| member.kind) {
            Kind::Directory => {
                let least = if node.inode == LOST_FOUND { LOST_FOUND_BLOCKS } else { 1 };
                let seeds = (seed, self.options.uuid.0);
                let made = directory::folder(node.inode, node.parent, &node.entries, least, seeds.0, seeds.1)?;
                fields.mode |= mode::DIRECTORY;
                fields.flags = if made.indexed { FLAG_INDEX } else { 0 };
                self.bytes(&mut fields, made.bytes, seed);
            }
            Kind::File { size } => {
                fields.mode |= mode::FILE;
                fields.size = *size;
                self.contents(&mut fields, node, seed).map_err(|()| WriteError::File { path: path(), size: *size })?;
            }
            Kind::SymbolicLink { target } => {
                let length = target.len() as u64;
                if !(1..BLOCK).contains(&length) {
                    return Err(WriteError::Target { path: path(), length });
                }
                fields.mode |= mode::LINK;
                if target.len() <= FAST_LINK {
                    fields.map[..target.len()].copy_from_slice(target);
                } else {
                    self.bytes(&mut fields, target.clone(), seed);
                }
                fields.size = length;
            }
            Kind::CharacterDevice { major, minor } => {
                fields.mode |= mode::CHARACTER;
                fields.map = inode::device(*major, *minor);
            }
            Kind::BlockDevice { major, minor } => {
                fields.mode |= mode::BLOCK;
                fields.map = inode::device(*major, *minor);
            }
            Kind::Fifo => fields.mode |= mode::FIFO,
            // Further names take no inode.
            Kind::HardLink { .. } => return Err(WriteError::Order { path: path() }),
        }
        let attributes = match member {
            Some(member) => Attributes::new(member.path, member.xattrs)?,
            None => Attributes::Inside(Vec::new()),
        };
        match attributes {
            Attributes::Inside(bytes) => self.put(node.inode, &Fields { behind: &bytes, ..fields }),
            Attributes::Block(mut bytes) => {
                let block = self.allocator.one();
                attributes::seal(&mut bytes, block, self.seed);
                self.written.runs.push(Run { offset: block * BLOCK, bytes });
                let blocks = fields.blocks + 1;
                self.put(node.inode, &Fields { attribute_block: block, blocks, ..fields });
            }
        }
        Ok(())
    }

    /// Places bytes of ours and maps them.
    fn bytes(&mut self, fields: &mut Fields<'_>, bytes: Vec<u8>, seed: u32) {
        let length = bytes.len() as u64;
        let placed = special::logical(&self.allocator.take(length.div_ceil(BLOCK)));
        for (logical, run) in &placed {
            let from = usize_of(logical * BLOCK);
            let to = (from + usize_of((run.end - run.start) * BLOCK)).min(bytes.len());
            self.written.runs.push(Run { offset: run.start * BLOCK, bytes: bytes[from..to].to_vec() });
        }
        self.map(fields, &placed, seed);
        fields.size = length;
    }

    fn map(&mut self, fields: &mut Fields<'_>, placed: &[(u64, Range<u64>)], seed: u32) {
        let map = extents::map(placed, seed, &mut self.allocator, &mut self.written.runs);
        fields.map = map.root;
        fields.flags |= FLAG_EXTENTS;
        fields.blocks += map.nodes + placed.iter().map(|(_, run)| run.end - run.start).sum::<u64>();
    }

    /// Places a file's contents, but for their holes, and maps them.
    fn contents(&mut self, fields: &mut Fields<'_>, node: &Node<'_>, seed: u32) -> Result<(), ()> {
        let (size, all) = (fields.size, fields.size.div_ceil(BLOCK));
        if all > u64::from(u32::MAX) {
            return Err(());
        }
        let Some(member) = node.member else { return Ok(()) };
        let mut placed = Vec::new();
        let mut next = 0;
        // GRUB reads no file that begins with a hole.
        let holes = self.members[member].holes.iter().map(|hole| hole.start.max(1)..hole.end);
        for hole in holes.chain(std::iter::once(all..all)) {
            let mut logical = next;
            for run in self.allocator.take(hole.start.saturating_sub(next)) {
                let from = logical * BLOCK;
                let length = ((run.end - run.start) * BLOCK).min(size - from);
                self.written.contents.push(Placed { offset: run.start * BLOCK, length, member, from });
                logical += run.end - run.start;
                placed.push((logical - (run.end - run.start), run));
            }
            next = hole.end;
        }
        self.map(fields, &placed, seed);
        Ok(())
    }
}
