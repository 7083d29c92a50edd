//! A folder that stands for `/`: every path is resolved inside it, by the kernel, symbolic links included.

use crate::base::limits::PATH_DEPTH;
use anyhow::{Context as _, Result, bail};
use rustix::fs::{self as sys, AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Lookups that race with a rename are repeated this often.
const LOOKUP_ATTEMPTS: usize = 16;

/// An opened root. Paths are relative to it; a leading `/` is ignored.
#[derive(Debug)]
pub(super) struct Root {
    folder: PathBuf,
    handle: OwnedFd,
}

/// What a name stands for, without following it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) kind: FileType,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size: u64,
}

impl Root {
    /// Opens a folder as a root.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let handle = sys::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .with_context(|| format!("opening {}", folder.display()))?;
        Ok(Self { folder: folder.to_owned(), handle })
    }

    /// Where it is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Opens a folder within the root, following links as a process that has the root for `/` would.
    pub(super) fn directory(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        self.lookup(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC)
    }

    fn lookup(&self, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let path = trimmed(path);
        let path = if path.is_empty() { b"." } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let mut attempts = 0;
        loop {
            match sys::openat2(&self.handle, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) if attempts < LOOKUP_ATTEMPTS => attempts += 1,
                result => return result,
            }
        }
    }

    /// Opens the folder that holds a path's last component, making missing ones (0755, root).
    pub(super) fn parent<'p>(&self, path: &'p [u8]) -> rustix::io::Result<(OwnedFd, &'p [u8])> {
        let (folder, name) = split(path);
        match self.directory(folder) {
            Err(Errno::NOENT) => {
                self.create_directories(folder)?;
                Ok((self.directory(folder)?, name))
            }
            found => Ok((found?, name)),
        }
    }

    fn create_directories(&self, path: &[u8]) -> rustix::io::Result<()> {
        let (above, name) = split(path);
        if name.is_empty() {
            return Ok(());
        }
        if self.directory(above).is_err() {
            self.create_directories(above)?;
        }
        let above = self.directory(above)?;
        match sys::mkdirat(&above, name, Mode::from_raw_mode(0o755)) {
            // The process's umask must not shape an image.
            Ok(()) => sys::chmodat(&above, name, Mode::from_raw_mode(0o755), AtFlags::empty()),
            Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What is at a path, without following a link there; nothing when it or its parent is not there.
    pub(super) fn find(&self, path: &[u8]) -> Result<Option<Found>> {
        let (folder, name) = split(path);
        let folder = match self.directory(folder) {
            Ok(folder) => folder,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("looking up {}", shown(path))),
        };
        let name = if name.is_empty() { b"." } else { name };
        found(&folder, name).with_context(|| format!("looking up {}", shown(path)))
    }

    /// Reads a file of at most `limit` bytes, following links within the root; nothing when it is not there.
    pub(super) fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let reading = || format!("reading {} in the root", shown(path.as_bytes()));
        let file = match self.lookup(path.as_bytes(), OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(error).with_context(reading),
        };
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).with_context(reading)?;
        if bytes.len() as u64 > limit {
            bail!("{} in the root is longer than the {limit} bytes allowed for it", shown(path.as_bytes()));
        }
        Ok(Some(bytes))
    }

    /// Reads a text that may be missing.
    pub(super) fn read_text(&self, path: &str, limit: u64) -> Result<String> {
        let bytes = self.read(path, limit)?.unwrap_or_default();
        String::from_utf8(bytes).with_context(|| format!("reading {} as UTF-8", shown(path.as_bytes())))
    }

    /// Writes a whole file (owner, then mode), replacing whatever file or link has that name.
    pub(super) fn write(&self, path: &str, bytes: &[u8], mode: u32, owner: (u32, u32)) -> Result<()> {
        let writing = || format!("writing {} in the root", shown(path.as_bytes()));
        let (folder, name) = self.parent(path.as_bytes()).with_context(writing)?;
        let mut file = create(&folder, name).with_context(writing)?;
        file.write_all(bytes).with_context(writing)?;
        finish(&file, mode, owner).with_context(writing)
    }

    /// Writes a whole file from a stream, replacing whatever file or link has that name.
    pub(super) fn copy(&self, path: &str, from: &mut impl std::io::Read, mode: u32, owner: (u32, u32)) -> Result<()> {
        let writing = || format!("writing {} in the root", shown(path.as_bytes()));
        let (folder, name) = self.parent(path.as_bytes()).with_context(writing)?;
        let mut file = create(&folder, name).with_context(writing)?;
        std::io::copy(from, &mut file).with_context(writing)?;
        finish(&file, mode, owner).with_context(writing)
    }

    /// Gives a file a further name.
    pub(super) fn hard_link(&self, path: &str, target: &str) -> Result<()> {
        let linking = || format!("linking {} in the root", shown(path.as_bytes()));
        let (from_folder, from) = self.parent(target.as_bytes()).with_context(linking)?;
        let (folder, name) = self.parent(path.as_bytes()).with_context(linking)?;
        remove_name(&folder, name).with_context(linking)?;
        sys::linkat(&from_folder, from, &folder, name, AtFlags::empty()).with_context(linking)
    }

    /// Makes a symbolic link, replacing whatever file or link has that name.
    pub(super) fn link(&self, path: &str, target: &str, owner: (u32, u32)) -> Result<()> {
        let linking = || format!("linking {} in the root", shown(path.as_bytes()));
        let (folder, name) = self.parent(path.as_bytes()).with_context(linking)?;
        remove_name(&folder, name).with_context(linking)?;
        sys::symlinkat(target, &folder, name).with_context(linking)?;
        chown(&folder, name, owner).with_context(linking)
    }

    /// Makes a folder with its parents and sets its mode and owner; an existing one is adjusted.
    pub(super) fn make_directory(&self, path: &str, mode: u32, owner: (u32, u32)) -> Result<()> {
        let making = || format!("creating {} in the root", shown(path.as_bytes()));
        self.create_directories(trimmed(path.as_bytes())).with_context(making)?;
        let file = File::from(
            self.lookup(path.as_bytes(), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC).with_context(making)?,
        );
        finish(&file, mode, owner).with_context(making)
    }

    /// Removes an extended attribute of a folder and of all folders in it; those without it are fine.
    pub(super) fn drop_attribute(&self, path: &str, name: &str) -> Result<()> {
        let dropping = || format!("removing {name} of {} in the root", shown(path.as_bytes()));
        let folder = match self.lookup(path.as_bytes(), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC) {
            Ok(folder) => folder,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(error) => return Err(error).with_context(dropping),
        };
        match sys::fremovexattr(&folder, name) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error).with_context(dropping),
        }
        for inner in self.list(path)? {
            let inner = format!("{path}/{inner}");
            if self.find(inner.as_bytes())?.is_some_and(|found| found.kind == FileType::Directory) {
                self.drop_attribute(&inner, name)?;
            }
        }
        Ok(())
    }

    /// Removes a file, link or folder with all that is in it; nothing there is fine.
    pub(super) fn remove(&self, path: &str) -> Result<()> {
        if self.find(path.as_bytes())?.is_none() {
            return Ok(());
        }
        let removing = || format!("removing {} in the root", shown(path.as_bytes()));
        let (folder, name) = self.parent(path.as_bytes()).with_context(removing)?;
        remove_all(&folder, name, PATH_DEPTH).with_context(removing)
    }

    /// Removes all that is in a folder and keeps the folder; no folder there is fine.
    pub(super) fn empty(&self, path: &str) -> Result<()> {
        for name in self.list(path)? {
            self.remove(&format!("{}/{}", path.trim_end_matches('/'), name))?;
        }
        Ok(())
    }

    /// The names in a folder, sorted; empty when there is no such folder.
    pub(super) fn list(&self, path: &str) -> Result<Vec<String>> {
        let listing = || format!("listing {} in the root", shown(path.as_bytes()));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = match self.lookup(path.as_bytes(), flags) {
            Ok(folder) => folder,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(listing),
        };
        let mut names = Vec::new();
        for entry in sys::Dir::read_from(&folder).with_context(listing)? {
            let entry = entry.with_context(listing)?;
            let name = entry.file_name().to_str().with_context(listing)?;
            if name != "." && name != ".." {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }
}

/// A path without leading and trailing slashes.
pub(super) fn trimmed(path: &[u8]) -> &[u8] {
    let path = &path[path.iter().take_while(|byte| **byte == b'/').count()..];
    &path[..path.len() - path.iter().rev().take_while(|byte| **byte == b'/').count()]
}

/// A path as folder and last component; both empty for the root.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let path = trimmed(path);
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// A path for messages, with a leading slash.
pub(super) fn shown(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(trimmed(path)))
}

/// What a name in a folder stands for, without following it.
pub(super) fn found(folder: &OwnedFd, name: &[u8]) -> rustix::io::Result<Option<Found>> {
    match sys::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(Found {
            kind: FileType::from_raw_mode(stat.st_mode),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
        })),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Creates a new regular file for writing; a file or link of that name is unlinked first.
pub(super) fn create(folder: &OwnedFd, name: &[u8]) -> rustix::io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match sys::openat(folder, name, flags, Mode::from_raw_mode(0o600)) {
        Err(Errno::EXIST) => {
            sys::unlinkat(folder, name, AtFlags::empty())?;
            sys::openat(folder, name, flags, Mode::from_raw_mode(0o600)).map(File::from)
        }
        created => created.map(File::from),
    }
}

/// Sets owner, then mode (changing the owner drops set-user-id bits).
pub(super) fn finish(file: &File, mode: u32, owner: (u32, u32)) -> rustix::io::Result<()> {
    sys::fchown(file, Some(sys::Uid::from_raw(owner.0)), Some(sys::Gid::from_raw(owner.1)))?;
    sys::fchmod(file, Mode::from_raw_mode(mode))
}

/// Sets the owner of a name without following it.
pub(super) fn chown(folder: &OwnedFd, name: &[u8], owner: (u32, u32)) -> rustix::io::Result<()> {
    let (uid, gid) = (sys::Uid::from_raw(owner.0), sys::Gid::from_raw(owner.1));
    sys::chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

/// Unlinks a file or link; nothing there is fine, a folder is not.
pub(super) fn remove_name(folder: &OwnedFd, name: &[u8]) -> rustix::io::Result<()> {
    match sys::unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

fn remove_all(folder: &OwnedFd, name: &[u8], depth: usize) -> rustix::io::Result<()> {
    match sys::unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::ISDIR) if depth > 0 => {}
        result => return result,
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inner = sys::openat(folder, name, flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in sys::Dir::read_from(&inner)? {
        names.push(entry?.file_name().to_owned());
    }
    for entry in names.iter().map(|entry| entry.to_bytes()).filter(|entry| !matches!(*entry, b"." | b"..")) {
        remove_all(&inner, entry, depth - 1)?;
    }
    sys::unlinkat(folder, name, AtFlags::REMOVEDIR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_through_links_stay_within_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("root");
        std::fs::create_dir_all(inside.join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc", inside.join("absolute")).unwrap();
        std::os::unix::fs::symlink("../../../../../..", inside.join("etc/up")).unwrap();
        let root = Root::open(&inside).unwrap();
        let owner = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        root.write("/absolute/a", b"1", 0o640, owner).unwrap();
        root.write("/absolute/up/b", b"2", 0o600, owner).unwrap();
        assert_eq!(std::fs::read(inside.join("etc/a")).unwrap(), b"1");
        assert_eq!(std::fs::read(inside.join("b")).unwrap(), b"2");
        assert_eq!(root.find(b"etc/a").unwrap().unwrap().mode, 0o640);
    }

    #[test]
    fn removing_a_folder_leaves_what_its_links_point_to() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b/c")).unwrap();
        std::fs::write(folder.path().join("kept"), b"").unwrap();
        std::os::unix::fs::symlink("/kept", folder.path().join("a/b/link")).unwrap();
        let root = Root::open(folder.path()).unwrap();
        root.remove("/a").unwrap();
        root.remove("/a").unwrap();
        assert_eq!(root.list("/").unwrap(), ["kept"]);
    }
}
