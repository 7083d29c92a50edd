//! Superblock and group descriptors: where everything lies, and whether their checksums hold.

use super::checksum::crc32c;
use super::layout::{
    GROUP_BLOCK_UNINIT, GROUP_INODE_UNINIT, GroupDescriptor, MAGIC, SUPERBLOCK_OFFSET, Superblock, incompatible,
    read_only,
};
use super::{Ext4Error, Summary};
use crate::base::ids::Uuid;
use crate::base::limits;
use crate::format::{ReadAt, usize_of};
use zerocopy::{FromBytes as _, IntoBytes as _};

/// Bits of a byte: a bitmap has one block, and a bit for each block or inode of its group.
const BITS: u64 = 8;

/// An open filesystem. Nothing is taken into memory but the group descriptors.
pub struct Filesystem<'a> {
    pub(super) source: &'a dyn ReadAt,
    pub(super) superblock: Superblock,
    pub(super) block: u64,
    pub(super) blocks: u64,
    /// What checksums begin with; none are kept without the feature.
    pub(super) seed: Option<u32>,
    groups: Vec<GroupDescriptor>,
}

/// Reads the superblock.
///
/// # Errors
/// When there is none, or its numbers contradict one another, its checksum or the source's size.
pub fn read(source: &dyn ReadAt) -> Result<Summary, Ext4Error> {
    summary(&superblock(source)?, source.size())
}

fn superblock(source: &dyn ReadAt) -> Result<Superblock, Ext4Error> {
    let bytes = source.read_vec(SUPERBLOCK_OFFSET, size_of::<Superblock>())?;
    let superblock = Superblock::read_from_bytes(&bytes).map_err(|_| Ext4Error::Field("length"))?;
    if superblock.s_magic.get() != MAGIC {
        return Err(Ext4Error::Field("signature"));
    }
    let checked = superblock.s_feature_ro_compat.get() & read_only::METADATA_CSUM != 0;
    if checked && crc32c(!0, &bytes[..bytes.len() - 4]) != superblock.s_checksum.get() {
        return Err(Ext4Error::Field("checksum"));
    }
    Ok(superblock)
}

fn block_size(superblock: &Superblock) -> Result<u64, Ext4Error> {
    match superblock.s_log_block_size.get() {
        log @ 0..=6 => Ok(1024_u64 << log),
        _ => Err(Ext4Error::Field("block size")),
    }
}

fn wide(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn summary(superblock: &Superblock, room: u64) -> Result<Summary, Ext4Error> {
    let block = block_size(superblock)?;
    let bytes_of = |blocks: u64, field| blocks.checked_mul(block).ok_or(Ext4Error::Field(field));
    let blocks = wide(superblock.s_blocks_count_lo.get(), superblock.s_blocks_count_hi.get());
    let size = bytes_of(blocks, "number of blocks")?;
    let free = wide(superblock.s_free_blocks_count_lo.get(), superblock.s_free_blocks_count_hi.get());
    let free = bytes_of(free, "free blocks")?;
    let (inodes, free_inodes) = (superblock.s_inodes_count.get().into(), superblock.s_free_inodes_count.get().into());
    if size > room || size == 0 {
        return Err(Ext4Error::Field("number of blocks"));
    }
    if free > size || free_inodes > inodes {
        return Err(Ext4Error::Field("number of free blocks or inodes"));
    }
    let name = &superblock.s_volume_name;
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    let label = String::from_utf8_lossy(&name[..end]).into_owned();
    Ok(Summary { uuid: Uuid(superblock.s_uuid), label, size, free, inodes, free_inodes })
}

impl<'a> Filesystem<'a> {
    /// Opens a filesystem: superblock and group descriptors.
    ///
    /// # Errors
    /// When they are wrong, or use what this reader does not do (a journal that was not replayed among them).
    pub fn open(source: &'a dyn ReadAt) -> Result<Self, Ext4Error> {
        let superblock = superblock(source)?;
        summary(&superblock, source.size())?;
        let (block, features) = (block_size(&superblock)?, superblock.s_feature_incompat.get());
        let blocks = wide(superblock.s_blocks_count_lo.get(), superblock.s_blocks_count_hi.get());
        let ro_compat = superblock.s_feature_ro_compat.get();
        let unsupported = [
            (features & incompatible::RECOVER != 0, "a journal that was not replayed"),
            (
                features & !(incompatible::KNOWN | incompatible::RECOVER) != 0,
                "a feature that this reader does not know",
            ),
            (features & incompatible::FILETYPE == 0, "directories without file types"),
            (ro_compat & read_only::BIGALLOC != 0, "clusters"),
        ];
        if let Some((_, what)) = unsupported.iter().find(|(found, _)| *found) {
            return Err(Ext4Error::Unsupported(what));
        }
        let inode = u64::from(superblock.s_inode_size.get());
        let (per_group, inodes) = (u64::from(superblock.s_blocks_per_group.get()), superblock.s_inodes_per_group.get());
        let first = u64::from(superblock.s_first_data_block.get());
        let checks = [
            (inode.is_power_of_two() && (128..=block).contains(&inode), "inode size"),
            (
                (BITS..=block * BITS).contains(&per_group) && per_group.is_multiple_of(BITS),
                "number of blocks in a group",
            ),
            ((1..=block * BITS).contains(&inodes.into()), "number of inodes in a group"),
            (first == u64::from(block == 1024) && first < blocks, "first data block"),
        ];
        if let Some((_, field)) = checks.iter().find(|(holds, _)| !holds) {
            return Err(Ext4Error::Field(field));
        }
        let seed = (ro_compat & read_only::METADATA_CSUM != 0).then(|| match features & incompatible::CSUM_SEED {
            0 => crc32c(!0, &superblock.s_uuid),
            _ => superblock.s_checksum_seed.get(),
        });
        let mut filesystem = Self { source, superblock, block, blocks, seed, groups: Vec::new() };
        filesystem.read_groups((blocks - first).div_ceil(per_group))?;
        Ok(filesystem)
    }

    fn read_groups(&mut self, count: u64) -> Result<(), Ext4Error> {
        let inodes = u64::from(self.superblock.s_inodes_per_group.get()).checked_mul(count);
        if count > limits::EXT4_GROUPS || inodes != Some(self.superblock.s_inodes_count.get().into()) {
            return Err(Ext4Error::Field("number of groups or inodes"));
        }
        let is_wide = self.superblock.s_feature_incompat.get() & incompatible::WIDE != 0;
        let length = if is_wide { usize::from(self.superblock.s_desc_size.get()) } else { 32 };
        if !(length == 32 || length == 64) {
            return Err(Ext4Error::Field("size of group descriptors"));
        }
        let at = (u64::from(self.superblock.s_first_data_block.get()) + 1) * self.block;
        let bytes = self.source.read_vec(at, length * usize_of(count))?;
        for (number, bytes) in (0_u32..).zip(bytes.chunks_exact(length)) {
            let mut whole = [0; size_of::<GroupDescriptor>()];
            whole[..length].copy_from_slice(bytes);
            let group = GroupDescriptor::read_from_bytes(&whole).map_err(|_| Ext4Error::Field("group descriptor"))?;
            if let Some(seed) = self.seed {
                let mut plain = bytes.to_vec();
                plain[0x1e..0x20].fill(0);
                let sum = crc32c(crc32c(seed, &number.to_le_bytes()), &plain);
                if sum & 0xffff != u32::from(group.bg_checksum.get()) {
                    return Err(Ext4Error::Checksum(format!("the descriptor of group {number}")));
                }
            }
            self.groups.push(group);
        }
        Ok(())
    }

    /// What the superblock says.
    ///
    /// # Errors
    /// Never: opening has checked it.
    pub fn summary(&self) -> Result<Summary, Ext4Error> {
        summary(&self.superblock, self.source.size())
    }

    /// The bytes that it lies in.
    #[must_use]
    pub fn source(&self) -> &dyn ReadAt {
        self.source
    }

    /// Bytes of a block.
    #[must_use]
    pub fn block_size(&self) -> u64 {
        self.block
    }

    /// Checks what reading files does not: the bitmaps' checksums, and their counts against those of the groups and
    /// of the superblock.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn check_groups(&self) -> Result<(), Ext4Error> {
        let (mut free_blocks, mut free_inodes) = (0_u64, 0_u64);
        for number in 0..self.groups.len() {
            let group = &self.groups[number];
            free_blocks += wide16(group.bg_free_blocks_count_lo.get(), group.bg_free_blocks_count_hi.get());
            free_inodes += wide16(group.bg_free_inodes_count_lo.get(), group.bg_free_inodes_count_hi.get());
            let flags = group.bg_flags.get();
            let block = wide(group.bg_block_bitmap_lo.get(), group.bg_block_bitmap_hi.get());
            let (low, high) = (group.bg_block_bitmap_csum_lo.get(), group.bg_block_bitmap_csum_hi.get());
            let bits = self.superblock.s_blocks_per_group.get();
            if flags & GROUP_BLOCK_UNINIT == 0 {
                self.check_bitmap(number, "block", block, bits, low, high)?;
            }
            let block = wide(group.bg_inode_bitmap_lo.get(), group.bg_inode_bitmap_hi.get());
            let (low, high) = (group.bg_inode_bitmap_csum_lo.get(), group.bg_inode_bitmap_csum_hi.get());
            let bits = self.superblock.s_inodes_per_group.get();
            if flags & GROUP_INODE_UNINIT == 0 {
                self.check_bitmap(number, "inode", block, bits, low, high)?;
            }
        }
        let summary = self.summary()?;
        if free_blocks * self.block != summary.free || free_inodes != summary.free_inodes {
            return Err(Ext4Error::Field("number of free blocks or inodes"));
        }
        Ok(())
    }

    fn check_bitmap(
        &self,
        number: usize,
        kind: &str,
        at: u64,
        bits: u32,
        low: u16,
        high: u16,
    ) -> Result<(), Ext4Error> {
        let bytes = self.read_blocks(at, 1)?;
        let Some(seed) = self.seed else { return Ok(()) };
        let sum = crc32c(seed, bytes.get(..bits as usize / 8).unwrap_or(&bytes));
        // Descriptors of 32 bytes keep half of it.
        let mask = if self.superblock.s_desc_size.get() < 64 { 0xffff } else { u32::MAX };
        if sum & mask != (u32::from(low) | u32::from(high) << 16) & mask {
            return Err(Ext4Error::Checksum(format!("the {kind} bitmap of group {number}")));
        }
        Ok(())
    }

    /// Where an inode lies, in bytes; the first has number 1.
    pub(super) fn place(&self, number: u32) -> Result<u64, Ext4Error> {
        let per_group = self.superblock.s_inodes_per_group.get();
        let index = number.checked_sub(1).ok_or(Ext4Error::Inode { number, what: "a number that no inode has" })?;
        let group = self.groups.get((index / per_group) as usize);
        let group = group.ok_or(Ext4Error::Inode { number, what: "a number that no inode has" })?;
        let table = wide(group.bg_inode_table_lo.get(), group.bg_inode_table_hi.get());
        let within = u64::from(index % per_group) * u64::from(self.superblock.s_inode_size.get());
        let at = table.checked_mul(self.block).and_then(|at| at.checked_add(within));
        at.ok_or(Ext4Error::Field("place of an inode table"))
    }

    /// Some blocks in a row.
    pub(super) fn read_blocks(&self, first: u64, count: u64) -> Result<Vec<u8>, Ext4Error> {
        let end = first.checked_add(count).filter(|end| first > 0 && *end <= self.blocks);
        end.ok_or(Ext4Error::Field("number of a block"))?;
        Ok(self.source.read_vec(first * self.block, usize_of(count * self.block))?)
    }

    /// What lies in a block, for people: which structure of the filesystem, if it is one of those with a fixed place.
    #[must_use]
    pub fn structure_at(&self, offset: u64) -> Option<&'static str> {
        if (SUPERBLOCK_OFFSET..SUPERBLOCK_OFFSET + size_of::<Superblock>() as u64).contains(&offset) {
            return Some("the superblock");
        }
        let block = offset / self.block;
        let first = u64::from(self.superblock.s_first_data_block.get()) + 1;
        let length = if self.superblock.s_feature_incompat.get() & incompatible::WIDE != 0 { 64 } else { 32 };
        let descriptors = (self.groups.len() as u64 * length).div_ceil(self.block);
        if (first..first + descriptors).contains(&block) {
            return Some("the group descriptors");
        }
        let inode = u64::from(self.superblock.s_inode_size.get());
        let table = (u64::from(self.superblock.s_inodes_per_group.get()) * inode).div_ceil(self.block);
        self.groups.iter().find_map(|group| {
            let start = wide(group.bg_inode_table_lo.get(), group.bg_inode_table_hi.get());
            let bitmaps = [
                wide(group.bg_block_bitmap_lo.get(), group.bg_block_bitmap_hi.get()),
                wide(group.bg_inode_bitmap_lo.get(), group.bg_inode_bitmap_hi.get()),
            ];
            match block {
                _ if bitmaps.contains(&block) => Some("a bitmap"),
                _ if block.checked_sub(start).is_some_and(|within| within < table) => Some("an inode table"),
                _ => None,
            }
        })
    }

    /// The fields of the superblock that two filesystems of the same files may differ in, by the specification's names.
    #[must_use]
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let own = &self.superblock;
        let time = |seconds: u32| crate::base::epoch::Epoch(seconds.into()).rfc3339();
        vec![
            ("s_uuid", Uuid(own.s_uuid).to_string()),
            ("s_volume_name", String::from_utf8_lossy(&own.s_volume_name).trim_end_matches('\0').to_owned()),
            ("s_hash_seed", Uuid(own.s_hash_seed).to_string()),
            ("s_blocks_count", self.blocks.to_string()),
            ("s_inodes_count", own.s_inodes_count.to_string()),
            ("s_mkfs_time", time(own.s_mkfs_time.get())),
            ("s_wtime", time(own.s_wtime.get())),
            ("s_mtime", time(own.s_mtime.get())),
            ("s_lastcheck", time(own.s_lastcheck.get())),
            ("s_mnt_count", own.s_mnt_count.to_string()),
            ("s_last_mounted", String::from_utf8_lossy(&own.s_last_mounted).trim_end_matches('\0').to_owned()),
            ("s_feature_compat", format!("{:#x}", own.s_feature_compat.get())),
            ("s_feature_incompat", format!("{:#x}", own.s_feature_incompat.get())),
            ("s_feature_ro_compat", format!("{:#x}", own.s_feature_ro_compat.get())),
            ("s_creator_os", own.s_creator_os.to_string()),
        ]
    }

    /// What the checksums of an inode's structures begin with.
    pub(super) fn inode_seed(&self, number: u32, generation: u32) -> Option<u32> {
        self.seed.map(|seed| crc32c(crc32c(seed, &number.to_le_bytes()), generation.as_bytes()))
    }
}

fn wide16(low: u16, high: u16) -> u64 {
    u64::from(low) | u64::from(high) << 16
}
