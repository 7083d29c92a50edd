//! Two results, or an image of each: manifests first, since they say why; then artifacts by name; then the disks.

use super::bytes::spot;
use super::disks::disks;
use super::{Comparison, Difference, Findings};
use crate::base::files;
use crate::base::size::Bytes;
use crate::disk;
use crate::format::FileSource;
use crate::output::{Artifact, ArtifactKind, Manifest, Package};
use anyhow::{Context as _, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One of the two that are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// The folder of a result with its manifest, when it is one.
    pub result: Option<(PathBuf, Manifest)>,
    /// The image file.
    pub image: PathBuf,
}

/// Compares two sides: whole results when both are, otherwise an image of each.
///
/// # Errors
/// When one cannot be read, or a structure of it is damaged.
pub fn sides(a: &Side, b: &Side) -> Result<Comparison> {
    let mut found = Findings::default();
    let mut causes = Vec::new();
    let mut name = (a.image.clone(), b.image.clone());
    if let (Some((one, own)), Some((other, its))) = (&a.result, &b.result) {
        name = (one.clone(), other.clone());
        found.within("manifest.json", |found| manifests(own, its, found, &mut causes));
        artifacts((one, own), (other, its), &mut found)?;
    }
    let (own, its) = (disk::open(&a.image)?, disk::open(&b.image)?);
    let compared = disks(own.disk(), its.disk());
    let compared = compared.with_context(|| format!("comparing {} and {}", a.image.display(), b.image.display()))?;
    if compared.same && (a.result.is_none() || b.result.is_none() || found.count() > 0) {
        // The same disk in other files.
        let files = |path: &Path| FileSource::new(files::open(path)?).context("reading the image");
        if super::first_difference(&files(&a.image)?, &files(&b.image)?, 0)?.is_some() {
            let shown = |opened: &disk::Opened| format!("{}, {} on the host", opened.format, Bytes(opened.stored));
            let what = "image file, though the disks in them are the same".to_owned();
            found.push(Difference { what, a: shown(&own), b: shown(&its), ..Difference::default() });
            causes.push("format or compression only: both files hold the same disk".to_owned());
        }
    }
    let mut differences = found.differences;
    differences.extend(compared.differences);
    causes.extend(compared.causes);
    let more = found.more + compared.more;
    Ok(Comparison { a: name.0, b: name.1, same: differences.is_empty() && more == 0, differences, more, causes })
}

/// The image file of a result: qcow2 before raw.
pub(super) fn image_of(manifest: &Manifest) -> Option<&Artifact> {
    [ArtifactKind::Qcow2Zstd, ArtifactKind::Qcow2Zlib, ArtifactKind::Raw]
        .iter()
        .find_map(|kind| manifest.artifact(*kind))
}

impl Side {
    /// A folder with a result.
    ///
    /// # Errors
    /// When it holds no image.
    pub fn of_result(folder: &Path, manifest: Manifest) -> Result<Self> {
        let Some(image) = image_of(&manifest) else { bail!("{} holds no image", folder.display()) };
        let image = folder.join(&image.file);
        Ok(Self { result: Some((folder.to_owned(), manifest)), image })
    }
}

fn manifests(a: &Manifest, b: &Manifest, found: &mut Findings, causes: &mut Vec<String>) {
    let values = [
        ("image_id", a.image_id.clone(), b.image_id.clone(), ""),
        ("name", a.name.clone(), b.name.clone(), "other roles"),
        ("recipe", a.recipe.clone(), b.recipe.clone(), "another recipe"),
        ("kernel", a.kernel.clone(), b.kernel.clone(), "another kernel flavour"),
        ("architecture", a.architecture.clone(), b.architecture.clone(), ""),
        (
            "epoch",
            a.created.clone(),
            b.created.clone(),
            "another clock: the newest Date of the locked Release files differs",
        ),
        ("builder", a.builder.clone(), b.builder.clone(), "another version of imgbuild"),
        (
            "inputs.plan",
            a.inputs.plan.to_string(),
            b.inputs.plan.to_string(),
            "another plan: recipe, roles, parameters or their files differ",
        ),
        ("inputs.lock", a.inputs.lock.to_string(), b.inputs.lock.to_string(), "other pins: the lock differs"),
        ("inputs.base_layer", a.inputs.base_layer.clone(), b.inputs.base_layer.clone(), "another base layer"),
    ];
    for (what, own, its, cause) in &values {
        if own != its && !cause.is_empty() {
            causes.push((*cause).to_owned());
        }
        found.value(what, own.clone(), its.clone());
    }
    let inputs = |manifest: &Manifest| (manifest.inputs.plan, manifest.inputs.lock);
    if a.image_id != b.image_id && inputs(a) == inputs(b) {
        causes.push(
            "the same plan and pins with another image id: another guest executable, or another version of imgbuild"
                .to_owned(),
        );
    }
    let tools = |manifest: &Manifest| -> BTreeMap<String, String> {
        manifest
            .inputs
            .tools
            .iter()
            .map(|tool| (tool.name.clone(), format!("{} {}", tool.version, tool.sha256.short())))
            .collect()
    };
    maps("tool", &tools(a), &tools(b), found);
    let packages = |manifest: &Manifest| -> BTreeMap<String, String> {
        let text = |package: &Package| format!("{} {}", package.version, package.sha256.short());
        manifest
            .packages
            .iter()
            .map(|package| (format!("{}:{}", package.name, package.architecture), text(package)))
            .collect()
    };
    maps("package", &packages(a), &packages(b), found);
    if a.disk != b.disk {
        found.add("disk", "one layout", "another layout or other identifiers");
    }
}

fn maps(what: &str, a: &BTreeMap<String, String>, b: &BTreeMap<String, String>, found: &mut Findings) {
    for name in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
        let value = |map: &BTreeMap<String, String>| map.get(name).cloned().unwrap_or_default();
        found.value(&format!("{what} {name}"), value(a), value(b));
    }
}

/// Artifacts other than images, whose disks are compared afterwards.
fn artifacts(a: (&Path, &Manifest), b: (&Path, &Manifest), found: &mut Findings) -> Result<()> {
    let by_name = |manifest: &Manifest| -> BTreeMap<String, Artifact> {
        manifest.artifacts.iter().map(|artifact| (artifact.file.clone(), artifact.clone())).collect()
    };
    let (own, its) = (by_name(a.1), by_name(b.1));
    for name in own.keys().chain(its.keys()).collect::<BTreeSet<_>>() {
        let shown = |artifact: Option<&Artifact>| {
            artifact.map_or_else(String::new, |artifact| {
                format!("{} bytes, sha256:{}", artifact.size, artifact.sha256.short())
            })
        };
        let (one, other) = (own.get(name), its.get(name));
        if one.map(|artifact| artifact.sha256) == other.map(|artifact| artifact.sha256) {
            continue;
        }
        found.within(name.clone(), |found| {
            let mut difference =
                Difference { what: "file".to_owned(), a: shown(one), b: shown(other), ..Difference::default() };
            let is_image = |artifact: &Artifact| {
                matches!(artifact.kind, ArtifactKind::Qcow2Zstd | ArtifactKind::Qcow2Zlib | ArtifactKind::Raw)
            };
            if let (Some(one), Some(_)) = (one, other)
                && !is_image(one)
            {
                let source =
                    |folder: &Path| FileSource::new(files::open(&folder.join(name))?).context("reading an artifact");
                if let Some(spot) = spot(&source(a.0)?, &source(b.0)?)? {
                    difference.what = format!("contents from byte {} on", spot.offset);
                    difference.lines = spot.lines;
                }
            }
            found.push(difference);
            anyhow::Ok(())
        })?;
    }
    Ok(())
}
