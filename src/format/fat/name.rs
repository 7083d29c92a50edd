//! Long names and the short names that stand beside them.

use super::layout::{ATTRIBUTE_LONG, LAST_LONG, LongEntry, UNITS_PER_LONG, short_checksum};
use std::collections::BTreeSet;
use zerocopy::little_endian::U16;

/// Units of a long name.
pub(super) const MAXIMUM_UNITS: usize = 255;

/// Whether a name may stand in a folder at all.
pub(super) fn is_legal(name: &str) -> bool {
    let units = name.encode_utf16().count();
    (1..=MAXIMUM_UNITS).contains(&units)
        && !name.chars().any(|c| c.is_control() || "\"*/:<>?\\|".contains(c))
        && !name.ends_with([' ', '.'])
        && !name.starts_with(' ')
}

/// The short name, unique in its folder, and whether the long name must stand beside it.
pub(super) fn short(name: &str, taken: &mut BTreeSet<[u8; 11]>) -> ([u8; 11], bool) {
    let (base, extension) = match name.rsplit_once('.') {
        Some((base, extension)) if !base.is_empty() => (base, extension),
        _ => (name, ""),
    };
    let fold = |text: &str| -> Vec<u8> {
        let kept = text.chars().filter(|c| !matches!(c, ' ' | '.'));
        kept.map(|c| if plain(c) { c.to_ascii_uppercase() as u8 } else { b'_' }).collect()
    };
    let exact = |text: &str, limit| text.len() <= limit && text.chars().all(plain);
    let (mut folded, mut suffix) = (fold(base), fold(extension));
    suffix.truncate(3);
    let build = |base: &[u8]| {
        let mut short = [b' '; 11];
        short[..base.len()].copy_from_slice(base);
        short[8..8 + suffix.len()].copy_from_slice(&suffix);
        short
    };
    if exact(base, 8) && exact(extension, 3) {
        let short = build(&folded);
        if taken.insert(short) {
            return (short, name.chars().any(|c| c.is_ascii_lowercase()));
        }
    }
    // The loop ends: a folder holds fewer names than there are numbers.
    for number in 1_u32.. {
        let tail = format!("~{number}");
        folded.truncate(8 - tail.len());
        let short = build(&[folded.as_slice(), tail.as_bytes()].concat());
        if taken.insert(short) {
            return (short, true);
        }
    }
    (build(&folded), true)
}

fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'()-@^_`{}~".contains(c)
}

/// The entries of a long name in the order in which they stand on disk: last part first.
pub(super) fn long_entries(name: &str, short: &[u8; 11]) -> Vec<LongEntry> {
    let units: Vec<u16> = name.encode_utf16().collect();
    let chksum = short_checksum(short);
    let parts = units.len().div_ceil(UNITS_PER_LONG);
    let entry = |part: usize| {
        // Behind the name one zero, then ones.
        let unit = |at: usize| match part * UNITS_PER_LONG + at {
            position if position < units.len() => U16::new(units[position]),
            position if position == units.len() => U16::new(0),
            _ => U16::new(0xffff),
        };
        let last = if part + 1 == parts { LAST_LONG } else { 0 };
        LongEntry {
            ord: u8::try_from(part + 1).unwrap_or(u8::MAX) | last,
            name1: std::array::from_fn(unit),
            attr: ATTRIBUTE_LONG,
            kind: 0,
            chksum,
            name2: std::array::from_fn(|at| unit(at + 5)),
            fst_clus_lo: 0.into(),
            name3: std::array::from_fn(|at| unit(at + 11)),
        }
    };
    (0..parts).rev().map(entry).collect()
}

/// A short name as it is shown.
pub(super) fn shown(short: &[u8; 11]) -> String {
    let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    match (part(&short[..8]), part(&short[8..])) {
        (base, extension) if extension.is_empty() => base,
        (base, extension) => format!("{base}.{extension}"),
    }
}
