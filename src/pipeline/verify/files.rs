//! A result's files: checksums, signature, manifest, and the disks in its images.

use super::super::sign;
use super::{AGAIN, Check, image};
use crate::base::digest::Digest;
use crate::base::hint::Remedy as _;
use crate::base::progress::{Progress, Unit};
use crate::base::size::Bytes;
use crate::base::{files, limits, parallel};
use crate::cli::meant::{Settings, Verify};
use crate::format::signature::{self, Kind, Signer};
use crate::output::{self, BUILD_LOG, CHECKSUMS, MANIFEST, Manifest, Published, SCHEMA};
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// Files of a result's folder.
const FILES: usize = 1000;

/// The result that an image file belongs to, if its folder is one that lists it.
pub(super) fn result_of(image: &Path) -> Option<Published> {
    let there = output::result(image.parent()?).ok()?;
    let name = image.file_name()?.to_str()?;
    there.manifest.artifacts.iter().any(|artifact| artifact.file == name).then_some(there)
}

/// An image file without a result: its structures are all there is.
pub(super) fn lone(verify: &Verify, path: &Path) -> Result<Vec<Check>> {
    let mut checks = vec![image::check("image", path, None)];
    if verify.signer.is_some() {
        checks.push(Check::failed(
            "signature",
            "an image without its result has none",
            "name the folder of its result",
        ));
    } else {
        checks.push(Check::note("checksum", "none: the file lies in no result's folder"));
    }
    Ok(checks)
}

/// Everything of a result, read again.
pub(super) fn checks(
    settings: &Settings,
    verify: &Verify,
    there: &Published,
    progress: &dyn Progress,
) -> Result<Vec<Check>> {
    let folder = &there.folder;
    let Ok(bytes) = files::read(&folder.join(CHECKSUMS), limits::MANIFEST_BYTES) else {
        return Ok(vec![Check::failed(CHECKSUMS, "it is missing or cannot be read", AGAIN)]);
    };
    let listed =
        match String::from_utf8(bytes.clone()).map_err(Into::into).and_then(|text| output::read_checksums(&text)) {
            Ok(listed) => listed,
            Err(error) => return Ok(vec![Check::failed(CHECKSUMS, format!("{error:#}"), AGAIN)]),
        };
    let mut checks = sums(settings, folder, &listed, progress)?;
    checks.push(signed(settings, verify, folder, &bytes)?);
    checks.push(manifest(there, &listed)?);
    for artifact in &there.manifest.artifacts {
        use output::ArtifactKind::{Qcow2Zlib, Qcow2Zstd, Raw};
        if matches!(artifact.kind, Qcow2Zlib | Qcow2Zstd | Raw) {
            let path = folder.join(&artifact.file);
            checks.push(image::check(&artifact.file, &path, Some(&there.manifest.disk)));
        }
    }
    Ok(checks)
}

fn sums(
    settings: &Settings,
    folder: &Path,
    listed: &[(String, Digest)],
    progress: &dyn Progress,
) -> Result<Vec<Check>> {
    let length = |name: &String| folder.join(name).metadata().map_or(0, |data| data.len());
    let total = listed.iter().map(|(name, _)| length(name)).sum();
    let phase = progress.phase("verify", total, Unit::Bytes);
    let read = parallel::map_on(settings.jobs.get(), listed, |(name, _)| {
        let found = files::open(&folder.join(name)).and_then(|file| Ok(Digest::of_reader(file)?));
        phase.item(length(name), name);
        anyhow::Ok(found)
    })?;
    let mut bad = Vec::new();
    for ((name, wanted), found) in listed.iter().zip(read) {
        match found {
            Ok((found, _)) if found == *wanted => {}
            Ok((found, _)) => {
                bad.push(Check::failed(name, format!("has the digest {found}, and {wanted} is listed"), AGAIN));
            }
            Err(error) => bad.push(Check::failed(name, format!("{error:#}"), AGAIN)),
        }
    }
    let mut checks = Vec::new();
    if bad.is_empty() {
        let found = format!("{} files, {} read", listed.len(), Bytes(total));
        checks.push(Check::ok(CHECKSUMS, found));
    }
    checks.extend(bad);
    let own = [BUILD_LOG, CHECKSUMS].map(str::to_owned).into_iter();
    let own = own.chain([Kind::Minisign, Kind::Ssh].map(|kind| format!("{CHECKSUMS}.{}", kind.extension())));
    let known: Vec<String> = listed.iter().map(|(name, _)| name.clone()).chain(own).collect();
    let names = files::list(folder, FILES)?.into_iter().map(|file| file.path.display().to_string());
    let strange: Vec<String> = names.filter(|name| !known.contains(name)).collect();
    if !strange.is_empty() {
        checks.push(Check::note("other files", format!("{}: no checksum covers them", strange.join(", "))));
    }
    Ok(checks)
}

/// A file with a public key, or the key itself.
fn signer(typed: &str, directory: &Path) -> Result<Signer> {
    let path = directory.join(typed);
    let text = match files::read(&path, limits::SIGNATURE_BYTES) {
        Ok(bytes) => String::from_utf8(bytes).unwrap_or_default(),
        Err(error) if path.exists() => return Err(error),
        Err(_) => typed.to_owned(),
    };
    let read = Signer::read(&text).with_context(|| format!("reading the signer `{typed}`"));
    read.hint("give a public key of minisign or OpenSSH, a list of allowed signers, or a file with one")
}

fn signed(settings: &Settings, verify: &Verify, folder: &Path, sums: &[u8]) -> Result<Check> {
    const NAME: &str = "signature";
    if let Some(typed) = &verify.signer {
        let signer = signer(typed, &settings.directory)?;
        let path = sign::path(folder, signer.kind());
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(match sign::read(&path)? {
            None => Check::failed(
                NAME,
                format!("there is no {file}, and one by {} is wanted", signer.name()),
                "let its owner sign it: `imgbuild role NAME --sign KEY`",
            ),
            Some(text) => match signer.verify(&text, sums) {
                Ok(name) => Check::ok(NAME, format!("{file} by {name}")),
                Err(error) => Check::failed(NAME, format!("{file}: {error}"), "do not trust this result"),
            },
        });
    }
    for kind in [Kind::Ssh, Kind::Minisign] {
        let path = sign::path(folder, kind);
        let Some(text) = sign::read(&path)? else { continue };
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(match signature::claimed(kind, &text, sums) {
            Ok(name) => {
                let claim = format!("{file} claims to be by {name}; whether that is the right key says --signer");
                Check::note(NAME, claim)
            }
            Err(error) => Check::failed(NAME, format!("{file}: {error}"), "sign it again, or do not trust this result"),
        });
    }
    Ok(Check::note(NAME, "none"))
}

fn manifest(there: &Published, listed: &[(String, Digest)]) -> Result<Check> {
    let bytes = files::read(&there.folder.join(MANIFEST), limits::MANIFEST_BYTES)?;
    let value: serde_json::Value = serde_json::from_slice(&bytes).context("reading the manifest")?;
    let mut wrong = output::violations(SCHEMA, &value);
    let listed: BTreeMap<&str, Digest> = listed.iter().map(|(name, digest)| (name.as_str(), *digest)).collect();
    let manifest: &Manifest = &there.manifest;
    for artifact in &manifest.artifacts {
        let size = there.folder.join(&artifact.file).metadata().map(|data| data.len()).ok();
        if listed.get(artifact.file.as_str()) != Some(&artifact.sha256) {
            wrong.push(format!("{}: its digest is not the one in {CHECKSUMS}", artifact.file));
        }
        if size.is_some_and(|size| size != artifact.size) {
            wrong.push(format!("{}: it has other than {} bytes", artifact.file, artifact.size));
        }
    }
    for name in listed.keys().filter(|name| **name != MANIFEST) {
        if !manifest.artifacts.iter().any(|artifact| artifact.file == **name) {
            wrong.push(format!("{name}: it is listed in {CHECKSUMS} alone"));
        }
    }
    if !listed.contains_key(MANIFEST) {
        wrong.push(format!("no checksum covers {MANIFEST}"));
    }
    Ok(if wrong.is_empty() {
        let packages = manifest.packages.len();
        Check::ok(MANIFEST, format!("{} {}, {packages} packages, as its schema says", manifest.name, manifest.image_id))
    } else {
        Check::failed(MANIFEST, wrong.join("; "), AGAIN)
    })
}
