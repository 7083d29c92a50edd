//! What something is made from, as it stands: taken before the work and compared after it, so that work may be done
//! before it is known that nothing changes any more.

use super::root::{Root, shown};
use crate::base::digest::Digest;
use anyhow::{Context as _, Result};
use rustix::fs::{self as sys, AtFlags, FileType};
use std::collections::BTreeMap;

/// Files up to this length are compared by their contents, so that writing the same again changes nothing.
const COMPARED_BYTES: u64 = 1 << 20;
/// Names that what is made here has, and marks that the kernel's scripts leave and take away.
const NOT_INPUTS: [&str; 2] = ["modules.", "."];
/// Folders deeper than this are looked at no further: what is below counts as another state each time.
const DEPTH: usize = 16;

/// One file, link or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Folder(u32),
    Contents(u32, Digest),
    /// Length, inode and time of the last change of anything about it.
    Seen(u32, i64, u64, i64, u64),
}

/// Everything at and below some paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Inputs(BTreeMap<String, State>);

impl Inputs {
    /// Looks at these paths; those that are not there count as that.
    pub(super) fn take(root: &Root, paths: &[&str]) -> Result<Self> {
        let mut found = BTreeMap::new();
        for path in paths {
            visit(root, path, &mut found, DEPTH)
                .with_context(|| format!("looking at {} in the root", shown(path.as_bytes())))?;
        }
        Ok(Self(found))
    }

    /// Paths that are compared by what the disk says of them, with the lengths that it says.
    pub(super) fn lengths(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().filter_map(|(path, state)| match state {
            State::Seen(_, length, ..) => Some((path.as_str(), u64::try_from(*length).ok()?)),
            State::Folder(_) | State::Contents(..) => None,
        })
    }

    /// A path that is not as it was.
    pub(super) fn difference<'i>(&'i self, later: &'i Self) -> Option<&'i str> {
        let paths = self.0.keys().chain(later.0.keys());
        paths.map(String::as_str).find(|path| self.0.get(*path) != later.0.get(*path))
    }
}

fn visit(root: &Root, path: &str, found: &mut BTreeMap<String, State>, depth: usize) -> Result<()> {
    if depth == 0 || root.find(path.as_bytes())?.is_none() {
        return Ok(());
    }
    let (folder, name) = root.parent(path.as_bytes())?;
    let stat = sys::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let length = u64::try_from(stat.st_size).unwrap_or(0);
    let state = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            for name in root.list(path)? {
                if !NOT_INPUTS.iter().any(|start| name.starts_with(start)) {
                    visit(root, &format!("{path}/{name}"), found, depth - 1)?;
                }
            }
            State::Folder(stat.st_mode)
        }
        FileType::RegularFile if length <= COMPARED_BYTES && !path.starts_with("usr/lib/modules/") => {
            let bytes = root.read(path, COMPARED_BYTES)?.unwrap_or_default();
            State::Contents(stat.st_mode, Digest::of(&bytes))
        }
        _ => State::Seen(stat.st_mode, stat.st_size, stat.st_ino, stat.st_ctime, stat.st_ctime_nsec),
    };
    found.insert(path.to_owned(), state);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn contents_count_and_not_when_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("etc/udev/rules.d")).unwrap();
        fs::write(at("etc/udev/rules.d/a"), "one").unwrap();
        let root = Root::open(folder.path()).unwrap();
        let take = || Inputs::take(&root, &["etc/udev", "etc/none"]).unwrap();
        let before = take();
        fs::remove_file(at("etc/udev/rules.d/a")).unwrap();
        fs::write(at("etc/udev/rules.d/a"), "one").unwrap();
        fs::write(at("etc/udev/rules.d/.hidden"), "").unwrap();
        assert_eq!(before.difference(&take()), None);
        fs::write(at("etc/udev/rules.d/a"), "two").unwrap();
        assert_eq!(before.difference(&take()), Some("etc/udev/rules.d/a"));
        fs::write(at("etc/udev/rules.d/a"), "one").unwrap();
        fs::create_dir(at("etc/none")).unwrap();
        assert_eq!(before.difference(&take()), Some("etc/none"));
    }

    #[test]
    fn modules_are_compared_by_what_the_disk_says_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let modules = folder.path().join("usr/lib/modules/6.1");
        fs::create_dir_all(&modules).unwrap();
        fs::write(modules.join("a.ko"), "one").unwrap();
        let root = Root::open(folder.path()).unwrap();
        let take = || Inputs::take(&root, &["usr/lib/modules"]).unwrap();
        let before = take();
        fs::write(modules.join("modules.dep"), "a.ko:").unwrap();
        assert_eq!(before.difference(&take()), None);
        fs::write(modules.join("a.ko"), "longer").unwrap();
        assert_eq!(before.difference(&take()), Some("usr/lib/modules/6.1/a.ko"));
    }
}
