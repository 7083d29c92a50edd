//! Folders: one block of entries in the tree's order, or more of them in the order of their hashes below an index.
//!
//! ```text
//! block 0       `.`, `..` and the root of the index: limit, count, then hash and block of each part
//! block 1..     with more than 507 leaves: nodes of the index, which look like one empty entry
//! block n..     leaves: entries, and a last one that carries the checksum
//! ```

use super::super::checksum::crc32c;
use super::super::layout::{DirectoryHead, TAIL, TAIL_TYPE};
use super::WriteError;
use super::geometry::BLOCK;
use super::hash::{HALF_MD4, hash};
use zerocopy::IntoBytes as _;

const SIZE: usize = BLOCK as usize;
const HEAD: usize = size_of::<DirectoryHead>();
/// Bytes of a leaf for entries.
const ROOM: usize = SIZE - TAIL;
/// Where the counts of an index stand: behind `.`, `..` and the root's own fields, or behind an empty entry.
const ROOT_COUNTS: usize = 32;
const NODE_COUNTS: usize = 8;
/// Hash and block.
const PART: usize = 8;
/// Parts of a root and of a node, the place of the checksum taken off.
const ROOT_PARTS: usize = (SIZE - ROOT_COUNTS) / PART - 1;
const NODE_PARTS: usize = (SIZE - NODE_COUNTS) / PART - 1;
/// `file_type` of a folder.
pub(super) const FOLDER: u8 = 2;

/// A name and what it stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) inode: u32,
    pub(super) file_type: u8,
}

/// A folder's blocks, one behind the other, and whether they have an index.
pub(super) struct Folder {
    pub(super) bytes: Vec<u8>,
    pub(super) indexed: bool,
}

/// The entries of folder `own` in `parent`, in at least so many blocks. `seed` begins its checksums, `hash_seed` its hashes.
pub(super) fn folder(
    own: u32,
    parent: u32,
    entries: &[Entry<'_>],
    least: usize,
    seed: u32,
    hash_seed: [u8; 16],
) -> Result<Folder, WriteError> {
    let special =
        [Entry { name: b".", inode: own, file_type: FOLDER }, Entry { name: b"..", inode: parent, file_type: FOLDER }];
    let length: usize = special.iter().chain(entries).map(|entry| taken(entry)).sum();
    if length <= ROOM {
        let all: Vec<&Entry<'_>> = special.iter().chain(entries).collect();
        let mut bytes = leaf(&all, seed);
        for _ in 1..least {
            bytes.extend(leaf(&[], seed));
        }
        return Ok(Folder { bytes, indexed: false });
    }
    let mut sorted: Vec<(u32, u32, &Entry<'_>)> = entries
        .iter()
        .map(|entry| {
            let (major, minor) = hash(entry.name, hash_seed);
            (major, minor, entry)
        })
        .collect();
    sorted.sort_by_key(|(major, minor, entry)| (*major, *minor, entry.name));
    let leaves = leaves(&sorted);
    // The first part of an index begins at no hash; one that goes on with the hash of the part before it says so by its last bit.
    let first = |at: usize| match (at, leaves[at].first().map_or(0, |entry| entry.0)) {
        (0, _) => 0,
        (_, hash) if leaves[at - 1].last().is_some_and(|before| before.0 == hash) => hash | 1,
        (_, hash) => hash,
    };
    let nodes = if leaves.len() <= ROOT_PARTS { 0 } else { leaves.len().div_ceil(NODE_PARTS) };
    if nodes > ROOT_PARTS {
        return Err(WriteError::Folder { inode: own });
    }
    let parts: Vec<(u32, usize)> = (0..leaves.len()).map(|at| (first(at), 1 + nodes + at)).collect();
    let mut bytes = Vec::with_capacity((1 + nodes + leaves.len()) * SIZE);
    if nodes == 0 {
        bytes.extend(root(&special, &parts, 0, seed));
    } else {
        let above: Vec<(u32, usize)> =
            parts.chunks(NODE_PARTS).zip(1..).filter_map(|(parts, at)| Some((parts.first()?.0, at))).collect();
        bytes.extend(root(&special, &above, 1, seed));
        for parts in parts.chunks(NODE_PARTS) {
            bytes.extend(node(parts, seed));
        }
    }
    for entries in leaves {
        let entries: Vec<&Entry<'_>> = entries.iter().map(|(_, _, entry)| *entry).collect();
        bytes.extend(leaf(&entries, seed));
    }
    Ok(Folder { bytes, indexed: true })
}

/// Bytes that an entry needs.
fn taken(entry: &Entry<'_>) -> usize {
    (HEAD + entry.name.len()).next_multiple_of(4)
}

/// Splits entries into as many as each leaf holds.
fn leaves<'s, 'e>(sorted: &'s [(u32, u32, &'e Entry<'e>)]) -> Vec<&'s [(u32, u32, &'e Entry<'e>)]> {
    let mut leaves = Vec::new();
    let (mut start, mut length) = (0, 0);
    for (at, (_, _, entry)) in sorted.iter().enumerate() {
        if length + taken(entry) > ROOM {
            leaves.push(&sorted[start..at]);
            (start, length) = (at, 0);
        }
        length += taken(entry);
    }
    leaves.push(&sorted[start..]);
    leaves
}

fn put(bytes: &mut Vec<u8>, entry: &Entry<'_>, length: usize) {
    let head = DirectoryHead {
        inode: entry.inode.into(),
        rec_len: u16::try_from(length).unwrap_or(u16::MAX).into(),
        name_len: u8::try_from(entry.name.len()).unwrap_or(u8::MAX),
        file_type: entry.file_type,
    };
    let end = bytes.len() + length;
    bytes.extend(head.as_bytes());
    bytes.extend(entry.name);
    bytes.resize(end, 0);
}

const NOTHING: Entry<'_> = Entry { name: b"", inode: 0, file_type: 0 };

/// A block of entries; the last one takes the rest, behind it stands the checksum.
fn leaf(entries: &[&Entry<'_>], seed: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SIZE);
    match entries.split_last() {
        None => put(&mut bytes, &NOTHING, ROOM),
        Some((last, others)) => {
            others.iter().for_each(|entry| put(&mut bytes, entry, taken(entry)));
            let rest = ROOM - bytes.len();
            put(&mut bytes, last, rest);
        }
    }
    let sum = crc32c(seed, &bytes);
    put(&mut bytes, &Entry { file_type: TAIL_TYPE, ..NOTHING }, TAIL);
    bytes[SIZE - 4..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn root(special: &[Entry<'_>; 2], parts: &[(u32, usize)], levels: u8, seed: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SIZE);
    put(&mut bytes, &special[0], 12);
    put(&mut bytes, &special[1], SIZE - 12);
    // dx_root_info: reserved, hash_version, info_length, indirect_levels, unused_flags.
    bytes[24..ROOT_COUNTS].copy_from_slice(&[0, 0, 0, 0, HALF_MD4, 8, levels, 0]);
    index(&mut bytes, parts, ROOT_COUNTS, ROOT_PARTS, seed);
    bytes
}

fn node(parts: &[(u32, usize)], seed: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SIZE);
    put(&mut bytes, &NOTHING, SIZE);
    index(&mut bytes, parts, NODE_COUNTS, NODE_PARTS, seed);
    bytes
}

/// Limit and count stand where the first part's hash would; the checksum stands behind the last place.
fn index(bytes: &mut [u8], parts: &[(u32, usize)], counts: usize, most: usize, seed: u32) {
    for (at, (hash, block)) in (counts..).step_by(PART).zip(parts) {
        bytes[at..at + 4].copy_from_slice(&hash.to_le_bytes());
        bytes[at + 4..at + 8].copy_from_slice(&u32::try_from(*block).unwrap_or(u32::MAX).to_le_bytes());
    }
    let half = |number: usize| u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes();
    bytes[counts..counts + 2].copy_from_slice(&half(most));
    bytes[counts + 2..counts + 4].copy_from_slice(&half(parts.len()));
    let tail = counts + most * PART;
    let sum = crc32c(crc32c(seed, &bytes[..counts + parts.len() * PART]), &[0; 8]);
    bytes[tail + 4..tail + 8].copy_from_slice(&sum.to_le_bytes());
}
