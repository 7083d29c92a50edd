//! Draws plans from checked documents: pure, complete, serialisable. No I/O, no clock, no randomness.

mod accounts;
mod cluster;
mod draw;
mod generated;
mod layers;
mod overlay;
mod placement;
mod template;
mod values;

pub use cluster::*;
pub use draw::{ImageRequest, check_all, draw_image};
pub use values::*;
