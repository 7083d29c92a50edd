//! Unpacked roots that many builds use and none changes: made once, published whole by a rename.

use super::lock::Lock;
use super::{Store, Work, work};
use crate::base::digest::{Digest, Hasher};
use crate::base::files;
use crate::base::limits::BOOT_ID_BYTES;
use anyhow::{Context as _, Result};
use std::fs::File;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Where tools roots are kept.
pub(super) const TOOLS: &str = "tools";
/// Where unpacked base layers are kept.
pub(super) const BASES: &str = "bases";

/// Beside a root that is not on the disk yet: names the boot of the machine in which it was published.
const UNSETTLED: &str = "unsettled";
/// Beside a root: what [`seal`] gave when it was published.
const SEAL: &str = "seal";
/// Folders of a root that a sandbox makes where they are missing, to mount what is its own.
const MADE_BY_USE: [&str; 5] = ["dev", "proc", "run", "sys", "tmp"];
/// The kernel's name for the time from its start to its end.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// A root with tools to run.
pub type Tools = Kept;
/// A base layer, unpacked: the lower layer of overlays.
pub type Base = Kept;

/// A kept root; it stays as long as this value lives.
#[derive(Debug)]
pub struct Kept {
    root: PathBuf,
    _used: Lock,
}

impl Kept {
    /// The folder. Whoever writes into it spoils every later build.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Store {
    /// The tools root of this id, if it is there.
    ///
    /// # Errors
    /// When it cannot be locked.
    pub fn tools(&self, id: &str) -> Result<Option<Tools>> {
        self.kept(TOOLS, id)
    }

    /// Publishes `root`, a folder inside `work`, as the tools root of this id. To be run inside a worker.
    ///
    /// Who comes second to the same id gets the first one's. Hold a [`Store::lock`] to do the work only once
    /// (under another name than `tools-...` and `bases-...`, which guard the roots themselves).
    ///
    /// # Errors
    /// When the folder cannot be renamed.
    pub fn publish_tools(&self, id: &str, work: &Work, root: &Path) -> Result<Tools> {
        self.publish(TOOLS, id, work.path(), root)
    }

    /// The unpacked base layer of this id, if it is there.
    ///
    /// # Errors
    /// When it cannot be locked.
    pub fn base(&self, id: &str) -> Result<Option<Base>> {
        self.kept(BASES, id)
    }

    /// Publishes `root`, a folder inside the work folder `work`, as the base layer of this id, as [`Store::publish_tools`].
    ///
    /// # Errors
    /// When the folder cannot be renamed.
    pub fn publish_base(&self, id: &str, work: &Path, root: &Path) -> Result<Base> {
        self.publish(BASES, id, work, root)
    }

    /// Looks at the tools root and the base layer of these ids, and removes what is not as it was published. Names what was
    /// removed. To be run inside a worker; waits for builds that use it.
    ///
    /// # Errors
    /// When one cannot be read or removed.
    pub fn remove_damaged(&self, tools: &str, base: &str) -> Result<Vec<&'static str>> {
        let mut removed = Vec::new();
        for (shelf, id, name) in [(TOOLS, tools, "tools root"), (BASES, base, "base layer")] {
            let folder = self.place(shelf, id)?;
            let Some(kept) = self.kept(shelf, id)? else { continue };
            // One of an older imgbuild has no seal.
            let Ok(published) = files::read(&folder.join(SEAL), BOOT_ID_BYTES) else { continue };
            if seal(kept.root()).is_ok_and(|found| found.to_string().as_bytes() == published) {
                continue;
            }
            drop(kept);
            let _alone = self.lock(&format!("{shelf}-{id}"), || {})?;
            work::remove(&folder)?;
            removed.push(name);
        }
        Ok(removed)
    }

    fn kept(&self, shelf: &str, id: &str) -> Result<Option<Kept>> {
        let kept = self.opened(shelf, id)?;
        let mark = self.place(shelf, id)?.join(UNSETTLED);
        if kept.is_some() && mark.exists() {
            // When we end before it does, the next one that uses the root begins again.
            std::thread::spawn(move || settle(&mark));
        }
        Ok(kept)
    }

    fn opened(&self, shelf: &str, id: &str) -> Result<Option<Kept>> {
        let folder = self.place(shelf, id)?;
        let used = self.lock_shared(&format!("{shelf}-{id}"))?;
        let root = folder.join("root");
        if !root.is_dir() || !is_whole(&folder) {
            return Ok(None);
        }
        super::housekeeping::mark_used(&folder);
        Ok(Some(Kept { root, _used: used }))
    }

    fn publish(&self, shelf: &str, id: &str, work: &Path, root: &Path) -> Result<Kept> {
        if let Some(kept) = self.kept(shelf, id)? {
            return Ok(kept);
        }
        let folder = self.place(shelf, id)?;
        let failed = || format!("publishing {}", folder.display());
        let beside = work.join(format!("kept-{id}"));
        std::fs::create_dir(&beside).with_context(failed)?;
        std::fs::rename(root, beside.join("root")).with_context(failed)?;
        files::write_atomic(&beside.join(SEAL), seal(&beside.join("root"))?.to_string().as_bytes())?;
        files::write_atomic(&beside.join(UNSETTLED), &boot()?)?;
        // A folder without a root is what an interrupted pruning left, one that is not whole a power cut; others are
        // another build's.
        if !folder.join("root").exists() || !is_whole(&folder) {
            work::remove(&folder)?;
        }
        match std::fs::rename(&beside, &folder) {
            Err(error) if folder.join("root").is_dir() => drop(error),
            other => other.with_context(failed)?,
        }
        files::sync_directory(&self.folder().join(shelf))?;
        // The disk is left to catch up by itself: who publishes ends soon, and would have to wait for it.
        self.opened(shelf, id)?.with_context(failed)
    }
}

/// Whether all of the root is there. A root has too many files to wait for the disk before it is used: until they are
/// on it, the root is only good for the boot that published it. Whoever uses it later makes the disk catch up.
fn is_whole(folder: &Path) -> bool {
    let mark = folder.join(UNSETTLED);
    if !mark.exists() {
        return true;
    }
    let published = files::read(&mark, BOOT_ID_BYTES).ok();
    // Another process may have settled it just now.
    (published.is_some() && published == boot().ok()) || !mark.exists()
}

/// Waits until everything on the mark's filesystem is on the disk, then takes the mark away.
fn settle(mark: &Path) {
    let settled = File::open(mark).is_ok_and(|file| rustix::fs::syncfs(&file).is_ok());
    if settled {
        // In a cache that we may only read, the mark stays for its owner.
        let _ = std::fs::remove_file(mark);
    }
}

/// Paths, modes, owners, lengths and times of everything in a root, by digest: whoever changes a file afterwards changes
/// one of them. Contents are not read: that would take longer than many a build.
fn seal(root: &Path) -> Result<Digest> {
    let mut hasher = Hasher::default();
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        let failed = || format!("reading {}", folder.display());
        let mut names: Vec<_> = std::fs::read_dir(&folder)
            .and_then(|found| found.map(|entry| entry.map(|entry| entry.file_name())).collect())
            .with_context(failed)?;
        names.sort();
        if folder == root {
            names.retain(|name| !MADE_BY_USE.iter().any(|made| name == made));
        }
        for name in names {
            let path = folder.join(&name);
            let data = std::fs::symlink_metadata(&path).with_context(failed)?;
            hasher.write_all(name.as_bytes())?;
            let mut numbers = vec![data.mode().into(), data.uid().into(), data.gid().into(), data.rdev()];
            if data.is_dir() {
                waiting.push(path);
            } else {
                numbers.extend([data.len(), data.mtime().cast_unsigned(), data.mtime_nsec().cast_unsigned()]);
            }
            for number in numbers {
                hasher.write_all(&number.to_le_bytes())?;
            }
        }
    }
    Ok(hasher.finish())
}

fn boot() -> Result<Vec<u8>> {
    files::read(Path::new(BOOT), BOOT_ID_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_appear_whole_and_the_second_publisher_gets_the_firsts() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert!(store.tools("t1").unwrap().is_none());
        for (text, expected) in [("first", "first"), ("second", "first")] {
            let work = store.work().unwrap();
            let root = work.folder("root").unwrap();
            std::fs::write(root.join("tool"), text).unwrap();
            let kept = store.publish_tools("t1", &work, &root).unwrap();
            assert_eq!(std::fs::read_to_string(kept.root().join("tool")).unwrap(), expected);
        }
        assert!(store.base("t1").unwrap().is_none());
    }

    fn published(store: &Store, text: &str) -> String {
        let work = store.work().unwrap();
        let root = work.folder("root").unwrap();
        std::fs::write(root.join("tool"), text).unwrap();
        let kept = store.publish_base("b1", work.path(), &root).unwrap();
        std::fs::read_to_string(kept.root().join("tool")).unwrap()
    }

    #[test]
    fn roots_that_another_boot_left_before_they_were_on_the_disk_are_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(published(&store, "first"), "first");
        let mark = folder.path().join("bases/b1").join(UNSETTLED);
        assert!(mark.exists());
        assert!(store.base("b1").unwrap().is_some());
        wait_until_settled(&mark);
        assert!(store.base("b1").unwrap().is_some());
        // Empty: the power was cut before even the mark was on the disk.
        for text in ["another boot\n", ""] {
            std::fs::write(&mark, text).unwrap();
            assert!(store.base("b1").unwrap().is_none(), "{text}");
        }
        assert_eq!(published(&store, "second"), "second");
        assert!(store.base("b1").unwrap().is_some());
    }

    #[test]
    fn roots_of_this_boot_are_used_while_the_disk_catches_up() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(published(&store, "first"), "first");
        let mark = folder.path().join("bases/b1").join(UNSETTLED);
        // The process that published it ended too early.
        std::fs::write(&mark, boot().unwrap()).unwrap();
        assert!(store.base("b1").unwrap().is_some());
        wait_until_settled(&mark);
    }

    fn wait_until_settled(mark: &Path) {
        let began = std::time::Instant::now();
        while mark.exists() {
            assert!(began.elapsed().as_secs() < 120, "nobody settled it");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}
