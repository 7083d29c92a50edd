//! The base layer, taken from the store or built and kept there, and the role's layer over it.

use super::assemble::AssembleRequest;
use super::deferred::Deferred;
use super::install::install;
use super::root::Root;
use super::{boot_files, clean, overlay, updates};
use crate::base::progress::Progress;
use crate::sandbox::mount;
use crate::store::Base;
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// What the initial ramdisk is made of: when a role changes something below one of these, it is made again.
pub(super) const INITRAMFS_INPUTS: [&str; 16] = [
    "boot",
    "etc/crypttab",
    "etc/default/console-setup",
    "etc/default/keyboard",
    "etc/initramfs-tools",
    "etc/lvm",
    "etc/mdadm",
    "etc/modprobe.d",
    "etc/modules",
    "etc/multipath.conf",
    "etc/udev",
    "usr/lib/modprobe.d",
    "usr/lib/modules",
    "usr/lib/systemd/network",
    "usr/lib/udev/rules.d",
    "usr/share/initramfs-tools",
];

/// Takes the unpacked base layer from the store, or builds it and keeps it there.
pub(super) fn base(request: &AssembleRequest<'_>, progress: &dyn Progress) -> Result<Base> {
    let id = &request.plan.base_layer_id;
    if let Some(kept) = request.store.base(id)? {
        return Ok(kept);
    }
    // Two builds that need the same base build it once.
    let waiting = || progress.note("another build makes the same base layer: waiting for it");
    let _alone = request.store.lock(&format!("building-{id}"), waiting)?;
    if let Some(kept) = request.store.base(id)? {
        return Ok(kept);
    }
    let folder = build_base(request, progress)?;
    request.store.publish_base(id, request.work, &folder).context("keeping the base layer")
}

fn build_base(request: &AssembleRequest<'_>, progress: &dyn Progress) -> Result<PathBuf> {
    let folder = directory(request.work, "base")?;
    request.witnessed(&folder, fill_base(request, &folder, progress))?;
    Ok(folder)
}

fn fill_base(request: &AssembleRequest<'_>, folder: &Path, progress: &dyn Progress) -> Result<()> {
    let plan = request.plan;
    let root = Root::open(folder)?;
    let deferred = Deferred::create(&request.work.join("base-stand-ins"))?;
    overlay::check(&plan.image.base)?;
    install(&root, &request.packages.base, &plan.image.base, plan.epoch, &deferred, progress)
        .context("installing the base packages")?;
    overlay::lay(&root, &plan.image.base, &request.downloads(), plan.epoch, progress)?;
    boot_files::describe_root_to_initramfs(&root)?;
    overlay::run_scripts(&root, &plan.image.base, plan.epoch, progress)?;
    // Below a base there is nothing: all of it is a change.
    updates::run(&root, &root, &deferred, plan.epoch, progress)?;
    deferred.run(&root, &boot_files::kernels(&root)?, true, plan.epoch, progress)?;
    let standing = overlay::standing(&root, &[&plan.image.base])?;
    clean::clean(&root, plan.epoch)?;
    overlay::lay_missing(&root, &standing)
}

/// Builds the role's layer over the base; gives the merged root, which stays mounted as long as the guard lives.
pub(super) fn role(request: &AssembleRequest<'_>, base: &Path, progress: &dyn Progress) -> Result<mount::Guard> {
    let (upper, merged) = (directory(request.work, "upper")?, directory(request.work, "root")?);
    let guard = mount::overlay(&[base], &upper, &directory(request.work, "overlay")?, &merged)?;
    request.witnessed(&merged, fill_role(request, &upper, &merged, progress))?;
    Ok(guard)
}

fn fill_role(request: &AssembleRequest<'_>, upper: &Path, merged: &Path, progress: &dyn Progress) -> Result<()> {
    let plan = request.plan;
    let root = Root::open(merged)?;
    let layer = &plan.image.role;
    let deferred = Deferred::create(&request.work.join("role-stand-ins"))?;
    overlay::check(layer)?;
    install(&root, &request.packages.role, layer, plan.epoch, &deferred, progress)
        .context("installing the role's packages")?;
    overlay::lay(&root, layer, &request.downloads(), plan.epoch, progress)?;
    overlay::run_scripts(&root, layer, plan.epoch, progress)?;
    let changed = Root::open(upper)?;
    updates::run(&root, &changed, &deferred, plan.epoch, progress)?;
    let mut initramfs = false;
    for path in INITRAMFS_INPUTS {
        initramfs |= changed.find(path.as_bytes())?.is_some();
    }
    let kernels = boot_files::kernels(&root)?;
    deferred.run(&root, &kernels, initramfs, plan.epoch, progress)?;
    let standing = overlay::standing(&root, &[&plan.image.base, layer])?;
    clean::clean(&root, plan.epoch)?;
    overlay::lay_missing(&root, &standing)?;
    boot_files::write(&root, plan, request.node_executable, &kernels)?;
    updates::mark(&root)
}

fn directory(work: &Path, name: &str) -> Result<PathBuf> {
    let folder = work.join(name);
    std::fs::create_dir(&folder).with_context(|| format!("creating {}", folder.display()))?;
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .with_context(|| format!("setting the mode of {}", folder.display()))?;
    Ok(folder)
}
