//! A description to bytes: everything is placed first, then written once from front to back.

use super::hierarchy::{Folder, Side, Target, folders, place, record_length};
use super::layout::{
    Both16, Both32, DirectoryRecord, FIRST_DESCRIPTOR, FLAG_DIRECTORY, JOLIET_LEVEL_3, NO_LONG_TIME, SECTOR,
    VolumeDescriptor, long_time, short_time,
};
use super::{Content, Volume, names, rock_ridge};
use crate::base::epoch::Epoch;
use crate::base::limits::{ISO_DEPTH, ISO_ENTRIES, ISO_NAME_BYTES};
use zerocopy::IntoBytes as _;

/// Why a volume cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The label does not fit.
    #[error("`{0}` is no volume label: 1 to 16 characters of ASCII letters, digits, `_`, `-` and `.`")]
    Label(String),
    /// A path is not relative and plain, or a name is too long.
    #[error("`{0}` is no path within a volume: names of 1 to {ISO_NAME_BYTES} bytes, at most {ISO_DEPTH} of them")]
    Path(String),
    /// Something lies below a file.
    #[error("`{0}` lies below a file")]
    BelowFile(String),
    /// Too many of them.
    #[error("{0} files and folders: a volume holds at most {ISO_ENTRIES}")]
    TooMany(usize),
    /// A file or the volume exceeds what 32 bits can number.
    #[error("{0} bytes exceed the 4 GiB that a file may have, or the volume 8 TiB")]
    TooLarge(usize),
}

/// One tree, placed.
struct Tree {
    side: Side,
    folders: Vec<Folder>,
    /// First sector and bytes of every folder.
    places: Vec<(u32, u32)>,
    /// First sector of the L and of the M path table.
    tables: (u32, u32),
    /// Bytes of a path table.
    table_size: u32,
}

/// Writes the volume.
///
/// # Errors
/// When label, paths or sizes do not fit the format.
pub fn write(volume: &Volume) -> Result<Vec<u8>, WriteError> {
    check(volume)?;
    let mut next = FIRST_DESCRIPTOR + 3;
    let mut primary = tables(volume, Side::Primary, &mut next)?;
    let mut joliet = tables(volume, Side::Joliet, &mut next)?;
    for tree in [&mut primary, &mut joliet] {
        for folder in &tree.folders {
            let length = place(lengths(folder, tree.side, volume.epoch).into_iter()).1;
            tree.places.push((sector(next)?, sector(length)?));
            next += length / SECTOR;
        }
    }
    let mut files = Vec::new();
    for bytes in contents(volume) {
        let length = u32::try_from(bytes.len()).map_err(|_| WriteError::TooLarge(bytes.len()))?;
        // An empty file has no place; readers must not look at it.
        files.push((if bytes.is_empty() { 0 } else { sector(next)? }, length));
        next += bytes.len().div_ceil(SECTOR);
    }
    let total = sector(next)?;

    let mut out = vec![0; FIRST_DESCRIPTOR * SECTOR];
    out.reserve((next - FIRST_DESCRIPTOR) * SECTOR);
    for tree in [&primary, &joliet] {
        out.extend(descriptor(volume, tree, total).as_bytes());
    }
    out.extend(b"\xffCD001\x01");
    pad(&mut out);
    for tree in [&primary, &joliet] {
        for big in [false, true] {
            path_table(&mut out, tree, big);
            pad(&mut out);
        }
    }
    for tree in [&primary, &joliet] {
        for number in 0..tree.folders.len() {
            folder(&mut out, tree, number, &files, volume.epoch);
        }
    }
    for bytes in contents(volume) {
        out.extend(bytes);
        pad(&mut out);
    }
    Ok(out)
}

fn check(volume: &Volume) -> Result<(), WriteError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !(1..=16).contains(&volume.label.len()) || !volume.label.chars().all(allowed) {
        return Err(WriteError::Label(volume.label.clone()));
    }
    let mut above = std::collections::BTreeSet::new();
    for path in volume.entries.keys() {
        let wrong = |part: &str| {
            part.is_empty() || part.len() > ISO_NAME_BYTES || part == "." || part == ".." || part.contains('\0')
        };
        if path.split('/').any(wrong) || path.split('/').count() > ISO_DEPTH {
            return Err(WriteError::Path(path.clone()));
        }
        for (end, _) in path.match_indices('/') {
            let parent = &path[..end];
            if matches!(volume.entries.get(parent).map(|entry| &entry.content), Some(Content::File(_))) {
                return Err(WriteError::BelowFile(path.clone()));
            }
            above.insert(parent);
        }
        let count = volume.entries.len() + above.len();
        if count > 2 * ISO_ENTRIES {
            return Err(WriteError::TooMany(count));
        }
    }
    let count = volume.entries.keys().map(String::as_str).chain(above).collect::<std::collections::BTreeSet<_>>().len();
    if count > ISO_ENTRIES { Err(WriteError::TooMany(count)) } else { Ok(()) }
}

/// Lists a tree's folders and places its path tables.
fn tables(volume: &Volume, side: Side, next: &mut usize) -> Result<Tree, WriteError> {
    let folders = folders(volume, side);
    let size: usize = folders.iter().map(|folder| 8 + folder.identifier.len().next_multiple_of(2)).sum();
    let sectors = size.div_ceil(SECTOR);
    let places = (sector(*next)?, sector(*next + sectors)?);
    *next += 2 * sectors;
    Ok(Tree { side, folders, places: Vec::new(), tables: places, table_size: sector(size)? })
}

fn sector(number: usize) -> Result<u32, WriteError> {
    u32::try_from(number).map_err(|_| WriteError::TooLarge(number))
}

fn contents(volume: &Volume) -> impl Iterator<Item = &[u8]> {
    volume.entries.values().filter_map(|entry| match &entry.content {
        Content::File(bytes) => Some(bytes.as_slice()),
        Content::Folder => None,
    })
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(SECTOR), 0);
}

fn descriptor(volume: &Volume, tree: &Tree, total: u32) -> VolumeDescriptor {
    let joliet = tree.side == Side::Joliet;
    let blank = |length: usize| if joliet { names::ucs2(" ").repeat(length.div_ceil(2)) } else { vec![b' '; length] };
    fn field<const N: usize>(text: Vec<u8>, blank: Vec<u8>) -> [u8; N] {
        let mut out = [0; N];
        // An odd field of UCS-2 ends with a zero byte.
        let usable = if blank.first() == Some(&0) { N - N % 2 } else { N };
        out[..usable].copy_from_slice(&blank[..usable]);
        out[..text.len()].copy_from_slice(&text);
        out
    }
    let text = |text: &str| if joliet { names::ucs2(text) } else { text.as_bytes().to_vec() };
    let mut escape_sequences = [0; 32];
    if joliet {
        escape_sequences[..3].copy_from_slice(JOLIET_LEVEL_3);
    }
    let time = long_time(volume.epoch);
    VolumeDescriptor {
        kind: if joliet { 2 } else { 1 },
        standard_identifier: *b"CD001",
        version: 1,
        flags: 0,
        system_identifier: field(text(""), blank(32)),
        volume_identifier: field(text(&volume.label), blank(32)),
        unused1: [0; 8],
        volume_space_size: Both32::new(total),
        escape_sequences,
        volume_set_size: Both16::new(1),
        volume_sequence_number: Both16::new(1),
        logical_block_size: Both16::new(2048),
        path_table_size: Both32::new(tree.table_size),
        path_table_l: tree.tables.0.into(),
        optional_path_table_l: 0.into(),
        path_table_m: tree.tables.1.into(),
        optional_path_table_m: 0.into(),
        root: record(tree.places[0], 34, 1, true, volume.epoch),
        root_identifier: 0,
        volume_set_identifier: field(text(""), blank(128)),
        publisher_identifier: field(text(""), blank(128)),
        data_preparer_identifier: field(text(""), blank(128)),
        application_identifier: field(text("IMGBUILD"), blank(128)),
        file_identifiers: if joliet { joliet_file_identifiers() } else { [b' '; 111] },
        creation_time: time,
        modification_time: time,
        expiration_time: NO_LONG_TIME,
        effective_time: time,
        file_structure_version: 1,
        reserved1: 0,
        application_use: [0; 512],
        reserved2: [0; 653],
    }
}

/// Three fields of 37 bytes: 18 blanks of UCS-2 and a zero byte each.
fn joliet_file_identifiers() -> [u8; 111] {
    let mut out = [0; 111];
    for field in out.chunks_mut(37) {
        field[..36].copy_from_slice(&names::ucs2(" ").repeat(18));
    }
    out
}

fn record(place: (u32, u32), length: usize, identifier: usize, folder: bool, epoch: Epoch) -> DirectoryRecord {
    DirectoryRecord {
        length: u8::try_from(length).unwrap_or(u8::MAX),
        extended_attribute_length: 0,
        extent: Both32::new(place.0),
        data_length: Both32::new(place.1),
        recording_time: short_time(epoch),
        file_flags: if folder { FLAG_DIRECTORY } else { 0 },
        unit_size: 0,
        gap_size: 0,
        volume_sequence_number: Both16::new(1),
        identifier_length: u8::try_from(identifier).unwrap_or(u8::MAX),
    }
}

fn path_table(out: &mut Vec<u8>, tree: &Tree, big: bool) {
    for (folder, place) in tree.folders.iter().zip(&tree.places) {
        out.extend([u8::try_from(folder.identifier.len()).unwrap_or(u8::MAX), 0]);
        // Folders are numbered from 1; their number is bounded by ISO_ENTRIES.
        let parent = u16::try_from(folder.parent + 1).unwrap_or(u16::MAX);
        if big {
            out.extend(place.0.to_be_bytes());
            out.extend(parent.to_be_bytes());
        } else {
            out.extend(place.0.to_le_bytes());
            out.extend(parent.to_le_bytes());
        }
        out.extend(&folder.identifier);
        out.resize(out.len().next_multiple_of(2), 0);
    }
}

/// Identifier, system use entries of all records of a folder: `.`, `..`, then its children.
fn records(tree: &[Folder], number: usize, side: Side, epoch: Epoch) -> Vec<(&[u8], Vec<u8>)> {
    let own = &tree[number];
    let parent = &tree[own.parent];
    let entries = |name: &str, mode: u32, folder: Option<&Folder>, first: bool| match side {
        Side::Joliet => Vec::new(),
        Side::Primary => {
            let links = folder.map_or(1, |folder| u32::try_from(2 + folder.folders()).unwrap_or(u32::MAX));
            rock_ridge::entries(name, rock_ridge::mode(mode, folder.is_some()), links, epoch, first)
        }
    };
    let mut out: Vec<(&[u8], Vec<u8>)> = vec![
        (&[0], entries("", own.mode, Some(own), number == 0)),
        (&[1], entries("", parent.mode, Some(parent), false)),
    ];
    for child in &own.children {
        let folder = match child.target {
            Target::Folder(number) => Some(&tree[number]),
            Target::File(_) => None,
        };
        out.push((&child.identifier, entries(&child.name, child.mode, folder, false)));
    }
    out
}

/// Bytes of a folder's records, for placing; the links of its children do not change a length.
fn lengths(folder: &Folder, side: Side, epoch: Epoch) -> Vec<usize> {
    let entries = |name: &str, first: bool| match side {
        Side::Joliet => 0,
        Side::Primary => rock_ridge::entries(name, 0, 0, epoch, first).len(),
    };
    let root = folder.identifier == [0];
    let mut out = vec![record_length(1, entries("", root)), record_length(1, entries("", false))];
    out.extend(folder.children.iter().map(|child| record_length(child.identifier.len(), entries(&child.name, false))));
    out
}

fn folder(out: &mut Vec<u8>, tree: &Tree, number: usize, files: &[(u32, u32)], epoch: Epoch) {
    let own = &tree.folders[number];
    let records = records(&tree.folders, number, tree.side, epoch);
    let (places, length) = place(records.iter().map(|(id, entries)| record_length(id.len(), entries.len())));
    let start = out.len();
    for (index, ((identifier, entries), at)) in records.iter().zip(places).enumerate() {
        let (extent, is_folder) = match index {
            0 => (tree.places[number], true),
            1 => (tree.places[own.parent], true),
            _ => match own.children[index - 2].target {
                Target::Folder(number) => (tree.places[number], true),
                Target::File(number) => (files[number], false),
            },
        };
        out.resize(start + at, 0);
        let length = record_length(identifier.len(), entries.len());
        out.extend(record(extent, length, identifier.len(), is_folder, epoch).as_bytes());
        out.extend(*identifier);
        out.resize(start + at + (size_of::<DirectoryRecord>() + identifier.len()).next_multiple_of(2), 0);
        out.extend(entries);
        out.resize(start + at + length, 0);
    }
    out.resize(start + length, 0);
}
