//! `imgbuild inspect`: the disk map of an image, or the listing of a seed volume, from the bytes alone.

use crate::base::files;
use crate::base::limits::{self, INSPECT_VOLUME_BYTES};
use crate::cli::outcome::{Failure, Outcome};
use crate::disk;
use crate::format::iso9660;
use anyhow::{Context as _, Result, bail};
use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

/// Where the first volume descriptor of ISO 9660 begins, and its identifier (ECMA-119, 8.1).
const DESCRIPTOR: (usize, &[u8]) = (32_768 + 1, b"CD001");

/// Shows what a file holds.
pub(super) fn run(file: &Path, path: Option<&str>) -> Result<Outcome, Failure> {
    if let Some(path) = path {
        return Ok(look(file, path)?);
    }
    if !is_volume(file)? {
        return Ok(Outcome::of(&disk::inspect(file)?));
    }
    let bytes = files::read(file, INSPECT_VOLUME_BYTES)?;
    let failed = || format!("reading the volume {}", file.display());
    let text = iso9660::dump(&bytes).with_context(failed)?;
    let volume = iso9660::read(&bytes).with_context(failed)?;
    let listed: Vec<_> = volume.entries.keys().collect();
    Ok(Outcome::new(text, &serde_json::json!({"label": volume.label, "epoch": volume.epoch, "entries": listed})))
}

/// A file's text, or the names of a folder, from inside an image.
fn look(file: &Path, path: &str) -> Result<Outcome> {
    let opened = disk::open(file)?;
    let looking = || format!("looking for `/{path}` in {}", file.display());
    let found = disk::look_up(opened.disk(), path, limits::SHOWN_FILE_BYTES).with_context(looking)?;
    Ok(match found {
        disk::Found::Folder(lines) => {
            let text = lines.iter().map(|line| format!("{}\n", plain(line))).collect::<String>();
            Outcome::new(text, &serde_json::json!({"folder": lines}))
        }
        disk::Found::File(bytes) => {
            let Ok(text) = String::from_utf8(bytes) else {
                bail!("`/{path}` in {} is no text: what is shown is UTF-8", file.display())
            };
            let json = serde_json::json!({"file": text});
            // Byte for byte into files and pipes; a terminal obeys control characters.
            let shown = if std::io::stdout().is_terminal() { plain(&text) } else { text };
            Outcome::new(shown, &json)
        }
    })
}

/// A text of the image without what a terminal obeys.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

fn is_volume(file: &Path) -> Result<bool> {
    let (at, identifier) = DESCRIPTOR;
    let mut head = Vec::new();
    let wanted = (at + identifier.len()) as u64;
    files::open(file)?.take(wanted).read_to_end(&mut head).with_context(|| format!("reading {}", file.display()))?;
    Ok(head.get(at..) == Some(identifier))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::epoch::Epoch;

    #[test]
    fn seed_volume_is_listed_and_no_disk_image() {
        let folder = tempfile::tempdir().unwrap();
        let (seed, other) = (folder.path().join("seed.iso"), folder.path().join("other"));
        let mut volume = iso9660::Volume::new("cidata", Epoch(0));
        volume.file("user-data", 0o644, b"#cloud-config\n".to_vec());
        std::fs::write(&seed, iso9660::write(&volume).unwrap()).unwrap();
        std::fs::write(&other, vec![0; 40_000]).unwrap();
        let shown = run(&seed, None).unwrap();
        assert!(shown.text.contains("volume cidata") && shown.text.contains("user-data"), "{}", shown.text);
        assert_eq!(shown.json["entries"][0], "user-data");
        assert!(!is_volume(&other).unwrap());
    }
}
