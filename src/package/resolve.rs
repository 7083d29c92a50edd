//! From an image plan and the lock to pins; the network is asked only for what the lock does not say.

use super::{BuildPlan, Index, Lock, Pin};
use crate::base::digest::Digest;
use crate::base::epoch::Epoch;
use crate::plan::{ImagePlan, PinnedFile, Repository};
use anyhow::{Result, bail};
use std::path::PathBuf;

/// What may happen to the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// `--locked`: nothing is added; a lock that does not suffice is [`OutOfDate`].
    Locked,
    /// Pins are kept, what is missing is added.
    Extend,
    /// `lock --update`: everything that this plan takes is resolved afresh.
    Update,
}

/// Where what the lock does not say comes from.
pub trait Sources {
    /// Verified indices of these repositories, in their order (see `archive::Client::indices`).
    ///
    /// # Errors
    /// When they cannot be had.
    fn indices(&mut self, repositories: &[Repository], architecture: &str) -> Result<Vec<Index>>;

    /// Where a `.deb` that a document names lies, its digest verified.
    ///
    /// # Errors
    /// When it cannot be had.
    fn deb(&mut self, file: &PinnedFile) -> Result<PathBuf>;
}

/// All pins of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The base layer's packages, sorted.
    pub base: Vec<Pin>,
    /// What the role adds, sorted.
    pub role: Vec<Pin>,
    /// The tools root's packages, sorted.
    pub tools: Vec<Pin>,
    /// The newest `Date` of the Release files that the recipe's part of the lock was made from.
    pub epoch: Epoch,
    /// Digest of the lock's part that this image uses.
    pub lock_digest: Digest,
    /// Whether the lock changed and must be written.
    pub changed: bool,
}

/// The kind of error behind exit status 3: `error.downcast_ref::<OutOfDate>()` finds it below any context.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lock is out of date, and --locked adds nothing to it")]
pub struct OutOfDate;

/// Gives every package of a plan its pin.
///
/// # Errors
/// When the lock does not suffice in [`LockMode::Locked`] ([`OutOfDate`]), the sources fail, the packages cannot be
/// installed together, or an index is older than the one that was locked.
pub fn resolve(plan: &ImagePlan, lock: &mut Lock, mode: LockMode, sources: &mut dyn Sources) -> Result<Resolved> {
    let _ = (plan, lock, mode, sources);
    bail!("resolving is not built yet")
}

/// Joins plan and pins; `node` is the digest of the guest's executable.
#[must_use]
pub fn build_plan(image: ImagePlan, resolved: &Resolved, node: &Digest) -> BuildPlan {
    let image_id = Digest::of_value(&(&image, &resolved.lock_digest, node)).short();
    let layer = (&image.base, &resolved.base, &resolved.epoch, &resolved.tools, LAYER_VERSION);
    let base_layer_id = Digest::of_value(&layer).short();
    BuildPlan {
        image_id,
        base_layer_id,
        epoch: resolved.epoch,
        base: resolved.base.clone(),
        role: resolved.role.clone(),
        tools: resolved.tools.clone(),
        lock_digest: resolved.lock_digest,
        image,
    }
}

/// Raised whenever the same pins give another base layer.
const LAYER_VERSION: u32 = 1;
