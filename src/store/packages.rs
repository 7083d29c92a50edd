//! Packages and pinned downloads by their digest: `packages/<first two digits>/<sha256>.deb`.
//!
//! A file gets its name only after its digest was checked and it was made durable, and by a rename, so a name tells what
//! lies there, also after a power cut. A damaged disk is found by [`PackageStore::verified`], which reads again.

use crate::base::digest::Digest;
use crate::base::files;
use crate::base::interrupt::Hold;
use anyhow::{Context as _, Result};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Folder of files that are still on their way.
const STAGING: &str = "partial";

/// The store; cheap to copy, shared by threads and processes.
#[derive(Clone, Debug)]
pub struct PackageStore {
    folder: PathBuf,
}

impl PackageStore {
    /// The store below a cache folder. Nothing is created yet.
    #[must_use]
    pub fn new(cache: &Path) -> Self {
        Self { folder: cache.join("packages") }
    }

    /// Where the file of this digest lies, or will.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.folder.join(&name[..2]).join(format!("{name}.deb"))
    }

    /// The file, if it is there whole. `size` in bytes, when it is known.
    #[must_use]
    pub fn find(&self, digest: &Digest, size: Option<u64>) -> Option<PathBuf> {
        let path = self.path(digest);
        let found = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file)?;
        size.is_none_or(|size| size == found.len()).then_some(path)
    }

    /// As [`PackageStore::find`], but the file is read and its digest compared. A damaged one is removed, so that it
    /// is fetched again.
    ///
    /// # Errors
    /// When the file is there and cannot be read, or is damaged and cannot be removed.
    pub fn verified(&self, digest: &Digest, size: Option<u64>) -> Result<Option<PathBuf>> {
        let path = self.path(digest);
        if !fs::symlink_metadata(&path).is_ok_and(|found| found.is_file()) {
            return Ok(None);
        }
        let failed = || format!("reading {}", path.display());
        let (found, length) = Digest::of_reader(files::open(&path)?).with_context(failed)?;
        if found == *digest && size.is_none_or(|size| size == length) {
            return Ok(Some(path));
        }
        fs::remove_file(&path).with_context(|| format!("removing the damaged {}", path.display()))?;
        Ok(None)
    }

    /// A folder on the same filesystem, for files that are still on their way.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn staging(&self) -> Result<PathBuf> {
        let folder = self.folder.join(STAGING);
        files::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Moves a file whose digest was checked, and which is durable, into the store; it becomes read-only.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub fn keep(&self, staged: &Path, digest: &Digest) -> Result<PathBuf> {
        let path = self.path(digest);
        let failed = || format!("keeping {}", path.display());
        if let Some(folder) = path.parent() {
            files::create_dir_all(folder)?;
        }
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o444);
        fs::set_permissions(staged, mode).with_context(failed)?;
        fs::rename(staged, &path).with_context(failed)?;
        Ok(path)
    }

    /// Copies a local file into the store if its digest is the wanted one.
    ///
    /// # Errors
    /// When it cannot be read or copied; `None` when it is another file.
    pub fn adopt(&self, file: &Path, digest: &Digest) -> Result<Option<PathBuf>> {
        if let Some(path) = self.find(digest, None) {
            return Ok(Some(path));
        }
        let failed = || format!("copying {}", file.display());
        let _hold = Hold::brief();
        let mut staged = tempfile::Builder::new().prefix("local-").tempfile_in(self.staging()?).with_context(failed)?;
        // Tells pruning that it is in use.
        let _ = flock(staged.as_file(), FlockOperation::NonBlockingLockExclusive);
        std::io::copy(&mut files::open(file)?, staged.as_file_mut()).with_context(failed)?;
        let (found, _length) =
            Digest::of_reader(File::open(staged.path()).with_context(failed)?).with_context(failed)?;
        if found != *digest {
            return Ok(None);
        }
        staged.as_file().sync_all().with_context(failed)?;
        let staged = staged.into_temp_path().keep().map_err(|error| error.error).with_context(failed)?;
        self.keep(&staged, digest).map(Some)
    }
}

/// Whether a download holds the lock of this file.
#[must_use]
pub fn in_use(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_err())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adopted_file_is_found_by_digest_and_size() {
        let folder = tempfile::tempdir().unwrap();
        let store = PackageStore::new(folder.path());
        let file = folder.path().join("x.deb");
        fs::write(&file, "abc").unwrap();
        let digest = Digest::of(b"abc");
        assert_eq!(store.find(&digest, None), None);
        assert_eq!(store.adopt(&file, &Digest::of(b"other")).unwrap(), None);
        let path = store.adopt(&file, &digest).unwrap().unwrap();
        assert!(path.ends_with(format!("packages/ba/{digest}.deb")), "{}", path.display());
        assert_eq!(store.find(&digest, Some(3)), Some(path.clone()));
        assert_eq!(store.find(&digest, Some(4)), None);
        assert_eq!(store.verified(&digest, Some(3)).unwrap(), Some(path));
    }

    #[test]
    fn damaged_file_is_found_out_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = PackageStore::new(folder.path());
        let digest = Digest::of(b"abc");
        let path = store.path(&digest);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "abd").unwrap();
        assert_eq!(store.find(&digest, Some(3)), Some(path.clone()));
        assert_eq!(store.verified(&digest, Some(3)).unwrap(), None);
        assert!(!path.exists());
    }
}
