//! A disk in an image: every structure on it, and whether it is the disk that the manifest describes.

use super::{AGAIN, Check};
use crate::disk;
use crate::plan::{Disk, Filesystem};
use anyhow::{Result, ensure};
use std::path::Path;

/// Reads an image's structures; `plan` is what its manifest says of its disk.
pub(super) fn check(name: &str, path: &Path, plan: Option<&Disk>) -> Check {
    match read(path, plan) {
        Ok(found) => Check::ok(format!("disk in {name}"), found),
        Err(error) => Check::failed(format!("disk in {name}"), format!("{error:#}"), AGAIN),
    }
}

fn read(path: &Path, plan: Option<&Disk>) -> Result<String> {
    let opened = disk::open(path)?;
    let checked = disk::check(opened.disk())?;
    if let Some(plan) = plan {
        let report = disk::survey(opened.disk())?;
        ensure!(report.size == plan.size.0, "the disk has {} bytes, the manifest says {}", report.size, plan.size.0);
        let guid = plan.guid.to_string();
        ensure!(report.guid == guid, "the disk has the GUID {}, the manifest says {guid}", report.guid);
        let found: Vec<&String> = report.partitions.iter().map(|partition| &partition.guid).collect();
        let wanted: Vec<String> = plan.partitions.iter().map(|partition| partition.guid.to_string()).collect();
        ensure!(found == wanted.iter().collect::<Vec<_>>(), "the partitions are not those of the manifest");
        let volumes = disk::volumes(opened.disk())?;
        for planned in plan.volume_group.volumes.iter().filter(|volume| volume.filesystem == Filesystem::Ext4) {
            let uuid = volumes.iter().find(|volume| volume.name == planned.name).and_then(disk::uuid);
            ensure!(
                uuid == Some(planned.uuid),
                "volume `{}` does not hold the filesystem {} of the manifest",
                planned.name,
                planned.uuid
            );
        }
    }
    Ok(format!(
        "{}: partition table twice, volume group, {} with {} names, all checksums",
        opened.format,
        checked.filesystems.join(", "),
        checked.names
    ))
}
