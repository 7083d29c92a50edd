//! Opens an image file of any format that is read: its disk, whatever the file looks like.

use crate::base::files;
use crate::base::size::SECTOR;
use crate::format::{FileSource, ReadAt, qcow2};
use anyhow::{Context as _, Result};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// An open image.
pub struct Opened {
    /// `raw` or `qcow2`.
    pub format: &'static str,
    /// Bytes that the file takes on the host's disk.
    pub stored: u64,
    disk: Box<dyn ReadAt>,
}

impl Opened {
    /// The disk that the file holds.
    #[must_use]
    pub fn disk(&self) -> &dyn ReadAt {
        &*self.disk
    }
}

/// Opens an image file, raw or qcow2.
///
/// # Errors
/// When it cannot be read, or is a qcow2 image of a kind that is not supported.
pub fn open(file: &Path) -> Result<Opened> {
    opened(file).with_context(|| format!("opening the image {}", file.display()))
}

/// The same without saying which.
pub(super) fn opened(file: &Path) -> Result<Opened> {
    let handle = files::open(file)?;
    let stored = handle.metadata()?.blocks() * SECTOR;
    let source = FileSource::new(handle)?;
    if qcow2::Reader::is_qcow2(&source) {
        let reader = qcow2::Reader::open(source)?;
        return Ok(Opened { format: "qcow2", stored, disk: Box::new(reader) });
    }
    Ok(Opened { format: "raw", stored, disk: Box::new(source) })
}
