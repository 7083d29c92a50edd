//! Structures of ECMA-119 as they lie on disk. Numbers are stored little and big endian side by side.

use crate::base::epoch::Epoch;
use zerocopy::byteorder::{BigEndian, LittleEndian, U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a logical sector and of a logical block.
pub(super) const SECTOR: usize = 2048;
/// Where the volume descriptors begin.
pub(super) const FIRST_DESCRIPTOR: usize = 16;
/// Joliet's escape sequence for UCS-2 level 3.
pub(super) const JOLIET_LEVEL_3: &[u8; 3] = b"%/E";
/// `file_flags`: the record describes a folder.
pub(super) const FLAG_DIRECTORY: u8 = 2;
/// 2155-12-31T23:59:59Z: a record's year counts from 1900 in one byte.
const LATEST: i64 = 5_869_583_999;

/// A 16-bit number in both byte orders.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Both16 {
    pub(super) little: U16<LittleEndian>,
    pub(super) big: U16<BigEndian>,
}

impl Both16 {
    pub(super) fn new(value: u16) -> Self {
        Self { little: value.into(), big: value.into() }
    }

    /// The number, when both orders agree.
    pub(super) fn get(self) -> Option<u16> {
        (self.little.get() == self.big.get()).then(|| self.little.get())
    }
}

/// A 32-bit number in both byte orders.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Both32 {
    pub(super) little: U32<LittleEndian>,
    pub(super) big: U32<BigEndian>,
}

impl Both32 {
    pub(super) fn new(value: u32) -> Self {
        Self { little: value.into(), big: value.into() }
    }

    /// The number, when both orders agree.
    pub(super) fn get(self) -> Option<u32> {
        (self.little.get() == self.big.get()).then(|| self.little.get())
    }
}

/// A directory record up to its identifier (ECMA-119 chapter 10.1).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct DirectoryRecord {
    pub(super) length: u8,
    pub(super) extended_attribute_length: u8,
    pub(super) extent: Both32,
    pub(super) data_length: Both32,
    pub(super) recording_time: [u8; 7],
    pub(super) file_flags: u8,
    pub(super) unit_size: u8,
    pub(super) gap_size: u8,
    pub(super) volume_sequence_number: Both16,
    pub(super) identifier_length: u8,
}
const _: () = assert!(size_of::<DirectoryRecord>() == 33);

/// A primary or supplementary volume descriptor (chapters 9.4 and 9.5).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct VolumeDescriptor {
    pub(super) kind: u8,
    pub(super) standard_identifier: [u8; 5],
    pub(super) version: u8,
    pub(super) flags: u8,
    pub(super) system_identifier: [u8; 32],
    pub(super) volume_identifier: [u8; 32],
    pub(super) unused1: [u8; 8],
    pub(super) volume_space_size: Both32,
    pub(super) escape_sequences: [u8; 32],
    pub(super) volume_set_size: Both16,
    pub(super) volume_sequence_number: Both16,
    pub(super) logical_block_size: Both16,
    pub(super) path_table_size: Both32,
    pub(super) path_table_l: U32<LittleEndian>,
    pub(super) optional_path_table_l: U32<LittleEndian>,
    pub(super) path_table_m: U32<BigEndian>,
    pub(super) optional_path_table_m: U32<BigEndian>,
    pub(super) root: DirectoryRecord,
    pub(super) root_identifier: u8,
    pub(super) volume_set_identifier: [u8; 128],
    pub(super) publisher_identifier: [u8; 128],
    pub(super) data_preparer_identifier: [u8; 128],
    pub(super) application_identifier: [u8; 128],
    pub(super) file_identifiers: [u8; 111],
    pub(super) creation_time: [u8; 17],
    pub(super) modification_time: [u8; 17],
    pub(super) expiration_time: [u8; 17],
    pub(super) effective_time: [u8; 17],
    pub(super) file_structure_version: u8,
    pub(super) reserved1: u8,
    pub(super) application_use: [u8; 512],
    pub(super) reserved2: [u8; 653],
}
const _: () = assert!(size_of::<VolumeDescriptor>() == SECTOR);

/// A time as directory records and Rock Ridge hold it, in UTC.
pub(super) fn short_time(epoch: Epoch) -> [u8; 7] {
    let [year, month, day, hour, minute, second] = civil(epoch);
    let byte = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
    [byte(year - 1900), byte(month), byte(day), byte(hour), byte(minute), byte(second), 0]
}

/// A time as volume descriptors hold it, in UTC.
pub(super) fn long_time(epoch: Epoch) -> [u8; 17] {
    let [year, month, day, hour, minute, second] = civil(epoch);
    let text = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}00\0");
    let mut out = [0; 17];
    out.copy_from_slice(text.as_bytes());
    out
}

/// "Not specified".
pub(super) const NO_LONG_TIME: [u8; 17] = *b"0000000000000000\0";

/// The epoch of a record's time; none when it is no time between 1970 and 2155.
pub(super) fn epoch_of(time: [u8; 7]) -> Option<Epoch> {
    let [year, month, day, hour, minute, second, zone] = time;
    let number = i64::from;
    let of_day = number(hour) * 3600 + number(minute) * 60 + number(second);
    let epoch = Epoch::from_civil(1900 + number(year), number(month), number(day), of_day);
    let whole = short_time(epoch)[..6] == time[..6];
    // The zone counts quarters of an hour east of UTC, 48 west to 52 east.
    let zone = i64::from(i8::from_ne_bytes([zone]));
    (whole && (-48..=52).contains(&zone)).then(|| Epoch(epoch.0 - zone * 900))
}

/// Year, month, day, hour, minute, second; times outside 1970..2155 become the nearest one inside.
fn civil(epoch: Epoch) -> [u32; 6] {
    let text = Epoch(epoch.0.clamp(0, LATEST)).rfc3339();
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    [(); 6].map(|()| numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_both_shapes_and_read_back() {
        let epoch = Epoch(1_700_000_000);
        assert_eq!(short_time(epoch), [123, 11, 14, 22, 13, 20, 0]);
        assert_eq!(&long_time(epoch), b"2023111422132000\0");
        assert_eq!(epoch_of(short_time(epoch)), Some(epoch));
        assert_eq!(epoch_of(short_time(Epoch(i64::MAX))), Some(Epoch(LATEST)));
        assert_eq!(epoch_of([123, 13, 1, 0, 0, 0, 0]), None);
        assert_eq!(epoch_of([123, 2, 30, 0, 0, 0, 0]), None);
        assert_eq!(epoch_of([123, 11, 14, 23, 13, 20, 4]), Some(epoch));
        assert_eq!(epoch_of([123, 2, 1, 0, 0, 0, 100]), None);
    }
}
