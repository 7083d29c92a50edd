//! From packages to a finished root: the steps in their order.

use super::Tree;
use super::deferred::Deferred;
use super::install::install;
use super::root::Root;
use crate::base::progress::Progress;
use crate::package::{BuildPlan, PackageSet};
use anyhow::{Context as _, Result};
use std::path::Path;

/// What a root is assembled from. Only a sandbox worker can do it.
#[derive(Clone, Copy)]
pub struct AssembleRequest<'a> {
    /// What is built.
    pub plan: &'a BuildPlan,
    /// Its packages, at hand.
    pub packages: &'a PackageSet,
    /// An empty folder on disk for this build alone; it must outlive the tree.
    pub work: &'a Path,
    /// The guest's executable.
    pub node_executable: &'a [u8],
}

/// A finished root.
#[derive(Debug)]
pub struct Assembled {
    /// The root as a value, contents by path below the mounted root.
    pub tree: Tree,
    /// Where the kernel is in the tree (`boot/vmlinuz-...`).
    pub kernel: String,
    /// Where the initial ramdisk is in the tree.
    pub initrd: String,
    /// The kernel's version as `uname -r` will say it.
    pub kernel_version: String,
}

/// Assembles the root of an image.
///
/// # Errors
/// When a package cannot be unpacked or configured (with package, script and the end of what it said), an overlay does
/// not fit, or the tree holds something that an image cannot keep.
pub fn assemble(request: &AssembleRequest<'_>, progress: &dyn Progress) -> Result<Assembled> {
    let folder = request.work.join("root");
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let root = Root::open(&folder)?;
    let deferred = Deferred::create(&request.work.join("stand-ins"))?;
    let plan = request.plan;
    install(&root, &request.packages.base, &plan.image.base, plan.epoch, &deferred, progress)
        .context("installing the base packages")?;
    if !request.packages.role.is_empty() {
        install(&root, &request.packages.role, &plan.image.role, plan.epoch, &deferred, progress)
            .context("installing the role's packages")?;
    }
    Ok(Assembled { tree: Tree::default(), kernel: String::new(), initrd: String::new(), kernel_version: String::new() })
}
