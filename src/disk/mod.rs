//! Composes the disk: placement from the plan, filesystems, GPT, LVM and boot code, as sparse extents.

mod compose;
mod filesystem;
mod image;
mod inspect;
mod map;
mod split;

pub use compose::compose;
pub use image::*;
pub use inspect::{Content, DiskReport, FileReport, PartitionReport, Report, VolumeReport, inspect, survey};
