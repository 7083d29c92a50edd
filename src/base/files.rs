//! The door to files: bounded reads, atomic durable writes, XDG folders. Errors name the path.

use anyhow::{Context as _, Result, bail};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Opens a file for reading.
///
/// # Errors
/// When it cannot be opened.
pub fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("opening {}", path.display()))
}

/// Reads a whole file that must not exceed `limit` bytes.
///
/// # Errors
/// When it cannot be read or is longer.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(limit + 1).read_to_end(&mut bytes).with_context(|| format!("reading {}", path.display()))?;
    if bytes.len() as u64 > limit {
        bail!("{} is longer than the {limit} bytes allowed for it", path.display());
    }
    Ok(bytes)
}

/// Writes a file beside its final name, makes it durable and renames it: readers see the old or the new, whole.
///
/// # Errors
/// When any step fails; the old file is then untouched.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_dir_all(folder)?;
    let failed = || format!("writing {}", path.display());
    let mut file = tempfile::Builder::new().prefix(".imgbuild-").tempfile_in(folder).with_context(failed)?;
    file.write_all(bytes).with_context(failed)?;
    fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644)).with_context(failed)?;
    file.as_file().sync_all().with_context(failed)?;
    file.persist(path).map_err(|error| error.error).with_context(failed)?;
    sync_directory(folder)
}

/// Makes a rename in this folder durable.
///
/// # Errors
/// When the folder cannot be opened or synchronised.
pub fn sync_directory(folder: &Path) -> Result<()> {
    open(folder)?.sync_all().with_context(|| format!("synchronising {}", folder.display()))
}

/// Creates a folder and its parents.
///
/// # Errors
/// When that fails.
pub fn create_dir_all(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("creating {}", path.display()))
}

/// Where the cache is: `--cache`/`IMGBUILD_CACHE` (given), else `$XDG_CACHE_HOME/imgbuild`, else `~/.cache/imgbuild`.
///
/// # Errors
/// When none of them is set.
pub fn cache_folder(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = given {
        return std::path::absolute(path).with_context(|| format!("resolving {}", path.display()));
    }
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|base| base.join("imgbuild"))
        .ok_or_else(|| {
            super::hint::hinted(
                "neither XDG_CACHE_HOME nor HOME is set",
                "say where the cache may live with `--cache DIR`",
            )
        })
}
