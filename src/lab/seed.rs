//! A seed folder as the volume that a machine looks for.

use crate::base::epoch::Epoch;
use crate::base::files;
use crate::base::hint::hinted;
use crate::base::limits::{ISO_DEPTH, SEED_BYTES};
use crate::format::iso9660::{self, Content, Entry, Volume};
use anyhow::{Context as _, Result, bail, ensure};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The label that cloud-init looks for.
const LABEL: &str = "cidata";

/// The bytes of an ISO that holds this folder. Its times are those of 1970: seeds do not depend on when they are made.
///
/// # Errors
/// When the folder is no NoCloud seed, or holds anything but files and folders.
pub fn volume(folder: &Path) -> Result<Vec<u8>> {
    for name in ["meta-data", "user-data"] {
        if !folder.join(name).is_file() {
            return Err(hinted(
                format!("{} has no file `{name}`", folder.display()),
                "a NoCloud seed needs `meta-data` (with an instance-id) and `user-data`; both may be short",
            ));
        }
    }
    let mut volume = Volume::new(LABEL, Epoch(0));
    let mut room = SEED_BYTES;
    collect(folder, "", &mut volume, &mut room)?;
    iso9660::write(&volume).with_context(|| format!("making a seed volume of {}", folder.display()))
}

fn collect(folder: &Path, path: &str, volume: &mut Volume, room: &mut u64) -> Result<()> {
    ensure!(path.split('/').count() <= ISO_DEPTH, "{} is too deep", folder.display());
    let reading = || format!("reading {}", folder.display());
    for entry in std::fs::read_dir(folder).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        let name = entry.file_name().into_string();
        let name = name.map_err(|name| anyhow::anyhow!("the name {} is not UTF-8", name.display()))?;
        let inner = if path.is_empty() { name } else { format!("{path}/{name}") };
        let data = entry.metadata().with_context(reading)?;
        let mode = data.permissions().mode() & 0o7777;
        if data.is_dir() {
            volume.entries.insert(inner.clone(), Entry { mode, content: Content::Folder });
            collect(&entry.path(), &inner, volume, room)?;
        } else if data.is_file() {
            let bytes = files::read(&entry.path(), *room)?;
            *room -= bytes.len() as u64;
            volume.file(inner, mode, bytes);
        } else {
            bail!("{} is neither a file nor a folder", entry.path().display());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_becomes_a_volume_with_all_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let missing = volume(folder.path()).unwrap_err().to_string();
        assert_eq!(missing, format!("{} has no file `meta-data`", folder.path().display()));
        std::fs::write(folder.path().join("meta-data"), "instance-id: i\n").unwrap();
        std::fs::write(folder.path().join("user-data"), "#cloud-config\n").unwrap();
        std::fs::create_dir_all(folder.path().join("imgbuild/files")).unwrap();
        std::fs::write(folder.path().join("imgbuild/files/x"), "y").unwrap();
        let back = iso9660::read(&volume(folder.path()).unwrap()).unwrap();
        assert_eq!(back.label, "cidata");
        let paths: Vec<_> = back.entries.keys().map(String::as_str).collect();
        assert_eq!(paths, ["imgbuild", "imgbuild/files", "imgbuild/files/x", "meta-data", "user-data"]);
        std::os::unix::fs::symlink("/etc/shadow", folder.path().join("link")).unwrap();
        let refused = volume(folder.path()).unwrap_err().to_string();
        assert_eq!(refused, format!("{}/link is neither a file nor a folder", folder.path().display()));
    }
}
