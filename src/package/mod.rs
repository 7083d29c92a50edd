//! A client of Debian-style archives: signatures, indices, versions, a solver with apt's semantics, the lock, `.deb` files.

pub mod archive;
pub mod control;
pub mod deb;
mod values;

pub use values::*;
