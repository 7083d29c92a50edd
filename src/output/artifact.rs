//! A finished file of a result: its name, length, digest and what it is.

use crate::base::digest::Digest;
use crate::base::files;
use anyhow::{Context as _, Result, bail};
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
    /// Reads files of this folder to their ends and describes them. Meanwhile they are made durable: disk and processor
    /// work at the same time.
    ///
    /// # Errors
    /// When one cannot be read or synchronised.
    pub fn describe(folder: &Path, files: &[(String, ArtifactKind)]) -> Result<Vec<Self>> {
        std::thread::scope(|scope| {
            let running: Vec<_> =
                files.iter().map(|(file, kind)| scope.spawn(move || describe(folder, file, *kind))).collect();
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a digest thread died"))).collect()
        })
    }
}

fn describe(folder: &Path, file: &str, kind: ArtifactKind) -> Result<Artifact> {
    let path = folder.join(file);
    let opened = files::open(&path)?;
    std::thread::scope(|scope| {
        let durable = scope.spawn(|| opened.sync_data());
        let (sha256, size) =
            Digest::of_reader(files::open(&path)?).with_context(|| format!("reading {}", path.display()))?;
        let synchronised = durable.join().unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into()));
        synchronised.with_context(|| format!("synchronising {}", path.display()))?;
        Ok(Artifact { file: file.to_owned(), kind, size, sha256 })
    })
}
