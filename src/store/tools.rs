//! Tools roots: unpacked once, published by a rename, used by many builds.

use super::lock::Lock;
use super::{Store, Work, work};
use crate::base::files;
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// A tools root that stays as long as this value lives.
#[derive(Debug)]
pub struct Tools {
    root: PathBuf,
    _used: Lock,
}

impl Tools {
    /// The folder that is `/` for the tools.
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
        let used = self.lock_shared(&format!("tools-{id}"))?;
        let folder = self.place("tools", id)?;
        let root = folder.join("root");
        if !root.is_dir() {
            return Ok(None);
        }
        super::housekeeping::mark_used(&folder);
        Ok(Some(Tools { root, _used: used }))
    }

    /// Publishes `root`, a folder inside `work`, as the tools root of this id. To be run inside a worker.
    ///
    /// Who comes second to the same id gets the first one's. Hold [`Store::lock`] of the id to do the work only once.
    ///
    /// # Errors
    /// When the folder cannot be renamed.
    pub fn publish_tools(&self, id: &str, work: &Work, root: &Path) -> Result<Tools> {
        if let Some(tools) = self.tools(id)? {
            return Ok(tools);
        }
        let (beside, folder) = (work.folder("published")?, self.place("tools", id)?);
        let failed = || format!("publishing {}", folder.display());
        std::fs::rename(root, beside.join("root")).with_context(failed)?;
        // A folder without a root is what a pruning that was interrupted left.
        work::remove(&folder)?;
        std::fs::rename(&beside, &folder).with_context(failed)?;
        files::sync_directory(&self.folder().join("tools"))?;
        self.tools(id)?.with_context(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_appear_whole_and_the_second_publisher_gets_the_firsts() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert!(store.tools("t1").unwrap().is_none());
        for (text, expected) in [("first", "first"), ("second", "first")] {
            let work = store.work().unwrap();
            let root = work.folder("root").unwrap();
            std::fs::write(root.join("tool"), text).unwrap();
            let tools = store.publish_tools("t1", &work, &root).unwrap();
            assert_eq!(std::fs::read_to_string(tools.root().join("tool")).unwrap(), expected);
        }
    }
}
