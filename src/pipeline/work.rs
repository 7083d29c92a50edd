//! What happens inside the worker: from packages at hand to finished files in the staging folders.

use super::{shell, tools};
use crate::base::progress::Progress;
use crate::output::{self, ArtifactKind};
use crate::package::{BuildPlan, BuiltFrom, PackageSet};
use crate::rootfs::{self, AssembleRequest, Assembled};
use crate::sandbox::{ToolRoot, Worker};
use crate::store::Store;
use crate::{boot, disk};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The job's name.
pub(super) const BUILD: &str = "build";
/// The job that does nothing: whether there can be a worker at all.
pub(super) const READY: &str = "ready";

/// What the worker is asked for.
#[derive(Serialize, Deserialize)]
pub(super) struct BuildRequest {
    pub(super) cache: PathBuf,
    pub(super) jobs: usize,
    pub(super) tasks: Vec<BuildTask>,
    /// Whether a root that cannot be assembled is shown to the person at the terminal.
    pub(super) debug_shell: bool,
}

/// One image.
#[derive(Serialize, Deserialize)]
pub(super) struct BuildTask {
    pub(super) plan: BuildPlan,
    pub(super) packages: PackageSet,
    /// The staging folder.
    pub(super) folder: PathBuf,
    pub(super) formats: Vec<ArtifactKind>,
}

/// Who cannot build is told so before hundreds of megabytes are fetched.
pub(super) fn check(progress: &dyn Progress) -> Result<()> {
    Worker::run(READY, b"", progress).map(drop)
}

/// What was made of one task.
#[derive(Serialize, Deserialize)]
pub(super) struct Made {
    /// Files in the staging folder.
    pub(super) files: Vec<(String, ArtifactKind)>,
    /// What the packages in the image were built from.
    pub(super) built_from: Vec<BuiltFrom>,
}

/// Nothing: that it is reached is the answer.
pub(super) fn ready(_request: &[u8], _progress: &dyn Progress) -> Result<Vec<u8>> {
    Ok(Vec::new())
}

/// Builds all tasks; the answer says what was made of each.
pub(super) fn build(request: &[u8], progress: &dyn Progress) -> Result<Vec<u8>> {
    let request: BuildRequest = serde_json::from_slice(request).context("reading the build request")?;
    let store = Store::open(&request.cache)?;
    store.sweep()?;
    let mut answer = Vec::new();
    for task in &request.tasks {
        let failed = || format!("building {}", task.plan.image.name);
        answer.push(one(&store, task, &request, progress).with_context(failed)?);
    }
    Ok(serde_json::to_vec(&answer)?)
}

fn one(store: &Store, task: &BuildTask, build: &BuildRequest, progress: &dyn Progress) -> Result<Made> {
    let (image, jobs) = (&task.plan.image, build.jobs);
    let tools = tools::provide(store, &task.plan.tools, &task.packages.tools, task.plan.epoch, progress)?;
    let workshop = ToolRoot { root: tools.root().to_owned() };
    let work = store.work()?;
    let examine = |root: &Path, error: &anyhow::Error| shell::examine(root, error, progress);
    let request = AssembleRequest {
        plan: &task.plan,
        packages: &task.packages,
        store,
        work: &work.folder("root")?,
        node_executable: rootfs::node::executable(),
        witness: build.debug_shell.then_some(&examine),
    };
    let assembled = rootfs::assemble(&request, progress)?;
    let boot =
        boot::prepare(image, &assembled.tree, &workshop, &work.folder("boot")?).context("preparing boot files")?;
    let composed =
        disk::compose(&image.disk, &assembled.tree, &boot, &workshop, &work.folder("disk")?, task.plan.epoch, progress)
            .context("composing the disk")?;
    let mut files = Vec::new();
    for kind in &task.formats {
        let file = format!("{}.{}", image.name, if *kind == ArtifactKind::Raw { "raw" } else { "qcow2" });
        let path = task.folder.join(&file);
        match kind {
            ArtifactKind::Raw => output::write_raw(&composed, &path, jobs, progress)?,
            ArtifactKind::Qcow2Zlib => {
                output::write_qcow2(&composed, &path, output::Compression::Zlib, jobs, progress)?;
            }
            _ => output::write_qcow2(&composed, &path, output::Compression::Zstd, jobs, progress)?,
        }
        files.push((file, *kind));
    }
    files.extend(kernel_and_initrd(&assembled, &task.folder)?);
    Ok(Made { files, built_from: assembled.built_from })
}

/// The kernel and its initial RAM disk beside the image, for network boot.
fn kernel_and_initrd(assembled: &Assembled, folder: &Path) -> Result<Vec<(String, ArtifactKind)>> {
    let taken =
        [(&assembled.kernel, "vmlinuz", ArtifactKind::Kernel), (&assembled.initrd, "initrd.img", ArtifactKind::Initrd)];
    let mut files = Vec::new();
    for (path, name, kind) in taken {
        let from = assembled.tree.contents.join(path);
        std::fs::copy(&from, folder.join(name)).with_context(|| format!("copying {path} out of the root"))?;
        files.push((name.to_owned(), kind));
    }
    Ok(files)
}
