//! GUID partition tables (UEFI specification, chapter 5) with 512-byte sectors and 128 entries.
//!
//! ```text
//! LBA 0        protective MBR (its code area belongs to GRUB's boot.img)
//! LBA 1        primary header
//! LBA 2..33    entries
//! ...          partitions
//! last-32..    entries again
//! last         backup header
//! ```
//!
//! Written by the `gpt` crate into a window of memory; it renumbers gaps and checks neither overlap nor bounds,
//! so both are checked here. Read by strict code of our own, which also keeps an eye on the crate.
//!
//! GUIDs are mixed-endian on disk: the first three fields little, the rest as printed.

mod dump;
mod layout;
mod read;
mod write;

pub use read::{ReadError, read};
pub use write::{WriteError, write};

use crate::base::ids::Uuid;

/// Type GUIDs.
pub mod kind {
    use crate::base::ids::Uuid;

    /// GRUB's core.img on BIOS machines: `21686148-6449-6E6F-744E-656564454649`.
    pub const BIOS_BOOT: Uuid = Uuid(*b"\x21\x68\x61\x48\x64\x49\x6e\x6f\x74\x4e\x65\x65\x64\x45\x46\x49");
    /// EFI system partition: `C12A7328-F81F-11D2-BA4B-00A0C93EC93B`.
    pub const ESP: Uuid = Uuid(*b"\xc1\x2a\x73\x28\xf8\x1f\x11\xd2\xba\x4b\x00\xa0\xc9\x3e\xc9\x3b");
    /// Linux LVM: `E6D6D379-F507-44C2-A23C-238F2A3DF928`.
    pub const LVM: Uuid = Uuid(*b"\xe6\xd6\xd3\x79\xf5\x07\x44\xc2\xa2\x3c\x23\x8f\x2a\x3d\xf9\x28");
}

/// Entries of the table; the specification's minimum and everybody's number.
pub const ENTRIES: usize = 128;
/// First sector that a partition may use.
pub const FIRST_USABLE: u64 = 34;
/// Sectors behind the last usable one: 32 of entries, one header.
pub const TAIL_SECTORS: u64 = 33;

/// A partition table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Disk GUID.
    pub guid: Uuid,
    /// Sectors of the whole disk.
    pub sectors: u64,
    /// Partitions in order of their numbers, which count from 1 without a gap.
    pub partitions: Vec<Partition>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Type GUID.
    pub kind: Uuid,
    /// Unique GUID.
    pub guid: Uuid,
    /// First sector.
    pub first: u64,
    /// Last sector, which belongs to it.
    pub last: u64,
    /// Attribute bits.
    pub attributes: u64,
    /// Name, at most 36 UTF-16 units.
    pub name: String,
}

/// Why a table makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlacementError {
    /// Empty or beyond the usable sectors.
    #[error(
        "partition {number} spans sectors {first} to {last}, but sectors {usable_first} to {usable_last} can be used"
    )]
    Bounds {
        /// Which.
        number: usize,
        /// Its first sector.
        first: u64,
        /// Its last sector.
        last: u64,
        /// The first that it might use.
        usable_first: u64,
        /// The last that it might use.
        usable_last: u64,
    },
    /// Two partitions share sectors.
    #[error("partitions {one} and {other} share sector {sector}")]
    Overlap {
        /// The lower number.
        one: usize,
        /// The higher number.
        other: usize,
        /// The first shared sector.
        sector: u64,
    },
    /// Two things have one GUID.
    #[error("GUID {0} is used twice")]
    Twice(Uuid),
    /// More than fit.
    #[error("{0} partitions do not fit a table of {ENTRIES}")]
    Count(usize),
    /// The disk has no room for two tables.
    #[error("a disk of {0} sectors has no room for partition tables")]
    Small(u64),
    /// A name is too long.
    #[error("the name of partition {number} has {units} UTF-16 units, 36 is the limit")]
    Name {
        /// Which.
        number: usize,
        /// Its length.
        units: usize,
    },
}

impl Table {
    /// Checks bounds, overlaps, names and that all GUIDs differ.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn validate(&self) -> Result<(), PlacementError> {
        if self.partitions.len() > ENTRIES {
            return Err(PlacementError::Count(self.partitions.len()));
        }
        if self.sectors <= FIRST_USABLE + TAIL_SECTORS {
            return Err(PlacementError::Small(self.sectors));
        }
        let usable_last = self.sectors - TAIL_SECTORS - 1;
        let mut guids = std::collections::BTreeSet::from([self.guid]);
        for (at, partition) in self.partitions.iter().enumerate() {
            let &Partition { first, last, guid, .. } = partition;
            if first < FIRST_USABLE || last > usable_last || last < first {
                let usable_first = FIRST_USABLE;
                return Err(PlacementError::Bounds { number: at + 1, first, last, usable_first, usable_last });
            }
            if !guids.insert(guid) {
                return Err(PlacementError::Twice(guid));
            }
            let units = partition.name.encode_utf16().count();
            if units > 36 {
                return Err(PlacementError::Name { number: at + 1, units });
            }
            for (before, earlier) in self.partitions[..at].iter().enumerate() {
                if earlier.first <= last && first <= earlier.last {
                    let sector = first.max(earlier.first);
                    return Err(PlacementError::Overlap { one: before + 1, other: at + 1, sector });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Run;
    use proptest::prelude::*;

    fn table() -> Table {
        let partition = |number: u32, kind, first, last, name: &str| Partition {
            kind,
            guid: Uuid::derive("test", &format!("partition/{number}")),
            first,
            last,
            attributes: 0,
            name: name.to_owned(),
        };
        let partitions = vec![
            partition(1, kind::BIOS_BOOT, 2048, 4095, "bios"),
            partition(2, kind::ESP, 4096, 8191, "EFI é 系统"),
            partition(3, kind::LVM, 8192, 16350, "lvm"),
        ];
        Table { guid: Uuid::derive("test", "disk"), sectors: 16384, partitions }
    }

    fn image(table: &Table) -> Vec<u8> {
        let mut bytes = vec![0; (table.sectors * 512) as usize];
        for Run { offset, bytes: run } in write(table).unwrap() {
            bytes[offset as usize..][..run.len()].copy_from_slice(&run);
        }
        bytes
    }

    #[test]
    fn table_written_and_read_is_the_same() {
        let table = table();
        assert_eq!(read(&image(&table)).unwrap(), table);
        assert_eq!(image(&table), image(&table));
    }

    #[test]
    fn tables_without_sense_are_refused() {
        let refused = |change: fn(&mut Table)| {
            let mut table = table();
            change(&mut table);
            write(&table).unwrap_err().to_string()
        };
        type Case = (fn(&mut Table), &'static str);
        let cases: [Case; 5] = [
            (|t| t.partitions[1].first = 4000, "partitions 1 and 2 share sector 4000"),
            (
                |t| t.partitions[2].last = 16351,
                "partition 3 spans sectors 8192 to 16351, but sectors 34 to 16350 can be used",
            ),
            (|t| t.partitions[2].guid = t.partitions[1].guid, "is used twice"),
            (|t| t.partitions[0].name = "x".repeat(37), "the name of partition 1 has 37 UTF-16 units, 36 is the limit"),
            (|t| t.sectors = 60, "a disk of 60 sectors has no room for partition tables"),
        ];
        for (change, message) in cases {
            let said = refused(change);
            assert!(said.ends_with(message), "{said}");
        }
    }

    proptest! {
        #[test]
        fn damaged_tables_never_panic_and_are_noticed(at in 446_usize..34 * 512, value: u8) {
            let table = table();
            let mut bytes = image(&table);
            let before = bytes[at];
            bytes[at] = value;
            // The CHS fields of the protective MBR carry nothing and are not looked at.
            let chs = matches!(at, 446..=449 | 451..=453);
            prop_assert_eq!(read(&bytes).is_ok(), before == value || chs, "byte {}", at);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80 * 512)) {
            prop_assert!(read(&bytes).is_err());
        }
    }
}
