//! What the machine is like, as far as a seed is concerned; refuses a seed that could not be installed.

use super::decide::{Present, Seen};
use super::write::{Owners, parts};
use super::{documents, installed};
use crate::digest;
use crate::files;
use crate::format::{CLUSTER_KEY, PayloadFile};
use crate::places::{Places, state};
use crate::seed::Verified;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use std::collections::BTreeMap;
use std::fs::File;

/// The longest key.
const KEY_BYTES: u64 = 16 << 10;

/// Looks at everything that the manifest names.
pub(super) fn look(places: &Places, verified: &Verified) -> Result<Seen, String> {
    let owners = Owners::read(places)?;
    let installed = installed(places)?;
    let mut files = BTreeMap::new();
    for file in &verified.manifest.files {
        files.insert(file.path.clone(), present(places, file, &owners)?);
    }
    for file in installed.iter().flat_map(|manifest| &manifest.files) {
        if !files.contains_key(&file.path) {
            let there = there(places, &file.path)?;
            files.insert(file.path.clone(), if there { Present::Other } else { Present::Nothing });
        }
    }
    let pinned = files::read_optional(&places.state(state::CLUSTER_KEY), KEY_BYTES)?;
    let key = files::read(&verified.volume.path(CLUSTER_KEY), KEY_BYTES)?;
    let documents = documents::same(places, &verified.volume)?;
    Ok(Seen { pinned: pinned == Some(key), files, documents, installed })
}

/// Whether anything but a folder lies there.
fn there(places: &Places, path: &str) -> Result<bool, String> {
    let Some(folder) = files::parent(&places.root(), path, false)? else { return Ok(false) };
    let (_, name) = parts(path);
    match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(data) => Ok(FileType::from_raw_mode(data.st_mode) != FileType::Directory),
        Err(_) => Ok(false),
    }
}

fn present(places: &Places, file: &PayloadFile, owners: &Owners) -> Result<Present, String> {
    let (uid, gid) = owners.of(file)?;
    let Some(folder) = files::parent(&places.root(), &file.path, false)? else { return Ok(Present::Nothing) };
    let (_, name) = parts(&file.path);
    let data = match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(data) => data,
        Err(rustix::io::Errno::NOENT) => return Ok(Present::Nothing),
        Err(error) => return Err(format!("looking at {}: {}", file.path, std::io::Error::from(error))),
    };
    match FileType::from_raw_mode(data.st_mode) {
        FileType::Directory => return Err(format!("a folder lies at {}, where the payload has a file", file.path)),
        FileType::RegularFile => {}
        _ => return Ok(Present::Other),
    }
    let mode = u32::from_str_radix(&file.mode, 8).unwrap_or_default();
    if (data.st_uid, data.st_gid, data.st_mode & 0o7777) != (uid, gid, mode) {
        return Ok(Present::Other);
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(&folder, name, flags, Mode::empty())
        .map_err(|error| format!("opening {}: {}", file.path, std::io::Error::from(error)))?;
    let (found, _) = digest::of_file(&File::from(opened), &places.at(&file.path))?;
    Ok(if found == file.sha256 { Present::Same } else { Present::Other })
}
