//! The door to files: writing that survives a power cut, and folders reached without following links.

use rustix::fs::{AtFlags, Mode, OFlags};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// An error with what was being done.
pub(crate) fn failed(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> String {
    let what = format!("{doing} {}", path.display());
    move |error| format!("{what}: {error}")
}

/// Makes a folder, with its parents, that only root enters.
pub(crate) fn make_private(path: &Path) -> Result<(), String> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("creating", path))
}

/// Makes a folder, with its parents, that everybody may enter.
pub(crate) fn make_public(path: &Path) -> Result<(), String> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_public(parent)?;
    }
    fs::create_dir(path).map_err(failed("creating", path))?;
    fs::set_permissions(path, Permissions::from_mode(0o755)).map_err(failed("opening", path))
}

/// Removes a folder with everything in it, if it is there.
pub(crate) fn remove_folder(path: &Path) -> Result<(), String> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("removing", path)(error)),
        _ => Ok(()),
    }
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), String> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("removing", path)(error)),
        _ => Ok(()),
    }
}

/// Reads a plain file of at most `limit` bytes, not through a link.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let file = open_plain(path)?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed("reading", path))?;
    if bytes.len() as u64 > limit {
        return Err(format!("{} is larger than {limit} bytes", path.display()));
    }
    Ok(bytes)
}

/// The same for a file that need not be there.
pub(crate) fn read_optional(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, String> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        _ => read(path, limit).map(Some),
    }
}

/// Opens a plain file: no link, device or pipe.
pub(crate) fn open_plain(path: &Path) -> Result<File, String> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed("opening", path))?;
    let data = file.metadata().map_err(failed("opening", path))?;
    if data.is_file() { Ok(file) } else { Err(format!("{} is no plain file", path.display())) }
}

/// Makes what happened in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), String> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(failed("writing", path))
}

/// Replaces a file of the state, durably: whoever reads sees the old or the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), String> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(format!("{} is no path of a file", path.display()));
    };
    let temporary = folder.join(format!(".{}.new", name.to_string_lossy()));
    remove(&temporary)?;
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()
    };
    write().map_err(failed("writing", &temporary))?;
    fs::rename(&temporary, path).map_err(failed("writing", path))?;
    sync_folder(folder)
}

/// Opens the folder that holds `path` (absolute, below `root`) without following a link. With `make`, missing folders
/// are made, open to everybody; otherwise a missing one gives `None`.
pub(crate) fn parent(root: &Path, path: &str, make: bool) -> Result<Option<OwnedFd>, String> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let problem = |error: rustix::io::Errno, reached: &str| {
        let why = match error {
            rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => "is a link or no folder".to_owned(),
            other => io::Error::from(other).to_string(),
        };
        format!("{path} cannot be reached: {reached} {why}")
    };
    let mut open = rustix::fs::open(root, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| problem(error, "/"))?;
    let mut reached = String::new();
    let Some((folders, _)) = path.trim_start_matches('/').rsplit_once('/') else { return Ok(Some(open)) };
    for name in folders.split('/') {
        reached = format!("{reached}/{name}");
        open = match rustix::fs::openat(&open, name, flags, Mode::empty()) {
            Ok(next) => next,
            Err(rustix::io::Errno::NOENT) if !make => return Ok(None),
            Err(rustix::io::Errno::NOENT) => {
                rustix::fs::mkdirat(&open, name, Mode::from_raw_mode(0o755)).map_err(|e| problem(e, &reached))?;
                let next = rustix::fs::openat(&open, name, flags, Mode::empty()).map_err(|e| problem(e, &reached))?;
                // The unit's mask would have closed it to the services that look for their files here.
                rustix::fs::fchmod(&next, Mode::from_raw_mode(0o755)).map_err(|e| problem(e, &reached))?;
                rustix::fs::fsync(&open).map_err(|e| problem(e, &reached))?;
                next
            }
            Err(error) => return Err(problem(error, &reached)),
        };
    }
    Ok(Some(open))
}

/// Removes a name in an open folder, if it is there.
pub(crate) fn unlink(folder: &OwnedFd, name: &str) -> Result<(), String> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(format!("removing {name}: {}", io::Error::from(error))),
    }
}
