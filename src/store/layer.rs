//! Layers at rest: a manifest with every entry's true metadata and a pack with the contents, both owned by the caller.

use super::{Store, work};
use crate::base::digest::{Digest, Hasher};
use crate::base::limits::LAYER_MANIFEST_BYTES;
use crate::base::{files, parallel};

use crate::base::tree::{Kind, Tree};
use anyhow::{Context as _, Result, bail, ensure};
use rustix::fs::{CWD, Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Raised when the format changes: older layers are then made anew.
const VERSION: u32 = 1;
/// How much of a file is in memory at a time.
pub(super) const CHUNK: usize = 256 << 10;

#[derive(Serialize, Deserialize)]
struct Manifest {
    version: u32,
    tree: Tree,
    /// Digests of the regular files' contents, in the order of the entries.
    digests: Vec<Digest>,
}

/// A regular file in the pack.
pub(super) struct Packed {
    /// Which entry it belongs to.
    pub(super) entry: usize,
    /// Where its contents begin.
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) digest: Digest,
}

/// A layer at rest.
pub struct Layer {
    pub(super) folder: PathBuf,
    pub(super) tree: Tree,
    pub(super) packed: Vec<Packed>,
}

impl Store {
    /// The layer of this id, if it is there and its manifest is sound.
    ///
    /// # Errors
    /// When the id is no name.
    pub fn layer(&self, id: &str) -> Result<Option<Layer>> {
        let folder = self.place("layers", id)?;
        let Some(manifest) = read_manifest(&folder.join("manifest")) else { return Ok(None) };
        let Ok(packed) = packed(&manifest.tree, manifest.digests) else { return Ok(None) };
        let size = packed.last().map_or(0, |last| last.offset + last.size);
        if !std::fs::metadata(folder.join("pack")).is_ok_and(|data| data.len() == size) {
            return Ok(None);
        }
        super::housekeeping::mark_used(&folder);
        Ok(Some(Layer { folder, tree: manifest.tree, packed }))
    }

    /// Keeps a tree as the layer of this id, replacing one that is there. Contents are read below [`Tree::contents`].
    ///
    /// # Errors
    /// When the tree breaks its own order, a file cannot be read or has another length than its entry says, or the disk is full.
    pub fn write_layer(&self, id: &str, tree: &Tree) -> Result<Layer> {
        let folder = self.place("layers", id)?;
        let failed = || format!("keeping the layer {id}");
        let beside =
            tempfile::Builder::new().prefix(".new-").tempdir_in(self.folder().join("layers")).with_context(failed)?;
        let mut packed = packed(tree, Vec::new()).with_context(failed)?;
        let pack = File::create(beside.path().join("pack")).with_context(failed)?;
        let digests = parallel::map(&packed, |file| {
            let path = tree.contents.join(OsStr::from_bytes(&tree.entries[file.entry].path));
            store(&path, file, &pack).with_context(|| format!("keeping {}", path.display()))
        })
        .with_context(failed)?;
        for (file, digest) in packed.iter_mut().zip(&digests) {
            file.digest = *digest;
        }
        let tree = Tree { entries: tree.entries.clone(), contents: PathBuf::new() };
        let manifest = Manifest { version: VERSION, tree, digests };
        let text = serde_json::to_vec(&manifest).with_context(failed)?;
        let mut file = File::create(beside.path().join("manifest")).with_context(failed)?;
        file.write_all(format!("{}\n", Digest::of(&text)).as_bytes()).with_context(failed)?;
        file.write_all(&text).with_context(failed)?;
        let beside = beside.keep();
        std::fs::set_permissions(&beside, std::os::unix::fs::PermissionsExt::from_mode(0o755)).with_context(failed)?;
        work::remove(&folder)?;
        // Not made durable: what a power cut leaves half written fails its digest and is made anew.
        std::fs::rename(&beside, &folder).with_context(failed)?;
        Ok(Layer { folder, tree: manifest.tree, packed })
    }
}

impl Layer {
    /// What the layer consists of; [`Tree::contents`] is empty until it is materialised.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }
}

fn read_manifest(path: &Path) -> Option<Manifest> {
    parse_manifest(&files::read(path, LAYER_MANIFEST_BYTES).ok()?)
}

/// A digest as text, a line break, and the JSON that it is the digest of; anything else is no manifest.
fn parse_manifest(bytes: &[u8]) -> Option<Manifest> {
    let (digest, text) = bytes.split_at_checked(64)?;
    let text = text.strip_prefix(b"\n")?;
    if Digest::of(text).to_string().as_bytes() != digest {
        return None;
    }
    let manifest: Manifest = serde_json::from_slice(text).ok()?;
    (manifest.version == VERSION).then_some(manifest)
}

/// Checks the order and shape of a tree and places its regular files in the pack. Digests may be given later.
fn packed(tree: &Tree, digests: Vec<Digest>) -> Result<Vec<Packed>> {
    tree.check()?;
    let (mut packed, mut offset, known) = (Vec::new(), 0_u64, !digests.is_empty());
    let mut digests = digests.into_iter();
    for (entry, value) in tree.entries.iter().enumerate() {
        if let Kind::File { size } = value.kind {
            let digest = match digests.next() {
                Some(digest) => digest,
                None if known => bail!("there are fewer digests than files"),
                None => Digest::of(b""),
            };
            packed.push(Packed { entry, offset, size, digest });
            offset = offset.checked_add(size).context("the contents exceed 2^64 bytes")?;
        }
    }
    ensure!(digests.next().is_none(), "there are more digests than files");
    Ok(packed)
}

/// Copies a file to its place in the pack and gives the digest of its contents.
fn store(path: &Path, file: &Packed, pack: &File) -> Result<Digest> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut source = File::from(rustix::fs::openat(CWD, path, flags, Mode::empty())?);
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; CHUNK.min(usize::try_from(file.size).unwrap_or(CHUNK).max(1))];
    let mut done = 0;
    loop {
        let read = source.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        ensure!(done + read as u64 <= file.size, "it is longer than the {} bytes that it had", file.size);
        hasher.write_all(&buffer[..read])?;
        pack.write_all_at(&buffer[..read], file.offset + done)?;
        done += read as u64;
    }
    ensure!(done == file.size, "it has {done} bytes, and had {}", file.size);
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn manifest(text: &str) -> Vec<u8> {
        format!("{}\n{text}", Digest::of(text.as_bytes())).into_bytes()
    }

    #[test]
    fn manifests_of_another_version_are_none() {
        let text = r#"{"version":1,"tree":{"entries":[],"contents":""},"digests":[]}"#;
        assert!(parse_manifest(&manifest(text)).is_some());
        assert!(parse_manifest(&manifest(&text.replace("n\":1", "n\":2"))).is_none());
    }

    #[test]
    fn digests_that_do_not_fit_the_files_are_refused() {
        let text = r#"{"version":1,"tree":{"entries":[],"contents":""},"digests":["DIGEST"]}"#;
        let text = text.replace("DIGEST", &Digest::of(b"").to_string());
        let manifest = parse_manifest(&manifest(&text)).unwrap();
        let error = packed(&manifest.tree, manifest.digests).err().unwrap();
        assert_eq!(error.to_string(), "there are more digests than files");
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_manifest_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in ".*") {
            prop_assert!(parse_manifest(&bytes).is_none());
            prop_assert!(parse_manifest(&manifest(&text)).is_none());
        }
    }
}
