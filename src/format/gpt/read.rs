//! Reads a partition table, believing nothing: both copies, all checksums, all bounds.

use super::layout::{Entry, Header, PROTECTIVE, REVISION, Record, SIGNATURE};
use super::{ENTRIES, FIRST_USABLE, Partition, PlacementError, TAIL_SECTORS, Table};
use crate::base::ids::Uuid;
use crate::base::size::SECTOR;
use crate::format::ReadAt;
use std::io;
use zerocopy::FromBytes as _;

/// Why a table could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The source failed or is too short.
    #[error("the disk could not be read")]
    Io(#[from] io::Error),
    /// No protective MBR.
    #[error("sector 0 is no protective MBR: {0}")]
    ProtectiveMbr(&'static str),
    /// A header is not what it should be.
    #[error("the {copy} GPT header has a wrong {field}")]
    Header {
        /// `primary` or `backup`.
        copy: &'static str,
        /// Which field.
        field: &'static str,
    },
    /// The copies of the entries differ.
    #[error("the primary and the backup partition entries differ")]
    Differ,
    /// An entry is not what it should be.
    #[error("partition entry {number} has {what}")]
    Entry {
        /// From 1.
        number: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The table makes no sense.
    #[error(transparent)]
    Placement(#[from] PlacementError),
}

const ENTRY_BYTES: usize = ENTRIES * size_of::<Entry>();

/// Reads the table of a whole disk.
///
/// # Errors
/// On anything that [`super::write`] would not have written, gaps between numbers included.
pub fn read(disk: &dyn ReadAt) -> Result<Table, ReadError> {
    let sectors = disk.size() / SECTOR;
    if !disk.size().is_multiple_of(SECTOR) || sectors <= FIRST_USABLE + TAIL_SECTORS {
        return Err(PlacementError::Small(sectors).into());
    }
    protective_mbr(&disk.read_vec(0, 512)?, sectors)?;
    let last = sectors - 1;
    let (guid, entries) = header(disk, "primary", 1, last, 2, sectors)?;
    let (backup_guid, backup) = header(disk, "backup", last, 1, last - 32, sectors)?;
    if entries != backup || guid != backup_guid {
        return Err(ReadError::Differ);
    }
    let mut partitions = Vec::new();
    for (at, bytes) in entries.chunks_exact(size_of::<Entry>()).enumerate() {
        let wrong = |what| ReadError::Entry { number: at + 1, what };
        let entry = Entry::read_from_bytes(bytes).map_err(|_| wrong("a wrong length"))?;
        if entry.partition_type_guid.0 == [0; 16] {
            if !crate::format::is_zero(bytes) {
                return Err(wrong("no type, yet other fields"));
            }
            continue;
        }
        if partitions.len() != at {
            return Err(wrong("an unused number before it"));
        }
        partitions.push(Partition {
            kind: entry.partition_type_guid.into(),
            guid: entry.unique_partition_guid.into(),
            first: entry.starting_lba.get(),
            last: entry.ending_lba.get(),
            attributes: entry.attributes.get(),
            name: name(&entry).ok_or_else(|| wrong("a malformed name"))?,
        });
    }
    let table = Table { guid, sectors, partitions };
    table.validate()?;
    Ok(table)
}

fn protective_mbr(sector: &[u8], sectors: u64) -> Result<(), ReadError> {
    let wrong = ReadError::ProtectiveMbr;
    if sector[510..] != [0x55, 0xaa] {
        return Err(wrong("no signature"));
    }
    let (record, _) = Record::read_from_prefix(&sector[446..]).map_err(|_| wrong("too short"))?;
    if record.os_type != PROTECTIVE || record.starting_lba.get() != 1 {
        return Err(wrong("no record of type 0xEE from sector 1 on"));
    }
    if u64::from(record.size_in_lba.get()) != (sectors - 1).min(u64::from(u32::MAX)) {
        return Err(wrong("its record does not cover the disk"));
    }
    if !crate::format::is_zero(&sector[462..510]) {
        return Err(wrong("more than one record"));
    }
    Ok(())
}

fn header(
    disk: &dyn ReadAt,
    copy: &'static str,
    lba: u64,
    alternate: u64,
    entry_lba: u64,
    sectors: u64,
) -> Result<(Uuid, Vec<u8>), ReadError> {
    let sector = disk.read_vec(lba * SECTOR, 512)?;
    let wrong = |field| ReadError::Header { copy, field };
    let (mut header, rest) = Header::read_from_prefix(&sector).map_err(|_| wrong("length"))?;
    let checks = [
        (header.signature == SIGNATURE, "signature"),
        (header.revision.get() == REVISION, "revision"),
        (header.header_size.get() == 92, "size"),
        (header.reserved.get() == 0 && crate::format::is_zero(rest), "reserved field"),
        (header.my_lba.get() == lba, "own sector"),
        (header.alternate_lba.get() == alternate, "alternate sector"),
        (header.first_usable_lba.get() == FIRST_USABLE, "first usable sector"),
        (header.last_usable_lba.get() == sectors - TAIL_SECTORS - 1, "last usable sector"),
        (header.partition_entry_lba.get() == entry_lba, "sector of the entries"),
        (header.number_of_partition_entries.get() as usize == ENTRIES, "number of entries"),
        (header.size_of_partition_entry.get() as usize == size_of::<Entry>(), "size of an entry"),
    ];
    if let Some((_, field)) = checks.iter().find(|(holds, _)| !holds) {
        return Err(wrong(field));
    }
    let expected = header.header_crc32.get();
    header.header_crc32.set(0);
    if crc32fast::hash(zerocopy::IntoBytes::as_bytes(&header)) != expected {
        return Err(wrong("checksum"));
    }
    let entries = disk.read_vec(entry_lba * SECTOR, ENTRY_BYTES)?;
    if crc32fast::hash(&entries) != header.partition_entry_array_crc32.get() {
        return Err(wrong("checksum of its entries"));
    }
    Ok((header.disk_guid.into(), entries))
}

fn name(entry: &Entry) -> Option<String> {
    let units: Vec<u16> = entry.partition_name.iter().map(|unit| unit.get()).collect();
    let end = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
    let clean = units[end..].iter().all(|unit| *unit == 0);
    clean.then(|| String::from_utf16(&units[..end]).ok()).flatten()
}
