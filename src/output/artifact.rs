//! A finished file of a result: its name, length, digest and what it is.

use crate::base::digest::Digest;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a file of a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactKind {
    /// A qcow2 image compressed with zstd.
    Qcow2Zstd,
    /// A qcow2 image compressed with zlib.
    Qcow2Zlib,
    /// A raw image.
    Raw,
    /// The kernel.
    Kernel,
    /// The initial RAM disk.
    Initrd,
    /// The list of software, SPDX 2.3.
    Sbom,
}

/// A finished file of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// File name within the result's folder.
    pub file: String,
    /// What it is.
    pub kind: ArtifactKind,
    /// Bytes, as `ls` shows them (sparse files take less room).
    pub size: u64,
    /// Digest of its contents.
    pub sha256: Digest,
}

impl Artifact {
    /// Reads a file of this folder to its end and describes it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn describe(folder: &Path, file: &str, kind: ArtifactKind) -> Result<Self> {
        let path = folder.join(file);
        let (sha256, size) = Digest::of_reader(crate::base::files::open(&path)?)
            .with_context(|| format!("reading {}", path.display()))?;
        Ok(Self { file: file.to_owned(), kind, size, sha256 })
    }
}
