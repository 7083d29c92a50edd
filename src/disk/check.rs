//! Reads every structure of a disk, believing nothing: partition table twice, volume group, FAT, every inode of ext4.

use super::inspect::survey;
use super::volumes::{Volume, VolumeKind, volumes};
use crate::base::limits;
use crate::format::{Cached, ReadAt, ext4, fat};
use anyhow::{Context as _, Result};

/// Pieces of 64 KiB that stay in memory.
const KEPT: usize = 256;

/// What was read of a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Filesystems whose structures are sound: their names.
    pub filesystems: Vec<String>,
    /// Names of files and folders in them.
    pub names: u64,
}

/// Checks a whole disk; contents of files have no checksums of their own in it.
///
/// # Errors
/// The first structure that is damaged.
pub fn check(disk: &dyn ReadAt) -> Result<Checked> {
    let disk = Cached::new(disk, KEPT);
    survey(&disk)?;
    let mut checked = Checked::default();
    for volume in volumes(&disk)? {
        let names = match volume.kind {
            VolumeKind::Ext4 => in_ext4(&volume),
            VolumeKind::Fat => in_fat(&volume),
            VolumeKind::Other => continue,
        };
        checked.names += names.with_context(|| format!("reading the filesystem of `{}`", volume.name))?;
        checked.filesystems.push(volume.name);
    }
    Ok(checked)
}

fn in_ext4(volume: &Volume<'_>) -> Result<u64> {
    let filesystem = ext4::Filesystem::open(&volume.bytes)?;
    filesystem.check_groups()?;
    let nodes = filesystem.walk()?;
    for node in &nodes {
        filesystem.attributes(&node.inode)?;
        match node.inode.kind {
            ext4::Kind::File => drop(filesystem.extents(&node.inode)?),
            ext4::Kind::SymbolicLink => drop(filesystem.target(&node.inode)?),
            // Folders were read on the way; the others have nothing more.
            _ => {}
        }
    }
    Ok(nodes.len() as u64)
}

fn in_fat(volume: &Volume<'_>) -> Result<u64> {
    let contents = fat::read(&volume.bytes)?;
    for entry in contents.entries.iter().filter(|entry| !entry.directory) {
        fat::read_file(&volume.bytes, &contents, &entry.path, limits::ESP_FILE_BYTES)?;
    }
    Ok(contents.entries.len() as u64)
}
