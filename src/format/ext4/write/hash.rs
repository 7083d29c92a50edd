//! The hash that orders large folders: half of MD4 over the name, its bytes taken as signed numbers.
//!
//! Specification: <https://docs.kernel.org/filesystems/ext4/dynamic.html#hash-tree-directories>

/// Half of MD4, by its number in the superblock and in the root of an index.
pub(super) const HALF_MD4: u8 = 1;
/// What a hash starts from where the superblock has no seed.
const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
/// Kept for the end of a folder.
const END: u32 = 0x7fff_ffff << 1;
/// Bytes of a name that one round takes.
const PIECE: usize = 32;

/// The hash of a name and its lesser half, which orders names of the same hash.
pub(super) fn hash(name: &[u8], seed: [u8; 16]) -> (u32, u32) {
    let word = |at: usize| u32::from_le_bytes([seed[at], seed[at + 1], seed[at + 2], seed[at + 3]]);
    let mut state = [word(0), word(4), word(8), word(12)];
    if state == [0; 4] {
        state = START;
    }
    let mut rest = name;
    while !rest.is_empty() {
        state = round(state, words(rest));
        rest = rest.get(PIECE..).unwrap_or_default();
    }
    let major = state[1] & !1;
    (if major == END { END - 2 } else { major }, state[2])
}

/// The next 32 bytes as words, filled up with the number of bytes left.
fn words(rest: &[u8]) -> [u32; 8] {
    let length = u32::try_from(rest.len()).unwrap_or(u32::MAX);
    let filling = length | length << 8;
    let filling = filling | filling << 16;
    let mut words = [filling; 8];
    for (word, bytes) in words.iter_mut().zip(rest.chunks(4)) {
        *word = bytes
            .iter()
            .fold(filling, |sum, byte| i32::from(byte.cast_signed()).cast_unsigned().wrapping_add(sum << 8));
    }
    words
}

fn round(state: [u32; 4], words: [u32; 8]) -> [u32; 4] {
    type Mix = fn(u32, u32, u32) -> u32;
    const SECOND: u32 = 0x5a82_7999;
    const THIRD: u32 = 0x6ed9_eba1;
    let rounds: [(Mix, u32, [usize; 8], [u32; 4]); 3] = [
        (|x, y, z| z ^ (x & (y ^ z)), 0, [0, 1, 2, 3, 4, 5, 6, 7], [3, 7, 11, 19]),
        (|x, y, z| (x & y).wrapping_add((x ^ y) & z), SECOND, [1, 3, 5, 7, 0, 2, 4, 6], [3, 5, 9, 13]),
        (|x, y, z| x ^ y ^ z, THIRD, [3, 7, 2, 6, 1, 5, 0, 4], [3, 9, 11, 15]),
    ];
    let [mut a, mut b, mut c, mut d] = state;
    for (mix, constant, order, turns) in rounds {
        for (step, word) in order.into_iter().enumerate() {
            let sum = a.wrapping_add(mix(b, c, d)).wrapping_add(words[word]).wrapping_add(constant);
            (a, b, c, d) = (d, sum.rotate_left(turns[step % 4]), b, c);
        }
    }
    let new = [a, b, c, d];
    std::array::from_fn(|at| new[at].wrapping_add(state[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_debugfs() {
        let seed = [0x12, 0x34, 0x56, 0x78, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x12, 0x34, 0x56, 0x78];
        let long = "n".repeat(255);
        // `debugfs -R 'dx_hash -h half_md4 -s 12345678-1234-5678-9abc-def012345678 NAME'`, and without `-s`.
        let cases: [(&str, [u8; 16], (u32, u32)); 6] = [
            ("a", seed, (0xd4f1_4b26, 0xb85c_b33f)),
            ("hosts", seed, (0x3515_f8ac, 0x5f43_03da)),
            ("Főtanúsítvány.pem", seed, (0x972b_bb48, 0x989c_76f9)),
            ("exactly-thirty-two-bytes-of-name", seed, (0x4490_4ec2, 0x33bb_2e8f)),
            (&long, seed, (0x7042_0a34, 0x9ca2_8542)),
            ("hosts", [0; 16], (0x8f87_e608, 0xfb63_5f14)),
        ];
        for (name, seed, expected) in cases {
            assert_eq!(hash(name.as_bytes(), seed), expected, "{name}");
        }
    }
}
