//! `imgbuild role`: what is there already is not built again; what is missing is fetched, built in one worker and published.

use super::carried::Carried;
use super::select::{Selected, select};
use super::work::{self, BuildRequest, Made};
use super::{native, pins, room, sign, supply, tools};
use crate::base::digest::Digest;
use crate::base::hint::{self, Remedy as _};
use crate::base::parallel;
use crate::base::progress::{Progress, Unit};
use crate::base::size::Bytes;
use crate::cli::meant::{Compression, Format, Role, Settings};
use crate::cli::outcome::{Failure, Outcome};
use crate::output::{ArtifactKind, BUILD_LOG, BuildLog, Published, Staging, image_folder, published};
use crate::package::archive::Client;
use crate::package::{BuildPlan, PackageSet};
use crate::sandbox::Worker;
use crate::store::Store;
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::io::IsTerminal as _;
use std::path::PathBuf;

/// Where the log of a failed build stays, beside the results of its image.
const FAILED_LOG: &str = "failed.log";

/// What `role` gives: one row an image.
#[derive(Serialize)]
struct Built {
    images: Vec<Image>,
}

#[derive(Serialize)]
struct Image {
    name: String,
    id: String,
    folder: PathBuf,
    built: bool,
    files: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    path: PathBuf,
    size: u64,
    sha256: Digest,
}

/// Builds the images that are named, and gives where they lie.
pub(super) fn run(settings: &Settings, role: &Role, progress: &dyn Progress) -> Result<Outcome, Failure> {
    // A key that cannot be had is told of before anything is built.
    let key = role.sign.as_ref().map(sign::key).transpose()?;
    let carried = role.bundle.as_deref().map(|file| Carried::open(settings, role, file, progress)).transpose()?;
    let (settings, role) = carried.as_ref().map_or((settings, role), |carried| (&carried.settings, &carried.role));
    let selected = select(settings, &role.names, &role.selection)?;
    native::require(selected.iter().map(|selected| &selected.plan))?;
    let client = pins::client(settings, &role.selection);
    let mode = pins::mode(&role.selection, false);
    if !pins::lock_path(settings).exists() {
        // The first build of a project fetches before it knows what is missing.
        work::check(progress)?;
    }
    let solving = progress.phase("solve", 0, Unit::Items);
    let plans = pins::pin(settings, &selected, mode, &client, progress)?;
    drop(solving);
    if let Some(carried) = &carried {
        carried.compare(&plans, progress);
    }
    let mut images = Vec::new();
    let mut missing = Vec::new();
    for plan in &plans {
        match complete(settings, role, plan) {
            Ok(there) => images.push((plan.image_id.clone(), false, there)),
            Err(_) => missing.push(plan),
        }
    }
    for plan in &missing {
        let folder = image_folder(&settings.out, &plan.image.name).join(&plan.image_id);
        if folder.exists() && published(&settings.out, &plan.image.name, &plan.image_id).is_none() {
            progress.warn(format!("{} was damaged: it is built again", folder.display()));
        }
    }
    let mut failures = Vec::new();
    if !missing.is_empty() {
        let (built, failed) = build(settings, role, &client, carried.as_ref(), &selected, missing, progress)?;
        images.extend(built.into_iter().map(|(built, there)| (there.manifest.image_id.clone(), built, there)));
        failures = failed;
    }
    if let Some(key) = &key {
        for (_, _, there) in &images {
            sign::sign(key, there, progress)?;
        }
    }
    for plan in plans.iter().filter(|plan| images.iter().any(|(id, _, _)| *id == plan.image_id)) {
        let home = image_folder(&settings.out, &plan.image.name);
        crate::output::turn_latest(&home, &plan.image_id)?;
    }
    if !failures.is_empty() {
        return Err(all_failures(failures, images.len()).into());
    }
    let order = |id: &String| plans.iter().position(|plan| plan.image_id == *id);
    images.sort_by_key(|(id, _, _)| order(id));
    let built = Built { images: images.into_iter().map(|(_, built, there)| image(there, built)).collect() };
    Ok(Outcome::of(&built))
}

fn wanted(role: &Role) -> Vec<ArtifactKind> {
    role.formats.iter().map(|format| kind(*format, role.compression)).collect()
}

/// What a format is called among the artifacts.
pub(super) fn kind(format: Format, compression: Compression) -> ArtifactKind {
    match (format, compression) {
        (Format::Raw, _) => ArtifactKind::Raw,
        (Format::Qcow2, Compression::Zstd) => ArtifactKind::Qcow2Zstd,
        (Format::Qcow2, Compression::Zlib) => ArtifactKind::Qcow2Zlib,
    }
}

/// One error for all images that failed; a single one speaks for itself.
fn all_failures(mut failures: Vec<anyhow::Error>, built: usize) -> anyhow::Error {
    if failures.len() == 1 && built == 0 {
        return failures.remove(0);
    }
    let total = failures.len() + built;
    let all: Vec<String> = failures.iter().map(|error| format!("{error:#}")).collect();
    let summary = anyhow::anyhow!("{} of {total} images failed: {}", failures.len(), all.join("; "));
    let hints: Vec<String> = failures.iter().flat_map(hint::hints).collect();
    // The first is to be read first, and so is attached last.
    hints.into_iter().rev().fold(summary, |error, text| match Err::<(), _>(error).hint(text) {
        Err(error) => error,
        Ok(()) => unreachable!("an error stays one"),
    })
}

/// Saves the log of a failed build from the staging folder, which goes away, and says where it is.
fn keep_log(settings: &Settings, staging: &Staging, plan: &BuildPlan, error: anyhow::Error) -> Result<Vec<u8>> {
    let kept = image_folder(&settings.out, &plan.image.name).join(FAILED_LOG);
    match std::fs::copy(staging.folder().join(BUILD_LOG), &kept) {
        Ok(_) => Err(error).hint(format!("the whole log is in {}", kept.display())),
        // The failure itself matters more than its log.
        Err(_) => Err(error),
    }
}

/// The result of a plan with every format that is wanted; otherwise what there is of it.
fn complete(settings: &Settings, role: &Role, plan: &BuildPlan) -> Result<Published, Option<Box<Published>>> {
    match published(&settings.out, &plan.image.name, &plan.image_id) {
        Some(there) if wanted(role).iter().all(|kind| there.manifest.artifact(*kind).is_some()) => Ok(there),
        earlier => Err(earlier.map(Box::new)),
    }
}

/// Builds what is missing, side by side: each image is published when it is complete, and one that fails keeps none of
/// the others from it. Says of each result whether it was built here: another process may have been at the same.
fn build(
    settings: &Settings,
    role: &Role,
    client: &Client,
    carried: Option<&Carried>,
    selected: &[Selected],
    missing: Vec<&BuildPlan>,
    progress: &dyn Progress,
) -> Result<(Vec<(bool, Published)>, Vec<anyhow::Error>)> {
    let kept = missing.iter().map(|plan| (tools::tools_id(&plan.tools), plan.base_layer_id.clone())).collect();
    work::check_kept(&settings.cache, kept, progress)?;
    let store = Store::open(&settings.cache)?;
    let mut locks = Vec::new();
    // In one order for all processes: two that want the same images must not wait for each other.
    let names: BTreeMap<&str, &str> =
        missing.iter().map(|plan| (plan.image_id.as_str(), plan.image.name.as_str())).collect();
    for (id, name) in names {
        locks
            .push(store.lock(&format!("image-{id}"), || progress.note(format!("another build of {name} is running")))?);
    }
    let mut results = Vec::new();
    let mut rest = Vec::new();
    for plan in missing {
        match complete(settings, role, plan) {
            Ok(there) => results.push((false, there)),
            Err(earlier) => rest.push((plan, earlier)),
        }
    }
    let missing = rest;
    if missing.is_empty() {
        return Ok((results, Vec::new()));
    }
    let needed: Vec<&BuildPlan> = missing.iter().map(|(plan, _)| *plan).collect();
    room::foresee(settings, client, &store, &needed, role.formats.len())?;
    if let Some(carried) = carried {
        let local = pins::local_files(selected);
        carried.provide(&needed, |plan| supply::needs_tools(&store, plan), &local, progress)?;
    }
    let fetched = supply::fetch(client, selected, &needed, &store, progress)?;
    let debug_shell = role.debug_shell && std::io::stdin().is_terminal();
    if role.debug_shell && !debug_shell {
        progress.warn("--debug-shell has no effect: the standard input is no terminal");
    }
    // A shell for the person at the terminal: one at a time. Otherwise images are built side by side, each in a worker of
    // its own; those of one base layer wait for the first of them to make it.
    let side_by_side = if debug_shell { 1 } else { settings.jobs.get() };
    let missing: Vec<_> = missing.into_iter().zip(fetched).collect();
    let built = parallel::map_on(side_by_side, &missing, |((plan, earlier), packages)| {
        let order = Order { settings, formats: wanted(role), debug_shell };
        Ok::<_, Infallible>(one(&order, plan, packages, earlier.as_deref(), progress))
    });
    let mut failures = Vec::new();
    for built in built.unwrap_or_else(|never| match never {}) {
        match built {
            Ok(there) => results.push((true, there)),
            Err(error) => failures.push(error),
        }
    }
    Ok((results, failures))
}

/// What all images of one order share.
struct Order<'a> {
    settings: &'a Settings,
    formats: Vec<ArtifactKind>,
    debug_shell: bool,
}

/// Builds and publishes one image.
fn one(
    order: &Order<'_>,
    plan: &BuildPlan,
    packages: &PackageSet,
    earlier: Option<&Published>,
    progress: &dyn Progress,
) -> Result<Published> {
    let settings = order.settings;
    let mut staging = Staging::begin(&settings.out, &plan.image.name)?;
    if let Some(earlier) = earlier {
        staging.carry_over(earlier)?;
    }
    let request = BuildRequest {
        cache: settings.cache.clone(),
        jobs: settings.jobs.get(),
        plan: plan.clone(),
        packages: packages.clone(),
        folder: staging.folder().to_owned(),
        formats: order.formats.clone(),
        debug_shell: order.debug_shell,
    };
    let log = BuildLog::new(Box::new(staging.build_log()?), progress);
    let answer = Worker::run(work::BUILD, &serde_json::to_vec(&request)?, &log);
    drop(log);
    let answer = answer.or_else(|error| keep_log(settings, &staging, plan, error))?;
    let made: Made = serde_json::from_slice(&answer)?;
    let _publishing = progress.phase("publish", 1, Unit::Items);
    staging.add_all(&made.files)?;
    staging.built_from(made.built_from);
    staging.publish(plan)
}

fn image(there: Published, built: bool) -> Image {
    let listed = |artifact: &crate::output::Artifact| Listed {
        path: there.folder.join(&artifact.file),
        size: artifact.size,
        sha256: artifact.sha256,
    };
    Image {
        name: there.manifest.name.clone(),
        id: there.manifest.image_id.clone(),
        files: there.manifest.artifacts.iter().map(listed).collect(),
        folder: there.folder,
        built,
    }
}

impl fmt::Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for image in &self.images {
            let how = if image.built { "built" } else { "unchanged" };
            writeln!(f, "{} {} {how} in {}", image.name, image.id, image.folder.display())?;
            for file in &image.files {
                let name = file.path.file_name().unwrap_or_default().to_string_lossy();
                writeln!(f, "  {name:<20} {:>10}  sha256:{}", Bytes(file.size), file.sha256)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::meant::{Names, Selection};
    use crate::output::example;
    use std::num::NonZeroUsize;
    use std::path::Path;

    fn settings(folder: &Path) -> Settings {
        let (out, cache) = (folder.join("out"), folder.join("cache"));
        Settings { directory: folder.to_owned(), out, cache, jobs: NonZeroUsize::MIN }
    }

    fn role(formats: &[Format], compression: Compression) -> Role {
        let (parameters, repositories) = (BTreeMap::new(), BTreeMap::new());
        let selection = Selection {
            recipe: None,
            kernel: None,
            trust: Vec::new(),
            parameters,
            repositories,
            locked: true,
            offline: true,
        };
        let (debug_shell, bundle, sign) = (false, None, None);
        Role { names: Names::All, selection, formats: formats.to_vec(), compression, debug_shell, bundle, sign }
    }

    #[test]
    fn a_result_is_complete_when_it_has_every_format_that_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let (settings, plan) = (settings(folder.path()), example::build_plan());
        let qcow2 = role(&[Format::Qcow2], Compression::Zstd);
        assert_eq!(complete(&settings, &qcow2, &plan), Err(None));
        let mut staging = Staging::begin(&settings.out, &plan.image.name).unwrap();
        std::fs::write(staging.folder().join("haproxy.qcow2"), "image").unwrap();
        staging.add("haproxy.qcow2", ArtifactKind::Qcow2Zstd).unwrap();
        let there = staging.publish(&plan).unwrap();

        assert_eq!(complete(&settings, &qcow2, &plan), Ok(there.clone()));
        for wanted in
            [role(&[Format::Qcow2, Format::Raw], Compression::Zstd), role(&[Format::Qcow2], Compression::Zlib)]
        {
            assert_eq!(complete(&settings, &wanted, &plan), Err(Some(Box::new(there.clone()))));
        }
        let other = BuildPlan { image_id: "a result of another id".to_owned(), ..plan };
        assert_eq!(complete(&settings, &qcow2, &other), Err(None));
    }

    #[test]
    fn images_that_failed_are_told_together_with_their_remedies() {
        let failure = |name: &str| hint::hinted(format!("building {name}: no room"), format!("make room for {name}"));
        let alone = all_failures(vec![failure("web")], 0);
        assert_eq!(alone.to_string(), "building web: no room");
        let both = all_failures(vec![failure("web"), failure("etcd")], 3);
        assert_eq!(both.to_string(), "2 of 5 images failed: building web: no room; building etcd: no room");
        assert_eq!(hint::hints(&both), ["make room for web", "make room for etcd"]);
    }

    #[test]
    fn results_are_listed_with_what_was_done_and_their_digests() {
        let (size, sha256) = (4096, Digest::of(b"image"));
        let files = vec![Listed { path: PathBuf::from("/out/x/web.qcow2"), size, sha256 }];
        let (name, id, folder) = ("web".to_owned(), "0123".to_owned(), PathBuf::from("/out/x"));
        let text = Built { images: vec![Image { name, id, folder, built: false, files }] }.to_string();
        assert_eq!(
            text,
            format!(
                "web 0123 unchanged in /out/x\n  web.qcow2                 4 KiB  sha256:{}\n",
                Digest::of(b"image")
            )
        );
    }
}
