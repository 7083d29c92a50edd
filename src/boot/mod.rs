//! Prepares what firmware reads: GRUB's core.img for BIOS, the ESP's files for UEFI.

mod prepare;
mod tools;

pub use prepare::prepare;
pub use tools::{Call, Tools};

/// What firmware reads before the root filesystem.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootFiles {
    /// GRUB's boot.img: the code area of the MBR (440 bytes are used), before patching; empty without BIOS.
    pub boot_img: Vec<u8>,
    /// GRUB's core.img, before patching its block list; empty without BIOS.
    pub core_img: Vec<u8>,
    /// Files of the ESP: path with `/`, contents; sorted.
    pub esp: Vec<(String, Vec<u8>)>,
}
