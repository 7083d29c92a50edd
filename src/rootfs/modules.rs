//! Kernel modules, decompressed before their package's turn: `depmod` would spend nearly all of its time on that, one
//! module after the other, and the initial ramdisk waits for it.
//!
//! While the kernel's package is decompressed beside the first scripts, its modules are unpacked here too, on all
//! processors, into a folder of their own. `depmod` is later shown that folder in the place of the root's: the names are
//! the same, and it tells compressed modules by their first bytes, not by their names. What it does not read is not written.

use super::elf;
use super::inputs::Inputs;
use super::root::Root;
use crate::base::limits::{KERNEL_INDEX_BYTES, KERNEL_MODULE_BYTES, KERNEL_MODULE_PACKED_BYTES};
use crate::package::deb::{Compression, Member, MemberKind};
use anyhow::{Context as _, Result, anyhow};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Where modules lie in a root; packages of older releases say it without `usr`.
const MODULES: &str = "usr/lib/modules/";

/// How far workers step back (`nice`).
const PATIENT: i32 = 10;

/// A file that belongs to a kernel, as its package has it.
struct Packed {
    /// Below [`MODULES`].
    path: String,
    /// Where its contents are, from `offset` on.
    archive: Arc<fs::File>,
    offset: u64,
    length: usize,
    compression: Compression,
}

/// Modules on their way into a folder.
#[derive(Debug)]
pub(super) struct Modules {
    folder: PathBuf,
    queue: Option<Sender<Packed>>,
    workers: Vec<JoinHandle<Result<()>>>,
    /// Compressed modules by path below [`MODULES`], with the bytes that they have in the package.
    lengths: Mutex<BTreeMap<String, u64>>,
}

/// Modules that all lie in their folder.
#[derive(Debug)]
pub(super) struct Decompressed {
    folder: PathBuf,
    lengths: BTreeMap<String, u64>,
}

impl Modules {
    /// Begins with nothing, in a folder that does not exist yet and that no script is ever shown.
    pub(super) fn begin(folder: PathBuf) -> Result<Self> {
        fs::create_dir(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let (queue, waiting) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let worker = |_| {
            let (folder, waiting) = (folder.clone(), Arc::clone(&waiting));
            std::thread::spawn(move || work(&folder, &waiting))
        };
        let workers = (0..threads).map(worker).collect();
        Ok(Self { folder, queue: Some(queue), workers, lengths: Mutex::default() })
    }

    /// Takes a member of a package's `data.tar` if it belongs to a kernel. Its contents lie in `archive` from `offset` on.
    pub(super) fn member(&self, member: &Member, archive: &Arc<fs::File>, offset: u64) {
        let Some(path) = below_modules(&member.path) else { return };
        let compression = compression(path);
        // A kernel whose modules are not compressed gains nothing here.
        if member.kind != MemberKind::File
            || member.size > KERNEL_MODULE_PACKED_BYTES
            || compression == Some(Compression::None)
        {
            return;
        }
        if compression.is_some() {
            let mut lengths = self.lengths.lock().unwrap_or_else(PoisonError::into_inner);
            lengths.insert(path.to_owned(), member.size);
        }
        let Ok(length) = usize::try_from(member.size) else { return };
        let (path, archive) = (path.to_owned(), Arc::clone(archive));
        let packed = Packed { path, archive, offset, length, compression: compression.unwrap_or(Compression::None) };
        // Workers that have failed listen no more; they say why in the end.
        self.queue.as_ref().map_or(Ok(()), |queue| queue.send(packed)).unwrap_or_default();
    }

    /// Waits until all are decompressed.
    pub(super) fn finish(mut self) -> Result<Decompressed> {
        self.join()?;
        let lengths = std::mem::take(&mut *self.lengths.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Decompressed { folder: self.folder.clone(), lengths })
    }

    fn join(&mut self) -> Result<()> {
        drop(self.queue.take());
        let ended = self.workers.drain(..).map(|worker| {
            worker.join().map_err(|_| anyhow!("a thread ended before its work was done")).and_then(|result| result)
        });
        // Each is waited for, whatever became of the others.
        ended.fold(Ok(()), Result::and)
    }
}

impl Drop for Modules {
    /// Nobody writes into the folder any more when it is taken away.
    fn drop(&mut self) {
        self.join().unwrap_or_default();
    }
}

impl Decompressed {
    /// The folder of one kernel, if it has the very modules that the root (seen as `inputs`) has of it.
    pub(super) fn of(&self, version: &str, inputs: &Inputs) -> Option<PathBuf> {
        let prefix = format!("{version}/");
        let ours = self.lengths.iter().filter(|(path, _)| path.starts_with(&prefix));
        let ours: BTreeMap<&str, u64> = ours.map(|(path, length)| (path.as_str(), *length)).collect();
        let theirs = inputs.lengths().filter_map(|(path, length)| Some((path.strip_prefix(MODULES)?, length)));
        let theirs: BTreeMap<&str, u64> =
            theirs.filter(|(path, _)| path.starts_with(&prefix) && is_module(path)).collect();
        (!ours.is_empty() && ours == theirs).then(|| self.folder.join(version))
    }
}

/// What `depmod` made in a kernel's folder and is not in the root goes there.
pub(super) fn hand_over(folder: &Path, root: &Root, version: &str) -> Result<()> {
    let made = Root::open(folder)?;
    for name in made.list("/")? {
        let path = format!("{MODULES}{version}/{name}");
        if name.starts_with("modules.") && root.find(path.as_bytes())?.is_none() {
            // A program of the target's was there: what it left is never followed out of the folder.
            let bytes = made.read(&name, KERNEL_INDEX_BYTES)?.with_context(|| format!("depmod left no {name}"))?;
            root.write(&path, &bytes, 0o644, (0, 0))?;
        }
    }
    Ok(())
}

fn work(folder: &Path, waiting: &Mutex<Receiver<Packed>>) -> Result<()> {
    // Scripts and the unpacking of other packages go first: they are waited for, and this is not yet.
    rustix::process::setpriority_process(None, PATIENT).unwrap_or_default();
    let mut plain = Vec::new();
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Packed { path, archive, offset, length, compression }) = next else { return Ok(()) };
        let to = folder.join(&path);
        let unpacking = || format!("unpacking {MODULES}{path}");
        if let Some(above) = to.parent() {
            fs::create_dir_all(above).with_context(unpacking)?;
        }
        let mut packed = vec![0; length];
        archive.read_exact_at(&mut packed, offset).with_context(unpacking)?;
        let mut packed = compression.decoder(Cursor::new(packed), KERNEL_MODULE_BYTES).with_context(unpacking)?;
        plain.clear();
        packed.read_to_end(&mut plain).with_context(unpacking)?;
        let file = fs::File::create(&to).with_context(unpacking)?;
        for part in elf::parts(&plain) {
            file.write_all_at(&plain[part.clone()], part.start as u64).with_context(unpacking)?;
        }
        file.set_len(plain.len() as u64).with_context(unpacking)?;
    }
}

/// A path below [`MODULES`], without that.
fn below_modules(path: &[u8]) -> Option<&str> {
    let path = std::str::from_utf8(path).ok()?;
    path.strip_prefix(MODULES).or_else(|| path.strip_prefix("lib/modules/"))
}

fn is_module(path: &str) -> bool {
    compression(path).is_some()
}

/// How a module is compressed, by its name; nothing when it is not one.
fn compression(path: &str) -> Option<Compression> {
    let name = path.rsplit('/').next().unwrap_or(path);
    Compression::of_suffix(&name[name.rfind(".ko")? + ".ko".len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, bytes: &[u8]) -> Member {
        Member {
            path: path.as_bytes().to_owned(),
            kind: MemberKind::File,
            size: bytes.len() as u64,
            mode: 0o644,
            owner: (0, 0),
            names: (Vec::new(), Vec::new()),
            mtime: 0,
            attributes: BTreeMap::new(),
        }
    }

    fn taken(folder: &Path, files: &[(&str, &[u8])]) -> Result<Decompressed> {
        let modules = Modules::begin(folder.join("modules")).unwrap();
        for (path, bytes) in files {
            let archive = tempfile::tempfile().unwrap();
            archive.write_all_at(b"before", 0).unwrap();
            archive.write_all_at(bytes, 6).unwrap();
            modules.member(&file(path, bytes), &Arc::new(archive), 6);
        }
        modules.finish()
    }

    #[test]
    fn modules_are_told_by_their_names() {
        let of = |path| compression(path);
        assert_eq!(of("6.1/kernel/a.ko.xz"), Some(Compression::Xz));
        assert_eq!(of("6.1/kernel/a.ko.zst"), Some(Compression::Zstd));
        assert_eq!(of("6.1/kernel/a.ko"), Some(Compression::None));
        assert_eq!(of("6.1/kernel.ko.d/modules.order"), None);
        assert_eq!(of("6.1/kernel/a.ko.txt"), None);
    }

    #[test]
    fn modules_lie_decompressed_under_their_own_names() {
        let folder = tempfile::tempdir().unwrap();
        let packed = zstd::encode_all(&b"contents"[..], 1).unwrap();
        let files: [(&str, &[u8]); 4] = [
            ("usr/lib/modules/6.1/kernel/a.ko.zst", &packed),
            ("usr/lib/modules/6.1/modules.order", b"kernel/a.ko\n"),
            ("usr/lib/modules/6.2/kernel/plain.ko", b"plain"),
            ("usr/share/doc/a.ko.zst", &packed),
        ];
        let taken = taken(folder.path(), &files).unwrap();
        let read = |path: &str| fs::read(folder.path().join("modules").join(path)).ok();
        assert_eq!(read("6.1/kernel/a.ko.zst").unwrap(), b"contents");
        assert_eq!(read("6.1/modules.order").unwrap(), b"kernel/a.ko\n");
        assert_eq!((read("6.2/kernel/plain.ko"), read("doc/a.ko.zst")), (None, None));
        assert_eq!(taken.lengths, BTreeMap::from([("6.1/kernel/a.ko.zst".to_owned(), packed.len() as u64)]));
    }

    #[test]
    fn a_kernel_counts_only_with_the_roots_own_modules() {
        let folder = tempfile::tempdir().unwrap();
        let packed = zstd::encode_all(&b"contents"[..], 1).unwrap();
        let taken = taken(folder.path(), &[("lib/modules/6.1/kernel/a.ko.zst", &packed)]).unwrap();
        let in_root = folder.path().join("root/usr/lib/modules/6.1/kernel");
        fs::create_dir_all(&in_root).unwrap();
        let root = Root::open(&folder.path().join("root")).unwrap();
        let of = |version: &str| taken.of(version, &Inputs::take(&root, &["usr/lib/modules"]).unwrap());
        assert_eq!(of("6.1"), None, "the root has none yet");
        fs::write(in_root.join("a.ko.zst"), &packed).unwrap();
        assert_eq!((of("6.1"), of("6.2")), (Some(folder.path().join("modules/6.1")), None));
        fs::write(in_root.join("a.ko.zst"), "shorter").unwrap();
        assert_eq!(of("6.1"), None, "another module of the same name");
        fs::write(in_root.join("a.ko.zst"), &packed).unwrap();
        fs::write(in_root.join("b.ko"), "another package's").unwrap();
        assert_eq!(of("6.1"), None, "one more module");
    }

    #[test]
    fn a_damaged_module_is_told_and_stops_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let damaged: Vec<(String, &[u8])> =
            (0..100).map(|at| (format!("usr/lib/modules/6.1/{at}.ko.zst"), &b"not zstd"[..])).collect();
        let files: Vec<(&str, &[u8])> = damaged.iter().map(|(path, bytes)| (path.as_str(), *bytes)).collect();
        let error = taken(folder.path(), &files).unwrap_err();
        assert!(error.to_string().starts_with("unpacking usr/lib/modules/6.1/"), "{error:#}");
    }
}
