//! Composes the disk: placement from the plan, filesystems, GPT, LVM and boot code, as sparse extents.

mod image;
pub mod inspect;

pub use image::*;
pub use inspect::{Report, inspect};

use crate::base::epoch::Epoch;
use crate::base::progress::Progress;
use crate::boot::{BootFiles, Tools};
use crate::plan::Disk;
use crate::rootfs::Tree;
use anyhow::{Result, bail};
use std::path::Path;

/// Fills the plan's disk: one ext4 per volume in a file of `work` (which must outlive the image), the rest in memory.
///
/// # Errors
/// When a volume is too small for its part of the tree, a mount point is missing, or a tool fails.
pub fn compose(
    _plan: &Disk,
    _tree: &Tree,
    _boot: &BootFiles,
    _tools: &dyn Tools,
    _work: &Path,
    _epoch: Epoch,
    _progress: &dyn Progress,
) -> Result<DiskImage> {
    bail!("composing the disk is still being built")
}
