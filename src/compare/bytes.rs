//! Two runs of bytes: where they part, and what stands there.

use crate::format::{ReadAt, usize_of};
use std::io;

/// How much is read at a time.
const CHUNK: u64 = 256 << 10;
/// How much is left out at a time where both sides have holes.
const LEAP: u64 = 1 << 30;
/// Bytes of a line of an excerpt.
const LINE: u64 = 16;
/// Longest text whose lines are compared.
const TEXT: u64 = 256 << 10;
/// Longest line of a text that is shown.
const SHOWN: usize = 160;

/// Where two runs of bytes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The first byte that differs, or the length of the shorter one.
    pub offset: u64,
    /// What stands there on both sides.
    pub lines: Vec<String>,
}

/// Finds the first byte that differs from `start` on; both are read piece by piece, holes are not read at all.
///
/// # Errors
/// When reading fails.
pub fn first_difference(a: &dyn ReadAt, b: &dyn ReadAt, start: u64) -> io::Result<Option<u64>> {
    let end = a.size().min(b.size());
    let (mut one, mut other) = (Vec::new(), Vec::new());
    let mut at = start;
    while at < end {
        let leap = (LEAP - at % LEAP).min(end - at);
        if leap > CHUNK && a.is_hole(at, leap) && b.is_hole(at, leap) {
            at += leap;
            continue;
        }
        let length = (CHUNK - at % CHUNK).min(end - at);
        if !(a.is_hole(at, length) && b.is_hole(at, length)) {
            one.resize(usize_of(length), 0);
            other.resize(usize_of(length), 0);
            a.read_at(&mut one, at)?;
            b.read_at(&mut other, at)?;
            if one != other {
                let within = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
                return Ok(Some(at + within as u64));
            }
        }
        at += length;
    }
    Ok((a.size() != b.size()).then_some(end))
}

/// The first difference with an excerpt: lines of a text, bytes of anything else.
pub(super) fn spot(a: &dyn ReadAt, b: &dyn ReadAt) -> io::Result<Option<Spot>> {
    let Some(offset) = first_difference(a, b, 0)? else { return Ok(None) };
    let lines = match (text(a)?, text(b)?) {
        (Some(a), Some(b)) => text_lines(&a, &b),
        _ => hex_lines(a, b, offset)?,
    };
    Ok(Some(Spot { offset, lines }))
}

fn text(source: &dyn ReadAt) -> io::Result<Option<String>> {
    if source.size() > TEXT {
        return Ok(None);
    }
    let bytes = source.read_vec(0, usize_of(source.size()))?;
    let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\t' | '\r');
    Ok(String::from_utf8(bytes).ok().filter(|text| !text.contains(odd)))
}

/// The first line that differs on both sides, and how many there are of them at most.
fn text_lines(a: &str, b: &str) -> Vec<String> {
    let same = a.lines().zip(b.lines()).take_while(|(a, b)| a == b).count();
    let mut lines = vec![format!("line {}:", same + 1)];
    for (sign, text) in [('-', a), ('+', b)] {
        match text.lines().nth(same) {
            Some(line) => lines.push(format!("{sign} {}", line.chars().take(SHOWN).collect::<String>())),
            None => lines.push(format!("{sign} (the end)")),
        }
    }
    lines
}

/// The line of bytes that holds the offset, on both sides.
pub(super) fn hex_lines(a: &dyn ReadAt, b: &dyn ReadAt, offset: u64) -> io::Result<Vec<String>> {
    let from = offset - offset % LINE;
    [("-", a), ("+", b)].into_iter().map(|(sign, source)| hex_line(sign, source, from)).collect()
}

fn hex_line(sign: &str, source: &dyn ReadAt, from: u64) -> io::Result<String> {
    let length = source.size().saturating_sub(from).min(LINE);
    if length == 0 {
        return Ok(format!("{sign} {from:08x}  (the end)"));
    }
    let bytes = source.read_vec(from, usize_of(length))?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x} ")).collect();
    let plain = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' };
    Ok(format!("{sign} {from:08x}  {hex:<48} |{}|", bytes.iter().map(plain).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_difference_is_found_wherever_it_lies() {
        let a = vec![7_u8; 600_000];
        for at in [0, 1, 262_143, 262_144, 599_999] {
            let mut b = a.clone();
            b[at] = 8;
            assert_eq!(first_difference(&a, &b, 0).unwrap(), Some(at as u64));
            assert_eq!(first_difference(&a, &b, at as u64 + 1).unwrap(), None);
        }
        assert_eq!(first_difference(&a, &a, 0).unwrap(), None);
        assert_eq!(first_difference(&a, &a[..500_000].to_vec(), 0).unwrap(), Some(500_000));
    }

    #[test]
    fn texts_show_their_lines_and_other_bytes_their_digits() {
        let shown = |a: &[u8], b: &[u8]| spot(&a.to_vec(), &b.to_vec()).unwrap().unwrap().lines;
        assert_eq!(shown(b"one\ntwo\n", b"one\nTwo\n"), ["line 2:", "- two", "+ Two"]);
        assert_eq!(shown(b"one\n", b"one\ntwo\n"), ["line 2:", "- (the end)", "+ two"]);
        let lines = shown(b"0123456789abcdefABC\0", b"0123456789abcdefABD\0");
        assert_eq!(
            lines,
            [
                "- 00000010  41 42 43 00                                      |ABC.|",
                "+ 00000010  41 42 44 00                                      |ABD.|"
            ]
        );
    }
}
