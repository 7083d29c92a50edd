//! Locks between builds: held by an open file, so that a dead build holds none.

use super::Store;
use anyhow::{Context as _, Result};
use rustix::fs::FlockOperation;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Store {
    /// Takes the lock of this name for us alone; calls `waiting` once if another build has it, then waits.
    ///
    /// # Errors
    /// When the lock file cannot be opened or locked.
    pub fn lock(&self, name: &str, waiting: impl FnOnce()) -> Result<Lock> {
        let path = self.place("locks", name)?;
        if let Some(lock) = Lock::attempt(&path, FlockOperation::NonBlockingLockExclusive)? {
            return Ok(lock);
        }
        waiting();
        Lock::wait(&path, FlockOperation::LockExclusive)
    }

    /// Takes the lock of this name beside others who only use what it guards.
    ///
    /// # Errors
    /// When the lock file cannot be opened or locked.
    pub fn lock_shared(&self, name: &str) -> Result<Lock> {
        Lock::wait(&self.place("locks", name)?, FlockOperation::LockShared)
    }
}

impl Lock {
    /// The lock for us alone, unless somebody has it.
    pub(super) fn alone(path: &Path) -> Result<Option<Self>> {
        Self::attempt(path, FlockOperation::NonBlockingLockExclusive)
    }

    fn attempt(path: &Path, operation: FlockOperation) -> Result<Option<Self>> {
        loop {
            let lock = Self::open(path)?;
            match rustix::io::retry_on_intr(|| rustix::fs::flock(&lock.file, operation)) {
                Ok(()) if lock.is_current() => return Ok(Some(lock)),
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(error) => return Err(error).with_context(|| format!("locking {}", path.display())),
            }
        }
    }

    fn wait(path: &Path, operation: FlockOperation) -> Result<Self> {
        loop {
            if let Some(lock) = Self::attempt(path, operation)? {
                return Ok(lock);
            }
        }
    }

    fn open(path: &Path) -> Result<Self> {
        let file = File::options().create(true).truncate(false).write(true).open(path);
        let file = file.with_context(|| format!("opening {}", path.display()))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Whether the file that we locked still has its name: its last holder may have removed it meanwhile.
    fn is_current(&self) -> bool {
        let (Ok(ours), Ok(named)) = (self.file.metadata(), std::fs::metadata(&self.path)) else { return false };
        (ours.dev(), ours.ino()) == (named.dev(), named.ino())
    }

    /// Removes the lock file while holding it.
    pub(super) fn remove(self) -> Result<()> {
        std::fs::remove_file(&self.path).with_context(|| format!("removing {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_exclude_each_other_until_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let path = folder.path().join("locks/base");
        let held = store.lock("base", || panic!("nobody has it")).unwrap();
        assert!(Lock::alone(&path).unwrap().is_none());
        let (said, heard) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| store.lock("base", || said.send(()).unwrap()).unwrap());
            heard.recv().unwrap();
            drop(held);
        });
        let shared = store.lock_shared("base").unwrap();
        assert!(store.lock_shared("base").is_ok());
        assert!(Lock::alone(&path).unwrap().is_none());
        drop(shared);
        Lock::alone(&path).unwrap().unwrap().remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for name in ["", "../x", "a/b", ".hidden", "a\0"] {
            assert!(store.lock_shared(name).is_err(), "{name:?}");
        }
    }
}
