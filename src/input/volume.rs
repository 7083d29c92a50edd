//! Volumes as documents give them: new ones with all that they need, or changes to one of the recipe's.

use super::check;
use super::decode::{Fields, Located, Refusal, Report, one_of};
use super::problem::{Fault, Place};
use super::yaml::Node;
use crate::base::size::Bytes;

/// A volume, or what a role changes of it.
#[derive(Clone, Debug)]
pub(crate) struct VolumeEntry {
    pub(crate) name: Located<String>,
    pub(crate) size: Option<Located<Bytes>>,
    pub(crate) weight: Option<u32>,
    pub(crate) maximum: Option<Located<Bytes>>,
    pub(crate) filesystem: Option<Located<Filesystem>>,
    pub(crate) mount: Option<Located<String>>,
    pub(crate) options: Option<String>,
    pub(crate) place: Place,
}

/// What a volume is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filesystem {
    Ext4,
    Swap,
    Ext4AtFirstBoot,
    XfsAtFirstBoot,
}

const FILESYSTEMS: &[(&str, Filesystem)] = &[
    ("ext4", Filesystem::Ext4),
    ("swap", Filesystem::Swap),
    ("ext4-at-first-boot", Filesystem::Ext4AtFirstBoot),
    ("xfs-at-first-boot", Filesystem::XfsAtFirstBoot),
];

/// Folders that must stand on the root volume: GRUB reads the kernel there, and booting needs them before anything is mounted.
const ON_ROOT: &[&str] =
    &["/boot", "/etc", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/root", "/dev", "/proc", "/sys", "/run"];

/// Reads a mapping of volumes.
pub(crate) fn volumes(report: &Report, node: &Node) -> Vec<VolumeEntry> {
    let mut found = Vec::new();
    for (key, node) in report.map(node) {
        let name = match check::volume(&key.text) {
            Ok(name) => Some(Located::new(key.place, name)),
            Err(refusal) => {
                report.add(refusal.at(key.place));
                None
            }
        };
        let Some(mut fields) = Fields::open(report, node, "a volume") else { continue };
        let size = fields.get("size").and_then(|node| report.size(node));
        let weight = fields.get("weight").and_then(|node| report.integer(node, 0, 1_000_000));
        let maximum = fields.get("maximum").and_then(|node| report.size(node));
        let filesystem = fields
            .get("filesystem")
            .and_then(|node| report.checked(node, |text| one_of(text, "filesystem", FILESYSTEMS)));
        let mount = fields.get("mount").and_then(|node| report.checked(node, mount));
        let options = fields.get("options").and_then(|node| report.checked(node, mount_options));
        fields.close();
        if let (Some(size), Some(maximum)) = (&size, &maximum)
            && maximum.value < size.value
        {
            let message = format!("the maximum of {} is smaller than the size of {}", maximum.value, size.value);
            report.add(Fault::new(maximum.place, message).hint("raise the maximum, or leave it out"));
        }
        if let Some(size) = &size
            && size.value.0 == 0
        {
            report.add(Fault::new(size.place, "the volume has no size at all").hint("give it at least 8 MiB"));
        }
        if let Some(name) = name {
            found.push(VolumeEntry {
                name,
                size,
                weight: weight.and_then(|number| u32::try_from(number.value).ok()),
                maximum,
                filesystem,
                mount,
                options: options.map(|options| options.value),
                place: key.place,
            });
        }
    }
    found
}

fn mount(text: &str) -> Result<String, Refusal> {
    if text == "none" {
        return Ok(text.to_owned());
    }
    let path = check::path(text)?;
    if path.chars().any(|c| c.is_whitespace() || c == '\\') {
        let refusal = Refusal::new(format!("the mount point `{path}` has blanks or backslashes"));
        return Err(refusal.hint("/etc/fstab separates by blanks: choose a path without"));
    }
    if ON_ROOT.contains(&path.as_str()) || path.starts_with("/usr/") || path.starts_with("/boot/") {
        let refusal =
            Refusal::new(format!("{path} cannot be a volume of its own: booting needs it on the root volume"));
        return Err(refusal.hint("make the root volume larger instead"));
    }
    Ok(path)
}

fn mount_options(text: &str) -> Result<String, Refusal> {
    let options = check::word(text).map_err(|_| {
        Refusal::new(format!("`{text}` are no mount options")).hint("write them comma-separated, without blanks")
    })?;
    if options.split(',').any(str::is_empty) {
        let refusal = Refusal::new(format!("the mount options `{options}` have a comma too many"));
        return Err(refusal.hint("write them as `noatime,nodev`"));
    }
    Ok(options)
}
