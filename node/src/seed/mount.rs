//! Mounting a volume for as long as it is copied, and the folders that a payload goes to.

use super::copy::{self, Volume};
use super::devices::Candidate;
use crate::console::say;
use crate::files;
use crate::format::Manifest;
use crate::places::{Places, run};
use crate::process;
use std::fs;
use std::path::PathBuf;

/// Copies a volume to a new folder below `/run/imgbuild`. The unit has a mount namespace of its own.
pub(super) fn copied(places: &Places, candidate: &Candidate) -> Result<Volume, String> {
    let place = places.run(run::MOUNT);
    files::make_private(&place)?;
    let (device, place_text) = (candidate.device.display().to_string(), place.display().to_string());
    let options = "ro,nodev,nosuid,noexec";
    process::run(&["mount", "-t", candidate.filesystem, "-o", options, "--", &device, &place_text], "")
        .map_err(|why| format!("it cannot be mounted: {why}"))?;
    let stage = stage(places);
    let volume = stage.and_then(|stage| copy::copy(&place, &stage, copy::SEED));
    process::run(&["umount", "--", &place_text], "")?;
    volume
}

/// A new folder that only root enters.
pub(super) fn stage(places: &Places) -> Result<PathBuf, String> {
    for number in 0..1000 {
        let path = places.run(&format!("seed-{number}"));
        if !path.exists() {
            files::make_private(&path)?;
            return Ok(path);
        }
    }
    Err("there are too many copies of seeds below /run/imgbuild".to_owned())
}

/// Mounts the volumes of the payload's folders that are formatted at the first boot, and so are mounted late.
pub(super) fn payload_folders(places: &Places, manifest: &Manifest) {
    let fstab = fs::read_to_string(places.at("etc/fstab")).unwrap_or_default();
    let mounts = fs::read_to_string(places.at("proc/self/mountinfo")).unwrap_or_default();
    for folder in unmounted(&fstab, &mounts, manifest) {
        if let Err(why) = process::run(&["timeout", "120", "systemctl", "start", "--", &folder], "") {
            say("seed", &format!("{folder} is not mounted: {why}"));
        }
    }
}

fn unmounted(fstab: &str, mounts: &str, manifest: &Manifest) -> Vec<String> {
    let folders = fstab.lines().filter(|line| !line.trim_start().starts_with('#'));
    let folders = folders.filter_map(|line| line.split_whitespace().nth(1));
    let mounted = |folder: &str| mounts.lines().any(|line| line.split(' ').nth(4) == Some(folder));
    let holds = |folder: &str| {
        manifest.files.iter().any(|file| file.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
    };
    folders.filter(|folder| folder.len() > 1 && holds(folder) && !mounted(folder)).map(str::to_owned).collect()
}
