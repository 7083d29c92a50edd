//! A volume as text: one line per file and folder, for people and for snapshots.

use super::{Content, ReadError, read};
use crate::base::digest::Digest;
use std::fmt::Write as _;

/// Lists the volume: label, time, then mode, bytes, digest and path of every entry.
///
/// # Errors
/// When the bytes are no volume.
pub fn dump(bytes: &[u8]) -> Result<String, ReadError> {
    let volume = read(bytes)?;
    let mut out = format!("volume {} of {}, {} bytes\n", volume.label, volume.epoch.rfc3339(), bytes.len());
    for (path, entry) in &volume.entries {
        let mode = entry.mode;
        // Writing to a string cannot fail.
        let _ = match &entry.content {
            Content::Folder => writeln!(out, "{mode:04o} {:>10} {:16} {path}/", "-", "-"),
            Content::File(bytes) => {
                writeln!(out, "{mode:04o} {:>10} {:16} {path}", bytes.len(), Digest::of(bytes).short())
            }
        };
    }
    Ok(out)
}
