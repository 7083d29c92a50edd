//! From an image plan and the lock to pins; the network is asked only for what the lock does not say.
//!
//! An image takes three sets of packages: the recipe's base, resolved from the recipe's repositories alone; what the
//! role adds, with the base fixed; and the tools. A set is good as long as what was asked for, the repositories, the
//! use of Recommends and (for a role) the base are those that it was resolved for.

mod archive;
mod choose;
mod wanted;

use super::lock::{Section, Set};
use super::{BuildPlan, Index, Lock, Pin};
use crate::base::digest::Digest;
use crate::base::epoch::Epoch;
use crate::base::hint::hinted;
use crate::plan::{ImagePlan, PinnedFile, Repository};
use anyhow::{Context as _, Result};
use archive::Archive;
use std::path::PathBuf;
use wanted::Wanted;

/// Raised whenever the same inputs give other layers or other images: what older builders made is then made anew.
const CONTENTS_VERSION: u32 = 4;

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
    let mut changed = false;
    let key = format!("{}/{}/{}", plan.recipe, plan.architecture, plan.kernel);
    let mut archive = Archive::new(&plan.repositories, &plan.architecture);
    let recipe = plan.recipe_repositories.min(plan.repositories.len());
    let base = Wanted::base(plan, &plan.repositories[..recipe]);
    let base_set = ensure(plan, &base, &key, lock, mode, &mut archive, sources, &mut changed)?;
    let section = lock.sections.get(&key).context("looking up what was just locked")?;
    let role_set = if plan.role.packages.is_empty() && plan.role.debs.is_empty() {
        None
    } else {
        let role = Wanted::role(plan, &base_set, section);
        Some(ensure(plan, &role, &key, lock, mode, &mut archive, sources, &mut changed)?)
    };
    let tools_key = format!("tools/{}/{}", plan.tools.suite, plan.architecture);
    let mut tools_archive = Archive::new(&plan.tools.repositories, &plan.architecture);
    let tools = Wanted::tools(plan);
    let tools_set = ensure(plan, &tools, &tools_key, lock, mode, &mut tools_archive, sources, &mut changed)?;

    let pins = |key: &str, set: &Set| -> Vec<Pin> {
        let section = lock.sections.get(key);
        let mut pins: Vec<Pin> =
            section.into_iter().flat_map(|section| section.packages_of(set)).map(super::lock::Locked::pin).collect();
        pins.sort_by(|left, right| (&left.name, &left.architecture).cmp(&(&right.name, &right.architecture)));
        pins
    };
    let base = pins(&key, &base_set);
    let role = role_set.map_or_else(Vec::new, |set| pins(&key, &set));
    let tools = pins(&tools_key, &tools_set);
    let epoch = lock.sections.get(&key).map_or(Epoch(0), |section| section.epoch);
    let lock_digest = Digest::of_value(&(&epoch, &base, &role, &tools));
    Ok(Resolved { base, role, tools, epoch, lock_digest, changed })
}

/// The set as the lock has it, or as it has been resolved now.
#[expect(clippy::too_many_arguments, reason = "all of it is the one state of one resolution")]
fn ensure(
    plan: &ImagePlan,
    wanted: &Wanted<'_>,
    key: &str,
    lock: &mut Lock,
    mode: LockMode,
    archive: &mut Archive<'_>,
    sources: &mut dyn Sources,
    changed: &mut bool,
) -> Result<Set> {
    let known = lock.sections.get(key).and_then(|section| section.sets.get(&wanted.set));
    if mode != LockMode::Update {
        match (known, known.map(|set| wanted.difference(set))) {
            (Some(set), Some(None)) => return Ok(set.clone()),
            (_, difference) if mode == LockMode::Locked => {
                let fact = match difference.flatten() {
                    Some(difference) => format!("for {} in {key}, {difference}", wanted.title()),
                    None => format!("it has no packages for {} in {key}", wanted.title()),
                };
                let hint = format!("run `imgbuild lock {}` and commit imgbuild.lock", plan.name);
                return Err(hinted(fact, hint).context(OutOfDate));
            }
            _ => {}
        }
    }
    let before = lock.sections.get(key).cloned();
    let fresh = mode == LockMode::Update || before.is_none();
    let indices = archive.indices(sources)?;
    let mut section = before.clone().unwrap_or_else(|| Section::new(Epoch(0)));
    archive::remember(&mut section, indices)?;
    // A role of an update stands upon the base that was updated a moment ago: the clock was set then.
    if fresh && wanted.sets_the_clock {
        section.epoch = archive::newest(indices, wanted.repositories).context("finding a Release file with a date")?;
    }
    let (set, packages) = choose::choose(plan, wanted, &section, mode, archive, sources)
        .with_context(|| format!("choosing the packages of {}", wanted.title()))?;
    section.sets.insert(wanted.set.clone(), set.clone());
    section.settle(packages);
    if before.as_ref() != Some(&section) {
        lock.sections.insert(key.to_owned(), section);
        *changed = true;
    }
    Ok(set)
}

/// Joins plan and pins; `node` is the digest of the guest's executable.
#[must_use]
pub fn build_plan(image: ImagePlan, resolved: &Resolved, node: &Digest) -> BuildPlan {
    let image_id = Digest::of_value(&(&image, &resolved.lock_digest, node, CONTENTS_VERSION)).short();
    let layer = (&image.base, &resolved.base, &resolved.epoch, &resolved.tools, CONTENTS_VERSION);
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

#[cfg(test)]
mod tests;
