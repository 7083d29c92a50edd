//! Room on the disks: what a build takes at least is asked for before it begins, and a full disk is explained.

use crate::base::hint::{Remedy as _, hinted};
use crate::base::size::Bytes;
use crate::cli::meant::Settings;
use crate::package::archive::Client;
use crate::package::{BuildPlan, Pin};
use crate::store::Store;
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::tools;

/// What the packages of a system unpack to, at least, for each byte of their files. Debian's base does to four times as much;
/// those that hold what is packed already hardly grow.
const UNPACKED: u64 = 2;
/// Files and folders that a package brings, at least.
const FILES: u64 = 4;

/// Room that is needed somewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Room {
    bytes: u64,
    files: u64,
}

/// Refuses a build for which the disks of cache and results have no room.
pub(super) fn foresee(
    settings: &Settings,
    client: &Client,
    store: &Store,
    plans: &[&BuildPlan],
    formats: usize,
) -> Result<()> {
    let (cache, out) = needed(client, store, plans, formats)?;
    let mut disks: BTreeMap<u64, (Room, Vec<&Path>)> = BTreeMap::new();
    for (folder, room) in [(&settings.cache, cache), (&settings.out, out)] {
        let there = existing(folder);
        let disk = std::fs::metadata(&there).with_context(|| format!("examining {}", there.display()))?.dev();
        let (sum, folders) = disks.entry(disk).or_default();
        sum.bytes = sum.bytes.saturating_add(room.bytes);
        sum.files = sum.files.saturating_add(room.files);
        folders.push(folder);
    }
    for (needed, folders) in disks.into_values() {
        let Some(free) = free(folders[0]) else { continue };
        refuse(&folders, needed, free)?;
    }
    Ok(())
}

fn refuse(folders: &[&Path], needed: Room, free: Room) -> Result<()> {
    let names: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    let names = names.join(" and ");
    let hint = "free some, with `imgbuild cache prune` for instance, or name folders on another disk with `--cache DIR` \
                and `--out DIR`";
    if needed.bytes > free.bytes {
        let (needed, free) = (Bytes(needed.bytes), Bytes(free.bytes));
        return Err(hinted(format!("the build takes {needed} or more in {names}, and {free} are free there"), hint));
    }
    if needed.files > free.files {
        let (needed, free) = (needed.files, free.files);
        let fact = format!("the build makes {needed} files or more in {names}, and the disk has room for {free}");
        return Err(hinted(fact, hint));
    }
    Ok(())
}

/// What these builds take in the cache and among the results, at least.
fn needed(client: &Client, store: &Store, plans: &[&BuildPlan], formats: usize) -> Result<(Room, Room)> {
    let mut fetched = BTreeMap::new();
    let mut made: BTreeMap<String, Room> = BTreeMap::new();
    let mut largest = Room::default();
    let mut out = Room::default();
    for plan in plans {
        let tools = tools::tools_id(&plan.tools);
        let (tools_there, base_there) = (store.tools(&tools)?.is_some(), store.base(&plan.base_layer_id)?.is_some());
        let tools_pins = if tools_there { &[][..] } else { &plan.tools[..] };
        for pin in plan.base.iter().chain(&plan.role).chain(tools_pins) {
            if client.store().find(&pin.sha256, Some(pin.size)).is_none() {
                fetched.insert(pin.sha256, pin.size);
            }
        }
        if !tools_there {
            made.insert(format!("tools {tools}"), unpacked(&plan.tools));
        }
        if !base_there {
            made.insert(format!("base {}", plan.base_layer_id), unpacked(&plan.base));
        }
        // The role's own layer; filesystems take no room but in the results.
        let (base, role) = (unpacked(&plan.base), unpacked(&plan.role));
        largest = Room { bytes: largest.bytes.max(role.bytes), files: largest.files.max(role.files) };
        let image = base.bytes.saturating_add(role.bytes) / UNPACKED;
        out.bytes = out.bytes.saturating_add(image.saturating_mul(formats as u64));
        out.files = out.files.saturating_add(formats as u64 + 1);
    }
    let mut cache = largest;
    for room in made.values() {
        cache.bytes = cache.bytes.saturating_add(room.bytes);
        cache.files = cache.files.saturating_add(room.files);
    }
    cache.bytes = fetched.values().fold(cache.bytes, |sum, size| sum.saturating_add(*size));
    cache.files = cache.files.saturating_add(fetched.len() as u64);
    Ok((cache, out))
}

fn unpacked(pins: &[Pin]) -> Room {
    let bytes = pins.iter().fold(0_u64, |sum, pin| sum.saturating_add(pin.size));
    Room { bytes: bytes.saturating_mul(UNPACKED), files: FILES * pins.len() as u64 }
}

/// The folder, or the nearest one above it that is there.
fn existing(folder: &Path) -> PathBuf {
    folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned()
}

/// What a disk has left for us. Filesystems without a fixed number of files say 0 of 0.
fn free(folder: &Path) -> Option<Room> {
    let found = rustix::fs::statvfs(existing(folder)).ok()?;
    let files = if found.f_files == 0 { u64::MAX } else { found.f_favail };
    Some(Room { bytes: found.f_bavail.saturating_mul(found.f_frsize), files })
}

/// Adds to a failure what a person needs to know when a disk is full, or has no room for further files.
pub(super) fn explain(settings: &Settings, error: anyhow::Error) -> anyhow::Error {
    const FULL: [&str; 2] = ["No space left on device", "Disk quota exceeded"];
    let said = format!("{error:#}");
    if !FULL.iter().any(|full| said.contains(full)) {
        return error;
    }
    let state = |folder: &Path| {
        let files = |files: u64| if files == u64::MAX { String::new() } else { format!(" and {files} files") };
        let room = free(folder)
            .map_or("nobody knows what".to_owned(), |room| format!("{}{}", Bytes(room.bytes), files(room.files)));
        format!("{} has room for {room} now", folder.display())
    };
    let hint = format!(
        "a disk is full ({}; {}): free some, with `imgbuild cache prune` for instance, or name folders on another disk \
         with `--cache DIR` and `--out DIR`",
        state(&settings.cache),
        state(&settings.out)
    );
    match Err::<std::convert::Infallible, _>(error).hint(hint) {
        Err(error) => error,
        Ok(never) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hint::hints;

    #[test]
    fn lack_of_room_is_refused_with_both_numbers() {
        let (cache, out) = (Path::new("/a"), Path::new("/b"));
        let free = Room { bytes: 1 << 20, files: 10 };
        refuse(&[cache, out], free, free).unwrap();
        let error = refuse(&[cache, out], Room { bytes: 3 << 20, files: 1 }, free).unwrap_err();
        assert_eq!(error.to_string(), "the build takes 3 MiB or more in /a and /b, and 1 MiB are free there");
        let error = refuse(&[cache], Room { bytes: 1, files: 11 }, free).unwrap_err();
        assert_eq!(error.to_string(), "the build makes 11 files or more in /a, and the disk has room for 10");
        assert_eq!(hints(&error).len(), 1);
    }

    #[test]
    fn folders_that_are_not_there_yet_count_for_their_disk() {
        assert_eq!(existing(Path::new("/proc/none/of/these")), Path::new("/proc"));
        assert!(free(Path::new("/none/of/these")).is_some());
    }
}
