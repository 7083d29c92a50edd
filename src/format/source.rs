//! Random access to bytes, for the readers of all formats; and the sparse runs that writers give.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, PoisonError};

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

    /// Whether a range is known, without reading it, to hold only zeros: cheap, and never wrong with `true`.
    fn is_hole(&self, _offset: u64, _length: u64) -> bool {
        false
    }

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

    fn is_hole(&self, offset: u64, length: u64) -> bool {
        match rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Data(offset)) {
            Ok(data) => data >= offset.saturating_add(length),
            // No data from here to the end of the file.
            Err(error) => error == rustix::io::Errno::NXIO,
        }
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

    fn is_hole(&self, offset: u64, length: u64) -> bool {
        self.inner.is_hole(self.offset.saturating_add(offset), length)
    }
}

/// Parts of another source, one behind the other, such as the segments of a logical volume.
pub struct Joined<'a> {
    inner: &'a dyn ReadAt,
    /// Where each part begins here, where in `inner`, and its length.
    parts: Vec<(u64, u64, u64)>,
    size: u64,
}

impl<'a> Joined<'a> {
    /// These parts (offset and length) of `inner`.
    ///
    /// # Errors
    /// When one leaves `inner`.
    pub fn new(inner: &'a dyn ReadAt, parts: impl IntoIterator<Item = (u64, u64)>) -> io::Result<Self> {
        let mut joined = Self { inner, parts: Vec::new(), size: 0 };
        for (offset, length) in parts {
            Window::new(inner, offset, length)?;
            joined.parts.push((joined.size, offset, length));
            joined.size = joined.size.checked_add(length).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        }
        Ok(joined)
    }

    /// What of `inner` this range is: offset and length of each piece.
    fn pieces(&self, offset: u64, length: u64) -> impl Iterator<Item = (u64, u64)> {
        let end = offset.saturating_add(length);
        self.parts.iter().filter_map(move |(start, inner, size)| {
            let (from, to) = (offset.max(*start), end.min(start + size));
            (from < to).then(|| (inner + from - start, to - from))
        })
    }
}

impl ReadAt for Joined<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        check(self.size, offset, buffer.len())?;
        let mut rest = buffer;
        for (at, length) in self.pieces(offset, rest.len() as u64) {
            let (piece, behind) = rest.split_at_mut(super::usize_of(length));
            self.inner.read_at(piece, at)?;
            rest = behind;
        }
        Ok(())
    }

    fn is_hole(&self, offset: u64, length: u64) -> bool {
        self.pieces(offset, length).all(|(at, length)| self.inner.is_hole(at, length))
    }
}

/// Bytes of a slot of [`Cached`]: a cluster of qcow2.
const SLOT: u64 = 64 << 10;

/// What a slot holds: which piece, and its bytes.
type Slot = Option<(u64, Vec<u8>)>;

/// Another source whose pieces stay in memory for a while: for readers that jump about in what is slow to read.
pub struct Cached<'a> {
    inner: &'a dyn ReadAt,
    slots: Vec<Mutex<Slot>>,
}

impl<'a> Cached<'a> {
    /// Keeps at most this many pieces of 64 KiB.
    #[must_use]
    pub fn new(inner: &'a dyn ReadAt, slots: usize) -> Self {
        Self { inner, slots: std::iter::repeat_with(Mutex::default).take(slots.max(1)).collect() }
    }
}

impl ReadAt for Cached<'_> {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        check(self.size(), offset, buffer.len())?;
        let end = offset + buffer.len() as u64;
        let mut at = offset;
        while at < end {
            let (number, within) = (at / SLOT, at % SLOT);
            let length = (SLOT - within).min(end - at);
            let to = &mut buffer[super::usize_of(at - offset)..][..super::usize_of(length)];
            // Whole pieces are read once, by those who go through everything.
            if length == SLOT {
                self.inner.read_at(to, at)?;
            } else {
                let slot = &self.slots[super::usize_of(number % self.slots.len() as u64)];
                let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
                if slot.as_ref().is_none_or(|(known, _)| *known != number) {
                    let piece = (self.size() - number * SLOT).min(SLOT);
                    *slot = Some((number, self.inner.read_vec(number * SLOT, super::usize_of(piece))?));
                }
                if let Some((_, bytes)) = slot.as_ref() {
                    to.copy_from_slice(&bytes[super::usize_of(within)..][..to.len()]);
                }
            }
            at += length;
        }
        Ok(())
    }

    fn is_hole(&self, offset: u64, length: u64) -> bool {
        self.inner.is_hole(offset, length)
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
    fn joined_parts_and_kept_pieces_read_as_one() {
        let bytes: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
        let joined = Joined::new(&bytes, [(200_000, 70_000), (10, 100_000)]).unwrap();
        let expected = [&bytes[200_000..270_000], &bytes[10..100_010]].concat();
        let cached = Cached::new(&joined, 2);
        for (offset, length) in [(0, 170_000), (69_990, 20), (65_530, 70_000), (169_999, 1), (5, 0), (0, 65_536)] {
            assert_eq!(joined.read_vec(offset, length).unwrap(), expected[offset as usize..][..length]);
            assert_eq!(cached.read_vec(offset, length).unwrap(), expected[offset as usize..][..length]);
        }
        assert!(joined.read_vec(169_999, 2).is_err() && cached.read_vec(170_000, 1).is_err());
        assert!(Joined::new(&bytes, [(0, 1), (299_999, 2)]).is_err());
    }

    #[test]
    fn holes_are_known_without_reading() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_all_at(b"data", 500_000).unwrap();
        let source = FileSource::new(file).unwrap();
        let window = Window::new(&source, 4096, 1 << 19).unwrap();
        assert!(window.is_hole(0, 65_536) && !window.is_hole(400_000, 100_000));
        assert!(source.is_hole(600_000, 400_000));
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
