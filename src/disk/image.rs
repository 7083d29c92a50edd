//! The finished disk as sparse extents, readable at any offset by any number of threads.

use crate::format::{ReadAt, usize_of};
use anyhow::{Result, bail};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// A disk's bytes: extents in order, gaps are zeros.
#[derive(Clone, Debug, Default)]
pub struct DiskImage {
    /// Length in bytes.
    pub size: u64,
    /// Sorted by offset, never overlapping.
    pub extents: Vec<Extent>,
}

/// A run of bytes.
#[derive(Clone, Debug)]
pub struct Extent {
    /// Where on the disk.
    pub offset: u64,
    /// How long.
    pub length: u64,
    /// Where the bytes come from.
    pub source: Source,
}

/// Where an extent's bytes come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// From memory (partition tables, metadata).
    Bytes(Arc<[u8]>),
    /// From a (sparse) file, from this offset on.
    File(Arc<File>, u64),
}

impl Extent {
    fn end(&self) -> u64 {
        self.offset + self.length
    }
}

impl DiskImage {
    /// Adds bytes; those that are shorter than their place are followed by zeros anyway.
    pub fn add_bytes(&mut self, offset: u64, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            let extent = Extent { offset, length: bytes.len() as u64, source: Source::Bytes(bytes.into()) };
            self.extents.push(extent);
        }
    }

    /// Adds a whole file of this length.
    pub fn add_file(&mut self, offset: u64, length: u64, file: File) {
        self.extents.push(Extent { offset, length, source: Source::File(Arc::new(file), 0) });
    }

    /// Sorts the extents and checks that they lie within the disk and share no byte.
    ///
    /// # Errors
    /// When they do not; that is a wrong plan.
    pub fn seal(mut self) -> Result<Self> {
        self.extents.sort_by_key(|extent| extent.offset);
        for pair in self.extents.windows(2) {
            if pair[0].end() > pair[1].offset {
                let (offset, end) = (pair[1].offset, pair[0].end());
                bail!("what begins at byte {offset} of the disk overlaps what ends at {end}");
            }
        }
        match self.extents.last() {
            Some(last) if last.end() > self.size => {
                bail!("the disk has {} bytes, its last extent ends at {}", self.size, last.end())
            }
            _ => Ok(self),
        }
    }

    /// Whether a range may hold anything but zeros: cheap, asks the host's filesystem for holes, never wrong with `false`.
    #[must_use]
    pub fn may_hold_data(&self, offset: u64, length: u64) -> bool {
        self.overlapping(offset, offset + length).any(|extent| match &extent.source {
            Source::Bytes(_) => true,
            Source::File(file, start) => {
                let from = start + offset.max(extent.offset) - extent.offset;
                let to = start + (offset + length).min(extent.end()) - extent.offset;
                match rustix::fs::seek(&**file, rustix::fs::SeekFrom::Data(from)) {
                    Ok(data) => data < to,
                    // No data from here to the end of the file.
                    Err(rustix::io::Errno::NXIO) => false,
                    Err(_) => true,
                }
            }
        })
    }

    fn overlapping(&self, from: u64, to: u64) -> impl Iterator<Item = &Extent> {
        let first = self.extents.partition_point(|extent| extent.end() <= from);
        self.extents[first..].iter().take_while(move |extent| extent.offset < to)
    }
}

impl ReadAt for DiskImage {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.size);
        let end = end.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        buffer.fill(0);
        for extent in self.overlapping(offset, end) {
            let (from, to) = (offset.max(extent.offset), end.min(extent.end()));
            let within = usize_of(from - offset)..usize_of(to - offset);
            let skip = from - extent.offset;
            match &extent.source {
                Source::Bytes(bytes) => {
                    buffer[within].copy_from_slice(&bytes[usize_of(skip)..usize_of(to - extent.offset)])
                }
                Source::File(file, start) => file.read_exact_at(&mut buffer[within], start + skip)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_reads_extents_and_zeros_between_them() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_all_at(b"data", 500_000).unwrap();
        let mut image = DiskImage { size: 4 << 20, extents: vec![] };
        image.add_file(1 << 20, 1 << 20, file);
        image.add_bytes(10, b"head".to_vec());
        let image = image.seal().unwrap();
        assert_eq!(image.read_vec(8, 8).unwrap(), b"\0\0head\0\0");
        assert_eq!(image.read_vec((1 << 20) + 499_999, 6).unwrap(), b"\0data\0");
        assert!(image.read_vec((4 << 20) - 1, 2).is_err());
        assert!(image.may_hold_data((1 << 20) + 450_000, 100_000));
        assert!(!image.may_hold_data(1 << 21, 1 << 21));
    }

    #[test]
    fn extents_that_overlap_or_leave_the_disk_are_refused() {
        let image = |offset| {
            let mut image = DiskImage { size: 100, extents: vec![] };
            image.add_bytes(0, vec![1; 50]);
            image.add_bytes(offset, vec![1; 20]);
            image.seal().map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(image(50), Ok(()));
        assert_eq!(image(49), Err("what begins at byte 49 of the disk overlaps what ends at 50".to_owned()));
        assert_eq!(image(81), Err("the disk has 100 bytes, its last extent ends at 101".to_owned()));
    }
}
