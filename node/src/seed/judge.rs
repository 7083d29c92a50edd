//! Whether a volume's copy is believed. Nothing here writes.

use super::copy::Volume;
use super::policy;
use super::ssh::PublicKey;
use crate::digest;
use crate::files;
use crate::format::{
    CLUSTER_KEY, DOCUMENTS, ENDORSEMENT, Effect, FILES, MANIFEST, Manifest, NAMESPACE_CLUSTER, NAMESPACE_SEED,
    SIGNATURE, VERSION,
};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// The longest manifest.
const MANIFEST_BYTES: u64 = 4 << 20;
/// The longest key or signature.
const KEY_BYTES: u64 = 16 << 10;
/// The longest document for cloud-init.
const DOCUMENT_BYTES: u64 = 1 << 20;

/// What this machine knows already.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Keys that the image trusts. When there are any, they must have signed the cluster's.
    pub(crate) trusted: Vec<PublicKey>,
    /// The first cluster key that this machine saw.
    pub(crate) pinned: Option<PublicKey>,
    /// What was installed last.
    pub(crate) installed: Option<Manifest>,
    /// Its network cards.
    pub(crate) macs: BTreeSet<String>,
}

/// What a volume is.
#[derive(Clone, Debug)]
pub(crate) enum Accepted {
    /// Signed and for this machine.
    Signed(Box<Verified>),
    /// Documents for cloud-init and nothing else.
    Plain(Volume),
}

/// A seed that was verified.
#[derive(Clone, Debug)]
pub(crate) struct Verified {
    /// The verified copy.
    pub(crate) volume: Volume,
    /// What it says.
    pub(crate) manifest: Manifest,
}

/// Judges a volume's copy; the error is the reason of the refusal.
pub(crate) fn judge(volume: Volume, known: &Known) -> Result<Accepted, String> {
    if !volume.files.keys().any(|path| path.starts_with("imgbuild/")) {
        return plain(volume, known);
    }
    let text = |name: &str, limit: u64| -> Result<String, String> {
        if !volume.has(name) {
            return Err(format!("it is not signed: {name} is missing"));
        }
        let bytes = files::read(&volume.path(name), limit).map_err(|_| format!("{name} is oversized"))?;
        String::from_utf8(bytes).map_err(|_| format!("{name} is damaged: it is no text"))
    };
    let (written, signature) = (text(MANIFEST, MANIFEST_BYTES)?, text(SIGNATURE, KEY_BYTES)?);
    let line = text(CLUSTER_KEY, KEY_BYTES)?;
    let key = PublicKey::parse(&line).map_err(|why| format!("{CLUSTER_KEY} {why}"))?;
    if !known.trusted.is_empty() {
        let endorsement = text(ENDORSEMENT, KEY_BYTES).map_err(|_| {
            "its cluster is not one that this image trusts: the cluster's key is not endorsed".to_owned()
        })?;
        let signs = |trusted: &PublicKey| trusted.verify(&endorsement, NAMESPACE_CLUSTER, line.as_bytes()).is_ok();
        if !known.trusted.iter().any(signs) {
            return Err("its cluster is not one that this image trusts: the endorsement is by another key".to_owned());
        }
    } else if let Some(pinned) = &known.pinned
        && *pinned != key
    {
        let (found, wanted) = (key.fingerprint(), pinned.fingerprint());
        return Err(format!("it is of another cluster: its key is {found}, and this machine belongs to {wanted}"));
    }
    key.verify(&signature, NAMESPACE_SEED, written.as_bytes())?;
    let manifest = parse(&written)?;
    check_machine(&manifest, known)?;
    check_contents(&manifest)?;
    compare(&volume, &manifest)?;
    Ok(Accepted::Signed(Box::new(Verified { volume, manifest })))
}

/// Reads a manifest.
pub(crate) fn parse(text: &str) -> Result<Manifest, String> {
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    let damaged = |error: serde_json::Error| format!("its manifest cannot be read: {error}");
    let Version { version } = serde_json::from_str(text).map_err(damaged)?;
    if version != VERSION {
        return Err(format!("its manifest has version {version}, and this image reads version {VERSION}"));
    }
    serde_json::from_str(text).map_err(damaged)
}

fn plain(volume: Volume, known: &Known) -> Result<Accepted, String> {
    if !known.trusted.is_empty() {
        return Err("it is not signed, and this image trusts only clusters that its key has signed".to_owned());
    }
    if let Some(installed) = &known.installed {
        let cluster = &installed.cluster.name;
        return Err(format!("it is not signed, and this machine belongs to the cluster {cluster}"));
    }
    if known.pinned.is_some() {
        return Err("it is not signed, and this machine belongs to a cluster".to_owned());
    }
    for name in ["meta-data", "user-data"] {
        if !volume.has(name) {
            return Err(format!("it is no NoCloud seed: {name} is missing"));
        }
    }
    let large = DOCUMENTS.iter().find(|name| volume.files.get(**name).is_some_and(|size| *size > DOCUMENT_BYTES));
    match large {
        Some(name) => Err(format!("it is oversized: {name} has more than {} MiB", DOCUMENT_BYTES >> 20)),
        None => Ok(Accepted::Plain(volume)),
    }
}

fn check_machine(manifest: &Manifest, known: &Known) -> Result<(), String> {
    let (cluster, node) = (&manifest.cluster, &manifest.node);
    if let Some(installed) = &known.installed {
        if installed.cluster.id != cluster.id {
            let wanted = &installed.cluster;
            return Err(format!(
                "it is of another cluster: {} ({}), and this machine belongs to {} ({})",
                cluster.name, cluster.id, wanted.name, wanted.id
            ));
        }
        if installed.node.name != node.name {
            let wanted = &installed.node.name;
            return Err(format!("it is of another node: {}, and this machine is {wanted}", node.name));
        }
    }
    if !node.macs.iter().any(|mac| known.macs.contains(mac)) {
        let own = known.macs.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(format!(
            "it is of another node: {} has the network cards {}, and this machine has {own}",
            node.name,
            node.macs.join(", ")
        ));
    }
    known.installed.as_ref().map_or(Ok(()), |installed| check_generation(manifest, installed))
}

/// A newer generation may say anything; the same one only the same (every boot with the same volume is that, and going on
/// after a cut). Two that differ come of two copies of the cluster's record: which of them is newer, nobody can tell.
fn check_generation(manifest: &Manifest, installed: &Manifest) -> Result<(), String> {
    let (offered, known) = (manifest.generation, installed.generation);
    match offered.cmp(&known) {
        Ordering::Greater => Ok(()),
        Ordering::Equal if manifest == installed => Ok(()),
        Ordering::Equal => Err(format!(
            "it says something else than what is installed, and both are generation {known}: write it again by \
             `imgbuild seed` with the cluster's own secrets folder and its newest record.json, which raises the generation"
        )),
        Ordering::Less => Err(format!("it is of an older generation: {offered}, and generation {known} is installed")),
    }
}

/// What no honest builder writes: so that installing meets nothing unforeseen.
fn check_contents(manifest: &Manifest) -> Result<(), String> {
    let named = |text: &str| !text.is_empty() && text.len() <= 253 && !text.chars().any(char::is_control);
    let node = &manifest.node;
    let texts = [&manifest.cluster.name, &manifest.cluster.id, &node.name].into_iter().chain(&node.roles);
    if !texts.into_iter().all(|text| named(text)) {
        return Err("its manifest has a name that is empty, too long or unprintable".to_owned());
    }
    let names: Vec<&str> = manifest.documents.iter().map(|document| document.name.as_str()).collect();
    if names != DOCUMENTS {
        return Err(format!("its manifest names other documents than {}", DOCUMENTS.join(", ")));
    }
    let mut seen = BTreeSet::new();
    for file in &manifest.files {
        policy::check(&file.path)?;
        if !seen.insert(file.path.as_str()) {
            return Err(format!("its manifest names {} twice", file.path));
        }
        let mode = file.mode.len() == 4 && file.mode.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        if !mode || !matches!(file.mode.as_bytes().first(), Some(b'0')) {
            return Err(format!("its manifest gives {} the mode `{}`", file.path, file.mode.escape_debug()));
        }
        if !named(&file.owner) || !named(&file.group) {
            return Err(format!("its manifest gives {} no proper owner", file.path));
        }
        for effect in &file.effects {
            if let Effect::Restart(unit) | Effect::Reload(unit) = effect {
                check_unit(unit)?;
            }
        }
    }
    for pair in seen.iter().zip(seen.iter().skip(1)) {
        if pair.1.strip_prefix(*pair.0).is_some_and(|rest| rest.starts_with('/')) {
            return Err(format!("its manifest has {} both as a file and as a folder", pair.0));
        }
    }
    let mut units = BTreeSet::new();
    for unit in &manifest.units {
        check_unit(&unit.name)?;
        if !units.insert(&unit.name) {
            return Err(format!("its manifest names the unit {} twice", unit.name));
        }
    }
    Ok(())
}

fn check_unit(name: &str) -> Result<(), String> {
    let letters = |c: char| c.is_ascii_alphanumeric() || ":_.@-\\".contains(c);
    let kinds = [".service", ".socket", ".target", ".timer", ".path", ".mount"];
    let valid = name.len() <= 255
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(letters)
        && kinds.iter().any(|kind| name.ends_with(kind));
    if !valid {
        return Err(format!("its manifest names `{}`, which is no unit", name.escape_debug()));
    }
    if name.starts_with("imgbuild-seed") || name.starts_with("imgbuild-role") {
        return Err(format!("its manifest names {name}, which is not a payload's to govern"));
    }
    Ok(())
}

/// Every file of the volume is listed, every listed one is there, and all are equal.
fn compare(volume: &Volume, manifest: &Manifest) -> Result<(), String> {
    let mut listed: BTreeMap<String, Option<(&str, u64)>> = BTreeMap::new();
    for name in [MANIFEST, SIGNATURE, CLUSTER_KEY, ENDORSEMENT] {
        listed.insert(name.to_owned(), None);
    }
    for document in &manifest.documents {
        if document.size > DOCUMENT_BYTES {
            return Err(format!("it is oversized: {} has more than {} MiB", document.name, DOCUMENT_BYTES >> 20));
        }
        listed.insert(document.name.clone(), Some((&document.sha256, document.size)));
    }
    for file in &manifest.files {
        listed.insert(format!("{FILES}{}", file.path), Some((&file.sha256, file.size)));
    }
    if let Some(other) = volume.files.keys().find(|path| !listed.contains_key(*path)) {
        return Err(format!("`{}` lies on it and is not in its manifest", other.escape_debug()));
    }
    for (path, expected) in listed {
        let Some((sha256, size)) = expected else { continue };
        if !volume.has(&path) {
            return Err(format!("{path} is missing"));
        }
        let place = volume.path(&path);
        let (found, length) = digest::of_file(&files::open_plain(&place)?, &place)?;
        if length < size {
            return Err(format!("{path} is truncated: {length} of {size} bytes"));
        }
        if !digest::is_digest(sha256) || found != *sha256 || length != size {
            return Err(format!("{path} is damaged: it is not what the manifest says"));
        }
    }
    Ok(())
}
