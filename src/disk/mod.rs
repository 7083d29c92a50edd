//! Composes the disk: placement from the plan, filesystems, GPT, LVM and boot code, as sparse extents.

mod image;

pub use image::*;
