//! The files that the filesystem keeps for itself: the journal, and the inode that holds the blocks for growing.

use super::super::layout::FLAG_EXTENTS;
use super::allocate::Allocator;
use super::extents;
use super::geometry::{BLOCK, GROUP, Geometry, has_copy};
use super::inode::{Fields, lower, mode};
use crate::base::epoch::Epoch;
use crate::format::{Run, usize_of};
use std::ops::Range;

/// Inode of the blocks for growing.
pub(super) const RESIZE: u32 = 7;
/// Inode of the journal.
pub(super) const JOURNAL: u32 = 8;
/// Block numbers in a block of the old kind of map, and in the inode itself.
const ADDRESSES: u64 = BLOCK / 4;
const DIRECT: u64 = 12;
/// Where an old map keeps the number of its doubly indirect block.
const DOUBLE: usize = 13;

/// Blocks of the journal, as mke2fs chooses: the least number of blocks of the filesystem that have one of this size.
const JOURNALS: [(u64, u64); 9] = [
    (32_768 << 10, 262_144),
    (16_384 << 10, 131_072),
    (8192 << 10, 65_536),
    (4096 << 10, 32_768),
    (512 << 10, 16_384),
    (256 << 10, 8192),
    (32 << 10, 4096),
    (2048, 1024),
    (0, 0),
];

/// How many blocks the journal of a filesystem of so many has; very small ones have none.
pub(super) fn journal_blocks(blocks: u64) -> u64 {
    JOURNALS.iter().find(|(least, _)| blocks >= *least).map_or(0, |(_, journal)| *journal)
}

fn own<'a>(made: Epoch) -> Fields<'a> {
    Fields {
        mode: mode::FILE | 0o600,
        uid: 0,
        gid: 0,
        size: 0,
        links: 1,
        blocks: 0,
        flags: 0,
        mtime: made.0,
        made,
        map: [0; 60],
        attribute_block: 0,
        behind: &[],
    }
}

/// An empty journal; the blocks behind its superblock need not be zero, and are.
pub(super) fn journal<'a>(
    blocks: u64,
    uuid: [u8; 16],
    made: Epoch,
    seed: u32,
    allocator: &mut Allocator<'_>,
    runs: &mut Vec<Run>,
) -> Fields<'a> {
    let placed = logical(&allocator.take(blocks));
    let map = extents::map(&placed, seed, allocator, runs);
    let mut bytes = vec![0; usize_of(BLOCK)];
    // jbd2: h_magic, h_blocktype (a superblock of version 2), h_sequence, s_blocksize, s_maxlen, s_first, s_sequence.
    let words = [0xc03b_3998, 4, 0, lower(BLOCK), lower(blocks), 1, 1];
    for (at, word) in (0..).step_by(4).zip(words) {
        bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
    }
    // s_uuid, s_nr_users.
    bytes[0x30..0x40].copy_from_slice(&uuid);
    bytes[0x40..0x44].copy_from_slice(&1_u32.to_be_bytes());
    if let Some((_, first)) = placed.first() {
        runs.push(Run { offset: first.start * BLOCK, bytes });
    }
    Fields { size: blocks * BLOCK, blocks: blocks + map.nodes, flags: FLAG_EXTENTS, map: map.root, ..own(made) }
}

/// Runs with the numbers that their first blocks have within the contents.
pub(super) fn logical(runs: &[Range<u64>]) -> Vec<(u64, Range<u64>)> {
    let number = |next: &mut u64, run: &Range<u64>| {
        let first = *next;
        *next += run.end - run.start;
        Some((first, run.clone()))
    };
    runs.iter().scan(0, number).collect()
}

/// The inode that owns the room behind the group descriptors: a doubly indirect block points to each block of this room
/// in group 0, and each of those to its like in the other groups that have one.
pub(super) fn resize<'a>(
    geometry: &Geometry,
    made: Epoch,
    allocator: &mut Allocator<'_>,
    runs: &mut Vec<Run>,
) -> Fields<'a> {
    let size = (ADDRESSES * ADDRESSES + ADDRESSES + DIRECT) * BLOCK;
    let double = allocator.one();
    let copies: Vec<u64> = (1..geometry.groups).filter(|group| has_copy(*group)).collect();
    let first = 1 + geometry.descriptor_blocks;
    let mut addresses = vec![0; usize_of(BLOCK)];
    for block in first..first + geometry.reserved {
        let place = usize_of((block - 1) % ADDRESSES) * 4;
        addresses[place..place + 4].copy_from_slice(&lower(block).to_le_bytes());
        let likes: Vec<u8> = copies.iter().flat_map(|group| lower(group * GROUP + block).to_le_bytes()).collect();
        if !likes.is_empty() {
            runs.push(Run { offset: block * BLOCK, bytes: likes });
        }
    }
    runs.push(Run { offset: double * BLOCK, bytes: addresses });
    let mut map = [0; 60];
    map[DOUBLE * 4..DOUBLE * 4 + 4].copy_from_slice(&lower(double).to_le_bytes());
    let blocks = 1 + geometry.reserved * (1 + copies.len() as u64);
    Fields { size, blocks, map, ..own(made) }
}
