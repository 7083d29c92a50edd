//! The finished disk as sparse extents, readable at any offset by any number of threads.

use crate::base::files;
use crate::format::{ReadAt, usize_of};
use anyhow::{Result, bail};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
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
    /// From a file, which is opened when it is read: there are more of them than may be open at a time.
    Contents {
        /// Its path.
        path: Arc<Path>,
        /// Where in it the extent begins.
        from: u64,
        /// How long the whole file is; another length means that it is another file by now.
        size: u64,
    },
}

impl Source {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => buffer.copy_from_slice(&bytes[usize_of(offset)..][..buffer.len()]),
            Self::Contents { path, from, size } => {
                let failed = |error: anyhow::Error| io::Error::other(format!("{error:#}"));
                let file = files::open(path).map_err(failed)?;
                let found = file.metadata()?.len();
                if found != *size {
                    let text = format!("{} has {found} bytes, {size} were expected", path.display());
                    return Err(io::Error::other(text));
                }
                file.read_exact_at(buffer, from + offset)
                    .map_err(|error| io::Error::new(error.kind(), format!("reading {}: {error}", path.display())))?;
            }
        }
        Ok(())
    }
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

    /// Adds `length` bytes of a file of `size` bytes, from byte `from` on.
    pub fn add_contents(&mut self, offset: u64, length: u64, path: Arc<Path>, from: u64, size: u64) {
        if length > 0 {
            self.extents.push(Extent { offset, length, source: Source::Contents { path, from, size } });
        }
    }

    /// Adds all of another image, such as a volume's.
    pub fn add_image(&mut self, offset: u64, image: Self) {
        self.extents
            .extend(image.extents.into_iter().map(|extent| Extent { offset: offset + extent.offset, ..extent }));
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

    /// Whether a range may hold anything but zeros: cheap, never wrong with `false`.
    #[must_use]
    pub fn may_hold_data(&self, offset: u64, length: u64) -> bool {
        self.overlapping(offset, offset + length).next().is_some()
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
            extent.source.read_at(&mut buffer[within], from - extent.offset)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_reads_extents_and_zeros_between_them() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, b"all of the data").unwrap();
        let mut inner = DiskImage { size: 1 << 20, extents: vec![] };
        inner.add_contents(500_000, 7, file.path().into(), 8, 15);
        inner.add_contents(600_000, 0, file.path().into(), 15, 15);
        let mut image = DiskImage { size: 4 << 20, extents: vec![] };
        image.add_image(1 << 20, inner);
        image.add_bytes(10, b"head".to_vec());
        let image = image.seal().unwrap();
        assert_eq!(image.read_vec(8, 8).unwrap(), b"\0\0head\0\0");
        assert_eq!(image.read_vec((1 << 20) + 499_999, 9).unwrap(), b"\0he data\0");
        assert_eq!(image.read_vec((1 << 20) + 500_003, 3).unwrap(), b"dat");
        assert!(image.read_vec((4 << 20) - 1, 2).is_err());
        assert!(image.may_hold_data((1 << 20) + 450_000, 100_000));
        assert!(!image.may_hold_data(1 << 21, 1 << 21));
        std::fs::write(&file, b"all of the data and more").unwrap();
        let error = image.read_vec((1 << 20) + 499_999, 9).unwrap_err().to_string();
        assert!(error.ends_with("has 24 bytes, 15 were expected"), "{error}");
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
