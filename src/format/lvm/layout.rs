//! The structures on disk; all offsets count from the start of the physical volume unless said otherwise.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `label_header`, `pv_header` with its two lists of one area each, and `pv_header_extension`, as they follow one another.
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Label {
    pub id: [u8; 8],
    pub sector: U64,
    /// Over all behind this field up to the end of the sector.
    pub crc: U32,
    /// From the label to the PV header.
    pub offset: U32,
    pub kind: [u8; 8],
    pub pv_uuid: [u8; 32],
    pub device_size: U64,
    /// Extents: size 0 means up to the end.
    pub data_areas: [Location; 2],
    pub metadata_areas: [Location; 2],
    pub extension_version: U32,
    pub extension_flags: U32,
    pub bootloader_areas: [Location; 1],
}

/// `disk_locn`: a list of these ends with one of zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Location {
    pub offset: U64,
    pub size: U64,
}

/// `mda_header`.
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct MetadataArea {
    /// Over all behind this field.
    pub checksum: U32,
    pub magic: [u8; 16],
    pub version: U32,
    pub start: U64,
    pub size: U64,
    /// Committed, then precommitted text.
    pub raw_locns: [RawLocation; 2],
    pub rest: [u8; 424],
}

/// `raw_locn`: where a text is, counted from the start of the metadata area.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RawLocation {
    pub offset: U64,
    /// With the zero byte at its end.
    pub size: U64,
    pub checksum: U32,
    pub flags: U32,
}

pub(super) const LABEL_ID: [u8; 8] = *b"LABELONE";
pub(super) const LABEL_KIND: [u8; 8] = *b"LVM2 001";
pub(super) const LABEL_SECTOR: u64 = 1;
/// From the label to the PV header.
pub(super) const HEADER_OFFSET: u32 = 32;
/// Where the label's checksum begins.
pub(super) const LABEL_CHECKED_FROM: usize = 20;
pub(super) const EXTENSION_VERSION: u32 = 2;
/// PV_EXT_USED: the volume belongs to a group.
pub(super) const EXTENSION_USED: u32 = 1;
pub(super) const AREA_MAGIC: [u8; 16] = *b" LVM2 x[5A%r0N*>";
pub(super) const AREA_OFFSET: u64 = 4096;
pub(super) const AREA_SIZE: u64 = super::DATA_START - AREA_OFFSET;
pub(super) const AREA_HEADER: u64 = 512;

const _: () = assert!(size_of::<Label>() == 160);
const _: () = assert!(size_of::<MetadataArea>() == 512);

/// LVM's CRC-32: the usual polynomial from its own initial value, without the usual inversions at both ends.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    const INITIAL: u32 = 0xf597_a6cf;
    let mut hasher = crc32fast::Hasher::new_with_initial(!INITIAL);
    hasher.update(bytes);
    !hasher.finalize()
}
