//! `imgbuild.lock`: every package by repository name, path, version, size and digest, with what the solver needs to
//! explain itself and to extend the lock without the index that it was made from.
//!
//! The text is JSON with one package, one release and one set member per line, sorted: a merge conflict is a conflict
//! of lines that mean something, and a diff reads as a list of upgrades.

mod diff;
mod read;
mod values;
mod write;

pub use diff::{Change, ChangeKind, LockDiff};
pub use read::LockError;
pub(super) use read::is_relative;
pub(super) use values::{BASE, ROLE_BASE, TOOLS};
pub use values::{Lock, Locked, LockedRelease, Section, Set};

use crate::base::limits::LOCK_BYTES;
use crate::base::{files, hint::Remedy as _};
use anyhow::{Context as _, Result};
use std::path::Path;

/// The version of the format that is written and read.
pub const FORMAT_VERSION: u64 = 1;
/// The repository of `.deb` files that lie beside the documents.
pub const LOCAL: &str = "local";

impl Lock {
    /// Reads a lock file; a missing one is an empty lock.
    ///
    /// # Errors
    /// When it cannot be read or is malformed: line and column are named.
    pub fn load(path: &Path) -> Result<Self> {
        if !path.try_exists().with_context(|| format!("looking for {}", path.display()))? {
            return Ok(Self::default());
        }
        let bytes = files::read(path, LOCK_BYTES)?;
        let text = String::from_utf8(bytes).map_err(|_| LockError::NotText);
        let lock = text.and_then(|text| Self::parse(&text));
        match lock {
            Ok(lock) => Ok(lock),
            Err(error) => {
                let remedy = error.remedy();
                Err(error).hint(remedy).with_context(|| format!("reading {}", path.display()))
            }
        }
    }

    /// Writes the lock file, whole or not at all.
    ///
    /// # Errors
    /// When writing fails.
    pub fn save(&self, path: &Path) -> Result<()> {
        files::write_atomic(path, self.text().as_bytes())
    }
}

#[cfg(test)]
mod tests;
