//! The structures on disk, field names as in the kernel's documentation.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(super) const SUPERBLOCK_OFFSET: u64 = 1024;
pub(super) const MAGIC: u16 = 0xef53;
pub(super) const EXTENT_MAGIC: u16 = 0xf30a;
pub(super) const ATTRIBUTE_MAGIC: u32 = 0xea02_0000;

#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Superblock {
    pub s_inodes_count: U32,
    pub s_blocks_count_lo: U32,
    pub s_r_blocks_count_lo: U32,
    pub s_free_blocks_count_lo: U32,
    pub s_free_inodes_count: U32,
    pub s_first_data_block: U32,
    pub s_log_block_size: U32,
    pub s_log_cluster_size: U32,
    pub s_blocks_per_group: U32,
    pub s_clusters_per_group: U32,
    pub s_inodes_per_group: U32,
    pub s_mtime: U32,
    pub s_wtime: U32,
    pub s_mnt_count: U16,
    pub s_max_mnt_count: U16,
    pub s_magic: U16,
    pub s_state: U16,
    pub s_errors: U16,
    pub s_minor_rev_level: U16,
    pub s_lastcheck: U32,
    pub s_checkinterval: U32,
    pub s_creator_os: U32,
    pub s_rev_level: U32,
    pub s_def_resuid: U16,
    pub s_def_resgid: U16,
    pub s_first_ino: U32,
    pub s_inode_size: U16,
    pub s_block_group_nr: U16,
    pub s_feature_compat: U32,
    pub s_feature_incompat: U32,
    pub s_feature_ro_compat: U32,
    pub s_uuid: [u8; 16],
    pub s_volume_name: [u8; 16],
    pub s_last_mounted: [u8; 64],
    pub s_algorithm_usage_bitmap: U32,
    pub s_prealloc_blocks: u8,
    pub s_prealloc_dir_blocks: u8,
    pub s_reserved_gdt_blocks: U16,
    pub s_journal_uuid: [u8; 16],
    pub s_journal_inum: U32,
    pub s_journal_dev: U32,
    pub s_last_orphan: U32,
    pub s_hash_seed: [u8; 16],
    pub s_def_hash_version: u8,
    pub s_jnl_backup_type: u8,
    pub s_desc_size: U16,
    pub s_default_mount_opts: U32,
    pub s_first_meta_bg: U32,
    pub s_mkfs_time: U32,
    /// Copy of the journal's `i_block`, then the upper and the lower half of its size.
    pub s_jnl_blocks: [u8; 60],
    pub s_jnl_size_high: U32,
    pub s_jnl_size_lo: U32,
    pub s_blocks_count_hi: U32,
    pub s_r_blocks_count_hi: U32,
    pub s_free_blocks_count_hi: U32,
    pub s_min_extra_isize: U16,
    pub s_want_extra_isize: U16,
    pub s_flags: U32,
    pub s_raid_stride: U16,
    pub s_mmp_interval: U16,
    pub s_mmp_block: [U32; 2],
    pub s_raid_stripe_width: U32,
    pub s_log_groups_per_flex: u8,
    pub s_checksum_type: u8,
    pub s_reserved_pad: U16,
    pub s_kbytes_written: [U32; 2],
    pub between: [u8; 200],
    pub s_overhead_clusters: U32,
    pub s_backup_bgs: [U32; 2],
    pub s_encrypt_algos: [u8; 4],
    pub s_encrypt_pw_salt: [u8; 16],
    pub s_lpf_ino: U32,
    pub s_prj_quota_inum: U32,
    pub s_checksum_seed: U32,
    pub rest: [u8; 392],
    pub s_checksum: U32,
}

/// Whole, as with the feature `64bit`; the first half alone without.
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct GroupDescriptor {
    pub bg_block_bitmap_lo: U32,
    pub bg_inode_bitmap_lo: U32,
    pub bg_inode_table_lo: U32,
    pub bg_free_blocks_count_lo: U16,
    pub bg_free_inodes_count_lo: U16,
    pub bg_used_dirs_count_lo: U16,
    pub bg_flags: U16,
    pub bg_exclude_bitmap_lo: U32,
    pub bg_block_bitmap_csum_lo: U16,
    pub bg_inode_bitmap_csum_lo: U16,
    pub bg_itable_unused_lo: U16,
    pub bg_checksum: U16,
    pub bg_block_bitmap_hi: U32,
    pub bg_inode_bitmap_hi: U32,
    pub bg_inode_table_hi: U32,
    pub bg_free_blocks_count_hi: U16,
    pub bg_free_inodes_count_hi: U16,
    pub bg_used_dirs_count_hi: U16,
    pub bg_itable_unused_hi: U16,
    pub bg_exclude_bitmap_hi: U32,
    pub bg_block_bitmap_csum_hi: U16,
    pub bg_inode_bitmap_csum_hi: U16,
    pub bg_reserved: U32,
}

#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Inode {
    pub i_mode: U16,
    pub i_uid: U16,
    pub i_size_lo: U32,
    pub i_atime: U32,
    pub i_ctime: U32,
    pub i_mtime: U32,
    pub i_dtime: U32,
    pub i_gid: U16,
    pub i_links_count: U16,
    pub i_blocks_lo: U32,
    pub i_flags: U32,
    pub i_version: U32,
    pub i_block: [u8; 60],
    pub i_generation: U32,
    pub i_file_acl_lo: U32,
    pub i_size_high: U32,
    pub i_obso_faddr: U32,
    pub i_blocks_high: U16,
    pub i_file_acl_high: U16,
    pub i_uid_high: U16,
    pub i_gid_high: U16,
    pub i_checksum_lo: U16,
    pub i_reserved: U16,
}

/// What follows when inodes are longer than 128 bytes.
#[derive(Clone, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct InodeExtra {
    pub i_extra_isize: U16,
    pub i_checksum_hi: U16,
    pub i_ctime_extra: U32,
    pub i_mtime_extra: U32,
    pub i_atime_extra: U32,
    pub i_crtime: U32,
    pub i_crtime_extra: U32,
}

#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ExtentHeader {
    pub eh_magic: U16,
    pub eh_entries: U16,
    pub eh_max: U16,
    pub eh_depth: U16,
    pub eh_generation: U32,
}

#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ExtentLeaf {
    pub ee_block: U32,
    pub ee_len: U16,
    pub ee_start_hi: U16,
    pub ee_start_lo: U32,
}

#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ExtentIndex {
    pub ei_block: U32,
    pub ei_leaf_lo: U32,
    pub ei_leaf_hi: U16,
    pub ei_unused: U16,
}

#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct DirectoryHead {
    pub inode: U32,
    pub rec_len: U16,
    pub name_len: u8,
    pub file_type: u8,
}

#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct AttributeBlock {
    pub h_magic: U32,
    pub h_refcount: U32,
    pub h_blocks: U32,
    pub h_hash: U32,
    pub h_checksum: U32,
    pub h_reserved: [U32; 3],
}

#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct AttributeEntry {
    pub e_name_len: u8,
    pub e_name_index: u8,
    pub e_value_offs: U16,
    pub e_value_inum: U32,
    pub e_value_size: U32,
    pub e_hash: U32,
}

const _: () = assert!(size_of::<Superblock>() == 1024);
const _: () = assert!(std::mem::offset_of!(Superblock, s_magic) == 0x38);
const _: () = assert!(std::mem::offset_of!(Superblock, s_uuid) == 0x68);
const _: () = assert!(std::mem::offset_of!(Superblock, s_hash_seed) == 0xec);
const _: () = assert!(std::mem::offset_of!(Superblock, s_desc_size) == 0xfe);
const _: () = assert!(std::mem::offset_of!(Superblock, s_blocks_count_hi) == 0x150);
const _: () = assert!(std::mem::offset_of!(Superblock, s_log_groups_per_flex) == 0x174);
const _: () = assert!(std::mem::offset_of!(Superblock, s_overhead_clusters) == 0x248);
const _: () = assert!(std::mem::offset_of!(Superblock, s_checksum_seed) == 0x270);
const _: () = assert!(std::mem::offset_of!(Superblock, s_checksum) == 0x3fc);
const _: () = assert!(size_of::<GroupDescriptor>() == 64);
const _: () = assert!(std::mem::offset_of!(GroupDescriptor, bg_checksum) == 0x1e);
const _: () = assert!(size_of::<Inode>() == 128);
const _: () = assert!(std::mem::offset_of!(Inode, i_checksum_lo) == 0x7c);
const _: () = assert!(size_of::<InodeExtra>() == 24);
const _: () = assert!(size_of::<ExtentHeader>() == 12);
const _: () = assert!(size_of::<ExtentLeaf>() == 12);
const _: () = assert!(size_of::<ExtentIndex>() == 12);
const _: () = assert!(size_of::<DirectoryHead>() == 8);
const _: () = assert!(size_of::<AttributeBlock>() == 32);
const _: () = assert!(size_of::<AttributeEntry>() == 16);

/// Features that change what a reader must know.
pub(super) mod incompatible {
    pub(in super::super) const FILETYPE: u32 = 0x2;
    pub(in super::super) const RECOVER: u32 = 0x4;
    pub(in super::super) const EXTENTS: u32 = 0x40;
    pub(in super::super) const WIDE: u32 = 0x80;
    pub(in super::super) const FLEX_BG: u32 = 0x200;
    pub(in super::super) const CSUM_SEED: u32 = 0x2000;
    pub(in super::super) const LARGEDIR: u32 = 0x4000;
    /// What this reader reads.
    pub(in super::super) const KNOWN: u32 = FILETYPE | EXTENTS | WIDE | FLEX_BG | CSUM_SEED | LARGEDIR;
}

/// Features that a reader may ignore, but for these.
pub(super) mod read_only {
    pub(in super::super) const BIGALLOC: u32 = 0x200;
    pub(in super::super) const METADATA_CSUM: u32 = 0x400;
}

/// Flags of a group: its bitmap was never written.
pub(super) const GROUP_INODE_UNINIT: u16 = 1;
pub(super) const GROUP_BLOCK_UNINIT: u16 = 2;

/// Flags of an inode.
pub(super) const FLAG_INDEX: u32 = 0x1000;
pub(super) const FLAG_EXTENTS: u32 = 0x8_0000;
pub(super) const FLAG_EA_INODE: u32 = 0x20_0000;
pub(super) const FLAG_INLINE_DATA: u32 = 0x1000_0000;
/// `FS_ENCRYPT_FL` and `EXT4_CASEFOLD_FL`: contents or names are not what they seem.
pub(super) const FLAG_ENCRYPT: u32 = 0x800;
pub(super) const FLAG_CASEFOLD: u32 = 0x4000_0000;

/// The entry that carries a directory block's checksum.
pub(super) const TAIL_TYPE: u8 = 0xde;
pub(super) const TAIL: usize = 12;

/// An extent longer than this is allocated and not written: zeros.
pub(super) const UNWRITTEN: u16 = 0x8000;
