//! Two FAT volumes: identity, files by path, contents.

use super::bytes::spot;
use super::{Difference, Findings};
use crate::base::limits;
use crate::format::{ReadAt, fat};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};

/// Compares two volumes that are mounted here; what finds no name is left to the caller.
pub(super) fn volumes(a: &dyn ReadAt, b: &dyn ReadAt, mount: &str, found: &mut Findings) -> Result<()> {
    let (one, other) = (fat::read(a)?, fat::read(b)?);
    found.value("label", one.label.clone(), other.label.clone());
    found.value("serial number", format!("{:08x}", one.id), format!("{:08x}", other.id));
    found.value("bytes", one.size.to_string(), other.size.to_string());
    found.value("bytes of a cluster", one.cluster.to_string(), other.cluster.to_string());
    let by_path = |contents: &fat::Contents| -> BTreeMap<String, fat::Entry> {
        contents.entries.iter().map(|entry| (entry.path.clone(), entry.clone())).collect()
    };
    let (files, others) = (by_path(&one), by_path(&other));
    let order = |contents: &fat::Contents| contents.entries.iter().map(|entry| entry.path.clone()).collect::<Vec<_>>();
    for path in files.keys().chain(others.keys()).collect::<BTreeSet<_>>() {
        let file = Some(format!("{mount}/{path}"));
        let kind = |entry: &fat::Entry| if entry.directory { "folder" } else { "file" }.to_owned();
        let mut push = |what: &str, a: String, b: String, lines| {
            found.push(Difference { file: file.clone(), what: what.to_owned(), a, b, lines, place: Vec::new() });
        };
        match (files.get(path), others.get(path)) {
            (Some(own), Some(its)) if own.directory != its.directory => push("type", kind(own), kind(its), Vec::new()),
            (Some(own), Some(its)) if !own.directory => {
                let bytes = |source, contents| fat::read_file(source, contents, path, limits::ESP_FILE_BYTES);
                if let Some(spot) = spot(&bytes(a, &one)?, &bytes(b, &other)?)? {
                    let size = |entry: &fat::Entry| format!("{} bytes", entry.size);
                    push(&format!("contents from byte {} on", spot.offset), size(own), size(its), spot.lines);
                }
            }
            (Some(own), None) => push("only there", kind(own), String::new(), Vec::new()),
            (None, Some(its)) => push("only there", String::new(), kind(its), Vec::new()),
            _ => {}
        }
    }
    if files.keys().eq(others.keys()) && order(&one) != order(&other) {
        found.add("order of the entries of folders", "one", "another");
    }
    Ok(())
}
