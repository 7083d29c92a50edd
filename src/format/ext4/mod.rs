//! ext4, written whole from a sorted list of names (see [`write`](mod@write)), and read.
//!
//! ```text
//! byte 1024    superblock                                  crc32c over itself
//! block 1..    group descriptors                           crc32c(seed, number, descriptor), its lower half
//! ...          bitmaps, inode tables of a group of groups  crc32c in the descriptors; each inode its own
//! ...          data: extent tree nodes, directories and attribute blocks, each with its crc32c
//! ```
//!
//! What is read: extents (no block maps), directories linear and indexed (both read in the order on disk), attributes in
//! the inode and in one block, fast and slow symbolic links, devices. What is refused: a journal that was not replayed,
//! inline data, clusters, encryption, case folding, attributes in inodes of their own. Every checksum is compared.
//!
//! Layout: <https://docs.kernel.org/filesystems/ext4/globals.html>

mod attributes;
mod checksum;
mod directory;
mod dump;
mod extents;
mod inode;
mod layout;
mod read;
mod walk;
pub mod write;

pub use attributes::Attribute;
pub use directory::DirectoryEntry;
pub use extents::{Contents, Extent};
pub use inode::{Inode, Kind, Time};
pub use read::{Filesystem, read};
pub use walk::Node;

use crate::base::ids::Uuid;
use std::io;

/// Inodes that ext4 keeps for itself; the eleventh is lost+found.
pub const RESERVED_INODES: u64 = 10;
/// The inode of the root.
pub const ROOT: u32 = 2;

/// What a superblock says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Filesystem UUID.
    pub uuid: Uuid,
    /// Its label.
    pub label: String,
    /// Bytes of the filesystem.
    pub size: u64,
    /// Bytes of free blocks.
    pub free: u64,
    /// Inodes there are.
    pub inodes: u64,
    /// Inodes that are free.
    pub free_inodes: u64,
}

/// Why a filesystem could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Ext4Error {
    /// The source failed or is too short.
    #[error("the ext4 filesystem could not be read")]
    Io(#[from] io::Error),
    /// A field of the superblock or of a group is not what it should be.
    #[error("the ext4 superblock has a wrong {0}")]
    Field(&'static str),
    /// A checksum does not fit.
    #[error("the ext4 filesystem has a wrong checksum over {0}")]
    Checksum(String),
    /// Something that this reader does not do.
    #[error("the ext4 filesystem uses {0}, which is not supported")]
    Unsupported(&'static str),
    /// An inode or what belongs to it is not what it should be.
    #[error("inode {number} of the ext4 filesystem has {what}")]
    Inode {
        /// Which.
        number: u32,
        /// What is wrong.
        what: &'static str,
    },
    /// More than is believed.
    #[error("the ext4 filesystem has more than {limit} {what}")]
    Limit {
        /// How many are allowed.
        limit: u64,
        /// Of what.
        what: &'static str,
    },
    /// There is no such file.
    #[error("there is no `{0}` in the filesystem")]
    NotFound(String),
}

#[cfg(test)]
mod tests;
