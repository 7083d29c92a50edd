//! Unpacked roots that many builds use and none changes: made once, published whole by a rename.

use super::lock::Lock;
use super::{Store, Work, work};
use crate::base::files;
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// What a root is kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// Tools to run.
    Tools,
    /// The lower layer of overlays.
    Bases,
}

impl Shelf {
    /// The folder in the cache.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Bases => "bases",
        }
    }
}

/// A kept root; it stays as long as this value lives.
#[derive(Debug)]
pub struct Kept {
    root: PathBuf,
    _used: Lock,
}

impl Kept {
    /// The folder. Whoever writes into it spoils every later build.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Store {
    /// The root of this id, if it is there.
    ///
    /// # Errors
    /// When it cannot be locked.
    pub fn kept(&self, shelf: Shelf, id: &str) -> Result<Option<Kept>> {
        let folder = self.place(shelf.folder(), id)?;
        let used = self.lock_shared(&format!("{}-{id}", shelf.folder()))?;
        let root = folder.join("root");
        if !root.is_dir() {
            return Ok(None);
        }
        super::housekeeping::mark_used(&folder);
        Ok(Some(Kept { root, _used: used }))
    }

    /// Publishes `root`, a folder inside `work`, as the root of this id. To be run inside a worker.
    ///
    /// Who comes second to the same id gets the first one's. Hold a [`Store::lock`] to do the work only once
    /// (under another name than `tools-...` and `bases-...`, which guard the roots themselves).
    ///
    /// # Errors
    /// When the folder cannot be renamed.
    pub fn keep(&self, shelf: Shelf, id: &str, work: &Work, root: &Path) -> Result<Kept> {
        if let Some(kept) = self.kept(shelf, id)? {
            return Ok(kept);
        }
        let (beside, folder) = (work.folder(&format!("kept-{id}"))?, self.place(shelf.folder(), id)?);
        let failed = || format!("publishing {}", folder.display());
        std::fs::rename(root, beside.join("root")).with_context(failed)?;
        // A folder without a root is what an interrupted pruning left; one with a root is another build's.
        if !folder.join("root").exists() {
            work::remove(&folder)?;
        }
        match std::fs::rename(&beside, &folder) {
            Err(error) if folder.join("root").is_dir() => drop(error),
            other => other.with_context(failed)?,
        }
        files::sync_directory(&self.folder().join(shelf.folder()))?;
        self.kept(shelf, id)?.with_context(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_appear_whole_and_the_second_publisher_gets_the_firsts() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert!(store.kept(Shelf::Tools, "t1").unwrap().is_none());
        for (text, expected) in [("first", "first"), ("second", "first")] {
            let work = store.work().unwrap();
            let root = work.folder("root").unwrap();
            std::fs::write(root.join("tool"), text).unwrap();
            let kept = store.keep(Shelf::Tools, "t1", &work, &root).unwrap();
            assert_eq!(std::fs::read_to_string(kept.root().join("tool")).unwrap(), expected);
        }
        assert!(store.kept(Shelf::Bases, "t1").unwrap().is_none());
    }
}
