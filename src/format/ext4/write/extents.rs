//! Extent trees: up to four extents in the inode, more in blocks of their own below it.

use super::super::checksum::crc32c;
use super::super::layout::{EXTENT_MAGIC, ExtentHeader, ExtentIndex, ExtentLeaf, UNWRITTEN};
use super::allocate::Allocator;
use super::geometry::BLOCK;
use crate::format::{Run, usize_of};
use std::ops::Range;
use zerocopy::IntoBytes as _;

const ENTRY: usize = size_of::<ExtentLeaf>();
const IN_INODE: u16 = 4;
/// Entries of a block beside its header and its checksum.
const IN_BLOCK: u16 = 340;

const _: () = assert!(ENTRY * (1 + IN_BLOCK as usize) + 4 == BLOCK as usize);

/// The map of a file as it stands in its inode, and the blocks that the rest of it took.
pub(super) struct Map {
    pub(super) root: [u8; 60],
    pub(super) nodes: u64,
}

/// Maps the contents' blocks, in order, to these runs of the filesystem: pairs of the first block within the contents
/// and the run. `seed` is what the checksums of the inode's structures begin with.
pub(super) fn map(placed: &[(u64, Range<u64>)], seed: u32, allocator: &mut Allocator<'_>, runs: &mut Vec<Run>) -> Map {
    let mut entries: Vec<(u32, [u8; ENTRY])> = placed.iter().flat_map(|(logical, run)| leaves(*logical, run)).collect();
    let (mut depth, mut nodes) = (0_u16, 0);
    while entries.len() > usize::from(IN_INODE) {
        let mut above = Vec::new();
        for part in entries.chunks(IN_BLOCK.into()) {
            let mut bytes = node(part, IN_BLOCK, depth);
            bytes.resize(usize_of(BLOCK) - 4, 0);
            let sum = crc32c(seed, &bytes);
            bytes.extend(sum.to_le_bytes());
            let block = allocator.one();
            runs.push(Run { offset: block * BLOCK, bytes });
            let first = part.first().map_or(0, |(first, _)| *first);
            let (low, high) = halves(block);
            let index = ExtentIndex {
                ei_block: first.into(),
                ei_leaf_lo: low.into(),
                ei_leaf_hi: high.into(),
                ei_unused: 0.into(),
            };
            above.push((first, zerocopy::transmute!(index)));
            nodes += 1;
        }
        entries = above;
        depth += 1;
    }
    let bytes = node(&entries, IN_INODE, depth);
    let mut root = [0; 60];
    root[..bytes.len()].copy_from_slice(&bytes);
    Map { root, nodes }
}

fn leaves(logical: u64, run: &Range<u64>) -> impl Iterator<Item = (u32, [u8; ENTRY])> {
    let (logical, run) = (logical, run.clone());
    run.clone().step_by(UNWRITTEN.into()).map(move |start| {
        let blocks = (run.end - start).min(UNWRITTEN.into());
        // No file has more blocks than 32 bits count: its size was checked.
        let block = u32::try_from(logical + start - run.start).unwrap_or(u32::MAX);
        let (low, high) = halves(start);
        let leaf = ExtentLeaf {
            ee_block: block.into(),
            ee_len: u16::try_from(blocks).unwrap_or(UNWRITTEN).into(),
            ee_start_hi: high.into(),
            ee_start_lo: low.into(),
        };
        (block, zerocopy::transmute!(leaf))
    })
}

fn node(entries: &[(u32, [u8; ENTRY])], most: u16, depth: u16) -> Vec<u8> {
    let header = ExtentHeader {
        eh_magic: EXTENT_MAGIC.into(),
        eh_entries: u16::try_from(entries.len()).unwrap_or(most).into(),
        eh_max: most.into(),
        eh_depth: depth.into(),
        eh_generation: 0.into(),
    };
    let mut bytes = header.as_bytes().to_vec();
    entries.iter().for_each(|(_, entry)| bytes.extend(entry));
    bytes
}

/// A block's number as its lower 32 and upper 16 bits.
fn halves(block: u64) -> (u32, u16) {
    let bytes = block.to_le_bytes();
    (u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]), u16::from_le_bytes([bytes[4], bytes[5]]))
}
