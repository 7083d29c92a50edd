//! Writes results: image formats, manifest, SBOM, checksums.

mod qcow2;
mod raw;

pub use qcow2::{Compression, write_qcow2};
pub use raw::write_raw;
