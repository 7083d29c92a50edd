//! Writes a volume: lays out folders and files one after another, then describes them.

use super::Volume;
use super::layout::{
    ATTRIBUTE_ARCHIVE, ATTRIBUTE_DIRECTORY, ATTRIBUTE_VOLUME, BACKUP_SECTOR, BootSector, END_OF_CHAIN, ENTRY,
    FAT_COPIES, FIRST_FAT_ENTRIES, FsInfo, Geometry, LEAD_SIGNATURE, RESERVED_SECTORS, ROOT_CLUSTER,
    STRUCTURE_SIGNATURE, ShortEntry, TRAIL_SIGNATURE,
};
use super::name;
use crate::base::epoch::Epoch;
use crate::base::size::SECTOR;
use crate::format::{Run, usize_of};
use std::collections::{BTreeMap, BTreeSet};
use zerocopy::IntoBytes as _;

/// Why a volume could not be written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WriteError {
    /// Too small or too large for FAT32.
    #[error("{0} sectors are no size for FAT32, which has at least 65525 clusters (about 34 MiB)")]
    Size(u64),
    /// The files need more room.
    #[error("the files need {needed} bytes, the volume has room for {room}")]
    Full {
        /// What they need.
        needed: u64,
        /// What there is.
        room: u64,
    },
    /// A path that FAT cannot hold.
    #[error("`{0}` is no path for a FAT volume")]
    Path(String),
    /// Two paths that FAT cannot tell apart, or a file where a folder is.
    #[error("`{0}` is there twice (FAT does not tell capital letters from small ones)")]
    Twice(String),
    /// A label that FAT cannot hold.
    #[error("`{0}` is no FAT label: at most 11 capital letters, digits, spaces, `-` and `_`")]
    Label(String),
}

enum Node<'a> {
    File(&'a [u8]),
    Folder(BTreeMap<String, (String, Node<'a>)>),
}

/// The volume's bytes as runs; all else is zeros.
///
/// # Errors
/// When size, label or a path do not fit FAT32.
pub fn write(volume: &Volume, files: &[(String, Vec<u8>)]) -> Result<Vec<Run>, WriteError> {
    let geometry = Geometry::choose(volume.sectors).ok_or(WriteError::Size(volume.sectors))?;
    let allowed = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit() || b" -_".contains(&c);
    if volume.label.is_empty() || volume.label.len() > 11 || !volume.label.bytes().all(allowed) {
        return Err(WriteError::Label(volume.label.clone()));
    }
    let mut root = BTreeMap::new();
    for (path, contents) in files {
        insert(&mut root, path, path, contents)?;
    }
    let mut layout =
        Layout { geometry, stamp: Stamp::new(volume.epoch), fat: FIRST_FAT_ENTRIES.to_vec(), data: vec![] };
    layout.folder(&root, None, Some(&volume.label));
    let used = layout.fat.len() as u64 - 2;
    if used > geometry.clusters {
        let (needed, room) = (used * geometry.cluster_bytes(), geometry.clusters * geometry.cluster_bytes());
        return Err(WriteError::Full { needed, room });
    }
    let fat: Vec<u8> = layout.fat.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    let mut runs = vec![Run { offset: 0, bytes: reserved_area(volume, &geometry, used) }];
    for copy in 0..FAT_COPIES {
        runs.push(Run { offset: geometry.fat_offset(copy), bytes: fat.clone() });
    }
    runs.push(Run { offset: geometry.cluster_offset(ROOT_CLUSTER), bytes: layout.data });
    Ok(runs)
}

fn insert<'a>(
    folder: &mut BTreeMap<String, (String, Node<'a>)>,
    rest: &str,
    path: &str,
    contents: &'a [u8],
) -> Result<(), WriteError> {
    let (head, tail) = rest.split_once('/').map_or((rest, None), |(head, tail)| (head, Some(tail)));
    if !name::is_legal(head) {
        return Err(WriteError::Path(path.to_owned()));
    }
    let key = head.to_uppercase();
    let Some(tail) = tail else {
        let before = folder.insert(key, (head.to_owned(), Node::File(contents)));
        return if before.is_none() { Ok(()) } else { Err(WriteError::Twice(path.to_owned())) };
    };
    let (spelt, node) = folder.entry(key).or_insert_with(|| (head.to_owned(), Node::Folder(BTreeMap::new())));
    match node {
        Node::Folder(inner) if spelt == head => insert(inner, tail, path, contents),
        _ => Err(WriteError::Twice(path.to_owned())),
    }
}

/// Times as FAT has them: local (here UTC), from 1980 on, in steps of two seconds.
#[derive(Clone, Copy)]
struct Stamp {
    date: u16,
    time: u16,
}

impl Stamp {
    fn new(epoch: Epoch) -> Self {
        let first = Epoch::from_civil(1980, 1, 1, 0);
        let last = Epoch::from_civil(2107, 12, 31, 86_398);
        let (year, month, day, second) = epoch.clamp_between(first, last).civil();
        let narrow = |value: i64| u16::try_from(value).unwrap_or_default();
        Self {
            date: narrow(year - 1980) << 9 | narrow(month) << 5 | narrow(day),
            time: narrow(second / 3600) << 11 | narrow(second / 60 % 60) << 5 | narrow(second % 60 / 2),
        }
    }
}

struct Layout {
    geometry: Geometry,
    stamp: Stamp,
    fat: Vec<u32>,
    data: Vec<u8>,
}

impl Layout {
    /// Takes clusters for so many bytes in one piece; gives the first and where it lies in `data`.
    fn allocate(&mut self, length: usize) -> (u32, usize) {
        let cluster = usize_of(self.geometry.cluster_bytes());
        let count = length.div_ceil(cluster);
        let (first, at) = (self.fat.len(), self.data.len());
        for next in first + 1..first + count {
            self.fat.push(u32::try_from(next).unwrap_or(END_OF_CHAIN));
        }
        self.fat.push(END_OF_CHAIN);
        self.data.resize(at + count * cluster, 0);
        (u32::try_from(first).unwrap_or(END_OF_CHAIN), at)
    }

    /// Writes a folder and all below it; gives its first cluster.
    fn folder(
        &mut self,
        nodes: &BTreeMap<String, (String, Node<'_>)>,
        parent: Option<u32>,
        label: Option<&str>,
    ) -> u32 {
        let mut taken = BTreeSet::new();
        let names: Vec<_> = nodes
            .values()
            .map(|(spelt, node)| {
                let (short, long) = name::short(spelt, &mut taken);
                let entries = if long { name::long_entries(spelt, &short) } else { Vec::new() };
                (short, entries, node)
            })
            .collect();
        let own = if parent.is_some() { 2 } else { 1 };
        let count = own + names.iter().map(|(_, long, _)| long.len() + 1).sum::<usize>();
        let (first, at) = self.allocate(count * ENTRY);
        let mut bytes = Vec::with_capacity(count * ENTRY);
        if let Some(parent) = parent {
            // The root is cluster 0 to its children.
            let above = if parent == ROOT_CLUSTER { 0 } else { parent };
            bytes.extend(self.entry(*b".          ", ATTRIBUTE_DIRECTORY, first, 0).as_bytes());
            bytes.extend(self.entry(*b"..         ", ATTRIBUTE_DIRECTORY, above, 0).as_bytes());
        }
        if let Some(label) = label {
            bytes.extend(self.entry(padded(label), ATTRIBUTE_VOLUME, 0, 0).as_bytes());
        }
        for (short, long, node) in names {
            for part in long {
                bytes.extend(part.as_bytes());
            }
            let entry = match node {
                Node::Folder(inner) => {
                    let cluster = self.folder(inner, Some(first), None);
                    self.entry(short, ATTRIBUTE_DIRECTORY, cluster, 0)
                }
                Node::File(contents) => {
                    let cluster = if contents.is_empty() { 0 } else { self.file(contents) };
                    self.entry(short, ATTRIBUTE_ARCHIVE, cluster, contents.len())
                }
            };
            bytes.extend(entry.as_bytes());
        }
        self.data[at..at + bytes.len()].copy_from_slice(&bytes);
        first
    }

    fn file(&mut self, contents: &[u8]) -> u32 {
        let (first, at) = self.allocate(contents.len());
        self.data[at..at + contents.len()].copy_from_slice(contents);
        first
    }

    fn entry(&self, name: [u8; 11], attr: u8, cluster: u32, size: usize) -> ShortEntry {
        let [low, low2, high, high2] = cluster.to_le_bytes();
        ShortEntry {
            name,
            attr,
            nt_res: 0,
            crt_time_tenth: 0,
            crt_time: self.stamp.time.into(),
            crt_date: self.stamp.date.into(),
            lst_acc_date: self.stamp.date.into(),
            fst_clus_hi: u16::from_le_bytes([high, high2]).into(),
            wrt_time: self.stamp.time.into(),
            wrt_date: self.stamp.date.into(),
            fst_clus_lo: u16::from_le_bytes([low, low2]).into(),
            file_size: u32::try_from(size).unwrap_or(u32::MAX).into(),
        }
    }
}

fn padded(label: &str) -> [u8; 11] {
    let mut padded = [b' '; 11];
    padded[..label.len()].copy_from_slice(label.as_bytes());
    padded
}

fn reserved_area(volume: &Volume, geometry: &Geometry, used: u64) -> Vec<u8> {
    // All of these were checked against 32 bits when the geometry was chosen.
    let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let boot = BootSector {
        jmp_boot: [0xeb, 0x58, 0x90],
        // The specification advises this name, as old systems believe no other.
        oem_name: *b"MSWIN4.1",
        byts_per_sec: 512.into(),
        sec_per_clus: u8::try_from(geometry.sectors_per_cluster).unwrap_or(1),
        rsvd_sec_cnt: 32.into(),
        num_fats: 2,
        root_ent_cnt: 0.into(),
        tot_sec16: 0.into(),
        media: 0xf8,
        fat_sz16: 0.into(),
        sec_per_trk: 63.into(),
        num_heads: 255.into(),
        hidd_sec: narrow(volume.hidden).into(),
        tot_sec32: narrow(geometry.sectors).into(),
        fat_sz32: narrow(geometry.fat_sectors).into(),
        ext_flags: 0.into(),
        fs_ver: 0.into(),
        root_clus: ROOT_CLUSTER.into(),
        fs_info: 1.into(),
        bk_boot_sec: 6.into(),
        reserved: [0; 12],
        drv_num: 0x80,
        reserved1: 0,
        boot_sig: 0x29,
        vol_id: volume.id.into(),
        vol_lab: padded(&volume.label),
        fil_sys_type: *b"FAT32   ",
        boot_code: [0; 420],
        signature: [0x55, 0xaa],
    };
    let information = FsInfo {
        lead_sig: LEAD_SIGNATURE.into(),
        reserved1: [0; 480],
        struc_sig: STRUCTURE_SIGNATURE.into(),
        free_count: narrow(geometry.clusters - used).into(),
        nxt_free: narrow(used + 2).into(),
        reserved2: [0; 12],
        trail_sig: TRAIL_SIGNATURE.into(),
    };
    let mut area = vec![0; usize_of(RESERVED_SECTORS * SECTOR)];
    for sector in [0, BACKUP_SECTOR] {
        let at = usize_of(sector * SECTOR);
        area[at..at + 512].copy_from_slice(boot.as_bytes());
        area[at + 512..at + 1024].copy_from_slice(information.as_bytes());
    }
    area
}
