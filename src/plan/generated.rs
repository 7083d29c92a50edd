//! Files that follow from the plan itself.

use super::{Disk, Filesystem};

/// What `imgbuild-node grow` reads in the guest.
pub(super) fn grow(disk: &Disk) -> String {
    #[derive(serde::Serialize)]
    struct Grow<'a> {
        version: u32,
        volume_group: &'a str,
        reserve: u64,
        volumes: Vec<Volume<'a>>,
    }
    #[derive(serde::Serialize)]
    struct Volume<'a> {
        name: &'a str,
        size: u64,
        weight: u32,
        maximum: Option<u64>,
        filesystem: Filesystem,
        mount: &'a str,
        uuid: String,
        label: &'a str,
    }
    let group = &disk.volume_group;
    let volume = |volume: &'_ super::Volume| -> (u64, Option<u64>, String) {
        (volume.extents.bytes().0, volume.maximum.map(|maximum| maximum.0), volume.uuid.to_string())
    };
    let volumes = group.volumes.iter().map(|entry| {
        let (size, maximum, uuid) = volume(entry);
        Volume {
            name: &entry.name,
            size,
            weight: entry.weight,
            maximum,
            filesystem: entry.filesystem,
            mount: &entry.mount,
            uuid,
            label: &entry.label,
        }
    });
    let grow = Grow { version: 1, volume_group: &group.name, reserve: group.reserve.0, volumes: volumes.collect() };
    let mut text = serde_json::to_string_pretty(&grow).expect("numbers and texts always serialise");
    text.push('\n');
    text
}

/// Read by `update-grub` in the guest, so that a kernel installed there gets the image's arguments.
pub(super) fn grub(arguments: &[String]) -> String {
    format!("# Kernel arguments of recipe and roles.\nGRUB_CMDLINE_LINUX=\"{}\"\n", arguments.join(" "))
}
