//! Reads a finished image back, from its bytes alone.

use crate::base::hint::Remedy as _;
use crate::base::size::SECTOR;
use crate::format::{ReadAt, Window, ext4, fat, gpt, lvm, swap};
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::path::Path;

/// What an image holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `raw` or `qcow2`.
    pub format: &'static str,
    /// Bytes that the file takes on the host's disk.
    pub stored: u64,
    /// The disk.
    #[serde(flatten)]
    pub disk: DiskReport,
}

/// A disk as a machine sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiskReport {
    /// Bytes.
    pub size: u64,
    /// Disk GUID.
    pub guid: String,
    /// Partitions in order.
    pub partitions: Vec<PartitionReport>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionReport {
    /// From 1.
    pub number: u32,
    /// GPT name.
    pub name: String,
    /// Unique GUID.
    pub guid: String,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
    /// What is in it.
    pub content: Content,
}

/// What a partition or volume holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Content {
    /// GRUB's core.img for BIOS.
    BiosBoot,
    /// FAT32.
    Fat {
        /// Its label.
        label: String,
        /// Serial number, eight hexadecimal digits.
        id: String,
        /// Bytes of free clusters.
        free: u64,
        /// Files and their sizes, in the order on disk.
        files: Vec<FileReport>,
    },
    /// An LVM2 physical volume with its group.
    Lvm {
        /// Name of the group.
        group: String,
        /// Identifier of the group.
        id: String,
        /// Identifier of the physical volume.
        physical: String,
        /// Bytes of extents that belong to no volume.
        free: u64,
        /// Logical volumes in order of the metadata.
        volumes: Vec<VolumeReport>,
    },
    /// A filesystem made by the builder.
    Ext4 {
        /// Its label.
        label: String,
        /// Its UUID.
        uuid: String,
        /// Bytes of free blocks.
        free: u64,
    },
    /// A swap area.
    Swap {
        /// Its label.
        label: String,
        /// Its UUID.
        uuid: String,
    },
    /// Nothing that is known, or nothing yet.
    Empty,
}

/// A file of the ESP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// Path with `/`.
    pub path: String,
    /// Bytes.
    pub size: u64,
}

/// A logical volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VolumeReport {
    /// Its name.
    pub name: String,
    /// Where it begins on the disk, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
    /// Its identifier.
    pub id: String,
    /// What is in it.
    pub content: Content,
}

/// Reads an image file, raw or qcow2.
///
/// # Errors
/// When it is neither, or a structure on it is damaged.
pub fn inspect(file: &Path) -> Result<Report> {
    let inspecting = || format!("inspecting {}", file.display());
    let reported = super::open::opened(file).and_then(|opened| {
        let disk = survey(opened.disk())?;
        Ok(Report { format: opened.format, stored: opened.stored, disk })
    });
    reported
        .with_context(inspecting)
        .hint("what can be inspected is a whole disk as imgbuild lays it out, raw or qcow2")
}

/// Reads a whole disk.
///
/// # Errors
/// When a structure on it is damaged.
pub fn survey(disk: &dyn ReadAt) -> Result<DiskReport> {
    let table = gpt::read(disk)?;
    let mut partitions = Vec::new();
    for (number, partition) in (1_u32..).zip(&table.partitions) {
        let (offset, size) = (partition.first * SECTOR, (partition.last + 1 - partition.first) * SECTOR);
        let window = Window::new(disk, offset, size)?;
        let content = match partition.kind {
            gpt::kind::BIOS_BOOT => Content::BiosBoot,
            gpt::kind::ESP => esp(&window).with_context(|| format!("reading partition {number}"))?,
            gpt::kind::LVM => group(&window, offset).with_context(|| format!("reading partition {number}"))?,
            _ => Content::Empty,
        };
        let (name, guid) = (partition.name.clone(), partition.guid.to_string());
        partitions.push(PartitionReport { number, name, guid, offset, size, content });
    }
    Ok(DiskReport { size: disk.size(), guid: table.guid.to_string(), partitions })
}

fn esp(window: &Window<'_>) -> Result<Content> {
    let contents = fat::read(window)?;
    let listed = contents.entries.iter().filter(|entry| !entry.directory);
    let files = listed.map(|entry| FileReport { path: entry.path.clone(), size: entry.size }).collect();
    Ok(Content::Fat { label: contents.label, id: format!("{:08x}", contents.id), free: contents.free, files })
}

fn group(window: &Window<'_>, offset: u64) -> Result<Content> {
    let group = lvm::read(window)?;
    let mut volumes = Vec::new();
    for volume in &group.volumes {
        let Some(first) = volume.segments.first() else { continue };
        // What identifies a filesystem stands in its first segment; a grown volume has more of them.
        let head = Window::new(window, first.offset(), first.size())?;
        let content = filesystem(&head, volume.size());
        let (name, id) = (volume.name.clone(), volume.id.dashed());
        volumes.push(VolumeReport { name, offset: offset + first.offset(), size: volume.size(), id, content });
    }
    let used: u64 = group.volumes.iter().map(lvm::LogicalVolume::size).sum();
    let free = (group.physical.extents * crate::base::size::EXTENT).saturating_sub(used);
    let (id, physical) = (group.id.dashed(), group.physical.id.dashed());
    Ok(Content::Lvm { group: group.name, id, physical, free, volumes })
}

/// A volume's first segment that claims the length of the whole volume.
struct Claimed<'a>(&'a Window<'a>, u64);

impl ReadAt for Claimed<'_> {
    fn size(&self) -> u64 {
        self.1
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.0.read_at(buffer, offset)
    }
}

fn filesystem(head: &Window<'_>, size: u64) -> Content {
    let whole = Claimed(head, size);
    if let Ok(summary) = ext4::read(&whole) {
        return Content::Ext4 { label: summary.label, uuid: summary.uuid.to_string(), free: summary.free };
    }
    match swap::read(&whole) {
        Ok(area) => Content::Swap { label: area.label, uuid: area.uuid.to_string() },
        Err(_) => Content::Empty,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hint::hints;

    #[test]
    fn what_is_no_disk_is_refused_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        for contents in [&b""[..], b"a letter", &[0; 1 << 20], b"QFI\xfb\0\0\0\x03"] {
            let file = folder.path().join("file");
            std::fs::write(&file, contents).unwrap();
            let error = inspect(&file).unwrap_err();
            assert!(format!("{error:#}").starts_with(&format!("inspecting {}: ", file.display())), "{error:#}");
            assert_eq!(hints(&error), ["what can be inspected is a whole disk as imgbuild lays it out, raw or qcow2"]);
        }
    }
}
