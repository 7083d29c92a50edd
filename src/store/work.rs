//! Work folders: one per build, removed with it, or by a later build if it died.

use super::Store;
use super::lock::Lock;
use crate::base::files;
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};

/// Most builds that work at the same time in one cache.
const SLOTS: u32 = 1000;

/// A folder of our own on the cache's disk; dropping it removes it with all that is in it.
///
/// Make and drop it inside a worker: files of other owners can only be removed there.
#[derive(Debug)]
pub struct Work {
    path: PathBuf,
    lock: Option<Lock>,
}

impl Store {
    /// A new empty work folder (mode 0755).
    ///
    /// # Errors
    /// When it cannot be made, or a thousand builds are at work.
    pub fn work(&self) -> Result<Work> {
        let folder = self.folder().join("work");
        for number in 0..SLOTS {
            let Some(lock) = Lock::alone(&folder.join(format!("{number}.lock")))? else { continue };
            let path = folder.join(number.to_string());
            remove(&path)?;
            files::create_dir_all(&path)?;
            return Ok(Work { path, lock: Some(lock) });
        }
        bail!("{SLOTS} builds are at work in {}, and no more are allowed", folder.display())
    }

    /// Removes the work folders of builds that died, and says how many there were. To be run inside a worker.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn sweep(&self) -> Result<usize> {
        let folder = self.folder().join("work");
        let mut swept = 0;
        for number in 0..SLOTS {
            let (path, lock) = (folder.join(number.to_string()), folder.join(format!("{number}.lock")));
            if !path.exists() && !lock.exists() {
                continue;
            }
            let Some(lock) = Lock::alone(&lock)? else { continue };
            swept += usize::from(path.exists());
            remove(&path)?;
            lock.remove()?;
        }
        Ok(swept)
    }
}

impl Work {
    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new folder (mode 0755) in it.
    ///
    /// # Errors
    /// When it exists or cannot be made.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::create_dir(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(path)
    }

    /// Removes it now.
    ///
    /// # Errors
    /// When something in it cannot be removed.
    pub fn remove(mut self) -> Result<()> {
        let lock = self.lock.take();
        remove(&self.path)?;
        lock.map_or(Ok(()), Lock::remove)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // What cannot be removed now is found by the next build.
        if let Some(lock) = self.lock.take()
            && remove(&self.path).is_ok()
        {
            let _ = lock.remove();
        }
    }
}

pub(super) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_folders_are_apart_and_vanish() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (one, two) = (store.work().unwrap(), store.work().unwrap());
        assert_ne!(one.path(), two.path());
        one.folder("upper").unwrap();
        one.remove().unwrap();
        drop(two);
        assert_eq!(std::fs::read_dir(folder.path().join("work")).unwrap().count(), 0);
    }

    #[test]
    fn leftovers_of_dead_builds_are_swept_and_living_ones_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let alive = store.work().unwrap();
        std::fs::create_dir_all(folder.path().join("work/5/root")).unwrap();
        assert_eq!(store.sweep().unwrap(), 1);
        assert!(alive.path().exists());
        assert!(!folder.path().join("work/5").exists());
    }
}
