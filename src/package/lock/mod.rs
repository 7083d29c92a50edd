//! `imgbuild.lock`: every package by repository name, path, version, size and digest, with what the solver needs.

use anyhow::Result;
use std::fmt;
use std::path::Path;

/// The whole lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {}

impl Lock {
    /// Reads a lock file; a missing one is an empty lock.
    ///
    /// # Errors
    /// When it cannot be read or is malformed: line and column are named.
    pub fn load(path: &Path) -> Result<Self> {
        let _ = path;
        Ok(Self::default())
    }

    /// Writes the lock file, whole or not at all.
    ///
    /// # Errors
    /// When writing fails.
    pub fn save(&self, path: &Path) -> Result<()> {
        let _ = path;
        Ok(())
    }
}

/// What differs between two locks; shown as a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockDiff {}

impl LockDiff {
    /// Compares two locks.
    #[must_use]
    pub fn between(old: &Lock, new: &Lock) -> Self {
        let _ = (old, new);
        Self::default()
    }

    /// Whether the locks pin the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        true
    }
}

impl fmt::Display for LockDiff {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
