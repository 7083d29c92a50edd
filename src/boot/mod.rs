//! Prepares what firmware reads: GRUB's core.img for BIOS, the ESP's files for UEFI.

mod tools;

pub use tools::{Call, Feed, Tools};

use crate::plan::ImagePlan;
use crate::rootfs::Tree;
use anyhow::{Result, bail};
use std::path::Path;

/// What firmware reads before the root filesystem.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootFiles {
    /// GRUB's boot.img: the code area of the MBR (440 bytes are used), before patching.
    pub boot_img: Vec<u8>,
    /// GRUB's core.img, before patching its block list.
    pub core_img: Vec<u8>,
    /// Files of the ESP: path with `/`, contents; sorted.
    pub esp: Vec<(String, Vec<u8>)>,
}

/// Makes core.img with the tools root's `grub-mkimage`, takes the signed shim and GRUB out of the tree.
///
/// # Errors
/// When the tools root lacks GRUB, or the tree lacks the signed loaders.
pub fn prepare(_plan: &ImagePlan, _tree: &Tree, _tools: &dyn Tools, _work: &Path) -> Result<BootFiles> {
    bail!("preparing boot files is still being built")
}
