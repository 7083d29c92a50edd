//! Bytes and back: one folder per format, each with `layout`, `write`, `read`, `dump`.

pub mod ext4;
pub mod fat;
pub mod gpt;
pub mod grub;
pub mod iso9660;
pub mod lvm;
pub mod qcow2;
pub mod seed;
pub mod signature;
mod source;
pub mod swap;

pub use source::{Cached, FileSource, Joined, ReadAt, Run, Window, is_zero};

/// A length or offset within memory; the program is 64 bits wide.
pub(crate) fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
