//! The door to files: bounded reads, atomic durable writes, XDG folders. Errors name the path.

use super::interrupt::Hold;
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

/// Creates a file that must not be there yet, for reading and writing.
///
/// # Errors
/// When it exists or cannot be created.
pub fn create_new(path: &Path) -> Result<File> {
    let opened = File::options().read(true).write(true).create_new(true).open(path);
    opened.with_context(|| format!("creating {}", path.display()))
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
    let _hold = Hold::brief();
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder).with_context(failed)?;
    // What nobody holds is left over: see `sweep`. A filesystem without locks keeps what a killed writer left.
    let _ = rustix::fs::flock(file.as_file(), rustix::fs::FlockOperation::NonBlockingLockExclusive);
    file.write_all(bytes).with_context(failed)?;
    fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644)).with_context(failed)?;
    file.as_file().sync_all().with_context(failed)?;
    file.persist(path).map_err(|error| error.error).with_context(failed)?;
    sync_directory(folder)
}

/// How the names of files begin that are not yet what they will be.
const UNFINISHED: &str = ".imgbuild-";

/// Removes what writers left in a folder that were killed before they could rename it; what a living one holds stays.
pub fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if !name.as_encoded_bytes().starts_with(UNFINISHED.as_bytes())
            || !entry.file_type().is_ok_and(|kind| kind.is_file())
        {
            continue;
        }
        let Ok(file) = fs::File::open(entry.path()) else { continue };
        if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok() {
            // It is of no use to anybody; where it cannot be removed, it does no harm either.
            let _ = fs::remove_file(entry.path());
        }
    }
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

/// One name found by [`list`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Below the folder that was listed, with `/` between components.
    pub path: PathBuf,
    /// What it is; links are not followed.
    pub kind: ListedKind,
}

/// What a listed name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListedKind {
    /// A regular file.
    File {
        /// Bytes.
        size: u64,
        /// Whether anyone may execute it.
        executable: bool,
    },
    /// A symbolic link and what it says.
    Link(PathBuf),
    /// A folder.
    Folder,
    /// A device, socket or pipe.
    Other,
}

/// Lists a folder with all that is below it, sorted by path; nothing when it does not exist.
///
/// # Errors
/// When a folder cannot be read, or there are more than `limit` names.
pub fn list(folder: &Path, limit: usize) -> Result<Vec<Listed>> {
    list_levels(folder, usize::MAX, limit)
}

/// As [`list`], but no deeper than so many levels: with 1, what lies in the folder itself. Folders below are not entered.
///
/// # Errors
/// As [`list`].
pub fn list_levels(folder: &Path, levels: usize, limit: usize) -> Result<Vec<Listed>> {
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(below) = waiting.pop() {
        let level = below.components().count() + 1;
        let here = folder.join(&below);
        let entries = match fs::read_dir(&here) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && below.as_os_str().is_empty() => break,
            Err(error) => return Err(error).with_context(|| format!("reading folder {}", here.display())),
        };
        for entry in entries {
            let entry = entry.with_context(|| format!("reading folder {}", here.display()))?;
            let path = below.join(entry.file_name());
            let kind = kind_of(&entry.path())?;
            if kind == ListedKind::Folder && level < levels {
                waiting.push(path.clone());
            }
            found.push(Listed { path, kind });
            if found.len() > limit {
                bail!("{} holds more than the {limit} files allowed for it", folder.display());
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn kind_of(path: &Path) -> Result<ListedKind> {
    use std::os::unix::fs::PermissionsExt as _;
    let data = fs::symlink_metadata(path).with_context(|| format!("examining {}", path.display()))?;
    Ok(if data.is_file() {
        ListedKind::File { size: data.len(), executable: data.permissions().mode() & 0o111 != 0 }
    } else if data.is_symlink() {
        ListedKind::Link(fs::read_link(path).with_context(|| format!("reading link {}", path.display()))?)
    } else if data.is_dir() {
        ListedKind::Folder
    } else {
        ListedKind::Other
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_writer_left_goes_and_what_a_living_one_holds_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [".imgbuild-left", ".imgbuild-held", "imgbuild.lock"] {
            fs::write(at(name), "x").unwrap();
        }
        fs::create_dir(at(".imgbuild-folder")).unwrap();
        let held = fs::File::open(at(".imgbuild-held")).unwrap();
        rustix::fs::flock(&held, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
        sweep(folder.path());
        let there = |name: &str| at(name).exists();
        assert!(!there(".imgbuild-left"));
        assert!(there(".imgbuild-held") && there("imgbuild.lock") && there(".imgbuild-folder"));
        drop(held);
        write_atomic(&at("imgbuild.lock"), b"new").unwrap();
        assert_eq!(fs::read(at("imgbuild.lock")).unwrap(), b"new");
    }
}
