//! FAT32 for the EFI system partition: written once, from a list of files, the same bytes every time.
//!
//! ```text
//! sector 0   boot sector with the BIOS parameter block     6  its backup
//! sector 1   FSInfo: free clusters                         7  its backup
//! sector 32  first FAT, second FAT
//! ...        clusters from number 2 on: folders and files, each in one piece
//! ```
//!
//! Own code, because `fatfs` 0.3.6 writes folders that fsck.vfat rejects (long names for `.` and `..`, a wrong parent,
//! no FSInfo) and needs a device; writing once needs neither allocation nor seeking.
//! Specification: "Microsoft Extensible Firmware Initiative FAT32 File System Specification", 1.03.

mod dump;
mod layout;
mod name;
mod read;
mod write;

pub use read::{Contents, Entry, ReadError, read, read_file};
pub use write::{WriteError, write};

use crate::base::epoch::Epoch;

/// What the volume is, besides its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Sectors of 512 bytes.
    pub sectors: u64,
    /// Sectors before it on the disk.
    pub hidden: u64,
    /// Serial number.
    pub id: u32,
    /// Label, at most 11 characters of capital letters, digits, space, `-` and `_`.
    pub label: String,
    /// The date of everything.
    pub epoch: Epoch,
}

#[cfg(test)]
mod tests;
