//! The finished root as a sorted value: nothing downstream reads a directory in whatever order it comes.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A finished root filesystem.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// Sorted by path, bytewise per component; the first entry is the root itself (empty path).
    pub entries: Vec<Entry>,
    /// The folder (within the sandbox) below which the contents of regular files are read.
    pub contents: PathBuf,
}

/// One inode's name, with true ownership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Relative to the root, without leading slash; empty for the root itself.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid, sticky (07777).
    pub mode: u32,
    /// Owner, as the image will see it.
    pub uid: u32,
    /// Group, as the image will see it.
    pub gid: u32,
    /// Whole seconds, never newer than the epoch.
    pub mtime: i64,
    /// Extended attributes, sorted by name; capabilities in their plain form (revision 2).
    pub xattrs: Vec<(String, Vec<u8>)>,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A folder.
    Directory,
    /// A regular file of this length, contents below [`Tree::contents`] at the entry's path.
    File {
        /// Length in bytes.
        size: u64,
    },
    /// A further name of the regular file at this path, which sorts earlier.
    HardLink {
        /// The earlier path.
        target: Vec<u8>,
    },
    /// A symbolic link.
    SymbolicLink {
        /// What the link says.
        target: Vec<u8>,
    },
    /// A character device.
    CharacterDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}
