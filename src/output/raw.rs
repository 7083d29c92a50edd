//! The plain disk image, sparse.

use super::parallel::in_order;
use crate::base::files;
use crate::base::progress::{Progress, Unit};
use crate::disk::DiskImage;
use crate::format::{ReadAt as _, is_zero, usize_of};
use anyhow::{Context as _, Result};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Bytes that a thread takes at a time.
const PIECE: u64 = 4 << 20;
/// Bytes that become a hole when all are zero.
const BLOCK: usize = 4096;

/// Writes the image to a new file by `jobs` threads; zeros become holes. Making it durable is left to whoever renames it.
///
/// # Errors
/// When the file exists or cannot be written, or a source cannot be read.
pub fn write_raw(image: &DiskImage, path: &Path, jobs: usize, progress: &dyn Progress) -> Result<()> {
    let file = files::create_new(path)?;
    let failed = || format!("writing {}", path.display());
    file.set_len(image.size).with_context(failed)?;
    let phase = progress.phase("write", image.size, Unit::Bytes);
    let start = || Ok(vec![0; usize_of(PIECE)]);
    let work = |buffer: &mut Vec<u8>, piece: u64| {
        let offset = piece * PIECE;
        let length = PIECE.min(image.size - offset);
        if image.may_hold_data(offset, length) {
            let bytes = &mut buffer[..usize_of(length)];
            image.read_at(bytes, offset).context("reading the composed disk")?;
            for (start, length) in runs(bytes) {
                file.write_all_at(&bytes[start..start + length], offset + start as u64).with_context(failed)?;
            }
        }
        Ok(length)
    };
    in_order(jobs, image.size.div_ceil(PIECE), start, work, |_, length| {
        phase.advance(length);
        Ok(())
    })
}

/// Where the bytes are not zero, in whole blocks: start and length.
fn runs(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (number, block) in bytes.chunks(BLOCK).enumerate() {
        if is_zero(block) {
            continue;
        }
        match runs.last_mut() {
            Some((start, length)) if *start + *length == number * BLOCK => *length += block.len(),
            _ => runs.push((number * BLOCK, block.len())),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_cover_what_is_not_zero() {
        let mut bytes = vec![0; 5 * BLOCK + 100];
        bytes[BLOCK + 7] = 1;
        bytes[2 * BLOCK] = 1;
        bytes[5 * BLOCK + 99] = 1;
        assert_eq!(runs(&bytes), [(BLOCK, 2 * BLOCK), (5 * BLOCK, 100)]);
        assert_eq!(runs(&[0; 100]), []);
    }
}
