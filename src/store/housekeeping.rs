//! What the cache holds, and making it smaller.

use super::lock::Lock;
use super::{Store, kept, work};
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Bytes that the disk counts in one block of `st_blocks`.
const BLOCK: u64 = 512;
/// Touched whenever an unpacked root is used: says which were used last.
const USED: &str = "used";

/// How much one kind of thing takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// How many there are (entries of the kind's folder).
    pub count: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// What pruning leaves.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// So many of the base layers that were used last.
    pub bases: usize,
    /// So many of the tools roots that were used last.
    pub tools: usize,
}

/// What pruning removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Pruned {
    /// Base layers.
    pub bases: usize,
    /// Tools roots.
    pub tools: usize,
    /// Work folders of builds that died.
    pub work: usize,
    /// Bytes on disk that became free.
    pub bytes: u64,
}

impl Store {
    /// How much each kind takes, by the name of its folder. Inside a worker everything can be counted; outside, folders
    /// that other owners closed count as empty.
    ///
    /// # Errors
    /// When the cache folder cannot be read.
    pub fn usage(&self) -> Result<BTreeMap<String, Usage>> {
        let mut kinds = BTreeMap::new();
        for folder in children(self.folder())? {
            let Some(name) = folder.file_name() else { continue };
            let lock = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "lock");
            let count = children(&folder).map_or(1, |found| found.iter().filter(|path| !lock(path)).count()) as u64;
            kinds.insert(name.to_string_lossy().into_owned(), Usage { count, bytes: size(&folder) });
        }
        Ok(kinds)
    }

    /// Removes what was not used lately and is not in use, and what dead builds left. To be run inside a worker.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn prune(&self, keep: Keep) -> Result<Pruned> {
        let before = size(self.folder());
        let bases = self.prune_kind(kept::BASES, keep.bases)?;
        let tools = self.prune_kind(kept::TOOLS, keep.tools)?;
        let work = self.sweep()?;
        Ok(Pruned { bases, tools, work, bytes: before.saturating_sub(size(self.folder())) })
    }

    fn prune_kind(&self, kind: &str, keep: usize) -> Result<usize> {
        let mut found: Vec<_> =
            children(&self.folder().join(kind))?.into_iter().map(|path| (used(&path), path)).collect();
        found.sort();
        let mut removed = 0;
        for (_, path) in found.iter().rev().skip(keep) {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            // Whoever uses a root holds this lock.
            let Some(lock) = Lock::alone(&self.folder().join("locks").join(format!("{kind}-{name}")))? else {
                continue;
            };
            work::remove(path)?;
            lock.remove()?;
            removed += 1;
        }
        Ok(removed)
    }
}

/// Remembers that this was used: the kernel's clock orders what pruning looks at, and nothing else.
pub(super) fn mark_used(folder: &Path) {
    // In a cache that we may only read, somebody else does the pruning.
    let _ = fs::write(folder.join(USED), b"used last when this file was written\n");
}

fn used(folder: &Path) -> (i64, i64) {
    let data = fs::metadata(folder.join(USED)).or_else(|_| fs::metadata(folder));
    data.map_or((0, 0), |data| (data.mtime(), data.mtime_nsec()))
}

fn children(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = || format!("reading {}", folder.display());
    let items = fs::read_dir(folder).with_context(failed)?;
    let mut paths =
        items.map(|item| item.map(|item| item.path())).collect::<std::io::Result<Vec<_>>>().with_context(failed)?;
    paths.sort();
    Ok(paths)
}

fn size(path: &Path) -> u64 {
    let Ok(data) = fs::symlink_metadata(path) else { return 0 };
    let below = if data.is_dir() { children(path).unwrap_or_default() } else { Vec::new() };
    // A file with several names is counted once for each of them, as a part.
    let own = if data.is_dir() { data.blocks() * BLOCK } else { data.blocks() * BLOCK / data.nlink().max(1) };
    own + below.iter().map(|path| size(path)).sum::<u64>()
}
