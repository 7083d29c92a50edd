//! Puts one file of the payload in its place: whoever reads sees the old or the new one, with its owner and mode.

use crate::files;
use crate::format::{FILES, PayloadFile};
use crate::places::Places;
use crate::seed::copy::Volume;
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;

/// The ids of names, as this machine has them.
pub(super) struct Owners {
    users: BTreeMap<String, u32>,
    groups: BTreeMap<String, u32>,
}

impl Owners {
    /// From `/etc/passwd` and `/etc/group`.
    pub(super) fn read(places: &Places) -> Result<Self, String> {
        let table = |path: &str| -> Result<BTreeMap<String, u32>, String> {
            let text = fs::read_to_string(places.at(path)).map_err(|error| format!("reading {path}: {error}"))?;
            let line = |line: &str| -> Option<(String, u32)> {
                let mut fields = line.split(':');
                Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
            };
            Ok(text.lines().filter_map(line).collect())
        };
        Ok(Self { users: table("/etc/passwd")?, groups: table("/etc/group")? })
    }

    /// A file's owner and group.
    pub(super) fn of(&self, file: &PayloadFile) -> Result<(u32, u32), String> {
        let id = |table: &BTreeMap<String, u32>, kind: &str, name: &str| {
            table.get(name).copied().ok_or_else(|| {
                format!(
                    "{} is to belong to the {kind} {name}, which this image has not: is it of the node's role?",
                    file.path
                )
            })
        };
        Ok((id(&self.users, "user", &file.owner)?, id(&self.groups, "group", &file.group)?))
    }
}

/// Folder and name of a path.
pub(super) fn parts(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Writes a file beside its place, makes it durable and renames it.
pub(super) fn write(places: &Places, volume: &Volume, file: &PayloadFile) -> Result<(), String> {
    let (uid, gid) = Owners::read(places)?.of(file)?;
    let mode = u32::from_str_radix(&file.mode, 8).map_err(|_| format!("{} has no mode", file.path))?;
    let failed = |error: io::Error| format!("writing {}: {error}", file.path);
    let Some(folder) = files::parent(&places.root(), &file.path, true)? else {
        return Err(format!("{} has no folder", file.path));
    };
    let (_, name) = parts(&file.path);
    let temporary = format!(".{name}.imgbuild");
    files::unlink(&folder, &temporary)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(&folder, temporary.as_str(), flags, Mode::from_raw_mode(0o600));
    let mut output = File::from(opened.map_err(|error| failed(error.into()))?);
    let mut input = files::open_plain(&volume.path(&format!("{FILES}{}", file.path)))?;
    io::copy(&mut input, &mut output).map_err(failed)?;
    std::os::unix::fs::fchown(&output, Some(uid), Some(gid)).map_err(failed)?;
    rustix::fs::fchmod(&output, Mode::from_raw_mode(mode)).map_err(|error| failed(error.into()))?;
    output.sync_all().map_err(failed)?;
    rustix::fs::renameat(&folder, temporary.as_str(), &folder, name).map_err(|error| failed(error.into()))?;
    rustix::fs::fsync(&folder).map_err(|error| failed(error.into()))
}

/// Removes a file that an earlier generation brought.
pub(super) fn remove(places: &Places, path: &str) -> Result<(), String> {
    let Some(folder) = files::parent(&places.root(), path, false)? else { return Ok(()) };
    files::unlink(&folder, parts(path).1)?;
    rustix::fs::fsync(&folder).map_err(|error| format!("removing {path}: {}", io::Error::from(error)))
}
