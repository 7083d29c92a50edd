//! Draws plans from checked documents: pure, complete, serialisable. No I/O, no clock, no randomness.

mod values;

pub use values::*;
