//! Where a download arrives: memory or a file, with its digest so far.

use super::error::DownloadError;
use super::{Request, shown};
use crate::base::digest::{Digest, Hasher};
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// Receives bytes in order and can start over.
pub(super) struct Landing {
    target: Target,
    hasher: Hasher,
    length: u64,
    /// Whether the beginning is of an earlier run, so that nobody knows yet what it is.
    inherited: bool,
    /// Whether the file is now the caller's.
    handed_over: bool,
}

enum Target {
    Memory(Vec<u8>),
    File { file: File, path: PathBuf, temporary: bool },
}

impl Landing {
    pub(super) fn memory() -> Self {
        Self::new(Target::Memory(Vec::new()))
    }

    fn new(target: Target) -> Self {
        Self { target, hasher: Hasher::default(), length: 0, inherited: false, handed_over: false }
    }

    /// A file in this folder. When the digest is known, the file is named after it, and what an earlier run has left
    /// of it is kept; unless another process is just writing it.
    pub(super) fn in_folder(folder: &Path, digest: Option<&Digest>, size: Option<u64>) -> Result<Self, DownloadError> {
        let disk = |path: &Path| {
            let path = path.to_owned();
            move |source: std::io::Error| DownloadError::Disk { path, source }
        };
        if let Some(digest) = digest {
            let path = folder.join(format!("{digest}.part"));
            let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let file = open.map_err(disk(&path))?;
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() && same(&file, &path) {
                let mut landing = Self::new(Target::File { file, path, temporary: false });
                landing.inherit(size)?;
                return Ok(landing);
            }
        }
        let made = tempfile::Builder::new().prefix("other-").suffix(".part").tempfile_in(folder);
        let (file, path) = made.map_err(disk(folder))?.keep().map_err(|error| disk(folder)(error.error))?;
        // Tells pruning that it is in use.
        let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
        Ok(Self::new(Target::File { file, path, temporary: true }))
    }

    /// Hashes what an earlier run has left.
    fn inherit(&mut self, size: Option<u64>) -> Result<(), DownloadError> {
        let Target::File { file, path, .. } = &mut self.target else { return Ok(()) };
        let disk = |source| DownloadError::Disk { path: path.clone(), source };
        let length = file.metadata().map_err(disk)?.len();
        if length == 0 || size.is_some_and(|size| length > size) {
            return self.restart();
        }
        let mut buffer = vec![0; 1 << 18];
        loop {
            match file.read(&mut buffer).map_err(disk)? {
                0 => break,
                read => {
                    self.hasher.write_all(&buffer[..read]).map_err(disk)?;
                    self.length += read as u64;
                }
            }
        }
        self.inherited = self.length > 0;
        Ok(())
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn inherited(&self) -> bool {
        self.inherited
    }

    pub(super) fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), DownloadError> {
        match &mut self.target {
            Target::Memory(held) => held.extend_from_slice(bytes),
            Target::File { file, path, .. } => {
                file.write_all(bytes).map_err(|source| DownloadError::Disk { path: path.clone(), source })?;
            }
        }
        self.hasher.write_all(bytes).map_err(|source| DownloadError::Disk { path: PathBuf::new(), source })?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Forgets all that has arrived.
    pub(super) fn restart(&mut self) -> Result<(), DownloadError> {
        match &mut self.target {
            Target::Memory(held) => held.clear(),
            Target::File { file, path, .. } => {
                let disk = |source| DownloadError::Disk { path: path.clone(), source };
                file.set_len(0).map_err(disk)?;
                file.seek(SeekFrom::Start(0)).map_err(disk)?;
            }
        }
        self.hasher = Hasher::default();
        self.length = 0;
        self.inherited = false;
        Ok(())
    }

    /// Whether all is there and is what was promised.
    pub(super) fn check(&self, request: &Request<'_>) -> Result<(), DownloadError> {
        if let Some(wanted) = request.size.filter(|size| *size != self.length) {
            return Err(DownloadError::Size { url: shown(request.url), found: self.length, wanted });
        }
        let found = self.digest();
        match request.sha256.filter(|wanted| *wanted != found) {
            Some(wanted) => Err(DownloadError::Digest { url: shown(request.url), found, wanted }),
            None => Ok(()),
        }
    }

    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        match &mut self.target {
            Target::Memory(bytes) => std::mem::take(bytes),
            Target::File { .. } => Vec::new(),
        }
    }

    pub(super) fn into_file(mut self) -> Result<Arrived, DownloadError> {
        let digest = self.digest();
        self.handed_over = true;
        match &self.target {
            Target::File { file, path, .. } => {
                let disk = |source| DownloadError::Disk { path: path.clone(), source };
                // Names are trusted without reading again, also after a power cut.
                file.sync_all().map_err(disk)?;
                let held = file.try_clone().map_err(disk)?;
                Ok(Arrived { path: path.clone(), digest, _held: Some(held) })
            }
            Target::Memory(_) => Ok(Arrived { path: PathBuf::new(), digest, _held: None }),
        }
    }
}

/// A file that has arrived, durable and still locked: as long as this value lives, nobody else takes it for the beginning of a
/// download of their own. Move the file to its place before dropping it.
#[derive(Debug)]
pub struct Arrived {
    /// Where it lies.
    pub path: PathBuf,
    /// Digest of its contents.
    pub digest: Digest,
    /// Holds the lock.
    _held: Option<File>,
}

impl Drop for Landing {
    /// A file that no later run would find again is not left behind.
    fn drop(&mut self) {
        if let Target::File { path, temporary, .. } = &self.target
            && !self.handed_over
            && (*temporary || self.length == 0)
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Whether the locked file still has its name: another process may have finished and renamed it in between.
fn same(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(held), Ok(named)) => held.ino() == named.ino() && held.dev() == named.dev(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrived(folder: &Path, digest: &Digest) -> Arrived {
        let mut landing = Landing::in_folder(folder, Some(digest), None).unwrap();
        if landing.length() == 0 {
            landing.write(b"abc").unwrap();
        }
        landing.into_file().unwrap()
    }

    #[test]
    fn what_has_arrived_is_nobody_elses_beginning_until_it_has_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"abc");
        let first = arrived(folder.path(), &digest);
        let second = arrived(folder.path(), &digest);
        assert_ne!(first.path, second.path);
        let kept = folder.path().join("kept");
        std::fs::rename(&first.path, &kept).unwrap();
        std::fs::rename(&second.path, &kept).unwrap();
        drop(first);
        let third = arrived(folder.path(), &digest);
        assert_ne!(third.path, kept);
        assert_eq!((std::fs::read(kept).unwrap(), third.digest), (b"abc".to_vec(), digest));
    }
}
