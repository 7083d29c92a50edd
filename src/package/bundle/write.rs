//! Writing a bundle: the same files give the same bytes.

use super::contents::{Contents, Entry};
use super::error::BundleError;
use super::{INDEX, INDICES, LOCK};
use crate::base::digest::{Digest, Hasher};
use crate::base::epoch::Epoch;
use crate::base::files;
use crate::base::hint::hinted;
use crate::base::progress::{Progress, Unit};
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek as _, Write};
use std::path::{Path, PathBuf};

/// How hard indices are compressed: as small as an archive's own within a second or two.
const INDEX_LEVEL: i32 = 12;

/// Where a file's bytes are.
#[derive(Debug)]
pub enum Source {
    /// In this file.
    File(PathBuf),
    /// In this file that has no name.
    Open(File),
    /// Here.
    Bytes(Vec<u8>),
}

/// A bundle about to be written.
#[derive(Debug, Default)]
pub struct Draft {
    members: BTreeMap<String, (Entry, Source)>,
}

impl Draft {
    /// Adds a file whose size and digest are known; once it is there, it is not added again.
    pub fn add(&mut self, entry: Entry, source: Source) {
        self.members.entry(entry.path.clone()).or_insert((entry, source));
    }

    /// Adds bytes.
    pub fn add_bytes(&mut self, path: impl Into<String>, bytes: Vec<u8>, executable: bool) {
        let entry = Entry { path: path.into(), size: bytes.len() as u64, sha256: Digest::of(&bytes), executable };
        self.add(entry, Source::Bytes(bytes));
    }

    /// Adds an index, compressed; it is named after what it unpacks to.
    ///
    /// # Errors
    /// When it cannot be read, or is no longer what its name says.
    pub fn add_index(&mut self, folder: &str, file: &Path, sha256: &Digest) -> Result<()> {
        let (size, digest, packed) = packed(file, sha256)?;
        let path = format!("{INDICES}{folder}/{sha256}.zst");
        self.add(Entry { path, size, sha256: digest, executable: false }, Source::Open(packed));
        Ok(())
    }

    /// How many files there are of this kind.
    #[must_use]
    pub fn count(&self, prefix: &str) -> usize {
        self.members.keys().filter(|path| path.starts_with(prefix)).count()
    }

    /// Writes everything; gives the index that was written.
    ///
    /// # Errors
    /// When something is no longer what it was, or writing fails.
    pub fn write(
        self,
        mut contents: Contents,
        epoch: Epoch,
        to: &mut impl Write,
        progress: &dyn Progress,
    ) -> Result<Contents> {
        contents.files = self.members.values().map(|(entry, _)| entry.clone()).collect();
        let index = contents.text().context("listing what is in the bundle")?;
        let total = contents.files.iter().map(|entry| entry.size).sum();
        let phase = progress.phase("bundle", total, Unit::Bytes);
        let first =
            Entry { path: INDEX.to_owned(), size: index.len() as u64, sha256: Digest::of(&index), executable: false };
        member(&first, Source::Bytes(index), epoch, to)?;
        for (entry, source) in self.members.into_values() {
            member(&entry, source, epoch, to)?;
            phase.item(entry.size, if entry.path == LOCK { "the pins" } else { &entry.path });
        }
        // Two empty blocks end a tar archive.
        to.write_all(&[0; 1024]).context("writing the bundle")?;
        Ok(contents)
    }
}

/// An index, compressed into a file without a name: size, digest, file.
///
/// # Errors
/// When it cannot be read, or is no longer what its name says.
pub fn packed(file: &Path, sha256: &Digest) -> Result<(u64, Digest, File)> {
    let failed = || format!("compressing {}", file.display());
    let mut reader = Hashed { inner: files::open(file)?, hasher: Hasher::default() };
    let mut packed = tempfile::tempfile().with_context(failed)?;
    zstd::stream::copy_encode(&mut reader, &mut packed, INDEX_LEVEL).with_context(failed)?;
    changed(file, &reader.hasher.finish(), sha256)?;
    packed.rewind().with_context(failed)?;
    let (digest, size) = Digest::of_reader(&mut packed).with_context(failed)?;
    packed.rewind().with_context(failed)?;
    Ok((size, digest, packed))
}

fn changed(file: &Path, found: &Digest, wanted: &Digest) -> Result<()> {
    match found == wanted {
        true => Ok(()),
        false => Err(hinted(
            format!("{} is damaged: its digest is {found}, not {wanted}", file.display()),
            "remove the file; the next command that needs it fetches it again",
        )),
    }
}

/// One file: header, contents, padding.
fn member(entry: &Entry, source: Source, epoch: Epoch, to: &mut impl Write) -> Result<()> {
    let failed = || format!("writing {} into the bundle", entry.path);
    to.write_all(header(entry, epoch)?.as_bytes()).with_context(failed)?;
    let (mut reader, name): (Box<dyn Read>, PathBuf) = match source {
        Source::File(path) => (Box::new(files::open(&path)?), path),
        Source::Open(file) => (Box::new(file), PathBuf::from(&entry.path)),
        Source::Bytes(bytes) => (Box::new(std::io::Cursor::new(bytes)), PathBuf::from(&entry.path)),
    };
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 1 << 18];
    let mut length = 0_u64;
    loop {
        let read = reader.read(&mut buffer).with_context(|| format!("reading {}", name.display()))?;
        if read == 0 {
            break;
        }
        length += read as u64;
        if length > entry.size {
            break;
        }
        hasher.write_all(&buffer[..read]).with_context(failed)?;
        to.write_all(&buffer[..read]).with_context(failed)?;
    }
    if length != entry.size {
        return Err(hinted(
            format!("{} has another length than the {} bytes that are locked", name.display(), entry.size),
            "remove the file; the next command that needs it fetches it again",
        ));
    }
    changed(&name, &hasher.finish(), &entry.sha256)?;
    let padding = usize::try_from((512 - entry.size % 512) % 512).unwrap_or(0);
    to.write_all(&[0; 512][..padding]).with_context(failed)
}

fn header(entry: &Entry, epoch: Epoch) -> Result<tar::Header, BundleError> {
    let mut header = tar::Header::new_ustar();
    let problem = "a tar archive has no room for such a name";
    header.set_path(&entry.path).map_err(|_| BundleError::Path { path: entry.path.clone(), problem })?;
    header.set_size(entry.size);
    header.set_mode(if entry.executable { 0o755 } else { 0o644 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(u64::try_from(epoch.0).unwrap_or(0));
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    Ok(header)
}

struct Hashed<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let taken = self.inner.read(buffer)?;
        self.hasher.write_all(&buffer[..taken])?;
        Ok(taken)
    }
}
