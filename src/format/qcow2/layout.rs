//! The header and the bits of table entries, field names as in the specification.

use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// How clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Needs QEMU 5.1 or newer.
    Zstd,
    /// Read by everything.
    Zlib,
}

#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub magic: [u8; 4],
    pub version: U32,
    pub backing_file_offset: U64,
    pub backing_file_size: U32,
    pub cluster_bits: U32,
    pub size: U64,
    pub crypt_method: U32,
    pub l1_size: U32,
    pub l1_table_offset: U64,
    pub refcount_table_offset: U64,
    pub refcount_table_clusters: U32,
    pub nb_snapshots: U32,
    pub snapshots_offset: U64,
    pub incompatible_features: U64,
    pub compatible_features: U64,
    pub autoclear_features: U64,
    pub refcount_order: U32,
    pub header_length: U32,
    pub compression_type: u8,
    pub padding: [u8; 7],
}

const _: () = assert!(size_of::<Header>() == 112);

pub(super) const MAGIC: [u8; 4] = *b"QFI\xfb";
pub(super) const CLUSTER_BITS: u32 = 16;
/// Bytes of a cluster.
pub const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Entries of an L2 table.
pub(super) const L2_ENTRIES: u64 = CLUSTER / 8;
/// 16 bits for each cluster of the file.
pub(super) const REFCOUNT_ORDER: u32 = 4;
pub(super) const REFCOUNTS_PER_BLOCK: u64 = CLUSTER / 2;
/// The compression type is given by the header's field.
pub(super) const INCOMPATIBLE_COMPRESSION: u64 = 1 << 3;
/// Exactly one reference: the cluster may be written in place.
pub(super) const COPIED: u64 = 1 << 63;
pub(super) const COMPRESSED: u64 = 1 << 62;
pub(super) const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;
/// Bits of a compressed cluster's entry that give its place in bytes.
pub(super) const COMPRESSED_OFFSET_BITS: u32 = 62 - (CLUSTER_BITS - 8);
/// Compressed lengths count in these.
pub(super) const COMPRESSED_UNIT: u64 = 512;

impl Compression {
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Zlib => 0,
            Self::Zstd => 1,
        }
    }
}
