//! Where indices lie in the cache: `indices/<repository>/<suite>/`, contents named by digest.

use crate::base::digest::Digest;
use crate::base::files;
use crate::base::interrupt::Hold;
use crate::base::limits::RELEASE_BYTES;
use crate::store::packages::in_use;
use anyhow::{Context as _, Result};
use rustix::fs::{FlockOperation, flock};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

/// How files begin that are still being unpacked.
const UNPACKING: &str = "new-";
/// How files end that are still being downloaded.
const DOWNLOADING: &str = ".part";

/// The folder of one suite of one repository.
#[derive(Clone, Debug)]
pub(super) struct SuiteCache {
    folder: PathBuf,
}

/// What the cache has of an index.
pub(super) enum Found {
    Whole(PathBuf),
    /// Something else lies in its place.
    Damaged(PathBuf),
    Nothing,
}

impl SuiteCache {
    pub(super) fn new(cache: &Path, repository: &str, suite: &str) -> Self {
        Self { folder: cache.join("indices").join(one_name(repository)).join(one_name(suite)) }
    }

    /// Where a Release file lies (`InRelease`, `Release`, `Release.gpg`).
    pub(super) fn release(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where contents of this digest lie.
    pub(super) fn contents(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.to_string())
    }

    /// The contents of this digest: read, and compared with it.
    pub(super) fn find(&self, digest: &Digest, size: u64) -> Found {
        let path = self.contents(digest);
        let Ok(data) = std::fs::symlink_metadata(&path) else { return Found::Nothing };
        let same = || Digest::of_reader(files::open(&path).ok()?).ok().map(|(found, _)| found);
        match data.is_file() && data.len() == size && same() == Some(*digest) {
            true => Found::Whole(path),
            false => Found::Damaged(path),
        }
    }

    /// Makes the folder and gives it, for files that are still on their way.
    pub(super) fn staging(&self) -> Result<&Path> {
        files::create_dir_all(&self.folder)?;
        Ok(&self.folder)
    }

    /// Lets `write` fill a new file that then gets the name of the digest it gives.
    pub(super) fn fill<T>(
        &self,
        write: impl FnOnce(&mut BufWriter<&mut std::fs::File>) -> Result<(Digest, T)>,
    ) -> Result<(PathBuf, T)> {
        let folder = self.staging()?;
        let _hold = Hold::brief();
        let failed = || format!("writing into {}", folder.display());
        let mut staged = tempfile::Builder::new().prefix(UNPACKING).tempfile_in(folder).with_context(failed)?;
        // Tells pruning that it is in use.
        let _ = flock(staged.as_file(), FlockOperation::NonBlockingLockExclusive);
        let mut writer = BufWriter::with_capacity(1 << 18, staged.as_file_mut());
        let (digest, value) = write(&mut writer)?;
        writer.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(failed)?;
        // The name is trusted later without reading everything again, also after a power cut.
        staged.as_file().sync_all().with_context(failed)?;
        let path = self.contents(&digest);
        staged.persist(&path).map_err(|error| error.error).with_context(failed)?;
        Ok((path, value))
    }
}

/// Removes cached indices that the newest Release file of their suite no longer lists, and what broken-off downloads
/// left; gives the bytes that became free.
/// They can be fetched again as long as a mirror has them; nothing that is locked needs them.
///
/// # Errors
/// When the cache cannot be read or a file not be removed.
pub fn prune_indices(cache: &Path) -> Result<u64> {
    let mut freed = 0;
    for repository in folders(&cache.join("indices"))? {
        for suite in folders(&repository)? {
            let release = |name: &str| files::read(&suite.join(name), RELEASE_BYTES).unwrap_or_default();
            let listed = [release("InRelease"), release("Release")].concat();
            let listed = String::from_utf8_lossy(&listed);
            for entry in std::fs::read_dir(&suite).with_context(|| format!("reading {}", suite.display()))? {
                let path = entry.with_context(|| format!("reading {}", suite.display()))?.path();
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let passing = name.starts_with(UNPACKING) || name.ends_with(DOWNLOADING);
                let superseded = Digest::parse(&name).is_some() && !listed.contains(&name);
                if superseded || (passing && !in_use(&path)) {
                    let failed = || format!("removing {}", path.display());
                    freed += std::fs::symlink_metadata(&path).with_context(failed)?.len();
                    std::fs::remove_file(&path).with_context(failed)?;
                }
            }
        }
    }
    Ok(freed)
}

/// The folders in a folder; none when it does not exist.
fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = || format!("reading {}", folder.display());
    let found = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        found => found.with_context(failed)?,
    };
    let paths = found.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>().with_context(failed)?;
    Ok(paths.into_iter().filter(|path| path.is_dir()).collect())
}

/// A name as one path component.
pub(super) fn one_name(name: &str) -> String {
    let safe: String = name
        .trim_matches('/')
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+') { c } else { '_' })
        .collect();
    match safe.as_str() {
        "" | "." | ".." => "flat".to_owned(),
        _ => safe,
    }
}
