//! A seed as files by path, and the volumes that hold them.

use super::Content;
use crate::base::digest::Digest;
use crate::base::epoch::Epoch;
use crate::base::size::SECTOR;
use crate::format::{Run, fat, iso9660};
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;

/// The label that cloud-init and imgbuild's executable look for; FAT knows capital letters only.
const LABEL: &str = "cidata";
/// The smallest FAT32 has 65,525 clusters: 48 MiB are enough for it.
const FAT_BYTES: u64 = 48 << 20;

/// All files of one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedTree {
    /// The machine's name.
    pub node: String,
    /// By path on the volume.
    pub files: BTreeMap<String, SeedFile>,
}

/// One file of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedFile {
    /// What is in it.
    pub content: Content,
    /// Permission bits on the volume and in the folder: whoever holds a seed holds the machine's secrets.
    pub mode: u32,
}

impl SeedTree {
    /// As ISO 9660. Its times are those of 1970: seeds do not depend on when they are made.
    ///
    /// # Errors
    /// When a path does not fit.
    pub fn iso(&self) -> Result<Vec<u8>> {
        let mut volume = iso9660::Volume::new(LABEL, Epoch(0));
        for (path, file) in &self.files {
            for (at, _) in path.match_indices('/') {
                let folder = iso9660::Entry { mode: 0o700, content: iso9660::Content::Folder };
                volume.entries.entry(path[..at].to_owned()).or_insert(folder);
            }
            volume.file(path.clone(), file.mode, file.content.bytes());
        }
        iso9660::write(&volume).with_context(|| format!("making the seed volume of {}", self.node))
    }

    /// As FAT32: bytes at their offsets, all else is zeros, and how long it is.
    ///
    /// # Errors
    /// When a path does not fit.
    pub fn fat(&self) -> Result<(Vec<Run>, u64)> {
        let files: Vec<(String, Vec<u8>)> =
            self.files.iter().map(|(path, file)| (path.clone(), file.content.bytes().to_vec())).collect();
        let contents: u64 = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        // Folders and what clusters waste: 64 KiB for each file are plenty.
        let length = (FAT_BYTES + contents + 65_536 * files.len() as u64).next_multiple_of(1 << 20);
        let [a, b, c, d] = {
            let digest = Digest::of(self.node.as_bytes());
            let [a, b, c, d, ..] = *digest.bytes();
            [a, b, c, d]
        };
        let volume = fat::Volume {
            sectors: length / SECTOR,
            hidden: 0,
            id: u32::from_be_bytes([a, b, c, d]),
            label: LABEL.to_ascii_uppercase(),
            epoch: Epoch(0),
        };
        let runs = fat::write(&volume, &files).with_context(|| format!("making the seed volume of {}", self.node))?;
        Ok((runs, length))
    }
}
