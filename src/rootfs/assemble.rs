//! From packages to a finished root: the steps in their order.

use super::boot_files;
use super::root::Root;
use super::{Tree, collect, database, layers};
use crate::base::digest::Digest;
use crate::base::progress::{Progress, Unit};
use crate::package::{BuildPlan, BuiltFrom, PackageSet};
use crate::sandbox::mount::Guard;
use crate::store::{Base, Store};
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Is shown a root that could not be assembled, as it stands, and why: before it is taken down.
pub type Witness<'a> = &'a dyn Fn(&Path, &anyhow::Error);

/// What a root is assembled from. Only a sandbox worker can do it.
#[derive(Clone, Copy)]
pub struct AssembleRequest<'a> {
    /// What is built.
    pub plan: &'a BuildPlan,
    /// Its packages, at hand.
    pub packages: &'a PackageSet,
    /// Where base layers are kept.
    pub store: &'a Store,
    /// An empty folder for this build alone, inside one of the store's work folders; it must outlive what is assembled.
    pub work: &'a Path,
    /// The guest's executable.
    pub node_executable: &'a [u8],
    /// Who is to see the root when it fails.
    pub witness: Option<Witness<'a>>,
}

impl AssembleRequest<'_> {
    pub(super) fn downloads(&self) -> BTreeMap<Digest, PathBuf> {
        self.packages.downloads.iter().cloned().collect()
    }

    /// Passes a result on; the witness sees the root of a failure.
    pub(super) fn witnessed<T>(&self, root: &Path, result: Result<T>) -> Result<T> {
        if let (Err(error), Some(witness)) = (&result, self.witness) {
            witness(root, error);
        }
        result
    }
}

/// A finished root.
#[derive(Debug)]
pub struct Assembled {
    /// The root as a value; contents are read below the merged root, which stays mounted as long as this value lives.
    pub tree: Tree,
    /// Where the kernel is in the tree (`boot/vmlinuz-...`).
    pub kernel: String,
    /// Where the initial ramdisk is in the tree.
    pub initrd: String,
    /// The kernel's version as `uname -r` will say it.
    pub kernel_version: String,
    /// What every package in the root was built from, sorted.
    pub built_from: Vec<BuiltFrom>,
    /// The merged root.
    root: Guard,
    /// What it lies over: not pruned as long as this value lives.
    _base: Base,
}

impl Assembled {
    /// The merged root: a folder in which commands of the image can be run ([`crate::sandbox::Command`]).
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.target()
    }
}

/// Assembles the root of an image: the base layer (from the store, or built and kept there), the role over it.
///
/// # Errors
/// When a package cannot be unpacked or configured (with package, script and the end of what it said), an overlay does
/// not fit, or the tree holds something that an image cannot keep.
pub fn assemble(request: &AssembleRequest<'_>, progress: &dyn Progress) -> Result<Assembled> {
    let base = layers::base(request, progress)?;
    let guard = layers::role(request, base.root(), progress)?;
    let phase = progress.phase("collect", 0, Unit::Items);
    let tree = collect::collect(guard.target(), request.plan.epoch)?;
    drop(phase);
    let root = Root::open(guard.target())?;
    let kernels = boot_files::kernels(&root)?;
    let built_from = database::built_from(&root)?;
    let newest = kernels.first().context("the root has no kernel below /boot")?;
    Ok(Assembled {
        tree,
        kernel: newest.image.clone(),
        initrd: newest.initrd.clone(),
        kernel_version: newest.version.clone(),
        built_from,
        root: guard,
        _base: base,
    })
}
