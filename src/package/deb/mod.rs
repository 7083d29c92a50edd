//! Reads `.deb` files (deb(5)): an ar archive of `debian-binary`, `control.tar*` and `data.tar*`, in this order.
//!
//! Everything is bounded: how much is unpacked, what the decoders may allocate, how many control files there are.
//! The contents of `data.tar` are a stream for whoever unpacks it; nothing here holds it in memory.

mod ar;
mod compression;
mod control;
mod members;

pub use compression::Compression;
pub use control::{ControlArchive, ControlFile};
pub use members::{Member, MemberError, MemberKind, Members};

use crate::base::limits::{DEB_CONTROL_BYTES, DEB_DATA_BYTES};
use crate::package::control::ControlError;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

/// Why a `.deb` was refused.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// The file could not be read.
    #[error("reading the package")]
    Read(#[from] io::Error),
    /// The outer archive is no ar archive as deb(5) wants it.
    #[error("at byte {offset} of the package: {problem}")]
    Archive {
        /// Where.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
    /// A member is missing, out of order or there twice.
    #[error("the package's members are {found:?}, wanted are debian-binary, control.tar* and data.tar*, in this order")]
    Members {
        /// The names found.
        found: Vec<String>,
    },
    /// Another version of the format.
    #[error("the package's format version is {0:?}, only 2.0 can be read")]
    Format(String),
    /// `control.tar` does not hold what it should.
    #[error("control archive: {0}")]
    Control(String),
    /// The `control` file is malformed.
    #[error("control file")]
    Stanza(#[from] ControlError),
}

/// An opened `.deb`: its members are located and checked, nothing is unpacked yet.
#[derive(Clone, Debug)]
pub struct Deb {
    source: Source,
    control: Part,
    data: Part,
}

/// Where a tar archive lies within the package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    offset: u64,
    length: u64,
    compression: Compression,
}

impl Deb {
    /// Opens a package file and locates its parts.
    ///
    /// # Errors
    /// When it cannot be read or is no well-formed package.
    pub fn open(path: &Path) -> Result<Self, DebError> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Self::locate(Source::File(Arc::new(file), length))
    }

    /// Takes a package that is in memory already.
    ///
    /// # Errors
    /// When it is no well-formed package.
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Result<Self, DebError> {
        Self::locate(Source::Bytes(bytes.into()))
    }

    fn locate(source: Source) -> Result<Self, DebError> {
        let members = ar::members(&source)?;
        let wanted: Vec<&ar::Member> = members.iter().filter(|member| !member.name.starts_with('_')).collect();
        let refuse = || DebError::Members { found: members.iter().map(|member| member.name.clone()).collect() };
        let [version, control, data] = wanted[..] else { return Err(refuse()) };
        if members.first().is_none_or(|first| first.name != "debian-binary") || version.name != "debian-binary" {
            return Err(refuse());
        }
        let mut text = Vec::new();
        source.range(version.offset, version.length.min(16)).read_to_end(&mut text)?;
        if text != b"2.0\n" {
            return Err(DebError::Format(String::from_utf8_lossy(&text).trim_end().to_owned()));
        }
        let part = |member: &ar::Member, name: &str| {
            let suffix = member.name.strip_prefix(name)?;
            let compression = Compression::of_suffix(suffix)?;
            Some(Part { offset: member.offset, length: member.length, compression })
        };
        let control = part(control, "control.tar").ok_or_else(refuse)?;
        let data = part(data, "data.tar").ok_or_else(refuse)?;
        Ok(Self { source, control, data })
    }

    /// Unpacks `control.tar` into memory.
    ///
    /// # Errors
    /// When it is damaged, holds anything but plain files, or exceeds a limit.
    pub fn control(&self) -> Result<ControlArchive, DebError> {
        ControlArchive::read(self.stream(self.control, DEB_CONTROL_BYTES)?)
    }

    /// The decompressed `data.tar` as a stream; may be asked for any number of times. Reading fails when the data is
    /// damaged or exceeds [`DEB_DATA_BYTES`].
    ///
    /// # Errors
    /// When the decoder cannot be set up.
    pub fn data(&self) -> Result<Box<dyn Read + Send>, DebError> {
        self.stream(self.data, DEB_DATA_BYTES)
    }

    /// Length of the whole package in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.source.length()
    }

    /// How `data.tar` is compressed.
    #[must_use]
    pub fn data_compression(&self) -> Compression {
        self.data.compression
    }

    /// Length of `data.tar` as it lies in the package, in bytes.
    #[must_use]
    pub fn data_length(&self) -> u64 {
        self.data.length
    }

    fn stream(&self, part: Part, limit: u64) -> Result<Box<dyn Read + Send>, DebError> {
        Ok(part.compression.decoder(self.source.range(part.offset, part.length), limit)?)
    }
}

/// A package's bytes, readable at any offset.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A file and its length.
    File(Arc<File>, u64),
    /// In memory.
    Bytes(Arc<[u8]>),
}

impl Source {
    fn length(&self) -> u64 {
        match self {
            Self::File(_, length) => *length,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    fn range(&self, offset: u64, length: u64) -> Range {
        Range { source: self.clone(), position: offset, end: offset.saturating_add(length) }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::File(file, _) => file.read_at(buffer, offset),
            Self::Bytes(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                let rest = &bytes[start..];
                let taken = rest.len().min(buffer.len());
                buffer[..taken].copy_from_slice(&rest[..taken]);
                Ok(taken)
            }
        }
    }
}

/// A stretch of a [`Source`]; each has a position of its own.
pub(super) struct Range {
    source: Source,
    position: u64,
    end: u64,
}

impl Read for Range {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let taken = self.source.read_at(&mut buffer[..wanted], self.position)?;
        if taken == 0 && wanted > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the package became shorter while it was read"));
        }
        self.position += taken as u64;
        Ok(taken)
    }
}

/// A path of `data.tar` or a control file as dpkg compares it: without `./`, leading and trailing slashes.
/// Nothing when it tries to leave the root or is no path at all.
#[must_use]
pub fn normalised(path: &[u8]) -> Option<Vec<u8>> {
    let path = path.strip_prefix(b"./").unwrap_or(path);
    let path = &path[path.iter().take_while(|byte| **byte == b'/').count()..];
    let path = &path[..path.len() - path.iter().rev().take_while(|byte| **byte == b'/').count()];
    if path == b"." || path.is_empty() {
        return Some(Vec::new());
    }
    let sound = path.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."));
    let sound = sound && !path.iter().any(|byte| matches!(byte, 0 | b'\n'));
    sound.then(|| path.to_owned())
}

#[cfg(test)]
mod tests;
