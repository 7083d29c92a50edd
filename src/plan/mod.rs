//! Draws plans from checked documents: pure, complete, serialisable. No I/O, no clock, no randomness.

mod draw;
mod values;

pub use draw::{ImageRequest, draw_image};
pub use values::*;
