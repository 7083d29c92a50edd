//! A bundle that was carried here: what a build takes comes from it, or all of it is imported.
//!
//! In a folder with an `imgbuild.lock`, that lock and the folder's documents count, and a bundle is where packages may
//! come from. In an empty folder, the bundle's own lock and documents count, and the network is left alone.

use super::{bundle, pins};
use crate::base::digest::Digest;
use crate::base::files;
use crate::base::hint::{Remedy as _, hinted};
use crate::base::progress::{Progress, Unit};
use crate::cli::meant::{Names, Role, Selection, Settings};
use crate::cli::outcome::{Failure, Outcome};
use crate::input::builtin_files;
use crate::package::archive::SuitePlace;
use crate::package::bundle::{Bundle, BundleError, Contents, Entry, INDICES, LOCK, PROJECT, package_path};
use crate::package::{BuildPlan, Lock};
use crate::store::Store;
use crate::store::packages::PackageStore;
use anyhow::{Context as _, Result};
use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Folder of the cache in which the documents of bundles lie while they are built from.
const OPENED: &str = "bundles";
/// Packages named in one message.
const NAMES_SHOWN: usize = 10;

/// A bundle to build from.
pub(super) struct Carried {
    bundle: Bundle,
    file: PathBuf,
    /// Where everything lies, for the rest of the build.
    pub(super) settings: Settings,
    /// What is built, and how plans are drawn.
    pub(super) role: Role,
    /// The bundle's own documents, when they count; removed in the end.
    opened: Option<Opened>,
}

struct Opened {
    folder: tempfile::TempDir,
    /// Tells other builds that it is in use.
    _lock: File,
}

impl Carried {
    /// Opens a bundle, and decides whose documents and pins count.
    pub(super) fn open(settings: &Settings, role: &Role, file: &Path, progress: &dyn Progress) -> Result<Self> {
        let bundle = opened(file)?;
        let mut carried =
            Self { bundle, file: file.to_owned(), settings: settings.clone(), role: role.clone(), opened: None };
        if pins::lock_path(settings).exists() {
            return Ok(carried);
        }
        for folder in ["recipes", "roles"] {
            if settings.directory.join(folder).exists() {
                return Err(hinted(
                    format!(
                        "{} has {folder}/ and no {LOCK}: whether its documents are meant or those of the bundle cannot be told",
                        settings.directory.display()
                    ),
                    "build in an empty folder (`-C DIR`) for those of the bundle, or `imgbuild bundle import FILE`",
                ));
            }
        }
        carried.own_documents(progress).with_context(|| reading(file))?;
        Ok(carried)
    }

    /// From now on, the bundle's documents and pins count.
    fn own_documents(&mut self, progress: &dyn Progress) -> Result<()> {
        let contents = self.bundle.contents();
        self.role.names = names(contents, &self.role.names)?;
        selection(contents, &mut self.role.selection);
        let opened = place_for_documents(&self.settings.cache)?;
        let folder = opened.folder.path().to_owned();
        let lock = unpack_documents(&self.bundle, &folder)?;
        progress.note(format!(
            "building from the documents and pins of {}, written by {}: lock sha256:{lock}",
            self.file.display(),
            contents.builder
        ));
        self.settings.directory = folder;
        self.opened = Some(opened);
        Ok(())
    }

    /// Warns when this program makes other images of it than the one that wrote it.
    pub(super) fn compare(&self, plans: &[BuildPlan], progress: &dyn Progress) {
        let contents = self.bundle.contents();
        let selection = &self.role.selection;
        let same = selection.recipe.as_ref() == Some(&contents.recipe)
            && selection.kernel == contents.kernel
            && selection.trust.is_empty()
            && selection.parameters == contents.parameters;
        if self.opened.is_none() || !same {
            return;
        }
        for plan in plans {
            let meant = contents.images.iter().find(|image| image.name == plan.image.name);
            if let Some(meant) = meant.filter(|meant| meant.image_id != plan.image_id) {
                let other: Vec<&str> = contents
                    .builtin
                    .iter()
                    .filter(|(path, digest)| !is_builtin(path, digest))
                    .map(|(path, _)| path.as_str())
                    .collect();
                let why = match &other[..] {
                    [] => String::new(),
                    other => format!(": it has other built-in documents ({})", other.join(", ")),
                };
                progress.warn(format!(
                    "{} called the image {} {}; this is {}, which makes {} of it{why}",
                    contents.builder,
                    meant.name,
                    meant.image_id,
                    bundle::BUILDER,
                    plan.image_id
                ));
            }
        }
    }

    /// Takes what these plans need, and the cache lacks, into the cache: each file compared with the digest that the lock
    /// gives. `tools` says of each plan whether its tools are needed.
    pub(super) fn provide(
        &self,
        plans: &[&BuildPlan],
        tools: impl Fn(&BuildPlan) -> Result<bool>,
        local: &BTreeMap<Digest, PathBuf>,
        progress: &dyn Progress,
    ) -> Result<()> {
        let store = PackageStore::new(&self.settings.cache);
        let mut needed: BTreeMap<Digest, (Option<u64>, String)> = BTreeMap::new();
        for plan in plans {
            let tools = if tools(plan)? { &plan.tools[..] } else { &[] };
            for pin in plan.base.iter().chain(&plan.role).chain(tools) {
                let name = format!("{}={}:{}", pin.name, pin.version, pin.architecture);
                needed.insert(pin.sha256, (Some(pin.size), name));
            }
            for layer in [&plan.image.base, &plan.image.role] {
                for file in layer.debs.iter().chain(layer.downloads.iter().map(|download| &download.file)) {
                    needed.entry(file.sha256).or_insert_with(|| (None, file.name.clone()));
                }
            }
        }
        needed.retain(|digest, (size, _)| !local.contains_key(digest) && store.find(digest, *size).is_none());
        let contents = self.bundle.contents();
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for (digest, (_, name)) in &needed {
            match contents.find(&package_path(digest)) {
                Some((_, entry)) => found.push((digest, entry, name)),
                None => missing.push(name.as_str()),
            }
        }
        if !missing.is_empty() && self.role.selection.offline {
            return Err(lacking(&self.file, &missing));
        }
        let phase = progress.phase("bundle", found.iter().map(|(_, entry, _)| entry.size).sum(), Unit::Bytes);
        for (digest, entry, name) in found {
            keep(&self.bundle, entry, digest, &store).with_context(|| reading(&self.file))?;
            phase.item(entry.size, name.as_str());
        }
        Ok(())
    }
}

fn reading(file: &Path) -> String {
    format!("reading the bundle {}", file.display())
}

fn opened(file: &Path) -> Result<Bundle> {
    explained(Bundle::open(file)).with_context(|| reading(file))
}

fn explained<T>(result: Result<T, BundleError>) -> Result<T> {
    result.or_else(|error| {
        let remedy = error.remedy();
        Err(error).hint(remedy)
    })
}

fn lacking(file: &Path, missing: &[&str]) -> anyhow::Error {
    let mut names = missing.to_vec();
    names.sort_unstable();
    let more = match names.len().checked_sub(NAMES_SHOWN) {
        Some(more @ 1..) => format!(", and {more} more"),
        _ => String::new(),
    };
    names.truncate(NAMES_SHOWN);
    hinted(
        format!(
            "{} of what is pinned are neither in the cache nor in {}, and the network is off: {}{more}",
            missing.len(),
            file.display(),
            names.join(", ")
        ),
        "where a mirror or a cache has them, write the bundle anew with `imgbuild bundle NAME`",
    )
}

/// The images that are wanted of a bundle; all means all of the bundle.
fn names(contents: &Contents, wanted: &Names) -> Result<Names> {
    let Names::Given(wanted) = wanted else {
        return Ok(Names::Given(contents.images.iter().map(|image| image.name.clone()).collect()));
    };
    for name in wanted {
        if !contents.images.iter().any(|image| image.name == *name) {
            return Err(hinted(
                format!("it was not made for the image `{name}`"),
                format!("it holds {}; a bundle for more is written by `imgbuild bundle NAME...`", contents.names()),
            ));
        }
    }
    Ok(Names::Given(wanted.clone()))
}

/// What was chosen when the bundle was written counts, unless something else is said; the lock as it is, and no network.
fn selection(contents: &Contents, selection: &mut Selection) {
    selection.recipe.get_or_insert_with(|| contents.recipe.clone());
    if selection.kernel.is_none() {
        selection.kernel.clone_from(&contents.kernel);
    }
    for (name, value) in &contents.parameters {
        selection.parameters.entry(name.clone()).or_insert_with(|| value.clone());
    }
    (selection.locked, selection.offline) = (true, true);
}

fn is_builtin(path: &str, digest: &Digest) -> bool {
    builtin_files().iter().any(|(known, content)| *known == path && Digest::of(content) == *digest)
}

/// A folder in the cache that nobody else may read; what dead builds left of theirs goes away.
fn place_for_documents(cache: &Path) -> Result<Opened> {
    let parent = cache.join(OPENED);
    files::create_dir_all(&parent)?;
    // Between its making and its locking, a folder looks like one that a dead build left.
    let _alone = Store::open(cache)?.lock(OPENED, || {})?;
    for listed in files::list(&parent, usize::MAX)?.into_iter().filter(|listed| listed.path.components().count() == 1) {
        let path = parent.join(listed.path);
        if File::open(&path).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()) {
            std::fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    let failed = || format!("creating a folder in {}", parent.display());
    let folder = tempfile::Builder::new().tempdir_in(&parent).with_context(failed)?;
    let lock = files::open(folder.path())?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).with_context(failed)?;
    Ok(Opened { folder, _lock: lock })
}

/// The lock and the documents, into an empty folder; gives the digest of the lock.
fn unpack_documents(bundle: &Bundle, folder: &Path) -> Result<Digest> {
    let mut lock = Digest::of(b"");
    for (entry, name) in documents(bundle.contents()) {
        place(bundle, entry, &folder.join(name))?;
        if entry.path == LOCK {
            lock = entry.sha256;
        }
    }
    for link in &bundle.contents().links {
        let path = folder.join(link.path.strip_prefix(PROJECT).unwrap_or(&link.path));
        files::create_dir_all(path.parent().unwrap_or(folder))?;
        std::os::unix::fs::symlink(&link.target, &path).with_context(|| format!("creating {}", path.display()))?;
    }
    Lock::load(&folder.join(LOCK)).context("reading its pins")?;
    Ok(lock)
}

/// The lock and the project's files, with their names in a project folder.
fn documents(contents: &Contents) -> impl Iterator<Item = (&Entry, &str)> {
    contents.files.iter().filter_map(|entry| match entry.path.strip_prefix(PROJECT) {
        Some(name) => Some((entry, name)),
        None => (entry.path == LOCK).then_some((entry, LOCK)),
    })
}

/// One file, whole or not at all.
fn place(bundle: &Bundle, entry: &Entry, path: &Path) -> Result<()> {
    let folder = path.parent().context("finding the folder of a file")?;
    files::create_dir_all(folder)?;
    let failed = || format!("writing {}", path.display());
    let mut staged = tempfile::Builder::new().prefix(".imgbuild-").tempfile_in(folder).with_context(failed)?;
    explained(bundle.copy(entry, staged.as_file_mut()))?;
    let mode = if entry.executable { 0o755 } else { 0o644 };
    std::fs::set_permissions(staged.path(), std::fs::Permissions::from_mode(mode)).with_context(failed)?;
    staged.as_file().sync_all().with_context(failed)?;
    staged.persist_noclobber(path).map_err(|error| error.error).with_context(failed)?;
    Ok(())
}

/// A package into the store, where its name is its digest.
fn keep(bundle: &Bundle, entry: &Entry, digest: &Digest, store: &PackageStore) -> Result<()> {
    let staging = store.staging()?;
    let failed = || format!("writing into {}", staging.display());
    let mut staged = tempfile::Builder::new().prefix("bundle-").tempfile_in(&staging).with_context(failed)?;
    // Tells pruning that it is in use.
    let _ = flock(staged.as_file(), FlockOperation::NonBlockingLockExclusive);
    // The entry's name was compared with its digest, and `copy` compares the contents with it.
    debug_assert_eq!(entry.sha256, *digest);
    explained(bundle.copy(entry, staged.as_file_mut()))?;
    staged.as_file().sync_all().with_context(failed)?;
    let staged = staged.into_temp_path().keep().map_err(|error| error.error).with_context(failed)?;
    store.keep(&staged, digest).map(drop)
}

/// What was imported.
#[derive(Serialize)]
struct Imported {
    lock: Digest,
    images: Vec<String>,
    documents: usize,
    packages: usize,
    indices: usize,
}

/// `bundle import`: everything into the cache and the project folder; what is there already and differs is refused before
/// anything is written.
pub(super) fn import(settings: &Settings, file: &Path, progress: &dyn Progress) -> Result<Outcome, Failure> {
    let bundle = opened(file)?;
    let imported = bring(settings, &bundle, progress).with_context(|| reading(file))?;
    let text = format!(
        "imported {} packages and {} indices into {}, and {} documents into {}\nlock sha256:{}, for {}\n",
        imported.packages,
        imported.indices,
        settings.cache.display(),
        imported.documents,
        settings.directory.display(),
        imported.lock,
        imported.images.join(", ")
    );
    Ok(Outcome::new(text, &imported))
}

fn bring(settings: &Settings, bundle: &Bundle, progress: &dyn Progress) -> Result<Imported> {
    let contents = bundle.contents();
    let wanted = absent(settings, contents)?;
    let total = contents.files.iter().map(|entry| entry.size).sum();
    let phase = progress.phase("bundle", total, Unit::Bytes);
    let (lock_text, lock) = explained(bundle.lock())?;
    let text = String::from_utf8(lock_text).context("reading its pins")?;
    Lock::parse(&text).context("reading its pins")?;
    let store = PackageStore::new(&settings.cache);
    let mut packages = 0;
    for entry in &contents.files {
        if entry.path == package_path(&entry.sha256) {
            packages += 1;
            if store.find(&entry.sha256, Some(entry.size)).is_none() {
                keep(bundle, entry, &entry.sha256, &store)?;
            }
            phase.item(entry.size, entry.path.as_str());
        }
    }
    let indices = bring_indices(settings, bundle)?;
    let documents = wanted.len();
    for (entry, path) in wanted {
        place(bundle, entry, &path)?;
    }
    for link in &contents.links {
        let path = settings.directory.join(link.path.strip_prefix(PROJECT).unwrap_or(&link.path));
        if path.symlink_metadata().is_err() {
            files::create_dir_all(path.parent().unwrap_or(&settings.directory))?;
            std::os::unix::fs::symlink(&link.target, &path).with_context(|| format!("creating {}", path.display()))?;
        }
    }
    let images = contents.images.iter().map(|image| image.name.clone()).collect();
    Ok(Imported { lock, images, documents, packages, indices })
}

/// The documents that the project folder lacks. One that is there and is another is refused.
fn absent<'a>(settings: &Settings, contents: &'a Contents) -> Result<Vec<(&'a Entry, PathBuf)>> {
    let (mut wanted, mut other) = (Vec::new(), Vec::new());
    for (entry, name) in documents(contents) {
        let path = settings.directory.join(name);
        if path.symlink_metadata().is_err() {
            wanted.push((entry, path));
            continue;
        }
        let same = path.is_file() && {
            let (found, _) =
                Digest::of_reader(files::open(&path)?).with_context(|| format!("reading {}", path.display()))?;
            found == entry.sha256
        };
        if !same {
            other.push(name);
        }
    }
    for link in &contents.links {
        let name = link.path.strip_prefix(PROJECT).unwrap_or(&link.path);
        let path = settings.directory.join(name);
        if path.symlink_metadata().is_ok() && std::fs::read_link(&path).ok().as_deref() != Some(Path::new(&link.target))
        {
            other.push(name);
        }
    }
    if other.is_empty() {
        return Ok(wanted);
    }
    Err(hinted(
        format!("{} has other contents in {}; nothing was imported", settings.directory.display(), other.join(", ")),
        "import into another folder with `-C DIR`; or build with the project's own pins: `imgbuild role NAME --bundle FILE`",
    ))
}

/// The indices of every suite that the cache has nothing of.
fn bring_indices(settings: &Settings, bundle: &Bundle) -> Result<usize> {
    let mut suites: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in &bundle.contents().files {
        if let Some((folder, _)) = entry.path.strip_prefix(INDICES).and_then(|below| below.rsplit_once('/')) {
            suites.entry(folder).or_default().push(entry);
        }
    }
    let mut count = 0;
    for (folder, entries) in suites {
        let Some(place) = SuitePlace::vacant(&settings.cache, folder) else { continue };
        let (packed, signed): (Vec<&Entry>, Vec<&Entry>) =
            entries.into_iter().partition(|entry| entry.path.ends_with(".zst"));
        for entry in packed {
            place.index(|mut out: &mut dyn std::io::Write| explained(bundle.unpack(entry, &mut out)))?;
            count += 1;
        }
        for entry in signed {
            let mut bytes = Vec::new();
            explained(bundle.copy(entry, &mut bytes))?;
            let name = entry.path.rsplit('/').next().unwrap_or_default();
            files::write_atomic(&place.release(name), &bytes)?;
        }
    }
    Ok(count)
}
