//! `triggers/`: who is interested in what (`File` for paths, one file for each other name) and `Unincorp`, the
//! activations that dpkg has not taken into `status` yet (deb-triggers(5), dpkg's doc/triggers).

use super::FOLDER;
use crate::base::limits::DPKG_FILE_BYTES;
use crate::rootfs::incoming::Incoming;
use crate::rootfs::root::Root;
use crate::rootfs::unpack::Listing;
use anyhow::{Context as _, Result, bail};
use std::collections::{BTreeMap, BTreeSet};

/// Interests by trigger: package name to whether the activating package need not wait.
pub(super) type Interests = BTreeMap<String, BTreeMap<String, bool>>;

/// Adds the interests of new packages to those on disk; gives all interests in paths.
pub(super) fn write_interests(root: &Root, unpacked: &[(&Incoming, &Listing)]) -> Result<BTreeSet<String>> {
    let mut added = Interests::new();
    for (package, _) in unpacked {
        for (trigger, relaxed) in interests(package)? {
            added.entry(trigger).or_default().insert(package.info_name.clone(), relaxed);
        }
    }
    let shown = |(name, relaxed): (&String, &bool)| if *relaxed { format!("{name}/noawait") } else { name.clone() };
    let file = format!("{FOLDER}/triggers/File");
    let mut lines: BTreeSet<String> = root.read_text(&file, DPKG_FILE_BYTES)?.lines().map(str::to_owned).collect();
    for (trigger, packages) in &added {
        if trigger.starts_with('/') {
            lines.extend(packages.iter().map(|package| format!("{trigger} {}", shown(package))));
        } else {
            let file = format!("{FOLDER}/triggers/{trigger}");
            let mut names: BTreeSet<String> =
                root.read_text(&file, DPKG_FILE_BYTES)?.lines().map(str::to_owned).collect();
            names.extend(packages.iter().map(shown));
            root.write(&file, text(&names).as_bytes(), 0o644, (0, 0))?;
        }
    }
    root.write(&file, text(&lines).as_bytes(), 0o644, (0, 0))?;
    Ok(lines.iter().filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect())
}

fn interests(package: &Incoming) -> Result<Vec<(String, bool)>> {
    let reading = || format!("reading the triggers of {}", package.pin.name);
    let mut found = Vec::new();
    for line in package.control.lines("triggers").with_context(reading)? {
        let line = line.split('#').next().unwrap_or_default().trim();
        let mut words = line.split_ascii_whitespace();
        let relaxed = match words.next() {
            Some("interest" | "interest-await") => false,
            Some("interest-noawait") => true,
            _ => continue,
        };
        let trigger = words.next().with_context(reading)?;
        // A name becomes a file's name.
        let sound =
            trigger.starts_with('/') || !(trigger.contains('/') || trigger.starts_with('.') || trigger == "File");
        if !sound || !trigger.bytes().all(|byte| byte.is_ascii_graphic()) {
            bail!("{} is interested in `{trigger}`, which is no trigger's name", package.pin.name);
        }
        found.push((trigger.to_owned(), relaxed));
    }
    Ok(found)
}

/// Activates the file triggers at or above these paths; nobody waits for them.
pub(super) fn activate(root: &Root, interests: &BTreeSet<String>, paths: &BTreeSet<&[u8]>) -> Result<()> {
    let file = format!("{FOLDER}/triggers/Unincorp");
    let mut lines: BTreeSet<String> = root.read_text(&file, DPKG_FILE_BYTES)?.lines().map(str::to_owned).collect();
    for interest in interests {
        let below = |path: &&&[u8]| {
            path.strip_prefix(&interest.as_bytes()[1..]).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
        };
        // Sorted paths: the first one not before the trigger is the only candidate to look at.
        let start = &interest.as_bytes()[1..];
        if paths.range(start..).take_while(|path| path.starts_with(start)).any(|path| below(&path)) {
            lines.insert(format!("{interest} -"));
        }
    }
    if !lines.is_empty() {
        root.write(&file, text(&lines).as_bytes(), 0o644, (0, 0))?;
    }
    Ok(())
}

fn text(lines: &BTreeSet<String>) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_are_activated_by_paths_below_them_only() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        let interests: BTreeSet<String> = ["/usr/share/man", "/usr/share/ma", "/usr/lib/x"].map(str::to_owned).into();
        let paths: BTreeSet<&[u8]> = [&b"usr/share/man-db"[..], b"usr/share/man/man1/a", b"usr/lib/x"].into();
        activate(&root, &interests, &paths).unwrap();
        let written = root.read_text("var/lib/dpkg/triggers/Unincorp", 1000).unwrap();
        assert_eq!(written, "/usr/lib/x -\n/usr/share/man -\n");
    }
}
