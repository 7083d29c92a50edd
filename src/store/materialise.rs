//! A layer as real files again: exact owners, modes, attributes, hard links and times, on all cores.

use super::layer::{CHUNK, Layer, Packed};
use super::work;
use crate::base::digest::Hasher;
use crate::base::hint::Remedy as _;
use crate::base::parallel;
use crate::base::tree::{Entry, Kind, Tree};
use anyhow::{Context as _, Result, ensure};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

impl Layer {
    /// Writes the layer into an empty folder, and gives its tree with the contents there. To be run inside a worker.
    ///
    /// # Errors
    /// When the folder is not empty or cannot be written, an owner has no id in here, or the pack is damaged: such a
    /// layer is removed, so that the next build makes it anew.
    pub fn materialise(&self, target: &Path) -> Result<Tree> {
        let failed = || format!("unfolding a layer in {}", target.display());
        ensure!(std::fs::read_dir(target).with_context(failed)?.next().is_none(), "{} is not empty", target.display());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(target, flags, Mode::empty()).with_context(failed)?;
        let pack = File::open(self.folder.join("pack")).with_context(failed)?;
        for entry in self.of(|kind| matches!(kind, Kind::Directory)).filter(|entry| !entry.path.is_empty()) {
            rustix::fs::mkdirat(&root, name(entry), Mode::RWXU).with_context(|| creating(entry))?;
        }
        parallel::map(&self.packed, |file| {
            let entry = &self.tree.entries[file.entry];
            let sound = copy(&root, entry, file, &pack).with_context(|| creating(entry))?;
            if sound {
                return Ok(());
            }
            work::remove(&self.folder)?;
            Err(anyhow::anyhow!("{} was damaged in the cache at {}", name(entry).display(), self.folder.display()))
                .hint("it was removed from the cache: build again to make it anew")
        })
        .with_context(failed)?;
        for entry in self.of(|kind| !matches!(kind, Kind::Directory | Kind::File { .. })) {
            special(&root, target, entry).with_context(|| creating(entry))?;
        }
        // Folders last, the deepest first: what is made in a folder changes its time.
        for entry in self.of(|kind| matches!(kind, Kind::Directory)).rev() {
            let open = rustix::fs::openat(&root, name(entry), flags | OFlags::NOFOLLOW, Mode::empty());
            dress(&open.with_context(|| creating(entry))?, entry).with_context(|| creating(entry))?;
        }
        Ok(Tree { entries: self.tree.entries.clone(), contents: target.to_owned() })
    }

    fn of(&self, wanted: impl Fn(&Kind) -> bool) -> impl DoubleEndedIterator<Item = &Entry> {
        self.tree.entries.iter().filter(move |entry| wanted(&entry.kind))
    }
}

fn name(entry: &Entry) -> &Path {
    if entry.path.is_empty() { Path::new(".") } else { Path::new(OsStr::from_bytes(&entry.path)) }
}

fn creating(entry: &Entry) -> String {
    format!("creating {}", name(entry).display())
}

/// Creates a file with its contents; `false` when they are not what was stored.
fn copy(root: &OwnedFd, entry: &Entry, packed: &Packed, pack: &File) -> Result<bool> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(root, name(entry), flags, Mode::RUSR | Mode::WUSR)?);
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; CHUNK.min(usize::try_from(packed.size).unwrap_or(CHUNK))];
    let mut done = 0;
    while done < packed.size {
        let rest = usize::try_from(packed.size - done).unwrap_or(CHUNK).min(CHUNK);
        pack.read_exact_at(&mut buffer[..rest], packed.offset + done).context("reading the pack")?;
        hasher.write_all(&buffer[..rest])?;
        file.write_all(&buffer[..rest])?;
        done += rest as u64;
    }
    if hasher.finish() != packed.digest {
        return Ok(false);
    }
    dress(&file.into(), entry)?;
    Ok(true)
}

/// Owner, then mode and attributes, which a change of owner takes away, then times.
fn dress(file: &OwnedFd, entry: &Entry) -> Result<()> {
    let (user, group) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    rustix::fs::fchown(file, Some(user), Some(group))
        .with_context(|| format!("giving it to {}:{}", entry.uid, entry.gid))?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode)).context("setting its mode")?;
    for (attribute, value) in &entry.xattrs {
        rustix::fs::fsetxattr(file, attribute, value, XattrFlags::empty())
            .with_context(|| format!("setting its attribute {attribute}"))?;
    }
    rustix::fs::futimens(file.as_fd(), &times(entry)).context("setting its time")
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec { tv_sec: entry.mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

fn special(root: &OwnedFd, target: &Path, entry: &Entry) -> Result<()> {
    let path = name(entry);
    let device = |kind, major, minor| {
        rustix::fs::mknodat(root, path, kind, Mode::from_raw_mode(entry.mode), rustix::fs::makedev(major, minor))
    };
    match &entry.kind {
        Kind::Directory | Kind::File { .. } => return Ok(()),
        Kind::HardLink { target } => {
            return Ok(rustix::fs::linkat(root, OsStr::from_bytes(target), root, path, AtFlags::empty())?);
        }
        Kind::SymbolicLink { target } => rustix::fs::symlinkat(OsStr::from_bytes(target), root, path)?,
        Kind::CharacterDevice { major, minor } => device(FileType::CharacterDevice, *major, *minor)?,
        Kind::BlockDevice { major, minor } => device(FileType::BlockDevice, *major, *minor)?,
        Kind::Fifo => device(FileType::Fifo, 0, 0)?,
    }
    let (user, group) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    rustix::fs::chownat(root, path, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)
        .with_context(|| format!("giving it to {}:{}", entry.uid, entry.gid))?;
    if !matches!(entry.kind, Kind::SymbolicLink { .. }) {
        rustix::fs::chmodat(root, path, Mode::from_raw_mode(entry.mode), AtFlags::empty())
            .context("setting its mode")?;
    }
    for (attribute, value) in &entry.xattrs {
        rustix::fs::lsetxattr(target.join(path), attribute, value, XattrFlags::empty())
            .with_context(|| format!("setting its attribute {attribute}"))?;
    }
    rustix::fs::utimensat(root, path, &times(entry), AtFlags::SYMLINK_NOFOLLOW).context("setting its time")
}
