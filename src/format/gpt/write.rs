//! Writes both tables and the protective MBR with the `gpt` crate, into memory.

use super::{FIRST_USABLE, PlacementError, TAIL_SECTORS, Table};
use crate::base::size::SECTOR;
use crate::format::Run;
use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Why a table could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It makes no sense.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// The crate refused it.
    #[error("the partition table could not be encoded")]
    Encoding(#[from] gpt::GptError),
    /// The crate refused the protective MBR.
    #[error("the protective MBR could not be encoded")]
    ProtectiveMbr(#[from] gpt::mbr::MBRError),
}

/// The first 34 sectors and the last 33, as two runs. The MBR's code area is left zero.
///
/// # Errors
/// When the table is not valid.
///
/// # Panics
/// Never: a GUID's printed form always parses.
pub fn write(table: &Table) -> Result<[Run; 2], WriteError> {
    table.validate()?;
    let mut device = Device::new(table.sectors);
    let size = u32::try_from(table.sectors - 1).unwrap_or(u32::MAX);
    gpt::mbr::ProtectiveMBR::with_lb_size(size).overwrite_lba0(&mut device)?;
    // `parse` infers the crate's own UUID type, which it does not re-export.
    let guid = table.guid.to_string().parse().expect("a printed GUID parses");
    let mut disk = gpt::GptConfig::new().writable(true).create_from_device(device, Some(guid))?;
    let mut partitions = BTreeMap::new();
    for (number, partition) in (1_u32..).zip(&table.partitions) {
        let entry = gpt::partition::Partition {
            part_type_guid: gpt::partition_types::Type {
                guid: partition.kind.to_string().parse().expect("a printed GUID parses"),
                os: gpt::partition_types::OperatingSystem::None,
            },
            part_guid: partition.guid.to_string().parse().expect("a printed GUID parses"),
            first_lba: partition.first,
            last_lba: partition.last,
            flags: partition.attributes,
            name: partition.name.clone(),
        };
        partitions.insert(number, entry);
    }
    disk.update_partitions(partitions)?;
    let device = disk.write()?;
    let tail = (table.sectors - TAIL_SECTORS) * SECTOR;
    Ok([Run { offset: 0, bytes: device.head }, Run { offset: tail, bytes: device.tail }])
}

/// A disk of any size of which only the two ends exist; the crate touches nothing else.
#[derive(Debug)]
struct Device {
    size: u64,
    head: Vec<u8>,
    tail: Vec<u8>,
    position: u64,
}

impl Device {
    fn new(sectors: u64) -> Self {
        let head = vec![0; crate::format::usize_of(FIRST_USABLE * SECTOR)];
        let tail = vec![0; crate::format::usize_of(TAIL_SECTORS * SECTOR)];
        Self { size: sectors * SECTOR, head, tail, position: 0 }
    }

    fn here(&mut self) -> &mut [u8] {
        let tail = self.size - self.tail.len() as u64;
        if self.position >= tail {
            let at = crate::format::usize_of(self.position - tail).min(self.tail.len());
            &mut self.tail[at..]
        } else {
            let at = usize::try_from(self.position).unwrap_or(usize::MAX).min(self.head.len());
            &mut self.head[at..]
        }
    }
}

impl Read for Device {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let here = self.here();
        let length = buffer.len().min(here.len());
        buffer[..length].copy_from_slice(&here[..length]);
        self.position += length as u64;
        Ok(length)
    }
}

impl Write for Device {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let here = self.here();
        let length = bytes.len().min(here.len());
        here[..length].copy_from_slice(&bytes[..length]);
        self.position += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Device {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}
