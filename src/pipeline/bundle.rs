//! `imgbuild bundle`: gathers everything that a locked build of some images takes, and writes it into one file.

use super::pins;
use super::select::{DEFAULT_RECIPE, Selected, select_from, sources};
use super::supply;
use crate::base::digest::{Digest, Hasher};
use crate::base::epoch::Epoch;
use crate::base::files;
use crate::base::limits::{LOCK_BYTES, RELEASE_BYTES};
use crate::base::progress::Progress;
use crate::base::size::Bytes;
use crate::cli::meant::{Bundle, Names, Settings};
use crate::cli::outcome::{Failure, Outcome};
use crate::input::Seen;
use crate::package::archive::Client;
use crate::package::bundle::{
    Contents, Draft, Entry, FORMAT_VERSION, Image, LOCK, Link, PROJECT, Source, package_path,
};
use crate::package::lock::LockError;
use crate::package::{BuildPlan, Lock, LockMode};
use crate::plan::Repository;
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The program as bundles and manifests name it.
pub(super) const BUILDER: &str = concat!("imgbuild ", env!("CARGO_PKG_VERSION"));

/// What was written.
#[derive(Serialize)]
struct Written {
    file: PathBuf,
    size: u64,
    sha256: Digest,
    lock: Digest,
    images: Vec<Image>,
    packages: usize,
    documents: usize,
    /// Suites whose indices are in it.
    indices: Vec<String>,
    /// Suites whose indices, as the lock saw them, are in no cache any more.
    indices_gone: Vec<String>,
}

/// Writes a bundle of these images.
pub(super) fn run(settings: &Settings, order: &Bundle, progress: &dyn Progress) -> Result<Outcome, Failure> {
    let sources = sources(settings).noting();
    let selected = select_from(&sources, &order.names, &order.selection)?;
    let client = pins::client(settings, &order.selection);
    pins::pin(settings, &selected, pins::mode(&order.selection, false), &client, progress)?;
    // What is bundled is this text of the lock, whatever other commands make of the file meanwhile.
    let text = files::read(&pins::lock_path(settings), LOCK_BYTES)?;
    let mut lock = parsed(&text).with_context(|| format!("reading {}", pins::lock_path(settings).display()))?;
    let plans = pins::resolve_all(&mut lock, &selected, LockMode::Locked, &client, progress)?;
    let plans: Vec<BuildPlan> = plans.into_iter().map(|(plan, _)| plan).collect();
    let seen = sources.seen();

    let mut draft = Draft::default();
    let digest = Digest::of(&text);
    draft.add_bytes(LOCK, text, false);
    documents(settings, &seen, &mut draft)?;
    packages(&client, &selected, &plans, &mut draft, progress)?;
    let (indices, indices_gone) = indices(&client, &lock, &plans, &mut draft)?;

    let contents = contents(order, &plans, &seen);
    let epoch = plans.iter().map(|plan| plan.epoch).max().unwrap_or(Epoch(0));
    let (packages, documents) = (draft.count("packages/"), draft.count(PROJECT));
    let file = order.file.clone().unwrap_or_else(|| settings.out.join("bundles").join(file_name(&order.names)));
    let (contents, size, sha256) = write(&file, draft, contents, epoch, progress)?;
    let images = contents.images;
    let written = Written { file, size, sha256, lock: digest, images, packages, documents, indices, indices_gone };
    Ok(Outcome::of(&written))
}

fn parsed(text: &[u8]) -> Result<Lock> {
    let text = std::str::from_utf8(text).map_err(|_| LockError::NotText)?;
    Ok(Lock::parse(text)?)
}

fn file_name(names: &Names) -> String {
    let name = match names {
        Names::Given(names) => names.join(","),
        Names::All => "all".to_owned(),
    };
    format!("{name}.bundle")
}

fn contents(order: &Bundle, plans: &[BuildPlan], seen: &Seen) -> Contents {
    let image = |plan: &BuildPlan| Image { name: plan.image.name.clone(), image_id: plan.image_id.clone() };
    let links =
        seen.links.iter().map(|(path, target)| Link { path: format!("{PROJECT}{path}"), target: target.clone() });
    Contents {
        version: FORMAT_VERSION,
        builder: BUILDER.to_owned(),
        recipe: order.selection.recipe.clone().unwrap_or_else(|| DEFAULT_RECIPE.to_owned()),
        kernel: order.selection.kernel.clone(),
        parameters: order.selection.parameters.clone(),
        images: plans.iter().map(image).collect(),
        builtin: seen.builtin.clone(),
        links: links.collect(),
        files: Vec::new(),
    }
}

/// The project's files that the plans were drawn from.
fn documents(settings: &Settings, seen: &Seen, draft: &mut Draft) -> Result<()> {
    for (path, sha256) in &seen.project {
        let file = settings.directory.join(path);
        let metadata = std::fs::metadata(&file).with_context(|| format!("examining {}", file.display()))?;
        let executable = metadata.permissions().mode() & 0o111 != 0;
        let entry = Entry { path: format!("{PROJECT}{path}"), size: metadata.len(), sha256: *sha256, executable };
        draft.add(entry, Source::File(file));
    }
    Ok(())
}

/// Packages of the images and of the tools, and pinned downloads. What lies beside the documents is there already.
fn packages(
    client: &Client,
    selected: &[Selected],
    plans: &[BuildPlan],
    draft: &mut Draft,
    progress: &dyn Progress,
) -> Result<()> {
    let local = pins::local_files(selected);
    let needed: Vec<(&BuildPlan, bool)> = plans.iter().map(|plan| (plan, true)).collect();
    for (sha256, file) in supply::at_hand(client, selected, &needed, progress)? {
        if !local.contains_key(&sha256) {
            let size = std::fs::metadata(&file).with_context(|| format!("examining {}", file.display()))?.len();
            let entry = Entry { path: package_path(&sha256), size, sha256, executable: false };
            draft.add(entry, Source::File(file));
        }
    }
    Ok(())
}

/// The indices that the lock was made from, as far as the cache still has them: a locked build needs none, but with them the
/// pins can be proven, and more can be locked.
fn indices(client: &Client, lock: &Lock, plans: &[BuildPlan], draft: &mut Draft) -> Result<(Vec<String>, Vec<String>)> {
    let recorded = lock.sections.values().flat_map(|section| &section.releases);
    let recorded: BTreeSet<(&str, &str, Digest)> =
        recorded.map(|release| (release.repository.as_str(), release.suite.as_str(), release.sha256)).collect();
    let mut suites: BTreeMap<String, bool> = BTreeMap::new();
    for plan in plans {
        let repositories = plan.image.repositories.iter().chain(&plan.image.tools.repositories);
        let repositories: Vec<Repository> = repositories.cloned().collect();
        for repository in &repositories {
            for suite in &repository.suites {
                suites.entry(format!("{}/{suite}", repository.name)).or_insert(false);
            }
        }
        for kept in client.kept(&repositories, &plan.image.architecture) {
            if !recorded.contains(&(kept.repository.as_str(), kept.suite.as_str(), kept.release)) {
                continue;
            }
            for file in &kept.signed {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                let path = format!("{}{}/{name}", crate::package::bundle::INDICES, kept.folder);
                draft.add_bytes(path, files::read(file, RELEASE_BYTES)?, false);
            }
            for (sha256, file) in &kept.indices {
                draft.add_index(&kept.folder, file, sha256)?;
            }
            suites.insert(format!("{}/{}", kept.repository, kept.suite), true);
        }
    }
    let named = |there: bool| suites.iter().filter(move |(_, found)| **found == there).map(|(name, _)| name.clone());
    Ok((named(true).collect(), named(false).collect()))
}

/// Writes beside, makes durable and renames. Gives index, length and digest.
fn write(
    file: &Path,
    draft: Draft,
    contents: Contents,
    epoch: Epoch,
    progress: &dyn Progress,
) -> Result<(Contents, u64, Digest)> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    files::create_dir_all(folder)?;
    let failed = || format!("writing {}", file.display());
    let mut staged = tempfile::Builder::new().prefix(".imgbuild-").tempfile_in(folder).with_context(failed)?;
    let (contents, length, digest) = {
        let to = BufWriter::with_capacity(1 << 20, staged.as_file_mut());
        let mut tee = Tee { to, hasher: Hasher::default(), length: 0 };
        let contents = draft.write(contents, epoch, &mut tee, progress).with_context(failed)?;
        tee.flush().with_context(failed)?;
        (contents, tee.length, tee.hasher.finish())
    };
    std::fs::set_permissions(staged.path(), std::fs::Permissions::from_mode(0o644)).with_context(failed)?;
    staged.as_file().sync_all().with_context(failed)?;
    staged.persist(file).map_err(|error| error.error).with_context(failed)?;
    files::sync_directory(folder)?;
    Ok((contents, length, digest))
}

struct Tee<W> {
    to: W,
    hasher: Hasher,
    length: u64,
}

impl<W: Write> Write for Tee<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.to.write_all(bytes)?;
        self.hasher.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.file.display())?;
        writeln!(f, "  bundle     {:>10}  sha256:{}", Bytes(self.size).to_string(), self.sha256)?;
        writeln!(f, "  lock                   sha256:{}", self.lock)?;
        for image in &self.images {
            writeln!(f, "  image      {} {}", image.name, image.image_id)?;
        }
        writeln!(f, "  packages   {}, the tools' and pinned downloads among them", self.packages)?;
        writeln!(f, "  documents  {} of the project", self.documents)?;
        for suite in &self.indices {
            writeln!(f, "  index      {suite}")?;
        }
        for suite in &self.indices_gone {
            writeln!(
                f,
                "  no index   {suite}: the cache no longer has the one that the lock was made from; no locked build needs it"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_are_named_after_their_images() {
        let given = |names: &[&str]| Names::Given(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(file_name(&given(&["haproxy+gateway"])), "haproxy+gateway.bundle");
        assert_eq!(file_name(&given(&["base", "etcd"])), "base,etcd.bundle");
        assert_eq!(file_name(&Names::All), "all.bundle");
    }
}
