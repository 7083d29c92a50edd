//! Where the fixed structures lie: how many groups, which hold copies of the superblock, where bitmaps and tables are.

use super::super::layout::{GroupDescriptor, Inode, InodeExtra};
use super::WriteError;
use crate::base::limits;
use std::ops::Range;

/// Bytes of a block.
pub(super) const BLOCK: u64 = 4096;
/// Bytes of an inode.
pub(super) const INODE: u64 = 256;
/// Blocks of a group: as many as a bitmap of one block has bits.
pub(super) const GROUP: u64 = 8 * BLOCK;
/// Groups whose bitmaps and tables lie together, as a power of two.
pub(super) const FLEX_BITS: u8 = 4;
const INODES_PER_BLOCK: u64 = BLOCK / INODE;
const DESCRIPTORS_PER_BLOCK: u64 = BLOCK / size_of::<GroupDescriptor>() as u64;
/// Block numbers in a block of the old kind of map.
const ADDRESSES: u64 = BLOCK / 4;
/// A filesystem may grow to so many times its size before group descriptors run out, as mke2fs has it.
const GROWTH: u64 = 1024;
/// Blocks that a last group must have beyond its own structures, or it is left out, as mke2fs has it.
const LEAST: u64 = 50;

const _: () = assert!(size_of::<Inode>() + size_of::<InodeExtra>() + 8 == 160);

/// The shape of a filesystem.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    pub(super) blocks: u64,
    pub(super) groups: u64,
    pub(super) inodes_per_group: u64,
    pub(super) descriptor_blocks: u64,
    /// Blocks behind the descriptors, for those of later groups.
    pub(super) reserved: u64,
    pub(super) block_bitmaps: Vec<u64>,
    pub(super) inode_bitmaps: Vec<u64>,
    pub(super) inode_tables: Vec<u64>,
    /// What all of these take, sorted, nothing twice.
    pub(super) fixed: Vec<Range<u64>>,
}

impl Geometry {
    /// The shape of a filesystem of this many bytes with room for at least so many inodes.
    pub(super) fn new(size: u64, inodes: u64) -> Result<Self, WriteError> {
        let mut blocks = size / BLOCK;
        loop {
            let geometry = Self::sized(blocks, inodes)?;
            let last = blocks - (geometry.groups - 1) * GROUP;
            let own = geometry.table_blocks() + 3 + geometry.copy(geometry.groups - 1).end % GROUP;
            if last >= own + LEAST {
                return geometry.placed();
            }
            if geometry.groups == 1 {
                return Err(WriteError::TooSmall { needed: (own + LEAST) * BLOCK });
            }
            blocks -= last;
        }
    }

    fn sized(blocks: u64, inodes: u64) -> Result<Self, WriteError> {
        let groups = blocks.div_ceil(GROUP).max(1);
        let inodes_per_group = inodes.div_ceil(groups).next_multiple_of(INODES_PER_BLOCK);
        if inodes_per_group > GROUP {
            // As large as it must be to have a group for every so many inodes.
            return Err(WriteError::TooSmall { needed: inodes.div_ceil(GROUP) * GROUP * BLOCK });
        }
        if blocks > u64::from(u32::MAX) || groups > limits::EXT4_GROUPS {
            return Err(WriteError::TooLarge);
        }
        let descriptor_blocks = groups.div_ceil(DESCRIPTORS_PER_BLOCK);
        let grown = (blocks * GROWTH).min(u32::MAX.into()).div_ceil(GROUP).div_ceil(DESCRIPTORS_PER_BLOCK);
        let reserved = (grown.max(descriptor_blocks) - descriptor_blocks).min(ADDRESSES);
        let (block_bitmaps, inode_bitmaps, inode_tables, fixed) = Default::default();
        Ok(Self {
            blocks,
            groups,
            inodes_per_group,
            descriptor_blocks,
            reserved,
            block_bitmaps,
            inode_bitmaps,
            inode_tables,
            fixed,
        })
    }

    /// Places the bitmaps and tables of each group of groups at its beginning.
    fn placed(mut self) -> Result<Self, WriteError> {
        let table = self.table_blocks();
        for first in (0..self.groups).step_by(1 << FLEX_BITS) {
            let groups = first..(first + (1 << FLEX_BITS)).min(self.groups);
            let mut next = first * GROUP;
            for _ in groups.clone() {
                let at = self.run(&mut next, 1)?;
                self.block_bitmaps.push(at);
            }
            for _ in groups.clone() {
                let at = self.run(&mut next, 1)?;
                self.inode_bitmaps.push(at);
            }
            for _ in groups.clone() {
                let at = self.run(&mut next, table)?;
                self.inode_tables.push(at);
            }
        }
        let copies: Vec<_> = (0..self.groups).map(|group| self.copy(group)).filter(|copy| !copy.is_empty()).collect();
        self.fixed.extend(copies);
        self.fixed.sort_by_key(|run| run.start);
        self.fixed.dedup_by(|next, before| {
            let adjacent = before.end == next.start;
            if adjacent {
                before.end = next.end;
            }
            adjacent
        });
        Ok(self)
    }

    /// The next so many blocks in a row that no copy of the superblock takes.
    fn run(&mut self, next: &mut u64, length: u64) -> Result<u64, WriteError> {
        loop {
            let copies = (*next / GROUP)..=((*next + length - 1) / GROUP);
            let meets = |copy: &Range<u64>| copy.start < *next + length && *next < copy.end;
            match copies.map(|group| self.copy(group)).find(meets) {
                Some(copy) => *next = copy.end,
                None => break,
            }
        }
        let start = *next;
        *next += length;
        if *next > self.blocks {
            return Err(WriteError::TooSmall { needed: *next * BLOCK });
        }
        self.fixed.push(start..*next);
        Ok(start)
    }

    /// The blocks of a group that superblock, descriptors and the room for more of them take.
    pub(super) fn copy(&self, group: u64) -> Range<u64> {
        let start = group * GROUP;
        start..start + if has_copy(group) { 1 + self.descriptor_blocks + self.reserved } else { 0 }
    }

    /// Blocks of the inode table of one group.
    pub(super) fn table_blocks(&self) -> u64 {
        self.inodes_per_group / INODES_PER_BLOCK
    }

    /// Inodes that there are.
    pub(super) fn inodes(&self) -> u64 {
        self.groups * self.inodes_per_group
    }

    /// The blocks of a group.
    pub(super) fn group(&self, group: u64) -> Range<u64> {
        group * GROUP..((group + 1) * GROUP).min(self.blocks)
    }
}

/// Whether a group has a copy of the superblock (`sparse_super`): 0, 1 and the powers of 3, 5 and 7.
pub(super) fn has_copy(group: u64) -> bool {
    let is_power = |base: u64| {
        let mut power = base;
        while power < group {
            power *= base;
        }
        power == group
    };
    group < 2 || [3, 5, 7].into_iter().any(is_power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::size::{GIB, MIB};

    #[test]
    fn shapes_are_those_of_mke2fs() {
        let shape = |size, inodes| {
            let shape = Geometry::new(size, inodes).unwrap();
            (shape.groups, shape.inodes_per_group, shape.reserved, shape.block_bitmaps[0], shape.inode_tables[1])
        };
        // As `dumpe2fs` shows what mke2fs 1.47.2 makes.
        assert_eq!(shape(256 * MIB, 16_384), (2, 8192, 31, 33, 549));
        assert_eq!(shape(2560 * MIB, 163_840), (20, 8192, 319, 321, 865));
        assert_eq!(shape(32 * GIB, 2_097_152).2, 1024);
    }

    #[test]
    fn copies_lie_in_few_groups() {
        let copies: Vec<u64> = (0..130).filter(|group| has_copy(*group)).collect();
        assert_eq!(copies, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125]);
    }

    #[test]
    fn structures_never_overlap_whatever_the_size() {
        for size in (4..3000).step_by(4).map(|mib| mib * MIB).chain([130 * GIB, 131 * GIB + 4 * MIB]) {
            for inodes in [16, size / 16_384, size / 5000] {
                let Ok(shape) = Geometry::new(size, inodes) else { continue };
                let apart = |pair: &[Range<u64>]| pair[0].end < pair[1].start;
                assert!(shape.fixed.windows(2).all(apart), "{size} {inodes}: {:?}", shape.fixed);
                assert!(shape.fixed.last().is_some_and(|last| last.end <= shape.blocks));
                let tables = shape.table_blocks() + 2;
                let copies: u64 = (0..shape.groups).map(|group| shape.copy(group)).map(|run| run.end - run.start).sum();
                let all: u64 = shape.fixed.iter().map(|run| run.end - run.start).sum();
                assert_eq!(all, shape.groups * tables + copies, "{size} {inodes}");
            }
        }
    }
}
