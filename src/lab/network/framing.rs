//! Frames in a stream, as QEMU's `-netdev stream` has them: the length in four bytes, most significant first, then the frame.

use crate::base::limits::LAB_FRAME_BYTES;

/// A length that no frame has: the stream cannot be followed any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes, and {LAB_FRAME_BYTES} are allowed")]
pub(super) struct TooLong(u32);

/// Takes pieces of a stream and gives whole frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    taken: usize,
}

impl Frames {
    /// Adds what was read.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame, if it is there whole.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, TooLong> {
        let rest = &self.bytes[self.taken..];
        let Some((length, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length);
        if length > LAB_FRAME_BYTES {
            return Err(TooLong(length));
        }
        let length = length as usize;
        if rest.len() < length {
            return Ok(None);
        }
        let start = self.taken + 4;
        self.taken = start + length;
        Ok(Some(&self.bytes[start..start + length]))
    }
}

/// Appends a frame to what is to be written.
pub(super) fn append(out: &mut Vec<u8>, frame: &[u8]) {
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(frame);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_cut(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
            piece in 1_usize..97,
        ) {
            let mut stream = Vec::new();
            for frame in &frames {
                append(&mut stream, frame);
            }
            let (mut reader, mut found) = (Frames::default(), Vec::new());
            for bytes in stream.chunks(piece) {
                reader.add(bytes);
                while let Some(frame) = reader.next().unwrap() {
                    found.push(frame.to_vec());
                }
            }
            prop_assert_eq!(found, frames);
        }
    }

    #[test]
    fn a_length_beyond_the_limit_ends_the_stream() {
        let mut reader = Frames::default();
        reader.add(&u32::MAX.to_be_bytes());
        assert_eq!(reader.next(), Err(TooLong(u32::MAX)));
        assert_eq!(TooLong(70_000).to_string(), "a frame of 70000 bytes, and 69632 are allowed");
    }
}
