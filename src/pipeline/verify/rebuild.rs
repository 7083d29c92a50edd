//! A second build of the same inputs in a fresh cache, compared with the result byte for byte.

use super::super::select::select;
use super::super::{pins, role, supply};
use super::Check;
use crate::base::files;
use crate::base::hint::{Remedy as _, hinted};
use crate::base::progress::{Progress, Unit};
use crate::cli::meant::{Compression, Format, Names, Role, Selection, Settings, Verify};
use crate::cli::outcome::{Failure, Status};
use crate::compare::{self, Comparison, Side, first_difference};
use crate::format::FileSource;
use crate::output::{self, ArtifactKind, CHECKSUMS, Manifest, Published, image_folder};
use crate::sandbox::Worker;
use crate::store::Store;
use crate::store::packages::PackageStore;
use anyhow::{Context as _, Result, ensure};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The worker's job: removing a cache, whose files have many owners.
pub(in super::super) const REMOVE: &str = "remove a cache";
/// Folders of second builds begin so, in the cache's folder.
const PREFIX: &str = "rebuild-";

/// Why an image alone cannot be built again.
pub(super) fn no_result(image: &Path) -> anyhow::Error {
    hinted(
        format!("{} belongs to no result, so nothing says what it was made of", image.display()),
        "name the folder of its result",
    )
}

/// The worker's part of [`REMOVE`].
pub(in super::super) fn remove(request: &[u8], _progress: &dyn Progress) -> Result<Vec<u8>> {
    let folder: PathBuf = serde_json::from_slice(request)?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    Ok(Vec::new())
}

/// A folder for a second build, removed with all that is in it; its lock tells that it is in use.
struct Fresh<'a> {
    folder: PathBuf,
    _lock: File,
    progress: &'a dyn Progress,
}

impl<'a> Fresh<'a> {
    /// Makes one, and removes those that dead processes left.
    fn new(cache: &Path, progress: &'a dyn Progress) -> Result<Self> {
        files::create_dir_all(cache)?;
        let failed = || format!("creating a folder in {}", cache.display());
        // Nobody looks for folders of the dead while this one is not locked yet.
        let alone = files::open(cache)?;
        rustix::io::retry_on_intr(|| flock(&alone, FlockOperation::LockExclusive)).with_context(failed)?;
        for entry in std::fs::read_dir(cache).with_context(failed)? {
            let entry = entry.with_context(failed)?;
            let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
            if let Ok(lock) = File::open(entry.path())
                && is_ours
                && flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
            {
                Worker::run(REMOVE, &serde_json::to_vec(&entry.path())?, progress)?;
            }
        }
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(cache).with_context(failed)?.keep();
        let lock = files::open(&folder)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).with_context(failed)?;
        Ok(Self { folder, _lock: lock, progress })
    }
}

impl Drop for Fresh<'_> {
    fn drop(&mut self) {
        let request = serde_json::to_vec(&self.folder).unwrap_or_default();
        if let Err(error) = Worker::run(REMOVE, &request, self.progress) {
            self.progress.warn(format!("{} could not be removed: {error:#}", self.folder.display()));
        }
    }
}

/// Builds the result's image again and compares. Gives the check's line, and the explanation when they differ.
pub(super) fn rebuild(
    settings: &Settings,
    verify: &Verify,
    there: &Published,
    progress: &dyn Progress,
) -> Result<(Check, Option<Comparison>), Failure> {
    let manifest = &there.manifest;
    let selection = Selection {
        recipe: Some(manifest.recipe.clone()),
        kernel: Some(manifest.kernel.clone()),
        locked: true,
        ..verify.selection.clone()
    };
    let names = Names::Given(vec![manifest.name.clone()]);
    let fresh = Fresh::new(&settings.cache, progress)?;
    let second = Settings { cache: fresh.folder.join("cache"), out: fresh.folder.join("out"), ..settings.clone() };
    seed(settings, &second, &names, &selection, manifest, progress)?;
    let (formats, compression) = formats(manifest);
    let selection = Selection { offline: true, ..selection };
    let order = Role { names, selection, formats, compression, debug_shell: false, bundle: None, sign: None };
    role::run(&second, &order, progress)?;
    let built = output::result(&image_folder(&second.out, &manifest.name).join(&manifest.image_id))?;
    let compared = compare_files(&there.folder, &built.folder, manifest)?;
    if compared.is_empty() {
        let found = format!("{} built again from its packages alone: the same bytes", manifest.image_id);
        return Ok((Check::ok("second build", found), None));
    }
    let found = format!("other bytes in {}", compared.join(", "));
    let remedy = "the explanation is below; the same for any two results: `imgbuild diff A B`";
    let own = Side::of_result(&there.folder, manifest.clone())?;
    let comparison = compare::sides(&own, &Side::of_result(&built.folder, built.manifest.clone())?)?;
    Ok((Check::failed("second build", found, remedy), Some(comparison)))
}

/// Fills the second cache with packages alone, each verified while it is copied; what the first lacks is fetched.
fn seed(
    settings: &Settings,
    second: &Settings,
    names: &Names,
    selection: &Selection,
    manifest: &Manifest,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    let selected = select(settings, names, selection)?;
    let client = pins::client(settings, selection);
    let plans = pins::pin(settings, &selected, pins::mode(selection, false), &client, progress)?;
    for plan in &plans {
        if plan.image_id != manifest.image_id {
            let (name, made, now) = (&manifest.name, &manifest.image_id, &plan.image_id);
            let error = hinted(
                format!("`{name}` is {made}, and the inputs that are here now make {now} of it"),
                "rebuild it from the documents, the lock, the parameters and the imgbuild that made it",
            );
            return Err(Failure::new(Status::Failed, error));
        }
    }
    let store = Store::open(&second.cache)?;
    let sets = supply::fetch(&client, &selected, &plans.iter().collect::<Vec<_>>(), &store, progress)?;
    let (from, to) = (PackageStore::new(&settings.cache), PackageStore::new(&second.cache));
    for set in sets {
        let packages = set.base.iter().chain(&set.role).chain(&set.tools);
        let files = packages.map(|package| (package.pin.sha256, package.file.clone())).chain(set.downloads);
        let files: Vec<_> = files.collect();
        let phase = progress.phase("copy packages", files.len() as u64, Unit::Packages);
        for (digest, file) in files {
            // What lies beside the documents is read from there again.
            if from.find(&digest, None).is_some() {
                let adopted = to.adopt(&file, &digest)?;
                let whole = adopted.ok_or_else(|| anyhow::anyhow!("{} is damaged", file.display()));
                whole.hint(
                    "`imgbuild verify NAME` removes what is damaged from the cache, so that it is fetched again",
                )?;
            }
            phase.advance(1);
        }
    }
    Ok(())
}

/// The formats that a result has.
fn formats(manifest: &Manifest) -> (Vec<Format>, Compression) {
    let has = |kind| manifest.artifact(kind).is_some();
    let mut formats = Vec::new();
    if has(ArtifactKind::Qcow2Zstd) || has(ArtifactKind::Qcow2Zlib) {
        formats.push(Format::Qcow2);
    }
    if has(ArtifactKind::Raw) {
        formats.push(Format::Raw);
    }
    let zlib = has(ArtifactKind::Qcow2Zlib);
    (formats, if zlib { Compression::Zlib } else { Compression::Zstd })
}

/// Names of files that are not the same on both sides, byte for byte.
fn compare_files(a: &Path, b: &Path, manifest: &Manifest) -> Result<Vec<String>> {
    ensure!(a != b, "a result cannot be compared with itself");
    let listed = manifest.artifacts.iter().map(|artifact| artifact.file.as_str());
    let mut other = Vec::new();
    for name in listed.chain([output::MANIFEST, CHECKSUMS]) {
        let source = |folder: &Path| FileSource::new(files::open(&folder.join(name))?).context("reading a result");
        let missing = !b.join(name).is_file();
        if missing || first_difference(&source(a)?, &source(b)?, 0)?.is_some() {
            other.push(name.to_owned());
        }
    }
    Ok(other)
}
