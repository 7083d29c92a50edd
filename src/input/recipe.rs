//! The document `recipes/<recipe>.yaml`: the base system.

use super::accounts::{groups, users};
use super::check;
use super::content::{Accounts, Content, RepositoryEntry, content};
use super::decode::{Fields, Located, Refusal, Report, one_of};
use super::packages::repository;
use super::problem::{Fault, Place};
use super::volume::{VolumeEntry, volumes};
use super::yaml::Node;
use crate::base::size::{Bytes, EXTENT, GIB, MIB};
use std::collections::BTreeMap;

/// Disks of images: smaller ones hold no system, larger ones are a slip of the keyboard.
const DISK_SIZES: (u64, u64) = (GIB, 1024 * GIB);
/// FAT32 needs 65525 clusters; with sectors as clusters that is about 33 MiB.
const ESP_SIZES: (u64, u64) = (40 * MIB, 4 * GIB);

/// A checked recipe.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) name: String,
    pub(crate) distribution: String,
    pub(crate) suite: String,
    pub(crate) architecture: String,
    pub(crate) recommends: bool,
    pub(crate) guest_agents: Vec<Located<String>>,
    pub(crate) kernel: String,
    pub(crate) kernels: BTreeMap<String, Kernel>,
    pub(crate) catalogue: Accounts,
    pub(crate) content: Content,
    pub(crate) disk: DiskEntry,
    pub(crate) tools: ToolsEntry,
    /// Where a list of known vulnerabilities is; no part of any plan.
    pub(crate) vulnerabilities: Option<String>,
}

/// A kernel flavour.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kernel {
    pub(crate) packages: Vec<Located<String>>,
    pub(crate) arguments: Vec<Located<String>>,
}

/// The disk's layout.
#[derive(Clone, Debug)]
pub(crate) struct DiskEntry {
    pub(crate) place: Place,
    pub(crate) size: Located<Bytes>,
    pub(crate) esp: Bytes,
    pub(crate) volume_group: String,
    pub(crate) reserve: Bytes,
    pub(crate) volumes: Vec<VolumeEntry>,
}

/// What runs on the builder.
#[derive(Clone, Debug)]
pub(crate) struct ToolsEntry {
    pub(crate) suite: String,
    /// Empty when the recipe's own serve.
    pub(crate) repositories: Vec<RepositoryEntry>,
    pub(crate) packages: Vec<Located<String>>,
}

/// Reads a recipe out of its (already extended) tree.
pub(crate) fn recipe(report: &Report, name: &str, node: &Node) -> Option<Recipe> {
    let mut fields = Fields::open(report, node, "a recipe")?;
    fields.get("version");
    fields.get("description").and_then(|node| report.text(node));
    fields.get("extends");
    let distribution = fields.require("distribution").and_then(|node| {
        report.checked(node, |text| one_of(text, "distribution", &[("debian", "debian"), ("ubuntu", "ubuntu")]))
    });
    let suite = fields.require("suite").and_then(|node| report.checked(node, check::name));
    let architecture = fields.require("architecture").and_then(|node| {
        report.checked(node, |text| one_of(text, "architecture", &[("amd64", "amd64"), ("arm64", "arm64")]))
    });
    let recommends = fields.get("recommends").and_then(|node| report.boolean(node)).unwrap_or(false);
    let guest_agents =
        fields.get("guest_agents").map(|node| report.texts(node, "package", check::package)).unwrap_or_default();
    let kernels = fields.require("kernels").map(|node| kernels(report, node)).unwrap_or_default();
    let kernel = fields.require("kernel").and_then(|node| {
        let words: Vec<(&str, &str)> = kernels.keys().map(|name| (name.as_str(), name.as_str())).collect();
        report.checked(node, |text| one_of(text, "kernel flavour", &words).map(str::to_owned))
    });
    let catalogue = fields.get("accounts").map(|node| catalogue(report, node)).unwrap_or_default();
    fields.require("repositories");
    fields.require("packages");
    let content = content(report, &mut fields);
    let disk = fields.require("disk").and_then(|node| disk(report, node));
    let tools = fields.require("tools").and_then(|node| tools(report, node));
    let vulnerabilities = fields.get("vulnerabilities").and_then(|node| report.checked(node, check::url));
    fields.close();
    Some(Recipe {
        name: name.to_owned(),
        distribution: distribution?.value.to_owned(),
        suite: suite?.value,
        architecture: architecture?.value.to_owned(),
        recommends,
        guest_agents,
        kernel: kernel?.value,
        kernels,
        catalogue,
        content,
        disk: disk?,
        tools: tools?,
        vulnerabilities: vulnerabilities.map(|url| url.value),
    })
}

fn kernels(report: &Report, node: &Node) -> BTreeMap<String, Kernel> {
    let mut found = BTreeMap::new();
    for (key, node) in report.map(node) {
        if let Err(refusal) = check::name(&key.text) {
            report.add(refusal.at(key.place));
        }
        let Some(mut fields) = Fields::open(report, node, "a kernel flavour") else { continue };
        let packages = fields.require("packages").map(|node| report.texts(node, "package", check::package));
        let arguments =
            fields.get("kernel_arguments").map(|node| report.texts(node, "argument", check::kernel_argument));
        fields.close();
        let kernel = Kernel { packages: packages.unwrap_or_default(), arguments: arguments.unwrap_or_default() };
        found.insert(key.text.clone(), kernel);
    }
    found
}

fn catalogue(report: &Report, node: &Node) -> Accounts {
    let mut accounts = Accounts::default();
    if let Some(mut fields) = Fields::open(report, node, "the catalogue of accounts") {
        accounts.groups = fields.get("groups").map(|node| groups(report, node)).unwrap_or_default();
        accounts.users = fields.get("users").map(|node| users(report, node)).unwrap_or_default();
        fields.close();
    }
    accounts
}

/// A size within bounds and a whole number of MiB, so that partitions stay aligned.
fn aligned(report: &Report, node: &Node, bounds: (u64, u64)) -> Option<Located<Bytes>> {
    let size = report.size(node)?;
    if size.value.0 < bounds.0 || size.value.0 > bounds.1 {
        let message = format!("{} is not between {} and {}", size.value, Bytes(bounds.0), Bytes(bounds.1));
        report.add(Fault::new(size.place, message).hint("choose a size within these bounds"));
        return None;
    }
    if !size.value.0.is_multiple_of(MIB) {
        let below = Bytes(size.value.0 / MIB * MIB);
        let fault = Fault::new(size.place, format!("{} is not a whole number of MiB", size.value));
        report.add(fault.hint(format!("partitions are aligned to 1 MiB: write {} MiB", below.0 / MIB)));
        return None;
    }
    Some(size)
}

/// An image's size, of a recipe or as the least of a role.
pub(crate) fn disk_size(report: &Report, node: &Node) -> Option<Located<Bytes>> {
    aligned(report, node, DISK_SIZES)
}

fn disk(report: &Report, node: &Node) -> Option<DiskEntry> {
    let mut fields = Fields::open(report, node, "a disk layout")?;
    let size = fields.require("size").and_then(|node| disk_size(report, node));
    let esp = fields
        .get("esp")
        .map_or(Some(Bytes(128 * MIB)), |node| aligned(report, node, ESP_SIZES).map(|size| size.value));
    let volume_group = fields
        .get("volume_group")
        .map_or(Some("vg0".to_owned()), |node| report.checked(node, check::volume).map(|name| name.value));
    let reserve = fields.get("reserve").and_then(|node| {
        let size = report.size(node)?;
        if size.value.0.is_multiple_of(EXTENT) {
            return Some(size.value);
        }
        let message = format!("the reserve of {} is not a whole number of extents of {}", size.value, Bytes(EXTENT));
        let below = size.value.0 / EXTENT * EXTENT / MIB;
        report.add(Fault::new(size.place, message).hint(format!("write {below} MiB or {} MiB", below + 4)));
        None
    });
    let volumes_node = fields.require("volumes");
    let volumes = volumes_node.map(|node| volumes(report, node)).unwrap_or_default();
    for volume in &volumes {
        for (key, missing) in [("size", volume.size.is_none()), ("filesystem", volume.filesystem.is_none())] {
            let stands = volumes_node.is_some_and(|node| has_key(report, node, &volume.name.value, key));
            if missing && !stands {
                let message = format!("the volume `{}` needs the key `{key}`", volume.name.value);
                report.add(Fault::new(volume.place, message).hint(format!("add `{key}: ...`")));
            }
        }
    }
    fields.close();
    Some(DiskEntry {
        place: node.place,
        size: size?,
        esp: esp?,
        volume_group: volume_group?,
        reserve: reserve.unwrap_or_default(),
        volumes,
    })
}

/// Whether a volume's mapping names the key at all (a wrong value is reported elsewhere).
fn has_key(report: &Report, node: &Node, volume: &str, key: &str) -> bool {
    report.map(node).iter().filter(|(name, _)| name.text == volume).any(|(_, node)| match &node.value {
        super::yaml::Value::Map(entries) => entries.iter().any(|(written, _)| written.text == key),
        _ => true,
    })
}

fn tools(report: &Report, node: &Node) -> Option<ToolsEntry> {
    let mut fields = Fields::open(report, node, "the tools")?;
    let suite = fields.require("suite").and_then(|node| report.checked(node, check::name));
    let repositories = fields.get("repositories").map(|node| {
        report.map(node).iter().filter_map(|(key, node)| repository(report, key, node)).collect::<Vec<_>>()
    });
    let packages = fields.require("packages").map(|node| report.texts(node, "package", check::package));
    fields.close();
    Some(ToolsEntry {
        suite: suite?.value,
        repositories: repositories.unwrap_or_default(),
        packages: packages.unwrap_or_default(),
    })
}

/// What a role or recipe extends: `builtin/NAME`, or `NAME`.
pub(crate) fn extends(text: &str) -> Result<(bool, String), Refusal> {
    let (builtin, name) = match text.split_once('/') {
        Some(("builtin", name)) => (true, name),
        Some(_) => {
            return Err(Refusal::new(format!("`{text}` cannot be extended"))
                .hint("write `builtin/NAME`, or the NAME of another one of this project"));
        }
        None => (false, text),
    };
    Ok((builtin, check::name(name)?))
}
