//! Reading a bundle: the index first, then nothing that it does not name; contents are streamed and compared.

use super::contents::{Contents, Entry};
use super::error::BundleError;
use super::{INDEX, LOCK};
use crate::base::digest::{Digest, Hasher};
use crate::base::limits::{BUNDLE_INDEX_BYTES, BUNDLE_PADDING_BYTES, INDEX_BYTES, ZSTD_WINDOW_LOG};
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Bytes of a block of a tar archive.
const BLOCK: u64 = 512;

/// An opened bundle: its index is read, and every file is where the index says; no contents were read yet.
#[derive(Debug)]
pub struct Bundle {
    file: File,
    contents: Contents,
    /// Where the contents of each file begin.
    offsets: Vec<u64>,
}

impl Bundle {
    /// Opens a bundle.
    ///
    /// # Errors
    /// When it is no bundle, truncated, or not what its index says.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(BundleError::NoBundle);
        }
        let length = metadata.len();
        let (name, size) = header(&file, 0, length).map_err(|_| BundleError::NoBundle)?;
        if name != INDEX {
            return Err(BundleError::NoBundle);
        }
        if size > BUNDLE_INDEX_BYTES {
            return Err(BundleError::Size { path: name, size, limit: BUNDLE_INDEX_BYTES });
        }
        if BLOCK + size > length {
            return Err(BundleError::Truncated { length, path: name });
        }
        let mut index = vec![0; usize::try_from(size).unwrap_or(0)];
        file.read_exact_at(&mut index, BLOCK)?;
        let contents = Contents::parse(&index)?;
        let mut at = after(BLOCK, size);
        let mut offsets = Vec::with_capacity(contents.files.len());
        for entry in &contents.files {
            offsets.push(member(&file, at, length, entry)?);
            at = after(at + BLOCK, entry.size);
        }
        end(&file, at, length)?;
        Ok(Self { file, contents, offsets })
    }

    /// What it holds.
    #[must_use]
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The pins' text and its digest.
    ///
    /// # Errors
    /// When it is not what the index says.
    pub fn lock(&self) -> Result<(Vec<u8>, Digest), BundleError> {
        let (_, entry) = self.contents.find(LOCK).ok_or(BundleError::NoBundle)?;
        let mut text = Vec::new();
        self.copy(entry, &mut text)?;
        Ok((text, entry.sha256))
    }

    /// Copies a file and compares it with the index. What was written before a failure is nobody's to trust.
    ///
    /// # Errors
    /// When it is not what the index says, or reading or writing fails.
    pub fn copy(&self, entry: &Entry, to: &mut impl Write) -> Result<(), BundleError> {
        let mut hasher = Hasher::default();
        let mut reader = self.reader(entry)?;
        let mut buffer = vec![0; 1 << 18];
        loop {
            let read = reader.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hasher.write_all(&buffer[..read])?;
            to.write_all(&buffer[..read])?;
        }
        let found = hasher.finish();
        match found == entry.sha256 {
            true => Ok(()),
            false => Err(BundleError::Digest { path: entry.path.clone(), found, wanted: entry.sha256 }),
        }
    }

    /// Unpacks an index, compares it with the digest that its name holds, and gives that.
    ///
    /// # Errors
    /// When it is damaged, another, or grows beyond what indices may have.
    pub fn unpack(&self, entry: &Entry, to: &mut impl Write) -> Result<Digest, BundleError> {
        let refuse = |problem: String| BundleError::Unpack { path: entry.path.clone(), problem };
        // The packed bytes first: a decoder is fed with nothing that the index does not vouch for.
        self.copy(entry, &mut io::sink())?;
        let name = entry.path.rsplit('/').next().and_then(|name| name.strip_suffix(".zst"));
        let wanted = name.and_then(Digest::parse).ok_or_else(|| refuse("its name is no digest".to_owned()))?;
        let damaged = |error: io::Error| refuse(error.to_string());
        let mut decoder = zstd::stream::read::Decoder::new(self.reader(entry)?).map_err(damaged)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(damaged)?;
        let mut hasher = Hasher::default();
        let (mut length, mut buffer) = (0_u64, vec![0; 1 << 18]);
        loop {
            let read = decoder.read(&mut buffer).map_err(damaged)?;
            if read == 0 {
                break;
            }
            length += read as u64;
            if length > INDEX_BYTES {
                return Err(refuse(format!("it has more than {INDEX_BYTES} bytes")));
            }
            hasher.write_all(&buffer[..read])?;
            to.write_all(&buffer[..read])?;
        }
        match hasher.finish() {
            found if found == wanted => Ok(wanted),
            found => Err(refuse(format!("its digest is {found}"))),
        }
    }

    fn reader(&self, entry: &Entry) -> Result<Stretch<'_>, BundleError> {
        let (at, _) = self.contents.find(&entry.path).ok_or(BundleError::NoBundle)?;
        Ok(Stretch { file: &self.file, at: self.offsets[at], left: entry.size })
    }
}

/// Where the next header is.
fn after(begin: u64, size: u64) -> u64 {
    begin + size.div_ceil(BLOCK) * BLOCK
}

/// Name and size of the plain file whose header is here.
fn header(file: &File, at: u64, length: u64) -> Result<(String, u64), ()> {
    let mut header = tar::Header::new_ustar();
    if at + BLOCK > length {
        return Err(());
    }
    file.read_exact_at(header.as_mut_bytes(), at).map_err(|_| ())?;
    let sum: u32 = header
        .as_bytes()
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
        .sum();
    if header.cksum().map_err(|_| ())? != sum || header.entry_type() != tar::EntryType::Regular {
        return Err(());
    }
    let name = String::from_utf8(header.path_bytes().into_owned()).map_err(|_| ())?;
    Ok((name, header.entry_size().map_err(|_| ())?))
}

/// Checks that this file is here, whole; gives where its contents begin.
fn member(file: &File, at: u64, length: u64, entry: &Entry) -> Result<u64, BundleError> {
    let truncated = || BundleError::Truncated { length, path: entry.path.clone() };
    if at + BLOCK > length {
        return Err(truncated());
    }
    let damaged = |()| BundleError::Header { offset: at, wanted: entry.path.clone() };
    let (found, size) = header(file, at, length).map_err(damaged)?;
    if found != entry.path {
        return Err(BundleError::Member { wanted: entry.path.clone(), found });
    }
    if size != entry.size {
        return Err(damaged(()));
    }
    if at + BLOCK + size > length {
        return Err(truncated());
    }
    Ok(at + BLOCK)
}

/// Checks that only zeros follow.
fn end(file: &File, at: u64, length: u64) -> Result<(), BundleError> {
    if length < at + 2 * BLOCK {
        return Err(BundleError::Truncated { length, path: "the end of the archive".to_owned() });
    }
    if length - at > BUNDLE_PADDING_BYTES {
        return Err(BundleError::Surplus);
    }
    let mut rest = vec![0; usize::try_from(length - at).unwrap_or(0)];
    file.read_exact_at(&mut rest, at)?;
    match rest.iter().all(|byte| *byte == 0) {
        true => Ok(()),
        false => Err(BundleError::Surplus),
    }
}

/// A file's contents within the bundle.
struct Stretch<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl io::Read for Stretch<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let taken = self.file.read_at(&mut buffer[..wanted], self.at)?;
        if taken == 0 && wanted > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the bundle became shorter while it was read"));
        }
        self.at += taken as u64;
        self.left -= taken as u64;
        Ok(taken)
    }
}
