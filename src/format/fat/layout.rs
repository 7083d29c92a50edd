//! The structures on disk, field names as in the specification.

use crate::base::size::SECTOR;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Boot sector of FAT32.
#[derive(Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct BootSector {
    pub jmp_boot: [u8; 3],
    pub oem_name: [u8; 8],
    pub byts_per_sec: U16,
    pub sec_per_clus: u8,
    pub rsvd_sec_cnt: U16,
    pub num_fats: u8,
    pub root_ent_cnt: U16,
    pub tot_sec16: U16,
    pub media: u8,
    pub fat_sz16: U16,
    pub sec_per_trk: U16,
    pub num_heads: U16,
    pub hidd_sec: U32,
    pub tot_sec32: U32,
    pub fat_sz32: U32,
    pub ext_flags: U16,
    pub fs_ver: U16,
    pub root_clus: U32,
    pub fs_info: U16,
    pub bk_boot_sec: U16,
    pub reserved: [u8; 12],
    pub drv_num: u8,
    pub reserved1: u8,
    pub boot_sig: u8,
    pub vol_id: U32,
    pub vol_lab: [u8; 11],
    pub fil_sys_type: [u8; 8],
    pub boot_code: [u8; 420],
    pub signature: [u8; 2],
}

/// FSInfo sector.
#[derive(Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct FsInfo {
    pub lead_sig: U32,
    pub reserved1: [u8; 480],
    pub struc_sig: U32,
    pub free_count: U32,
    pub nxt_free: U32,
    pub reserved2: [u8; 12],
    pub trail_sig: U32,
}

/// Directory entry with a short name.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ShortEntry {
    pub name: [u8; 11],
    pub attr: u8,
    pub nt_res: u8,
    pub crt_time_tenth: u8,
    pub crt_time: U16,
    pub crt_date: U16,
    pub lst_acc_date: U16,
    pub fst_clus_hi: U16,
    pub wrt_time: U16,
    pub wrt_date: U16,
    pub fst_clus_lo: U16,
    pub file_size: U32,
}

/// Directory entry with 13 units of a long name.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct LongEntry {
    pub ord: u8,
    pub name1: [U16; 5],
    pub attr: u8,
    pub kind: u8,
    pub chksum: u8,
    pub name2: [U16; 6],
    pub fst_clus_lo: U16,
    pub name3: [U16; 2],
}

const _: () = assert!(size_of::<BootSector>() == 512);
const _: () = assert!(size_of::<FsInfo>() == 512);
const _: () = assert!(size_of::<ShortEntry>() == 32);
const _: () = assert!(size_of::<LongEntry>() == 32);

pub(super) const ENTRY: usize = 32;
pub(super) const RESERVED_SECTORS: u64 = 32;
pub(super) const FAT_COPIES: u64 = 2;
pub(super) const ROOT_CLUSTER: u32 = 2;
pub(super) const BACKUP_SECTOR: u64 = 6;
/// Fewer clusters make it FAT16, whatever the boot sector says.
pub(super) const MINIMUM_CLUSTERS: u64 = 65_525;
/// A few more than the minimum, as the specification advises against its neighbourhood.
pub(super) const COMFORTABLE_CLUSTERS: u64 = MINIMUM_CLUSTERS + 16;
pub(super) const MAXIMUM_CLUSTERS: u64 = 0x0fff_fff5;
pub(super) const END_OF_CHAIN: u32 = 0x0fff_ffff;
pub(super) const FIRST_FAT_ENTRIES: [u32; 2] = [0x0fff_fff8, END_OF_CHAIN];
pub(super) const LEAD_SIGNATURE: u32 = 0x4161_5252;
pub(super) const STRUCTURE_SIGNATURE: u32 = 0x6141_7272;
pub(super) const TRAIL_SIGNATURE: u32 = 0xaa55_0000;
pub(super) const ATTRIBUTE_VOLUME: u8 = 0x08;
pub(super) const ATTRIBUTE_DIRECTORY: u8 = 0x10;
pub(super) const ATTRIBUTE_ARCHIVE: u8 = 0x20;
pub(super) const ATTRIBUTE_LONG: u8 = 0x0f;
pub(super) const LAST_LONG: u8 = 0x40;
pub(super) const UNITS_PER_LONG: usize = 13;

/// Where things are, from sizes alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub sectors: u64,
    pub sectors_per_cluster: u64,
    pub fat_sectors: u64,
    pub clusters: u64,
}

impl Geometry {
    /// The largest clusters, up to 4 KiB, of which there are enough for FAT32.
    pub(super) fn choose(sectors: u64) -> Option<Self> {
        [8, 4, 2, 1].into_iter().map(|per_cluster| Self::new(sectors, per_cluster)).find(|geometry| {
            (COMFORTABLE_CLUSTERS..=MAXIMUM_CLUSTERS).contains(&geometry.clusters) && sectors <= u64::from(u32::MAX)
        })
    }

    fn new(sectors: u64, sectors_per_cluster: u64) -> Self {
        let mut fat_sectors = 1;
        loop {
            let overhead = RESERVED_SECTORS + FAT_COPIES * fat_sectors;
            let clusters = sectors.saturating_sub(overhead) / sectors_per_cluster;
            let needed = ((clusters + 2) * 4).div_ceil(SECTOR);
            if needed <= fat_sectors {
                return Self { sectors, sectors_per_cluster, fat_sectors, clusters };
            }
            fat_sectors = needed;
        }
    }

    pub(super) fn cluster_bytes(&self) -> u64 {
        self.sectors_per_cluster * SECTOR
    }

    pub(super) fn fat_offset(&self, copy: u64) -> u64 {
        (RESERVED_SECTORS + copy * self.fat_sectors) * SECTOR
    }

    pub(super) fn cluster_offset(&self, cluster: u32) -> u64 {
        self.fat_offset(FAT_COPIES) + u64::from(cluster - ROOT_CLUSTER) * self.cluster_bytes()
    }
}

/// Checksum of a short name, kept in each entry of its long name.
pub(super) fn short_checksum(name: &[u8; 11]) -> u8 {
    name.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}
