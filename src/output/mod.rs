//! Writes results: image formats, manifest, SBOM, checksums.

mod artifact;
mod checksums;
#[cfg(test)]
pub(crate) mod example;
mod head_start;
pub mod log;
mod manifest;
mod parallel;
mod publish;
mod qcow2;
mod raw;
mod sbom;
mod schema;

pub use artifact::{Artifact, ArtifactKind};
pub use checksums::{checksums, read_checksums};
pub use log::BuildLog;
pub use manifest::{Inputs, LayerName, Manifest, Package, SCHEMA, Tool};
pub use publish::{
    BUILD_LOG, CHECKSUMS, KEPT, MANIFEST, Published, SBOM, Staging, image_folder, prune, published, result, turn_latest,
};
pub use qcow2::{Compression, write_qcow2};
pub use raw::write_raw;
pub use sbom::{Software, read_sbom, sbom};
pub use schema::violations;
