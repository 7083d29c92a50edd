//! Which parts of a kernel module its index is made from: everything but machine code, relocations and debugging types,
//! which are three quarters of it.

use std::ops::Range;

/// Bytes of the header of a 64-bit file, and of one section's.
const HEADER_BYTES: usize = 64;
/// `SHT_PROGBITS` and `SHT_RELA` of the ELF specification.
const PROGRAM: u64 = 1;
const RELOCATIONS: u64 = 4;
/// `SHF_ALLOC` and `SHF_EXECINSTR`.
const LOADED: u64 = 2;
const EXECUTABLE: u64 = 4;
/// Less than this is not worth a hole.
const PAGE_BYTES: usize = 4096;

/// The parts of a module's bytes that count, in their order; all of it when it is nothing that can be told apart.
pub(super) fn parts(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut skipped = skipped(bytes).unwrap_or_default();
    skipped.sort_by_key(|range| range.start);
    let (mut kept, mut at) = (Vec::new(), 0);
    for range in skipped {
        // Whole pages only, so that what is left out takes no room.
        let (start, end) = (range.start.next_multiple_of(PAGE_BYTES), range.end / PAGE_BYTES * PAGE_BYTES);
        if start >= at && start < end {
            kept.push(at..start);
            at = end;
        }
    }
    kept.push(at..bytes.len());
    kept
}

/// Where sections lie that no index is made from; nothing when this is no 64-bit little-endian ELF file.
fn skipped(bytes: &[u8]) -> Option<Vec<Range<usize>>> {
    if bytes.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (table, size, count) = (number(bytes, 40, 8)?, number(bytes, 58, 2)?, number(bytes, 60, 2)?);
    let (table, size) = (usize::try_from(table).ok()?, usize::try_from(size).ok()?);
    if size < HEADER_BYTES {
        return None;
    }
    let mut found = Vec::new();
    for at in 0..usize::try_from(count).ok()? {
        let header = bytes.get(table.checked_add(at.checked_mul(size)?)?..)?.get(..HEADER_BYTES)?;
        let (kind, flags) = (number(header, 4, 4)?, number(header, 8, 8)?);
        let unread = match kind {
            PROGRAM => flags & EXECUTABLE != 0 || flags & LOADED == 0,
            RELOCATIONS => true,
            _ => false,
        };
        if unread {
            let start = usize::try_from(number(header, 24, 8)?).ok()?;
            let end = start.checked_add(usize::try_from(number(header, 32, 8)?).ok()?)?;
            // The headers themselves are always read, wherever a file claims that its sections lie.
            let overlaps = start < HEADER_BYTES || (start < table.checked_add(count as usize * size)? && end > table);
            if end > bytes.len() || overlaps {
                return None;
            }
            found.push(start..end);
        }
    }
    Some(found)
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(length)?)?;
    Some(field.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of 64 KiB with sections of a kind and flags from one place to another; their headers lie at its end.
    fn file(sections: &[(u32, u64, u64, u64)]) -> Vec<u8> {
        let mut bytes = vec![7; 64 << 10];
        let table = bytes.len() as u64;
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[40..48].copy_from_slice(&table.to_le_bytes());
        bytes[58..60].copy_from_slice(&64u16.to_le_bytes());
        bytes[60..62].copy_from_slice(&u16::try_from(sections.len()).unwrap().to_le_bytes());
        for (kind, flags, start, end) in sections {
            let mut header = [0; 64];
            header[4..8].copy_from_slice(&kind.to_le_bytes());
            header[8..16].copy_from_slice(&flags.to_le_bytes());
            header[24..32].copy_from_slice(&start.to_le_bytes());
            header[32..40].copy_from_slice(&end.wrapping_sub(*start).to_le_bytes());
            bytes.extend(header);
        }
        bytes
    }

    #[test]
    fn code_relocations_and_debugging_are_left_out() {
        let text = (1, LOADED | EXECUTABLE, 4096, 12288);
        let data = (1, LOADED, 12288, 20480);
        let relocations = (4, 0, 20480, 28772);
        let types = (1, 0, 40000, 50000);
        let bytes = file(&[types, text, data, relocations]);
        assert_eq!(parts(&bytes), [0..4096, 12288..20480, 28672..40960, 49152..bytes.len()]);
    }

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "all of it is one part")]
    fn whatever_is_not_understood_is_kept_whole() {
        let whole = |bytes: &[u8]| assert_eq!(parts(bytes), [0..bytes.len()]);
        whole(b"");
        whole(b"\x7fELF");
        whole(&[0; 64]);
        // Beyond the end, over the header, over the table, with a length that overflows.
        whole(&file(&[(4, 0, 4096, 1 << 20)]));
        whole(&file(&[(4, 0, 0, 8192)]));
        whole(&file(&[(4, 0, 60 << 10, (64 << 10) + 8)]));
        whole(&file(&[(4, 0, 4096, 4095)]));
        let bytes = file(&[(4, 0, 4096, 12288)]);
        whole(&bytes[..bytes.len() - 1]);
    }

    proptest::proptest! {
        #[test]
        fn parts_of_damaged_files_lie_in_order_and_within(
            changes in proptest::collection::vec((0usize..320, proptest::num::u8::ANY), 0..16),
        ) {
            let mut bytes = file(&[(4, 0, 4096, 20480), (1, 0, 24576, 32768), (1, LOADED, 36864, 45056), (4, 0, 49152, 57344)]);
            let headers = 64 << 10;
            for (at, value) in changes {
                // The file's header, then those of its sections.
                bytes[if at < 64 { at } else { headers + at - 64 }] = value;
            }
            let parts = parts(&bytes);
            proptest::prop_assert!(parts.iter().all(|part| part.start <= part.end));
            proptest::prop_assert!(parts.windows(2).all(|pair| pair[0].end <= pair[1].start));
            proptest::prop_assert_eq!(parts.last().map(|part| part.end), Some(bytes.len()));
        }
    }

    #[test]
    fn parts_never_overlap_and_end_with_the_file() {
        let bytes = file(&[(4, 0, 4096, 20480), (4, 0, 8192, 16384), (1, 0, 16384, 32768)]);
        let parts = parts(&bytes);
        assert!(parts.windows(2).all(|pair| pair[0].end <= pair[1].start), "{parts:?}");
        assert_eq!(parts.last().unwrap().end, bytes.len());
    }
}
