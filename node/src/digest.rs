//! SHA-256 as manifests write it.

use crate::files::failed;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes read at a time.
const PIECE: usize = 64 << 10;

/// Of bytes.
#[cfg(test)]
pub(crate) fn of(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// Of an open file, to its end; also its length.
pub(crate) fn of_file(mut file: &File, path: &Path) -> Result<(String, u64), String> {
    let (mut state, mut length) = (Sha256::new(), 0);
    let mut piece = vec![0; PIECE];
    loop {
        let count = file.read(&mut piece).map_err(failed("reading", path))?;
        if count == 0 {
            return Ok((hexadecimal(&state.finalize()), length));
        }
        state.update(piece.get(..count).unwrap_or_default());
        length += count as u64;
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether a text is such a digest.
pub(crate) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
