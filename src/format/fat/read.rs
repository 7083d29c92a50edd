//! Reads a FAT32 volume: strict about the structures, bounded in folders, entries and chains.

use super::layout::{
    ATTRIBUTE_DIRECTORY, ATTRIBUTE_LONG, ATTRIBUTE_VOLUME, BACKUP_SECTOR, BootSector, ENTRY, FAT_COPIES, FsInfo,
    Geometry, LAST_LONG, LEAD_SIGNATURE, LongEntry, MAXIMUM_CLUSTERS, MINIMUM_CLUSTERS, RESERVED_SECTORS, ROOT_CLUSTER,
    STRUCTURE_SIGNATURE, ShortEntry, TRAIL_SIGNATURE, UNITS_PER_LONG, short_checksum,
};
use super::name;
use crate::base::limits::{FAT_DEPTH, FAT_ENTRIES, FAT_FOLDERS_BYTES, FAT_TABLE_BYTES};
use crate::base::size::SECTOR;
use crate::format::{ReadAt, usize_of};
use std::collections::BTreeSet;
use std::io;
use zerocopy::FromBytes as _;

/// Why a volume could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The source failed or is too short.
    #[error("the FAT volume could not be read")]
    Io(#[from] io::Error),
    /// A field of the boot sector or of FSInfo is wrong.
    #[error("the FAT volume has a wrong {0}")]
    Field(&'static str),
    /// A chain of clusters is broken.
    #[error("`{path}` has a broken chain of clusters: {what}")]
    Chain {
        /// Whose.
        path: String,
        /// How.
        what: &'static str,
    },
    /// A folder's entry is wrong.
    #[error("folder `{path}` has {what}")]
    Folder {
        /// Which.
        path: String,
        /// What is wrong.
        what: &'static str,
    },
    /// There is no such file, or it is longer than wanted.
    #[error("there is no file `{0}` of acceptable size")]
    NoFile(String),
}

/// The longest folder: the specification's limit.
const MAXIMUM_FOLDER: u64 = 65_536 * ENTRY as u64;

/// What a volume holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Serial number.
    pub id: u32,
    /// Label of the root folder.
    pub label: String,
    /// Bytes of the volume.
    pub size: u64,
    /// Sectors before it.
    pub hidden: u32,
    /// Bytes of a cluster.
    pub cluster: u64,
    /// Bytes of free clusters.
    pub free: u64,
    /// Files and folders, each folder before what is in it, in the order on disk.
    pub entries: Vec<Entry>,
    geometry: Geometry,
    fat: Vec<u32>,
}

/// A file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path with `/`, without one in front.
    pub path: String,
    /// Whether it is a folder.
    pub directory: bool,
    /// Bytes of a file.
    pub size: u64,
    first: u32,
}

/// Reads boot sector, FATs and all folders.
///
/// # Errors
/// When the volume is no FAT32 or its structures contradict one another.
pub fn read(source: &dyn ReadAt) -> Result<Contents, ReadError> {
    let boot = BootSector::read_from_bytes(&source.read_vec(0, 512)?).map_err(|_| ReadError::Field("boot sector"))?;
    let geometry = geometry(&boot, source.size())?;
    let backup = source.read_vec(BACKUP_SECTOR * SECTOR, 512)?;
    if BootSector::read_from_bytes(&backup).ok().as_ref() != Some(&boot) {
        return Err(ReadError::Field("backup of the boot sector"));
    }
    let length = usize_of((geometry.clusters + 2) * 4);
    let bytes = source.read_vec(geometry.fat_offset(0), length)?;
    if bytes != source.read_vec(geometry.fat_offset(1), length)? {
        return Err(ReadError::Field("second FAT: it differs from the first"));
    }
    // The upper four bits are reserved.
    let entry = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) & 0x0fff_ffff;
    let fat: Vec<u32> = bytes.chunks_exact(4).map(entry).collect();
    let free = fat[2..].iter().filter(|entry| **entry == 0).count() as u64;
    let information =
        FsInfo::read_from_bytes(&source.read_vec(SECTOR, 512)?).map_err(|_| ReadError::Field("FSInfo"))?;
    let signatures = information.lead_sig.get() == LEAD_SIGNATURE
        && information.struc_sig.get() == STRUCTURE_SIGNATURE
        && information.trail_sig.get() == TRAIL_SIGNATURE;
    if !signatures || u64::from(information.free_count.get()) != free {
        return Err(ReadError::Field("FSInfo sector"));
    }
    let mut contents = Contents {
        id: boot.vol_id.get(),
        label: String::new(),
        size: geometry.sectors * SECTOR,
        hidden: boot.hidd_sec.get(),
        cluster: geometry.cluster_bytes(),
        free: free * geometry.cluster_bytes(),
        entries: Vec::new(),
        geometry,
        fat,
    };
    folder(source, &mut contents, &mut Walked::default(), "", ROOT_CLUSTER, 0)?;
    Ok(contents)
}

/// Reads one file of at most `limit` bytes; names are compared as FAT does, without regard to case.
///
/// # Errors
/// When there is none, it is longer, or its chain is broken.
pub fn read_file(source: &dyn ReadAt, contents: &Contents, path: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
    let wanted = path.to_uppercase();
    let fits = |entry: &&Entry| !entry.directory && entry.size <= limit && entry.path.to_uppercase() == wanted;
    let entry = contents.entries.iter().find(fits).ok_or_else(|| ReadError::NoFile(path.to_owned()))?;
    if entry.size == 0 {
        return Ok(Vec::new());
    }
    let mut bytes = chain(source, contents, path, entry.first, entry.size.next_multiple_of(contents.cluster))?;
    if bytes.len() as u64 != entry.size.next_multiple_of(contents.cluster) {
        return Err(ReadError::Chain { path: path.to_owned(), what: "it is shorter than the file" });
    }
    bytes.truncate(usize_of(entry.size));
    Ok(bytes)
}

fn geometry(boot: &BootSector, size: u64) -> Result<Geometry, ReadError> {
    let sectors_per_cluster = u64::from(boot.sec_per_clus);
    let (sectors, fat_sectors) = (u64::from(boot.tot_sec32.get()), u64::from(boot.fat_sz32.get()));
    let checks = [
        (boot.signature == [0x55, 0xaa], "signature"),
        (boot.byts_per_sec.get() == 512, "sector size"),
        (sectors_per_cluster.is_power_of_two() && sectors_per_cluster <= 64, "cluster size"),
        (u64::from(boot.rsvd_sec_cnt.get()) == RESERVED_SECTORS, "number of reserved sectors"),
        (u64::from(boot.num_fats) == FAT_COPIES, "number of FATs"),
        (boot.root_ent_cnt.get() == 0 && boot.tot_sec16.get() == 0 && boot.fat_sz16.get() == 0, "FAT16 field"),
        (boot.ext_flags.get() == 0 && boot.fs_ver.get() == 0, "version"),
        (boot.root_clus.get() == ROOT_CLUSTER && boot.fs_info.get() == 1, "place of root or FSInfo"),
        (u64::from(boot.bk_boot_sec.get()) == BACKUP_SECTOR, "place of the backup"),
        (sectors * SECTOR <= size, "number of sectors"),
        (fat_sectors * SECTOR <= FAT_TABLE_BYTES, "size of the FAT"),
    ];
    if let Some((_, field)) = checks.iter().find(|(holds, _)| !holds) {
        return Err(ReadError::Field(field));
    }
    let overhead = RESERVED_SECTORS + FAT_COPIES * fat_sectors;
    let clusters = sectors.saturating_sub(overhead) / sectors_per_cluster;
    if !(MINIMUM_CLUSTERS..=MAXIMUM_CLUSTERS).contains(&clusters) || (clusters + 2) * 4 > fat_sectors * SECTOR {
        return Err(ReadError::Field("number of clusters"));
    }
    Ok(Geometry { sectors, sectors_per_cluster, fat_sectors, clusters })
}

/// The bytes of a chain, up to `limit`.
fn chain(source: &dyn ReadAt, contents: &Contents, path: &str, first: u32, limit: u64) -> Result<Vec<u8>, ReadError> {
    let broken = |what| ReadError::Chain { path: path.to_owned(), what };
    let cluster = usize_of(contents.cluster);
    let mut bytes = Vec::new();
    let mut current = first;
    loop {
        // Also ends loops: the limit is finite.
        if bytes.len() as u64 + contents.cluster > limit {
            return Err(broken("it is too long, or a loop"));
        }
        let next = match contents.fat.get(current as usize) {
            Some(next) if current >= ROOT_CLUSTER => *next,
            _ => return Err(broken("it leaves the volume")),
        };
        bytes.extend(source.read_vec(contents.geometry.cluster_offset(current), cluster)?);
        match next {
            0x0fff_fff8.. => return Ok(bytes),
            0 => return Err(broken("it runs into a free cluster")),
            _ => current = next,
        }
    }
}

/// Which folders were read so far.
#[derive(Default)]
struct Walked {
    /// Their first clusters: a folder that comes again would lead into itself, or double the work with every level.
    folders: BTreeSet<u32>,
    bytes: u64,
}

fn folder(
    source: &dyn ReadAt,
    contents: &mut Contents,
    walked: &mut Walked,
    path: &str,
    first: u32,
    depth: usize,
) -> Result<(), ReadError> {
    let wrong = |what| ReadError::Folder { path: path.to_owned(), what };
    if depth > FAT_DEPTH {
        return Err(wrong("too many folders around it"));
    }
    if !walked.folders.insert(first) {
        return Err(wrong("the clusters of another folder"));
    }
    let bytes = chain(source, contents, path, first, MAXIMUM_FOLDER)?;
    walked.bytes += bytes.len() as u64;
    if walked.bytes > FAT_FOLDERS_BYTES {
        return Err(wrong("too many and too large folders beside it"));
    }
    let mut long: Vec<LongEntry> = Vec::new();
    for (at, entry) in bytes.chunks_exact(ENTRY).enumerate() {
        let short = ShortEntry::read_from_bytes(entry).map_err(|_| wrong("a short entry"))?;
        match (short.name[0], short.attr) {
            (0, _) => break,
            (0xe5, _) => long.clear(),
            (_, ATTRIBUTE_LONG) => {
                long.push(LongEntry::read_from_bytes(entry).map_err(|_| wrong("a short entry"))?);
                continue;
            }
            (_, attr) if attr & ATTRIBUTE_VOLUME != 0 => {
                if depth > 0 || !contents.label.is_empty() {
                    return Err(wrong("a label out of place"));
                }
                contents.label = String::from_utf8_lossy(&short.name).trim_end().to_owned();
            }
            (b'.', _) if depth > 0 && at < 2 => {}
            _ => {
                let name = spelt(&short, &long).ok_or_else(|| wrong("a malformed name"))?;
                long.clear();
                if contents.entries.len() >= FAT_ENTRIES {
                    return Err(wrong("too many entries"));
                }
                let child = if path.is_empty() { name } else { format!("{path}/{name}") };
                let directory = short.attr & ATTRIBUTE_DIRECTORY != 0;
                let first = u32::from(short.fst_clus_hi.get()) << 16 | u32::from(short.fst_clus_lo.get());
                let size = u64::from(short.file_size.get());
                contents.entries.push(Entry { path: child.clone(), directory, size, first });
                if directory {
                    // Depth first, so that a folder stands before what is in it and after its elder siblings.
                    folder(source, contents, walked, &child, first, depth + 1)?;
                }
            }
        }
        if !long.is_empty() && short.name[0] != 0xe5 {
            return Err(wrong("a long name without its short one"));
        }
    }
    Ok(())
}

fn spelt(short: &ShortEntry, long: &[LongEntry]) -> Option<String> {
    if long.is_empty() {
        return Some(name::shown(&short.name)).filter(|name| name::is_legal(name));
    }
    let checksum = short_checksum(&short.name);
    let mut units = Vec::new();
    for (number, part) in (1_u8..).zip(long.iter().rev()) {
        let last = if usize::from(number) == long.len() { LAST_LONG } else { 0 };
        if part.ord != number | last || part.chksum != checksum || part.kind != 0 {
            return None;
        }
        units.extend(part.name1.iter().chain(&part.name2).chain(&part.name3).map(|unit| unit.get()));
    }
    let end = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
    let name = String::from_utf16(&units[..end]).ok()?;
    (units.len() - end <= UNITS_PER_LONG && name::is_legal(&name)).then_some(name)
}
