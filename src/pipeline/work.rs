//! What happens inside the worker: from packages at hand to finished files in the staging folders.

use super::{shell, tools};
use crate::base::progress::{Progress, Silent, Unit};
use crate::output::{self, ArtifactKind};
use crate::package::{BuildPlan, BuiltFrom, PackageSet};
use crate::rootfs::{self, AssembleRequest, Assembled};
use crate::sandbox::{ToolRoot, Worker};
use crate::store::{Store, Work};
use crate::{boot, disk};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The job's name.
pub(super) const BUILD: &str = "build";
/// The job that does nothing: whether there can be a worker at all.
pub(super) const READY: &str = "ready";

/// The job that removes what ended builds left.
pub(super) const SWEEP: &str = "sweep";
/// How often it is tried: processes that end with their sandbox may still hold on to a folder for a moment.
const SWEEPS: u32 = 20;
/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// What the worker is asked for: one image.
#[derive(Serialize, Deserialize)]
pub(super) struct BuildRequest {
    pub(super) cache: PathBuf,
    pub(super) jobs: usize,
    pub(super) plan: BuildPlan,
    pub(super) packages: PackageSet,
    /// The staging folder.
    pub(super) folder: PathBuf,
    pub(super) formats: Vec<ArtifactKind>,
    /// Whether a root that cannot be assembled is shown to the person at the terminal.
    pub(super) debug_shell: bool,
}

/// What is looked at before anything is fetched: the tools root and the base layer of each image.
#[derive(Default, Serialize, Deserialize)]
struct ReadyRequest {
    cache: PathBuf,
    kept: BTreeSet<(String, String)>,
}

/// What was made.
#[derive(Serialize, Deserialize)]
pub(super) struct Made {
    /// Files in the staging folder.
    pub(super) files: Vec<(String, ArtifactKind)>,
    /// What the packages in the image were built from.
    pub(super) built_from: Vec<BuiltFrom>,
}

/// Who cannot build is told so before hundreds of megabytes are fetched.
pub(super) fn check(progress: &dyn Progress) -> Result<()> {
    Worker::run(READY, &serde_json::to_vec(&ReadyRequest::default())?, progress).map(drop)
}

/// As [`check`]; and what is kept in the cache for these images (tools root, base layer) is removed if it was damaged.
pub(super) fn check_kept(cache: &Path, kept: BTreeSet<(String, String)>, progress: &dyn Progress) -> Result<()> {
    let request = ReadyRequest { cache: cache.to_owned(), kept };
    Worker::run(READY, &serde_json::to_vec(&request)?, progress).map(drop)
}

/// That it is reached is half of the answer. Kept roots that were damaged are removed, to be made again.
pub(super) fn ready(request: &[u8], progress: &dyn Progress) -> Result<Vec<u8>> {
    let request: ReadyRequest = serde_json::from_slice(request).context("reading what is to be used")?;
    for (tools, base) in &request.kept {
        for name in Store::open(&request.cache)?.remove_damaged(tools, base)? {
            progress.warn(format!("the {name} was damaged in the cache: it is made again"));
        }
    }
    Ok(Vec::new())
}

/// Removes the work folders of builds that ended.
pub(super) fn sweep(request: &[u8], _progress: &dyn Progress) -> Result<Vec<u8>> {
    let cache: PathBuf = serde_json::from_slice(request).context("reading the cache's name")?;
    let store = Store::open(&cache)?;
    for _ in 1..SWEEPS {
        match store.sweep() {
            Ok(_) => return Ok(Vec::new()),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
    store.sweep()?;
    Ok(Vec::new())
}

/// After a signal: the worker was ended with its folders left, which only another worker can remove. What cannot be
/// removed now goes with the next build.
pub(super) fn clear_up(cache: &Path) {
    let left = std::fs::read_dir(cache.join("work")).is_ok_and(|mut found| found.next().is_some());
    if let (true, Ok(request)) = (left, serde_json::to_vec(cache)) {
        let _ = Worker::run_regardless(SWEEP, &request, &Silent);
    }
}

/// The finished root of an image, for commands to be run in it. It and what is done there go with this value.
pub(super) struct Root {
    assembled: Assembled,
    // After what lies in it.
    _work: Work,
}

impl Root {
    /// Assembles it; only a worker can.
    pub(super) fn assemble(
        cache: &Path,
        plan: &BuildPlan,
        packages: &PackageSet,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let store = Store::open(cache)?;
        let work = store.work()?;
        let request = AssembleRequest {
            plan,
            packages,
            store: &store,
            work: &work.folder("root")?,
            node_executable: rootfs::node::executable(),
            witness: None,
        };
        Ok(Self { assembled: rootfs::assemble(&request, progress)?, _work: work })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.assembled.root()
    }
}

/// Builds the image; the answer says what was made.
pub(super) fn build(request: &[u8], progress: &dyn Progress) -> Result<Vec<u8>> {
    let request: BuildRequest = serde_json::from_slice(request).context("reading the build request")?;
    let store = Store::open(&request.cache)?;
    store.sweep()?;
    let made = make(&store, &request, progress).with_context(|| format!("building {}", request.plan.image.name))?;
    Ok(serde_json::to_vec(&made)?)
}

fn make(store: &Store, request: &BuildRequest, progress: &dyn Progress) -> Result<Made> {
    let (plan, jobs) = (&request.plan, request.jobs);
    let image = &plan.image;
    let tools = tools::provide(store, &plan.tools, &request.packages.tools, plan.epoch, progress)?;
    let workshop = ToolRoot { root: tools.root().to_owned() };
    let work = store.work()?;
    let examine = |root: &Path, error: &anyhow::Error| shell::examine(root, error, progress);
    let assembling = AssembleRequest {
        plan,
        packages: &request.packages,
        store,
        work: &work.folder("root")?,
        node_executable: rootfs::node::executable(),
        witness: request.debug_shell.then_some(&examine),
    };
    let assembled = rootfs::assemble(&assembling, progress)?;
    let phase = progress.phase("boot", 0, Unit::Items);
    let boot =
        boot::prepare(image, &assembled.tree, &workshop, &work.folder("boot")?).context("preparing boot files")?;
    drop(phase);
    let composed =
        disk::compose(&image.disk, &assembled.tree, &boot, plan.epoch, progress).context("composing the disk")?;
    let mut files = Vec::new();
    for kind in &request.formats {
        let file = format!("{}.{}", image.name, if *kind == ArtifactKind::Raw { "raw" } else { "qcow2" });
        let path = request.folder.join(&file);
        match kind {
            ArtifactKind::Raw => output::write_raw(&composed, &path, jobs, progress)?,
            ArtifactKind::Qcow2Zlib => {
                output::write_qcow2(&composed, &path, output::Compression::Zlib, jobs, progress)?;
            }
            _ => output::write_qcow2(&composed, &path, output::Compression::Zstd, jobs, progress)?,
        }
        files.push((file, *kind));
    }
    files.extend(kernel_and_initrd(&assembled, &request.folder)?);
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
