//! Copies a hostile volume before anything in it is believed: what is verified is the copy, which nobody else changes.

use crate::files::{failed, make_private, open_plain};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// What a volume may hold at most: it is copied into memory, and no cluster's payload comes near.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of all files.
    pub(crate) bytes: u64,
    /// Files and folders.
    pub(crate) entries: usize,
    /// Folders in folders.
    pub(crate) depth: usize,
}

/// For seeds.
pub(crate) const SEED: Limits = Limits { bytes: 32 << 20, entries: 4096, depth: 24 };

/// A volume's copy: its files by path below the folder, with their lengths.
#[derive(Clone, Debug)]
pub(crate) struct Volume {
    pub(crate) folder: PathBuf,
    pub(crate) files: BTreeMap<String, u64>,
}

impl Volume {
    /// Where a file lies.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Whether there is such a file.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }
}

/// Copies all plain files below `from` into the new folder `to`.
pub(crate) fn copy(from: &Path, to: &Path, limits: Limits) -> Result<Volume, String> {
    make_private(to)?;
    let mut volume = Volume { folder: to.to_owned(), files: BTreeMap::new() };
    let mut room = Room { bytes: limits.bytes, entries: limits.entries, limits };
    folder(from, to, "", 0, &mut room, &mut volume.files)?;
    Ok(volume)
}

struct Room {
    bytes: u64,
    entries: usize,
    limits: Limits,
}

fn folder(
    from: &Path,
    to: &Path,
    inner: &str,
    depth: usize,
    room: &mut Room,
    files: &mut BTreeMap<String, u64>,
) -> Result<(), String> {
    if depth > room.limits.depth {
        return Err(format!("it has more than {} folders in one another", room.limits.depth));
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(from).map_err(failed("reading", from))? {
        let name = entry.map_err(failed("reading", from))?.file_name();
        let name = name.into_string().map_err(|_| "it has a name that is not UTF-8".to_owned())?;
        room.entries = room
            .entries
            .checked_sub(1)
            .ok_or_else(|| format!("it is oversized: more than {} files and folders", room.limits.entries))?;
        names.push(name);
    }
    names.sort();
    for name in names {
        let (source, target) = (from.join(&name), to.join(&name));
        let path = if inner.is_empty() { name } else { format!("{inner}/{name}") };
        let data = fs::symlink_metadata(&source).map_err(failed("reading", &source))?;
        if data.is_dir() {
            make_private(&target)?;
            folder(&source, &target, &path, depth + 1, room, files)?;
        } else if data.is_file() {
            let length = file(&source, &target, room)?;
            files.insert(path, length);
        } else {
            return Err(format!("`{}` in it is neither a file nor a folder", path.escape_debug()));
        }
    }
    Ok(())
}

fn file(source: &Path, target: &Path, room: &mut Room) -> Result<u64, String> {
    let input = open_plain(source)?;
    let mut options = OpenOptions::new();
    let mut output =
        options.write(true).create_new(true).mode(0o600).open(target).map_err(failed("writing", target))?;
    let length =
        io::copy(&mut input.take(room.bytes.saturating_add(1)), &mut output).map_err(failed("copying", source))?;
    room.bytes = room
        .bytes
        .checked_sub(length)
        .ok_or_else(|| format!("it is oversized: more than {} MiB", room.limits.bytes >> 20))?;
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Limits = Limits { bytes: 10, entries: 4, depth: 2 };

    fn said(build: impl Fn(&Path)) -> String {
        let work = tempfile::tempdir().unwrap();
        let from = work.path().join("from");
        fs::create_dir(&from).unwrap();
        build(&from);
        match copy(&from, &work.path().join("to"), SMALL) {
            Ok(volume) => format!("{:?}", volume.files),
            Err(reason) => reason,
        }
    }

    #[test]
    fn volume_within_the_limits_is_copied_and_others_are_not() {
        let text = |name: &'static str, length: usize| {
            move |from: &Path| fs::write(from.join(name), vec![b'x'; length]).unwrap()
        };
        assert_eq!(said(text("a", 10)), r#"{"a": 10}"#);
        assert_eq!(said(text("a", 11)), "it is oversized: more than 0 MiB");
        let many = |from: &Path| (0..5).for_each(|at| fs::write(from.join(at.to_string()), "").unwrap());
        assert_eq!(said(many), "it is oversized: more than 4 files and folders");
        let deep = |from: &Path| fs::create_dir_all(from.join("a/b/c")).unwrap();
        assert_eq!(said(deep), "it has more than 2 folders in one another");
        let link = |from: &Path| std::os::unix::fs::symlink("/etc/shadow", from.join("l")).unwrap();
        assert_eq!(said(link), "`l` in it is neither a file nor a folder");
    }
}
