//! The folders below `out/images`: written beside, made durable, renamed; an interrupted build changes nothing.
//!
//! ```text
//! out/images/haproxy/0123456789abcdef/haproxy.qcow2 ... manifest.json SHA256SUMS build.log
//! out/images/haproxy/latest -> 0123456789abcdef
//! out/images/haproxy/.building-XXXXXX            while it is written, locked by its writer
//! ```

use super::artifact::{Artifact, ArtifactKind};
use super::checksums::checksums;
use super::manifest::Manifest;
use super::sbom::sbom;
use crate::base::digest::Digest;
use crate::base::files;
use crate::base::interrupt::Hold;
use crate::base::limits::MANIFEST_BYTES;
use crate::package::{BuildPlan, BuiltFrom};
use anyhow::{Context as _, Result};
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How many results of each image `prune` keeps.
pub const KEPT: usize = 3;
/// Folders that a build writes to begin so.
const BUILDING: &str = ".building-";
/// The link to the newest complete result.
const LATEST: &str = "latest";
/// Files beside the artifacts.
/// What a result is.
pub const MANIFEST: &str = "manifest.json";
/// The list of software.
pub const SBOM: &str = "sbom.spdx.json";
/// Digests of all artifacts and of the manifest.
pub const CHECKSUMS: &str = "SHA256SUMS";
/// What happened, with times.
pub const BUILD_LOG: &str = "build.log";

/// Where the results of an image lie.
#[must_use]
pub fn image_folder(out: &Path, name: &str) -> PathBuf {
    out.join("images").join(name)
}

/// A complete result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its folder.
    pub folder: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
}

/// The complete result of this id, if there is one: its checksums are those of its manifest, and its artifacts have the
/// lengths that it says. An artifact that was written to after the checksums were is read.
#[must_use]
pub fn published(out: &Path, name: &str, image_id: &str) -> Option<Published> {
    let folder = image_folder(out, name).join(image_id);
    let bytes = files::read(&folder.join(MANIFEST), MANIFEST_BYTES).ok()?;
    let manifest = Manifest::read(&bytes).ok()?;
    let sums = folder.join(CHECKSUMS);
    let as_written = files::read(&sums, MANIFEST_BYTES).ok()? == sums_of(&manifest, &bytes).into_bytes();
    let sealed = fs::metadata(&sums).and_then(|data| data.modified()).ok()?;
    let whole = as_written
        && manifest.image_id == image_id
        && manifest.artifacts.iter().all(|artifact| is_whole(&folder, artifact, sealed));
    whole.then_some(Published { folder, manifest })
}

/// What SHA256SUMS says beside this manifest.
fn sums_of(manifest: &Manifest, bytes: &[u8]) -> String {
    let mut sums: Vec<_> = manifest.artifacts.iter().map(|a| (a.file.clone(), a.sha256)).collect();
    sums.push((MANIFEST.to_owned(), Digest::of(bytes)));
    checksums(&sums)
}

fn is_whole(folder: &Path, artifact: &Artifact, sealed: SystemTime) -> bool {
    let path = folder.join(&artifact.file);
    let Ok(data) = fs::symlink_metadata(&path) else { return false };
    let digest = || Digest::of_reader(files::open(&path).ok()?).ok().map(|(digest, _)| digest);
    data.is_file()
        && data.len() == artifact.size
        && (data.modified().is_ok_and(|written| written <= sealed) || digest() == Some(artifact.sha256))
}

/// The result in a folder, wherever it was moved to. Nothing but its manifest is looked at.
///
/// # Errors
/// When there is none, or its manifest cannot be read.
pub fn result(folder: &Path) -> Result<Published> {
    let path = folder.join(MANIFEST);
    let bytes = files::read(&path, MANIFEST_BYTES)?;
    let manifest = Manifest::read(&bytes).with_context(|| format!("reading {}", path.display()))?;
    Ok(Published { folder: folder.to_owned(), manifest })
}

/// A result being written.
#[derive(Debug)]
pub struct Staging {
    /// Removed with all that is in it unless published.
    folder: tempfile::TempDir,
    /// Held as long as the folder is written to.
    _lock: File,
    home: PathBuf,
    artifacts: Vec<Artifact>,
    earlier: Option<Published>,
    built_from: Vec<BuiltFrom>,
    /// Not left behind by a signal. The last field: given back when the folder is gone.
    _hold: Hold,
}

impl Staging {
    /// Begins a result of this image; what interrupted builds of it left behind goes away.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn begin(out: &Path, name: &str) -> Result<Self> {
        let home = image_folder(out, name);
        files::create_dir_all(&home)?;
        let hold = Hold::to_the_end();
        let _alone = alone(&home)?;
        sweep(&home)?;
        let folder = tempfile::Builder::new()
            .prefix(BUILDING)
            .tempdir_in(&home)
            .with_context(|| format!("creating a folder in {}", home.display()))?;
        let lock = files::open(folder.path())?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .with_context(|| format!("locking {}", folder.path().display()))?;
        let (artifacts, built_from) = (Vec::new(), Vec::new());
        Ok(Self { folder, _lock: lock, home, artifacts, earlier: None, built_from, _hold: hold })
    }

    /// The folder to write to.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the packages in the image were built from, for the list of software.
    pub fn built_from(&mut self, built_from: Vec<BuiltFrom>) {
        self.built_from = built_from;
    }

    /// Opens build.log.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn build_log(&self) -> Result<File> {
        let path = self.folder().join(BUILD_LOG);
        File::create(&path).with_context(|| format!("creating {}", path.display()))
    }

    /// Takes over, without copying, what an earlier build of the same id wrote and this one does not write again. Which
    /// those are is decided when publishing; until then the folder holds none of them, so that nothing written here can
    /// reach an earlier result through a link.
    ///
    /// # Errors
    /// Never yet; linking happens in [`Staging::publish`].
    pub fn carry_over(&mut self, earlier: &Published) -> Result<()> {
        self.earlier = Some(earlier.clone());
        Ok(())
    }

    fn link_earlier(&mut self) -> Result<()> {
        let Some(earlier) = self.earlier.take() else { return Ok(()) };
        for artifact in &earlier.manifest.artifacts {
            let taken = self.artifacts.iter().any(|own| own.file == artifact.file);
            if !taken && artifact.kind != ArtifactKind::Sbom {
                let (from, to) = (earlier.folder.join(&artifact.file), self.folder().join(&artifact.file));
                fs::hard_link(&from, &to).with_context(|| format!("linking {}", from.display()))?;
                self.artifacts.push(artifact.clone());
            }
        }
        Ok(())
    }

    /// Adds files that were written into the folder; they are read once more for their digests, all at once.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn add_all(&mut self, files: &[(String, ArtifactKind)]) -> Result<()> {
        self.artifacts.extend(Artifact::describe(self.folder(), files)?);
        Ok(())
    }

    /// Adds one file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn add(&mut self, file: &str, kind: ArtifactKind) -> Result<()> {
        self.add_all(&[(file.to_owned(), kind)])
    }

    /// Adds a file whose digest is known from writing it.
    pub fn add_described(&mut self, artifact: Artifact) {
        self.artifacts.push(artifact);
    }

    /// Adds manifest, SBOM and checksums, makes all durable, renames the folder to the image's id and turns `latest` to it.
    /// An earlier folder of the same id is replaced in one step.
    ///
    /// # Errors
    /// When any step fails; what was there before is then untouched.
    pub fn publish(mut self, build: &BuildPlan) -> Result<Published> {
        self.link_earlier()?;
        let folder = self.folder().to_owned();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))
        };
        let software = sbom(build, &self.built_from);
        write(SBOM, &software)?;
        let listed = Artifact {
            file: SBOM.to_owned(),
            kind: ArtifactKind::Sbom,
            size: software.len() as u64,
            sha256: Digest::of(&software),
        };
        self.artifacts.push(listed);
        let manifest = Manifest::new(build, &self.artifacts);
        let bytes = manifest.bytes();
        write(MANIFEST, &bytes)?;
        write(CHECKSUMS, sums_of(&manifest, &bytes).as_bytes())?;
        seal(&folder)?;
        let target = self.home.join(&build.image_id);
        let staged = self.folder.keep();
        if let Err(error) = put_in_place(&staged, &target) {
            // The result is lost either way; the error says why.
            let _ = fs::remove_dir_all(&staged);
            return Err(error);
        }
        turn_latest(&self.home, &build.image_id)?;
        Ok(Published { folder: target, manifest })
    }
}

/// Everything readable for all and durable.
fn seal(folder: &Path) -> Result<()> {
    for listed in files::list(folder, 1000)? {
        let path = folder.join(&listed.path);
        let failed = || format!("synchronising {}", path.display());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).with_context(failed)?;
        files::open(&path)?.sync_all().with_context(failed)?;
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("opening {} to all", folder.display()))?;
    files::sync_directory(folder)
}

fn put_in_place(staged: &Path, target: &Path) -> Result<()> {
    let failed = || format!("renaming {} to {}", staged.display(), target.display());
    if target.exists() {
        renameat_with(CWD, staged, CWD, target, RenameFlags::EXCHANGE).with_context(failed)?;
        fs::remove_dir_all(staged).with_context(|| format!("removing {}", staged.display()))?;
    } else {
        fs::rename(staged, target).with_context(failed)?;
    }
    files::sync_directory(target.parent().unwrap_or(target))
}

/// Turns `latest` to this id, in one step.
///
/// # Errors
/// When the link cannot be made.
pub fn turn_latest(home: &Path, image_id: &str) -> Result<()> {
    let link = home.join(LATEST);
    if fs::read_link(&link).is_ok_and(|target| target == Path::new(image_id)) {
        return Ok(());
    }
    let failed = || format!("turning {} to {image_id}", link.display());
    let _alone = alone(home)?;
    let _hold = Hold::brief();
    let beside = tempfile::Builder::new().prefix(BUILDING).tempdir_in(home).with_context(failed)?;
    let fresh = beside.path().join(LATEST);
    symlink(image_id, &fresh).with_context(failed)?;
    fs::rename(&fresh, &link).with_context(failed)?;
    files::sync_directory(home)
}

/// Waits until nobody else makes or sweeps folders in this home, as long as the value lives: between its making and its
/// locking, a folder looks like one that a dead build left.
fn alone(home: &Path) -> Result<File> {
    let lock = files::open(home)?;
    rustix::io::retry_on_intr(|| flock(&lock, FlockOperation::LockExclusive))
        .with_context(|| format!("locking {}", home.display()))?;
    Ok(lock)
}

/// Removes folders of builds that ended without publishing: those that nobody holds locked. To be done [`alone`].
fn sweep(home: &Path) -> Result<()> {
    for (path, name) in folders(home)? {
        if !name.starts_with(BUILDING) {
            continue;
        }
        // Its writer may just be publishing it or giving up.
        let Ok(lock) = File::open(&path) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("removing {}", path.display()));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Removes all but the newest `keep` results of every image (the one that `latest` names always stays), and what
/// interrupted builds left behind. Gives what was removed, sorted.
///
/// # Errors
/// When a folder cannot be read or removed.
pub fn prune(out: &Path, keep: usize) -> Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for (home, _) in folders(&out.join("images"))? {
        let _alone = alone(&home)?;
        sweep(&home)?;
        let latest = fs::read_link(home.join(LATEST)).ok();
        let mut results = Vec::new();
        for (path, name) in folders(&home)? {
            if name.starts_with(BUILDING) {
                continue;
            }
            let is_latest = latest.as_deref() == Some(Path::new(&name));
            let written = fs::metadata(&path).and_then(|data| data.modified()).ok();
            results.push((is_latest, written, path));
        }
        results.sort();
        let surplus = results.len().saturating_sub(keep.max(1));
        for (_, _, path) in results.into_iter().take(surplus) {
            fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
            removed.push(path);
        }
    }
    removed.sort();
    Ok(removed)
}

/// The folders directly in a folder, sorted; none when it does not exist.
fn folders(home: &Path) -> Result<Vec<(PathBuf, String)>> {
    let entries = match fs::read_dir(home) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("reading folder {}", home.display())),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("reading folder {}", home.display()))?;
        let kind = entry.file_type().with_context(|| format!("examining {}", entry.path().display()))?;
        if let (true, Ok(name)) = (kind.is_dir(), entry.file_name().into_string()) {
            found.push((entry.path(), name));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
