//! What this room hands on: pins, and packages at hand.

use crate::base::digest::Digest;
use crate::base::epoch::Epoch;
use crate::plan::ImagePlan;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One package, pinned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pin {
    /// Binary package name.
    pub name: String,
    /// Full version.
    pub version: String,
    /// `amd64`, `all`, ...
    pub architecture: String,
    /// Name of the repository that carries it; `local` for a `.deb` beside the documents.
    pub repository: String,
    /// Path below the repository's root (`pool/main/h/haproxy/...deb`).
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Digest of the `.deb`.
    pub sha256: Digest,
}

/// An image plan with all that it takes pinned: from here on nothing asks the network what to use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildPlan {
    /// What is built.
    pub image: ImagePlan,
    /// Digest of plan, the role's part of the lock, its files, the node executable and the version of what is made of them.
    pub image_id: String,
    /// Names the base layer: digest of all that goes into it.
    pub base_layer_id: String,
    /// The newest `Date` of the locked Release files: the only clock.
    pub epoch: Epoch,
    /// Packages of the base layer, sorted by name and architecture.
    pub base: Vec<Pin>,
    /// Packages that the role adds, sorted.
    pub role: Vec<Pin>,
    /// Packages of the tools root, sorted.
    pub tools: Vec<Pin>,
    /// Digest of the lock's part that this build uses.
    pub lock_digest: Digest,
}

/// One package at hand: fetched, its digest verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageFile {
    /// What it is.
    pub pin: Pin,
    /// Where the verified `.deb` lies in the cache.
    pub file: PathBuf,
}

/// All packages of a build, at hand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageSet {
    /// The base layer's.
    pub base: Vec<PackageFile>,
    /// The role's additions.
    pub role: Vec<PackageFile>,
    /// The tools root's.
    pub tools: Vec<PackageFile>,
    /// Pinned downloads by digest.
    pub downloads: Vec<(Digest, PathBuf)>,
}
