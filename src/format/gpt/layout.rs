//! The structures on disk, field names as in the specification.

use crate::base::ids::Uuid;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// UEFI specification 5.3.2, table "GPT header".
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub signature: [u8; 8],
    pub revision: U32,
    pub header_size: U32,
    pub header_crc32: U32,
    pub reserved: U32,
    pub my_lba: U64,
    pub alternate_lba: U64,
    pub first_usable_lba: U64,
    pub last_usable_lba: U64,
    pub disk_guid: Guid,
    pub partition_entry_lba: U64,
    pub number_of_partition_entries: U32,
    pub size_of_partition_entry: U32,
    pub partition_entry_array_crc32: U32,
}

/// UEFI specification 5.3.3, table "GPT partition entry".
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Entry {
    pub partition_type_guid: Guid,
    pub unique_partition_guid: Guid,
    pub starting_lba: U64,
    pub ending_lba: U64,
    pub attributes: U64,
    pub partition_name: [U16; 36],
}

/// A GUID in its mixed order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Guid(pub [u8; 16]);

impl From<Guid> for Uuid {
    fn from(guid: Guid) -> Self {
        let mut bytes = guid.0;
        bytes[0..4].reverse();
        bytes[4..6].reverse();
        bytes[6..8].reverse();
        Self(bytes)
    }
}

/// One record of the protective MBR.
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Record {
    pub boot_indicator: u8,
    pub starting_chs: [u8; 3],
    pub os_type: u8,
    pub ending_chs: [u8; 3],
    pub starting_lba: U32,
    pub size_in_lba: U32,
}

pub(super) const SIGNATURE: [u8; 8] = *b"EFI PART";
pub(super) const REVISION: u32 = 0x0001_0000;
pub(super) const PROTECTIVE: u8 = 0xee;

const _: () = assert!(size_of::<Header>() == 92);
const _: () = assert!(size_of::<Entry>() == 128);
const _: () = assert!(size_of::<Record>() == 16);
