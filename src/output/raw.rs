//! The plain disk image, sparse.

use crate::base::progress::Progress;
use crate::disk::DiskImage;
use anyhow::{Result, bail};
use std::path::Path;

/// Writes the image to a new file by `jobs` threads; zeros become holes.
///
/// # Errors
/// When the file exists or cannot be written, or a source cannot be read.
pub fn write_raw(_image: &DiskImage, _path: &Path, _jobs: usize, _progress: &dyn Progress) -> Result<()> {
    bail!("raw images are still being built")
}
