//! MD5 (RFC 1321), which dpkg's database speaks for conffiles. For identity with dpkg only, never for trust.

use std::fmt::Write as _;
use std::io::{self, Write};

/// Shift amounts, RFC 1321 section 3.4.
const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// Collects bytes into an MD5 digest.
#[derive(Clone)]
pub(super) struct Md5 {
    state: [u32; 4],
    pending: Vec<u8>,
    length: u64,
}

impl Default for Md5 {
    fn default() -> Self {
        Self { state: [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476], pending: Vec::with_capacity(64), length: 0 }
    }
}

impl Md5 {
    /// The digest as 32 hexadecimal digits.
    pub(super) fn finish(mut self) -> String {
        let bits = self.length.wrapping_mul(8);
        self.pending.push(0x80);
        while self.pending.len() % 64 != 56 {
            self.pending.push(0);
        }
        self.pending.extend(bits.to_le_bytes());
        let pending = std::mem::take(&mut self.pending);
        for block in pending.chunks_exact(64) {
            self.block(block);
        }
        self.state.iter().flat_map(|word| word.to_le_bytes()).fold(String::new(), |mut text, byte| {
            // Writing into a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    fn block(&mut self, block: &[u8]) {
        let mut words = [0_u32; 16];
        for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        let [mut a, mut b, mut c, mut d] = self.state;
        for step in 0..64_usize {
            let (mixed, word) = match step / 16 {
                0 => ((b & c) | (!b & d), step),
                1 => ((d & b) | (!d & c), (5 * step + 1) % 16),
                2 => (b ^ c ^ d, (3 * step + 5) % 16),
                _ => (c ^ (b | !d), (7 * step) % 16),
            };
            let sum = a.wrapping_add(mixed).wrapping_add(sine(step)).wrapping_add(words[word]);
            (a, d, c) = (d, c, b);
            b = b.wrapping_add(sum.rotate_left(SHIFTS[step / 16][step % 4]));
        }
        for (slot, value) in self.state.iter_mut().zip([a, b, c, d]) {
            *slot = slot.wrapping_add(value);
        }
    }
}

/// The table T of RFC 1321: the integer part of 4294967296 times abs(sin(i)).
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "defined so")]
fn sine(step: usize) -> u32 {
    (((step + 1) as f64).sin().abs() * 4_294_967_296.0) as u32
}

impl Write for Md5 {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.length = self.length.wrapping_add(bytes.len() as u64);
        self.pending.extend_from_slice(bytes);
        let whole = self.pending.len() / 64 * 64;
        let pending = std::mem::take(&mut self.pending);
        for block in pending[..whole].chunks_exact(64) {
            self.block(block);
        }
        self.pending.extend_from_slice(&pending[whole..]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The digest of these bytes.
#[cfg(test)]
pub(super) fn of(bytes: &[u8]) -> String {
    let mut hasher = Md5::default();
    hasher.write_all(bytes).unwrap();
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_the_standards_test_suite_are_the_published_ones() {
        let cases = [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a",
            ),
        ];
        for (text, digest) in cases {
            assert_eq!(of(text.as_bytes()), digest, "{text}");
        }
    }

    #[test]
    fn digest_fed_in_pieces_is_that_of_the_whole() {
        let bytes: Vec<u8> = (0..200_u8).collect();
        let mut hasher = Md5::default();
        for piece in bytes.chunks(7) {
            hasher.write_all(piece).unwrap();
        }
        assert_eq!(hasher.finish(), of(&bytes));
    }
}
