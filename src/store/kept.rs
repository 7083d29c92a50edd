//! Unpacked roots that many builds use and none changes: made once, published whole by a rename.

use super::lock::Lock;
use super::{Store, Work, work};
use crate::base::files;
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// Where tools roots are kept.
pub(super) const TOOLS: &str = "tools";
/// Where unpacked base layers are kept.
pub(super) const BASES: &str = "bases";

/// A root with tools to run.
pub type Tools = Kept;
/// A base layer, unpacked: the lower layer of overlays.
pub type Base = Kept;

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
    /// The tools root of this id, if it is there.
    ///
    /// # Errors
    /// When it cannot be locked.
    pub fn tools(&self, id: &str) -> Result<Option<Tools>> {
        self.kept(TOOLS, id)
    }

    /// Publishes `root`, a folder inside `work`, as the tools root of this id. To be run inside a worker.
    ///
    /// Who comes second to the same id gets the first one's. Hold a [`Store::lock`] to do the work only once
    /// (under another name than `tools-...` and `bases-...`, which guard the roots themselves).
    ///
    /// # Errors
    /// When the folder cannot be renamed.
    pub fn publish_tools(&self, id: &str, work: &Work, root: &Path) -> Result<Tools> {
        self.publish(TOOLS, id, work.path(), root)
    }

    /// The unpacked base layer of this id, if it is there.
    ///
    /// # Errors
    /// When it cannot be locked.
    pub fn base(&self, id: &str) -> Result<Option<Base>> {
        self.kept(BASES, id)
    }

    /// Publishes `root`, a folder inside the work folder `work`, as the base layer of this id, as [`Store::publish_tools`].
    ///
    /// # Errors
    /// When the folder cannot be renamed.
    pub fn publish_base(&self, id: &str, work: &Path, root: &Path) -> Result<Base> {
        self.publish(BASES, id, work, root)
    }

    fn kept(&self, shelf: &str, id: &str) -> Result<Option<Kept>> {
        let folder = self.place(shelf, id)?;
        let used = self.lock_shared(&format!("{shelf}-{id}"))?;
        let root = folder.join("root");
        if !root.is_dir() {
            return Ok(None);
        }
        super::housekeeping::mark_used(&folder);
        Ok(Some(Kept { root, _used: used }))
    }

    fn publish(&self, shelf: &str, id: &str, work: &Path, root: &Path) -> Result<Kept> {
        if let Some(kept) = self.kept(shelf, id)? {
            return Ok(kept);
        }
        let folder = self.place(shelf, id)?;
        let failed = || format!("publishing {}", folder.display());
        let beside = work.join(format!("kept-{id}"));
        std::fs::create_dir(&beside).with_context(failed)?;
        std::fs::rename(root, beside.join("root")).with_context(failed)?;
        // A folder without a root is what an interrupted pruning left; one with a root is another build's.
        if !folder.join("root").exists() {
            work::remove(&folder)?;
        }
        match std::fs::rename(&beside, &folder) {
            Err(error) if folder.join("root").is_dir() => drop(error),
            other => other.with_context(failed)?,
        }
        files::sync_directory(&self.folder().join(shelf))?;
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
        assert!(store.tools("t1").unwrap().is_none());
        for (text, expected) in [("first", "first"), ("second", "first")] {
            let work = store.work().unwrap();
            let root = work.folder("root").unwrap();
            std::fs::write(root.join("tool"), text).unwrap();
            let kept = store.publish_tools("t1", &work, &root).unwrap();
            assert_eq!(std::fs::read_to_string(kept.root().join("tool")).unwrap(), expected);
        }
        assert!(store.base("t1").unwrap().is_none());
    }
}
