//! ISO 9660 with Joliet and Rock Ridge: the volume on which a machine finds its seed (label `cidata`).
//!
//! The subset: one session, one data track, no boot record, regular files and folders owned by 0:0. Linux and
//! cloud-init read the Rock Ridge names, Windows the Joliet ones; both trees share the files' contents. Nothing is
//! written that the description does not say, so equal descriptions give equal bytes.
//!
//! ```text
//! sector  0..15   system area, zeros
//!        16       primary volume descriptor
//!        17       supplementary volume descriptor (Joliet)
//!        18       terminator
//!        19..     path tables: primary L, M; Joliet L, M
//!        ..       folders: primary (with Rock Ridge), then Joliet
//!        ..       contents of the files, each from a sector of its own
//! ```
//!
//! Specifications: ECMA-119 (<https://ecma-international.org/publications-and-standards/standards/ecma-119/>),
//! the System Use Sharing Protocol (IEEE P1281), Rock Ridge (IEEE P1282, here in its RRIP_1991A form) and the Joliet
//! specification of 1995.

mod dump;
mod hierarchy;
mod layout;
mod names;
mod read;
mod rock_ridge;
#[cfg(test)]
mod tests;
mod write;

pub use dump::dump;
pub use read::{ReadError, read};
pub use write::{WriteError, write};

use crate::base::epoch::Epoch;
use std::collections::BTreeMap;

/// What a volume holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its label: 1 to 16 ASCII characters (Joliet's limit), written as given. cloud-init wants `cidata`.
    pub label: String,
    /// The time of everything on it; whole seconds, UTC.
    pub epoch: Epoch,
    /// Files and folders by path without a leading `/`; folders above them are implied, with mode 0755.
    pub entries: BTreeMap<String, Entry>,
}

/// A file or a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Permission bits.
    pub mode: u32,
    /// What it is.
    pub content: Content,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A regular file with these bytes.
    File(Vec<u8>),
    /// A folder.
    Folder,
}

impl Volume {
    /// An empty volume.
    #[must_use]
    pub fn new(label: impl Into<String>, epoch: Epoch) -> Self {
        Self { label: label.into(), epoch, entries: BTreeMap::new() }
    }

    /// Adds a regular file.
    pub fn file(&mut self, path: impl Into<String>, mode: u32, bytes: impl Into<Vec<u8>>) {
        self.entries.insert(path.into(), Entry { mode, content: Content::File(bytes.into()) });
    }
}
