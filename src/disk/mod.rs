//! Composes the disk: placement from the plan, filesystems, GPT, LVM and boot code, as sparse extents.

mod check;
mod compose;
mod filesystem;
mod image;
mod inspect;
mod map;
mod open;
mod split;
mod volumes;

pub use check::{Checked, check};
pub use compose::compose;
pub use image::*;
pub use inspect::{Content, DiskReport, FileReport, PartitionReport, Report, VolumeReport, inspect, survey};
pub use open::{Opened, open};
pub use volumes::{Found, Volume, VolumeKind, look_up, uuid, volumes};
