//! `info/`: lists of files, maintainer scripts and the other control files of each package.

use super::FOLDER;
use crate::base::limits::DPKG_FILE_BYTES;
use crate::rootfs::incoming::Incoming;
use crate::rootfs::root::{Root, trimmed};
use crate::rootfs::unpack::Listing;
use anyhow::Result;
use std::collections::BTreeSet;

pub(super) fn write(root: &Root, unpacked: &[(&Incoming, &Listing)]) -> Result<()> {
    root.write(&format!("{FOLDER}/info/format"), b"1\n", 0o644, (0, 0))?;
    for (package, listing) in unpacked {
        let name = &package.info_name;
        root.write(&format!("{FOLDER}/info/{name}.list"), &list(listing), 0o644, (0, 0))?;
        for (kind, file) in package.control.files.iter().filter(|(kind, _)| *kind != "control") {
            // Names come from the package: only plain ones become files.
            if kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
                root.write(&format!("{FOLDER}/info/{name}.{kind}"), &file.bytes, file.mode & 0o777, (0, 0))?;
            }
        }
    }
    Ok(())
}

/// A path for each line; the root is `/.`.
fn list(listing: &Listing) -> Vec<u8> {
    let mut text = Vec::new();
    for path in &listing.paths {
        text.push(b'/');
        text.extend(if path.is_empty() { b"." } else { path.as_slice() });
        text.push(b'\n');
    }
    text
}

pub(super) fn drop_paths(root: &Root, package: &str, paths: &BTreeSet<&[u8]>) -> Result<()> {
    let file = format!("{FOLDER}/info/{package}.list");
    let Some(text) = root.read(&file, DPKG_FILE_BYTES)? else { return Ok(()) };
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let kept = lines.filter(|line| !paths.contains(trimmed(line.strip_suffix(b"\n").unwrap_or(line))));
    root.write(&file, &kept.collect::<Vec<_>>().concat(), 0o644, (0, 0))
}
