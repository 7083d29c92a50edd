//! Superblock, group descriptors and bitmaps, with their copies: what counts everything that was placed.

use super::super::checksum::crc32c;
use super::super::layout::{
    GROUP_BLOCK_UNINIT, GROUP_INODE_UNINIT, GroupDescriptor, MAGIC, SUPERBLOCK_OFFSET, Superblock, incompatible,
    read_only,
};
use super::Options;
use super::allocate::Used;
use super::geometry::{BLOCK, FLEX_BITS, GROUP, Geometry, INODE, has_copy};
use super::hash::HALF_MD4;
use super::inode::{EXTRA, Fields, high, low, lower};
use super::special::JOURNAL;
use crate::format::{Run, usize_of};
use std::ops::Range;
use zerocopy::{FromZeros as _, IntoBytes as _};

/// `dir_index`, `resize_inode`, `ext_attr`; and `has_journal`.
const COMPATIBLE: u32 = 0x20 | 0x10 | 0x8;
const HAS_JOURNAL: u32 = 0x4;
const INCOMPATIBLE: u32 = incompatible::FILETYPE | incompatible::EXTENTS | incompatible::WIDE | incompatible::FLEX_BG;
/// `sparse_super`, `large_file`, `huge_file`, `dir_nlink`, `extra_isize`.
const READ_ONLY: u32 = 0x1 | 0x2 | 0x8 | 0x20 | 0x40 | read_only::METADATA_CSUM;
/// Attributes of users and ACLs work without a mount option.
const DEFAULT_OPTIONS: u32 = 0xc;
/// Names are hashed with signed bytes.
const SIGNED_HASH: u32 = 0x1;
const FIRST_INODE: u32 = 11;
const CRC32C: u8 = 1;
/// `s_jnl_backup_type`: the superblock has a copy of the journal's map.
const BACKED_UP: u8 = 1;
/// Of every so many blocks one is kept for root.
const KEPT: u64 = 100;

/// What was made.
pub(super) struct Totals<'a> {
    /// Inodes in use, from the first on.
    pub(super) inodes: u64,
    /// The numbers of those that are folders, in order.
    pub(super) folders: &'a [u32],
    pub(super) journal: Option<Fields<'a>>,
}

/// Writes what describes the filesystem as a whole.
pub(super) fn write(
    options: &Options<'_>,
    geometry: &Geometry,
    used: &Used<'_>,
    totals: &Totals<'_>,
    runs: &mut Vec<Run>,
) {
    let seed = crc32c(!0, &options.uuid.0);
    let mut descriptors = Vec::new();
    let (mut free_blocks, mut free_inodes) = (0, 0);
    for group in 0..geometry.groups {
        let descriptor = describe(group, geometry, used, totals, seed, runs);
        free_blocks += u64::from(descriptor.bg_free_blocks_count_lo.get());
        free_inodes += u64::from(descriptor.bg_free_inodes_count_lo.get());
        let mut bytes = descriptor.as_bytes().to_vec();
        let sum = crc32c(crc32c(seed, &lower(group).to_le_bytes()), &bytes);
        bytes[0x1e..0x20].copy_from_slice(&low(sum).to_le_bytes());
        descriptors.extend(bytes);
    }
    let superblock = superblock(options, geometry, totals, free_blocks, free_inodes);
    for group in (0..geometry.groups).filter(|group| has_copy(*group)) {
        let start = group * GROUP * BLOCK;
        let mut own = superblock.clone();
        own.s_block_group_nr = low(lower(group)).into();
        // Only the first one says that all is well, as e2fsprogs has it.
        own.s_state = u16::from(group == 0).into();
        let sum = crc32c(!0, &own.as_bytes()[..size_of::<Superblock>() - 4]);
        own.s_checksum = sum.into();
        let offset = if group == 0 { SUPERBLOCK_OFFSET } else { start };
        runs.push(Run { offset, bytes: own.as_bytes().to_vec() });
        runs.push(Run { offset: start + BLOCK, bytes: descriptors.clone() });
    }
}

/// The descriptor of a group, and its bitmaps where it has something in use.
fn describe(
    group: u64,
    geometry: &Geometry,
    used: &Used<'_>,
    totals: &Totals<'_>,
    seed: u32,
    runs: &mut Vec<Run>,
) -> GroupDescriptor {
    let at = usize_of(group);
    let (bitmaps, tables) = ((geometry.block_bitmaps[at], geometry.inode_bitmaps[at]), geometry.inode_tables[at]);
    let mut descriptor = GroupDescriptor::new_zeroed();
    // No filesystem here has more blocks than 32 bits count, so that the upper halves stay zero.
    descriptor.bg_block_bitmap_lo = lower(bitmaps.0).into();
    descriptor.bg_inode_bitmap_lo = lower(bitmaps.1).into();
    descriptor.bg_inode_table_lo = lower(tables).into();
    let blocks = geometry.group(group);
    let runs_used = used.within(blocks.clone());
    let taken: u64 = runs_used.iter().map(|run| run.end - run.start).sum();
    descriptor.bg_free_blocks_count_lo = low(lower(blocks.end - blocks.start - taken)).into();
    let mut flags = 0;
    if taken == 0 && group + 1 < geometry.groups {
        flags |= GROUP_BLOCK_UNINIT;
    } else {
        let within = |run: &Range<u64>| run.start - blocks.start..run.end - blocks.start;
        // Blocks beyond the end count as used.
        let beyond = blocks.end - blocks.start..GROUP;
        let bitmap = bitmap(runs_used.iter().map(within).chain([beyond]));
        let sum = crc32c(seed, &bitmap);
        descriptor.bg_block_bitmap_csum_lo = low(sum).into();
        descriptor.bg_block_bitmap_csum_hi = high(sum).into();
        runs.push(Run { offset: bitmaps.0 * BLOCK, bytes: bitmap });
    }
    let each = geometry.inodes_per_group;
    let inodes = totals.inodes.saturating_sub(group * each).min(each);
    descriptor.bg_free_inodes_count_lo = low(lower(each - inodes)).into();
    descriptor.bg_itable_unused_lo = low(lower(each - inodes)).into();
    let number = |inode: u64| totals.folders.partition_point(|folder| u64::from(*folder) <= inode);
    let folders = number((group + 1) * each) - number(group * each);
    descriptor.bg_used_dirs_count_lo = low(lower(folders as u64)).into();
    if inodes == 0 {
        flags |= GROUP_INODE_UNINIT;
    } else {
        let bitmap = bitmap([0..inodes, each..GROUP].into_iter());
        let sum = crc32c(seed, &bitmap[..usize_of(each / 8)]);
        descriptor.bg_inode_bitmap_csum_lo = low(sum).into();
        descriptor.bg_inode_bitmap_csum_hi = high(sum).into();
        runs.push(Run { offset: bitmaps.1 * BLOCK, bytes: bitmap });
    }
    // The tables' rest is not called zeroed: whoever copies the image may leave out what is empty. The kernel sees to it.
    descriptor.bg_flags = flags.into();
    descriptor
}

/// One block with these bits set.
fn bitmap(set: impl Iterator<Item = Range<u64>>) -> Vec<u8> {
    let mut bytes = vec![0_u8; usize_of(BLOCK)];
    for mut run in set {
        while run.start < run.end {
            let at = usize_of(run.start / 8);
            if run.start.is_multiple_of(8) && run.end - run.start >= 8 {
                bytes[at] = 0xff;
                run.start += 8;
            } else {
                bytes[at] |= 1 << (run.start % 8);
                run.start += 1;
            }
        }
    }
    bytes
}

fn superblock(
    options: &Options<'_>,
    geometry: &Geometry,
    totals: &Totals<'_>,
    free_blocks: u64,
    free_inodes: u64,
) -> Superblock {
    let mut own = Superblock::new_zeroed();
    let made = lower(options.epoch.0.clamp(0, u32::MAX.into()).cast_unsigned());
    let blocks = geometry.blocks;
    own.s_inodes_count = lower(geometry.inodes()).into();
    own.s_blocks_count_lo = lower(blocks).into();
    own.s_r_blocks_count_lo = lower(blocks / KEPT).into();
    own.s_free_blocks_count_lo = lower(free_blocks).into();
    own.s_free_inodes_count = lower(free_inodes).into();
    // Blocks of 1024 bytes, doubled so often.
    own.s_log_block_size = (BLOCK.ilog2() - 10).into();
    own.s_log_cluster_size = own.s_log_block_size;
    own.s_blocks_per_group = lower(GROUP).into();
    own.s_clusters_per_group = lower(GROUP).into();
    own.s_inodes_per_group = lower(geometry.inodes_per_group).into();
    (own.s_wtime, own.s_lastcheck, own.s_mkfs_time) = (made.into(), made.into(), made.into());
    // Never checked because of the number of mounts.
    own.s_max_mnt_count = u16::MAX.into();
    own.s_magic = MAGIC.into();
    own.s_state = 1.into();
    own.s_errors = 1.into();
    own.s_rev_level = 1.into();
    own.s_first_ino = FIRST_INODE.into();
    own.s_inode_size = low(lower(INODE)).into();
    own.s_feature_compat = (COMPATIBLE | if totals.journal.is_some() { HAS_JOURNAL } else { 0 }).into();
    own.s_feature_incompat = INCOMPATIBLE.into();
    own.s_feature_ro_compat = READ_ONLY.into();
    own.s_uuid = options.uuid.0;
    let label = options.label.as_bytes();
    let length = label.len().min(own.s_volume_name.len());
    own.s_volume_name[..length].copy_from_slice(&label[..length]);
    own.s_reserved_gdt_blocks = low(lower(geometry.reserved)).into();
    let mut journal_blocks = 0;
    if let Some(journal) = &totals.journal {
        own.s_journal_inum = JOURNAL.into();
        own.s_jnl_backup_type = BACKED_UP;
        own.s_jnl_blocks = journal.map;
        own.s_jnl_size_high = lower(journal.size >> 32).into();
        own.s_jnl_size_lo = lower(journal.size).into();
        journal_blocks = journal.size / BLOCK;
    }
    own.s_hash_seed = options.uuid.0;
    own.s_def_hash_version = HALF_MD4;
    own.s_desc_size = low(size_of::<super::super::layout::GroupDescriptor>() as u32).into();
    own.s_default_mount_opts = DEFAULT_OPTIONS.into();
    own.s_min_extra_isize = EXTRA.into();
    own.s_want_extra_isize = EXTRA.into();
    own.s_flags = SIGNED_HASH.into();
    own.s_log_groups_per_flex = FLEX_BITS;
    own.s_checksum_type = CRC32C;
    let fixed: u64 = geometry.fixed.iter().map(|run| run.end - run.start).sum();
    own.s_overhead_clusters = lower(fixed + journal_blocks).into();
    own
}
