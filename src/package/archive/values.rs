//! What the client hands to the solver: verified indices, with what their Release file said.

use crate::base::digest::Digest;
use crate::base::epoch::Epoch;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One verified `Packages` file of one suite and component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The repository's name, as in the lock.
    pub repository: String,
    /// The suite as the document names it (`trixie-updates`); the folder when the repository is flat.
    pub suite: String,
    /// The component (`main`); empty when the repository is flat.
    pub component: String,
    /// apt's pin priority of the repository, lowered to 1 or 100 when the Release file asks for that and the
    /// document did not choose one (`NotAutomatic`, `ButAutomaticUpgrades`).
    pub priority: i32,
    /// What the signed Release file said.
    pub release: ReleaseInfo,
    /// Where the decompressed text lies in the cache; [`Index::text`] reads it.
    pub file: PathBuf,
    /// Bytes of the decompressed text.
    pub size: u64,
    /// Digest of the decompressed text.
    pub sha256: Digest,
}

/// A Release file's header, from the signed text only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseInfo {
    /// `Origin`, such as `Debian`.
    pub origin: Option<String>,
    /// `Label`, such as `Debian-Security`.
    pub label: Option<String>,
    /// `Codename`, such as `trixie`.
    pub codename: Option<String>,
    /// `Suite`, such as `stable`.
    pub suite: Option<String>,
    /// `Date`.
    pub date: Epoch,
    /// `Valid-Until`.
    pub valid_until: Option<Epoch>,
    /// Digest of the signed text.
    pub sha256: Digest,
    /// `NotAutomatic: yes`: nothing is taken from here unless named.
    pub not_automatic: bool,
    /// `ButAutomaticUpgrades: yes`.
    pub but_automatic_upgrades: bool,
}
