//! `imgbuild audit`: what is in built images, by source package, held against a list of known vulnerabilities.

use super::select::sources;
use super::vulnerable::{self, Report};
use crate::base::digest::Digest;
use crate::base::files;
use crate::base::hint::{Remedy as _, hinted};
use crate::base::limits::{MANIFEST_BYTES, SBOM_BYTES, VULNERABILITY_LIST_BYTES};
use crate::base::progress::{Progress, Unit};
use crate::cli::meant::{Audit, Settings, Severity};
use crate::cli::outcome::{Failure, Outcome, Status};
use crate::input;
use crate::output::{MANIFEST, Manifest, SBOM, image_folder, read_sbom};
use crate::package::download::{Downloader, Patience, Request, shown};
use crate::package::tracker::{self, TrackerError, Urgency};
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// Folder of the cache in which lists are kept, by the digest of their URL.
const LISTS: &str = "lists";

/// What `audit` gives.
#[derive(Serialize)]
struct Audited {
    list: String,
    images: Vec<Report>,
}

/// Audits images that are built.
pub(super) fn run(settings: &Settings, order: &Audit, progress: &dyn Progress) -> Result<Outcome, Failure> {
    let judged = input::judged(&sources(settings))?;
    let mut images = Vec::new();
    for typed in &order.images {
        images.push(find(settings, typed)?);
    }
    let against = match &order.against {
        Some(against) => against.clone(),
        None => of_recipes(settings, &images)?,
    };
    let list = at_hand(settings, &against, order.offline, progress)?;
    let mut reports = Vec::new();
    for (folder, manifest) in &images {
        let sbom = folder.join(SBOM);
        let software = read_sbom(&files::read(&sbom, SBOM_BYTES)?);
        let software = software.with_context(|| format!("reading {}", sbom.display()))?;
        let subject = vulnerable::Subject::new(manifest, &software)?;
        let found = read(&list, &against, &subject)?;
        reports.push(subject.judge(found, &judged));
    }
    let worst = reports.iter().filter_map(Report::worst).max();
    let found = worst.is_some_and(|worst| severity(worst) >= order.fail_on);
    let outcome = Outcome::of(&Audited { list: shown(&against), images: reports });
    Ok(outcome.with_status(if found { Status::Failed } else { Status::Done }))
}

fn severity(urgency: Urgency) -> Severity {
    match urgency {
        Urgency::Unimportant => Severity::Unimportant,
        Urgency::Low => Severity::Low,
        Urgency::Unassigned => Severity::Unassigned,
        Urgency::Medium => Severity::Medium,
        Urgency::High => Severity::High,
    }
}

/// A result: its folder as typed, or the newest of an image of that name.
fn find(settings: &Settings, typed: &str) -> Result<(PathBuf, Manifest)> {
    let folder = settings.directory.join(typed);
    let folder = match folder.join(MANIFEST).is_file() {
        true => folder,
        false => image_folder(&settings.out, typed).join("latest"),
    };
    let path = folder.join(MANIFEST);
    if !path.is_file() {
        return Err(hinted(
            format!("there is no image `{typed}` in {}", settings.out.display()),
            format!("build it with `imgbuild role {typed}`, or name the folder of a result"),
        ));
    }
    let manifest = Manifest::read(&files::read(&path, MANIFEST_BYTES)?);
    Ok((folder, manifest.with_context(|| format!("reading {}", path.display()))?))
}

/// Where the images' recipes say that the list is.
fn of_recipes(settings: &Settings, images: &[(PathBuf, Manifest)]) -> Result<String> {
    let mut found: Option<String> = None;
    for (_, manifest) in images {
        let roles: Vec<&str> = manifest.roles.iter().map(String::as_str).collect();
        let inputs = input::load(&sources(settings), &manifest.recipe, &roles)?;
        let url = inputs.vulnerabilities().ok_or_else(|| {
            hinted(
                format!("no list of vulnerabilities is named, and the recipe {} names none", manifest.recipe),
                "name the JSON export of the Debian security tracker, or a copy of it, with `--against URL|FILE`, \
                 IMGBUILD_AGAINST, or `vulnerabilities: URL` in the recipe",
            )
        })?;
        match &found {
            Some(other) if other != url => {
                return Err(hinted(
                    format!("the recipes of these images name two lists: {} and {}", shown(other), shown(url)),
                    "audit them one by one, or say `--against URL|FILE`",
                ));
            }
            _ => found = Some(url.to_owned()),
        }
    }
    found.context("finding a list of vulnerabilities")
}

/// The list as a file: fetched into the cache when it is elsewhere.
fn at_hand(settings: &Settings, against: &str, offline: bool, progress: &dyn Progress) -> Result<PathBuf> {
    if !against.contains("://") {
        return Ok(settings.directory.join(against));
    }
    let folder = settings.cache.join(LISTS);
    let kept = folder.join(Digest::of(against.as_bytes()).to_string());
    if offline {
        return match kept.is_file() {
            true => Ok(kept),
            false => Err(hinted(
                format!("the list {} is not in the cache, and the network is off", shown(against)),
                "run once without `--offline`, or name a file with `--against FILE`",
            )),
        };
    }
    files::create_dir_all(&folder)?;
    let phase = progress.phase("download", 0, Unit::Bytes);
    let request = Request { url: against, size: None, limit: VULNERABILITY_LIST_BYTES, sha256: None, fresh: true };
    let downloader = Downloader::new(1, Patience::default());
    let told = |bytes| phase.item(bytes, "vulnerabilities");
    let arrived = downloader.fetch(&request, &folder, &told).or_else(|error| {
        let remedy = error.remedy(Some("--against URL|FILE"));
        Err(error).hint(remedy)
    })?;
    std::fs::rename(&arrived.path, &kept).with_context(|| format!("keeping {}", kept.display()))?;
    Ok(kept)
}

/// What the list says of an image.
fn read(list: &Path, against: &str, subject: &vulnerable::Subject) -> Result<tracker::Found> {
    let reading = || format!("reading the list of vulnerabilities {}", shown(against));
    let found = tracker::read(files::open(list)?, subject.wanted()).or_else(|error| {
        let remedy = match error {
            TrackerError::Read(_) => "fetch it again",
            _ => "it must have the form of the Debian security tracker's JSON export",
        };
        Err(error).hint(remedy)
    });
    let found = found.with_context(reading)?;
    if found.known.is_empty() {
        let release = &subject.wanted().release;
        let fact = format!(
            "it names {} source packages, but says nothing of any of the image's in the release `{release}`",
            found.listed
        );
        let hint = "a list for this release is needed: one that is empty or of others would find every image sound";
        return Err(hinted(fact, hint)).with_context(reading);
    }
    Ok(found)
}

impl fmt::Display for Audited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, image) in self.images.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{image}")?;
        }
        Ok(())
    }
}
