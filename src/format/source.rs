//! Random access to bytes, for the readers of all formats; and the sparse runs that writers give.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// A run of bytes at a position; writers give runs in order, gaps are zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where, in bytes.
    pub offset: u64,
    /// What.
    pub bytes: Vec<u8>,
}

/// Bytes readable at any offset, by any number of threads.
pub trait ReadAt: Sync {
    /// How many bytes there are.
    fn size(&self) -> u64;

    /// Fills the buffer from this offset on.
    ///
    /// # Errors
    /// When that fails, or the range leaves the source.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// A vector of `length` bytes from this offset on. The range is checked before anything is allocated.
    ///
    /// # Errors
    /// As [`ReadAt::read_at`].
    fn read_vec(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        check(self.size(), offset, length)?;
        let mut bytes = vec![0; length];
        self.read_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

fn check(size: u64, offset: u64, length: usize) -> io::Result<()> {
    match offset.checked_add(length as u64) {
        Some(end) if end <= size => Ok(()),
        _ => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("{length} bytes at {offset} reach beyond the end at {size}"),
        )),
    }
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        check(self.len() as u64, offset, buffer.len())?;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        buffer.copy_from_slice(&self[start..start + buffer.len()]);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.as_slice().size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_at(buffer, offset)
    }
}

/// An open file whose length was taken once.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    size: u64,
}

impl FileSource {
    /// Takes the file's present length.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn new(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

impl ReadAt for FileSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        check(self.size, offset, buffer.len())?;
        self.file.read_exact_at(buffer, offset)
    }
}

/// A part of another source, such as one partition.
pub struct Window<'a> {
    inner: &'a dyn ReadAt,
    offset: u64,
    size: u64,
}

impl<'a> Window<'a> {
    /// `size` bytes of `inner` from `offset` on.
    ///
    /// # Errors
    /// When the range leaves `inner`.
    pub fn new(inner: &'a dyn ReadAt, offset: u64, size: u64) -> io::Result<Self> {
        match offset.checked_add(size) {
            Some(end) if end <= inner.size() => Ok(Self { inner, offset, size }),
            _ => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{size} bytes at {offset} reach beyond the end at {}", inner.size()),
            )),
        }
    }
}

impl ReadAt for Window<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        check(self.size, offset, buffer.len())?;
        self.inner.read_at(buffer, self.offset + offset)
    }
}

/// Whether all bytes are zero (compares the slice with itself, shifted by one: that is a plain memory comparison).
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    bytes.first().is_none_or(|first| *first == 0 && bytes[..bytes.len() - 1] == bytes[1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_and_slices_refuse_what_lies_outside() {
        let bytes: Vec<u8> = (0..100).collect();
        let window = Window::new(&bytes, 10, 20).unwrap();
        assert_eq!(window.read_vec(0, 3).unwrap(), [10, 11, 12]);
        assert!(window.read_vec(18, 3).is_err());
        assert!(window.read_vec(u64::MAX, 1).is_err());
        assert!(Window::new(&bytes, 90, 11).is_err());
    }

    #[test]
    fn zero_is_recognised_in_any_length() {
        assert!(is_zero(&[]) && is_zero(&[0]) && is_zero(&[0; 4096]));
        for at in [0, 1, 2047, 4095] {
            let mut bytes = [0; 4096];
            bytes[at] = 1;
            assert!(!is_zero(&bytes), "{at}");
        }
    }
}
