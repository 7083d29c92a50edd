//! `imgbuild boot`: one machine in QEMU; its emulator is the host's when that is recent enough, otherwise a tools root's.

use super::select::select;
use super::{pins, tools, work};
use crate::base::epoch::Epoch;
use crate::base::hint::hinted;
use crate::base::progress::Progress;
use crate::cli::meant::{Boot, Names, Selection, Settings};
use crate::cli::outcome::{Failure, Outcome, Status};
use crate::lab::{self, Ending, Machine, Qemu};
use crate::output::{ArtifactKind, Manifest, image_folder};
use crate::package::{Lock, LockMode, PackageFile, Pin};
use crate::plan::Layer;
use crate::sandbox::{ToolRoot, Worker};
use crate::store::Store;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The worker's job.
pub(super) const TOOLS: &str = "machine-tools";
/// Pins of the emulator: they belong to this machine, not to a project.
const LOCK: &str = "machine-tools.lock";

/// Boots an image and gives it this terminal.
pub(super) fn boot(settings: &Settings, boot: &Boot, progress: &dyn Progress) -> Result<Outcome, Failure> {
    let image = find_image(settings, &boot.image)?;
    let firmware = boot.firmware;
    let qemu = Qemu::choose(firmware, || provide(settings, &boot.selection, progress))?;
    let mut machine = Machine::new(image, firmware, settings.cache.join("machines"));
    machine.seed.clone_from(&boot.seed);
    machine.size = boot.size;
    machine.memory = boot.memory;
    machine.processors = boot.processors;
    machine.disk.clone_from(&boot.disk);
    machine.ssh_port = boot.ssh_port;
    match lab::boot(&machine, &qemu, progress)? {
        Ending::PoweredOff => Ok(Outcome::nothing()),
        ending => Err(Failure::new(Status::BootFailed, anyhow::anyhow!("{ending}"))),
    }
}

/// The root with QEMU, for tests and for those who look for it.
pub(super) fn tools_root(
    settings: &Settings,
    selection: &Selection,
    progress: &dyn Progress,
) -> Result<Outcome, Failure> {
    let root = provide(settings, selection, progress)?.root;
    Ok(Outcome::new(format!("{}\n", root.display()), &root))
}

/// A file as typed, or the newest image of that name.
pub(super) fn find_image(settings: &Settings, typed: &str) -> Result<PathBuf> {
    let file = settings.directory.join(typed);
    if file.is_file() {
        return Ok(file);
    }
    // Names of images have neither of these.
    if typed.contains(['/', '.']) {
        return Err(hinted(format!("there is no file {}", file.display()), "name a built image, or a file of one"));
    }
    let folder = image_folder(&settings.out, typed).join("latest");
    let missing = || {
        hinted(format!("there is no image `{typed}`"), format!("build it with `imgbuild role {typed}`, or name a file"))
    };
    let bytes = crate::base::files::read(&folder.join("manifest.json"), crate::base::limits::MANIFEST_BYTES)
        .map_err(|_| missing())?;
    let manifest = Manifest::read(&bytes)?;
    let kinds = [ArtifactKind::Qcow2Zstd, ArtifactKind::Qcow2Zlib, ArtifactKind::Raw];
    let found = kinds.iter().find_map(|kind| manifest.artifact(*kind)).ok_or_else(missing)?;
    Ok(folder.join(&found.file))
}

#[derive(Serialize, Deserialize)]
struct Request {
    cache: PathBuf,
    pins: Vec<Pin>,
    packages: Vec<PackageFile>,
    epoch: Epoch,
}

/// Pins, fetches and unpacks QEMU the first time; later it is just there.
pub(super) fn provide(settings: &Settings, selection: &Selection, progress: &dyn Progress) -> Result<ToolRoot> {
    let mut selected = select(settings, &Names::Given(vec!["base".to_owned()]), selection)?;
    let Some(image) = selected.first_mut() else { unreachable!("one name gives one plan") };
    image.plan.base = Layer::default();
    image.plan.role = Layer::default();
    image.plan.tools.packages = lab::PACKAGES.map(str::to_owned).to_vec();
    let client = pins::client(settings, selection);
    let path = settings.cache.join(LOCK);
    let mut lock = Lock::load(&path)?;
    let plans = pins::resolve_all(&mut lock, &selected, LockMode::Extend, &client, progress);
    let plans = plans.map_err(|failure| failure.error).context("choosing the packages of the emulator")?;
    let Some((plan, changed)) = plans.first() else { unreachable!("one image gives one plan") };
    if *changed {
        lock.save(&path)?;
    }
    let store = Store::open(&settings.cache)?;
    if let Some(tools) = store.tools(&tools::tools_id(&plan.tools))? {
        return Ok(ToolRoot { root: tools.root().to_owned() });
    }
    work::check(progress)?;
    let packages = client.fetch(&plan.tools, &plan.image.tools.repositories, progress)?;
    let request = Request { cache: settings.cache.clone(), pins: plan.tools.clone(), packages, epoch: plan.epoch };
    let answer = Worker::run(TOOLS, &serde_json::to_vec(&request)?, progress)?;
    let root: PathBuf = serde_json::from_slice(&answer).context("reading the worker's answer")?;
    Ok(ToolRoot { root })
}

/// The worker's part: unpack.
pub(super) fn tools_job(request: &[u8], progress: &dyn Progress) -> Result<Vec<u8>> {
    let request: Request = serde_json::from_slice(request).context("reading the request")?;
    let store = Store::open(&request.cache)?;
    let tools = tools::provide(&store, &request.pins, &request.packages, request.epoch, progress)?;
    let root: &Path = tools.root();
    Ok(serde_json::to_vec(root)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hint::hints;
    use crate::output::{Staging, example};
    use std::num::NonZeroUsize;

    fn settings(folder: &Path) -> Settings {
        let (out, cache) = (folder.join("out"), folder.join("cache"));
        Settings { directory: folder.to_owned(), out, cache, jobs: NonZeroUsize::MIN }
    }

    fn publish(settings: &Settings, name: &str, files: &[(&str, ArtifactKind)]) {
        let mut plan = example::build_plan();
        plan.image.name = name.to_owned();
        let mut staging = Staging::begin(&settings.out, name).unwrap();
        for (file, kind) in files {
            std::fs::write(staging.folder().join(file), file).unwrap();
            staging.add(file, *kind).unwrap();
        }
        staging.publish(&plan).unwrap();
    }

    #[test]
    fn a_name_is_its_newest_image_and_qcow2_before_raw() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        publish(&settings, "web", &[("web.raw", ArtifactKind::Raw), ("web.qcow2", ArtifactKind::Qcow2Zlib)]);
        publish(&settings, "raw", &[("raw.raw", ArtifactKind::Raw)]);
        assert_eq!(find_image(&settings, "web").unwrap(), settings.out.join("images/web/latest/web.qcow2"));
        assert_eq!(find_image(&settings, "raw").unwrap(), settings.out.join("images/raw/latest/raw.raw"));
    }

    #[test]
    fn a_file_wins_over_an_image_of_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        publish(&settings, "web", &[("web.raw", ArtifactKind::Raw)]);
        std::fs::write(folder.path().join("web"), "").unwrap();
        assert_eq!(find_image(&settings, "web").unwrap(), folder.path().join("web"));
    }

    #[test]
    fn what_is_not_there_is_a_name_to_build_or_a_file_to_find() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        // A result without an image does not boot.
        publish(&settings, "web", &[("vmlinuz", ArtifactKind::Kernel)]);
        for name in ["web", "nothing"] {
            let error = find_image(&settings, name).unwrap_err();
            assert_eq!(error.to_string(), format!("there is no image `{name}`"));
            assert_eq!(hints(&error), [format!("build it with `imgbuild role {name}`, or name a file")]);
        }
        let error = find_image(&settings, "./web.qcow2").unwrap_err();
        assert_eq!(error.to_string(), format!("there is no file {}", folder.path().join("./web.qcow2").display()));
    }
}
