//! Installing on a folder that stands for a machine, cut off after every step.

use super::*;
use crate::format::{Effect, Write};
use crate::seed::example::{self, Seed};
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().metadata().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        // Tests run as anybody: their own ids are root's here.
        write("etc/passwd", &format!("root:x:{}:{}:root:/root:/bin/sh\n", data.uid(), data.gid()));
        write("etc/group", &format!("root:x:{}:\n", data.gid()));
        write("proc/sys/kernel/random/boot_id", "boot-1\n");
        for path in ["var/lib/imgbuild", "var/lib/cloud", "run/imgbuild"] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        Self { folder }
    }

    fn places(&self) -> Places {
        Places::new(self.folder.path())
    }

    fn verified(&self, seed: &Seed, name: &str) -> Verified {
        let stage = self.folder.path().join("run/imgbuild").join(name);
        files::remove_folder(&stage).unwrap();
        let from = self.folder.path().join("volume");
        files::remove_folder(&from).unwrap();
        example::write(&from, &seed.tree());
        let volume = copy::copy(&from, &stage, copy::SEED).unwrap();
        fs::remove_dir_all(&from).unwrap();
        let text = fs::read_to_string(volume.path(MANIFEST)).unwrap();
        Verified { volume, manifest: judge::parse(&text).unwrap() }
    }

    /// What `next` holds, as the next boot would read it.
    fn kept(&self) -> Option<Verified> {
        let next = self.places().state(state::NEXT);
        next.exists().then(|| {
            let stage = self.folder.path().join("run/imgbuild/resumed");
            files::remove_folder(&stage).unwrap();
            let volume = copy::copy(&next, &stage, copy::SEED).unwrap();
            let text = fs::read_to_string(volume.path(MANIFEST)).unwrap();
            Verified { volume, manifest: judge::parse(&text).unwrap() }
        })
    }

    /// Everything that a machine remembers, with modes.
    fn remembers(&self) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut found = BTreeMap::new();
        for top in ["etc", "var"] {
            walk(self.folder.path(), &self.folder.path().join(top), &mut found);
        }
        found
    }
}

fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, (u32, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let data = path.symlink_metadata().unwrap();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let bytes = if data.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        found.insert(name, (data.permissions().mode() & 0o7777, bytes));
        if data.is_dir() {
            walk(root, &path, found);
        }
    }
}

fn everything_runs(_: &str) -> bool {
    true
}

fn second() -> Seed {
    let mut seed = Seed::new(2);
    seed.manifest.files.retain(|file| file.path != "/etc/old/file.conf");
    seed.file("/etc/new/folder/file.conf", "new", Write::Always, vec![Effect::Sysctl]);
    seed.manifest.units.clear();
    seed
}

fn first() -> Seed {
    let mut seed = Seed::new(1);
    seed.file("/etc/old/file.conf", "old", Write::Always, vec![Effect::DaemonReload]);
    seed
}

#[test]
fn first_installation_writes_everything_and_the_second_nothing() {
    let machine = Machine::new();
    let verified = machine.verified(&first(), "seed-0");
    let done = install(&machine.places(), &verified, &|_| false).unwrap();
    assert_eq!(done, Done { files: 3, documents: true });
    let remembers = machine.remembers();
    let text = |path: &str| String::from_utf8(remembers[path].1.clone()).unwrap();
    assert_eq!(remembers["etc/corosync/corosync.conf"], (0o640, b"generation 1".to_vec()));
    assert_eq!(remembers["etc/corosync"].0, 0o755);
    assert_eq!(remembers["var/lib/cloud/seed/nocloud"].0, 0o700);
    assert_eq!(remembers["var/lib/cloud/seed/nocloud/user-data"], (0o600, b"user-data of generation 1\n".to_vec()));
    assert!(text("var/lib/imgbuild/cluster.pub").starts_with("ssh-ed25519 "));
    assert_eq!(installed(&machine.places()).unwrap().unwrap().generation, 1);
    // Nothing runs yet, so there is nothing to restart.
    let pending = Pending::read(&machine.places()).unwrap();
    assert_eq!(pending.effects.into_iter().collect::<Vec<_>>(), [Effect::DaemonReload]);
    let left: Vec<&String> =
        remembers.keys().filter(|path| path.contains(".imgbuild") || path.contains("next")).collect();
    assert!(left.is_empty(), "{left:?}");

    let again = install(&machine.places(), &machine.verified(&first(), "seed-1"), &everything_runs).unwrap();
    assert_eq!(again, Done::default());
    assert_eq!(machine.remembers(), remembers);
}

#[test]
fn newer_generation_replaces_removes_and_leaves_what_services_own() {
    let machine = Machine::new();
    install(&machine.places(), &machine.verified(&first(), "seed-0"), &everything_runs).unwrap();
    fs::write(machine.folder.path().join("var/lib/pacemaker/cib/cib.xml"), "live").unwrap();
    let done = install(&machine.places(), &machine.verified(&second(), "seed-1"), &everything_runs).unwrap();
    assert_eq!(done, Done { files: 3, documents: true });
    let remembers = machine.remembers();
    assert_eq!(remembers["var/lib/pacemaker/cib/cib.xml"].1, b"live");
    assert!(!remembers.contains_key("etc/old/file.conf"));
    assert_eq!(remembers["etc/new/folder"].0, 0o755);
    let pending = Pending::read(&machine.places()).unwrap();
    let expected = [Effect::DaemonReload, Effect::Sysctl, Effect::Restart("corosync.service".to_owned())];
    assert_eq!(pending.effects.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(pending.retired.into_iter().collect::<Vec<_>>(), ["corosync.service"]);
}

#[test]
fn drift_is_mended() {
    let machine = Machine::new();
    install(&machine.places(), &machine.verified(&first(), "seed-0"), &everything_runs).unwrap();
    let before = machine.remembers();
    let conf = machine.folder.path().join("etc/corosync/corosync.conf");
    fs::set_permissions(&conf, fs::Permissions::from_mode(0o666)).unwrap();
    fs::remove_file(machine.folder.path().join("etc/old/file.conf")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", machine.folder.path().join("etc/old/file.conf")).unwrap();
    let done = install(&machine.places(), &machine.verified(&first(), "seed-1"), &|_| false).unwrap();
    assert_eq!(done, Done { files: 2, documents: false });
    assert_eq!(machine.remembers(), before);
}

#[test]
fn seed_that_cannot_be_installed_changes_nothing() {
    let machine = Machine::new();
    install(&machine.places(), &machine.verified(&first(), "seed-0"), &everything_runs).unwrap();
    let before = machine.remembers();
    let refused =
        |seed: &Seed| install(&machine.places(), &machine.verified(seed, "seed-1"), &everything_runs).unwrap_err();
    let mut foreign = second();
    foreign.manifest.files[0].owner = "hacluster".to_owned();
    assert!(refused(&foreign).contains("the user hacluster, which this image has not"));
    let mut folder = second();
    folder.file("/etc/corosync", "", Write::Always, vec![]);
    folder.manifest.files.retain(|file| file.path != "/etc/corosync/corosync.conf");
    folder.files.retain(|path, _| !path.ends_with("corosync.conf"));
    assert!(refused(&folder).contains("a folder lies at /etc/corosync"));
    assert_eq!(machine.remembers(), before);
    std::os::unix::fs::symlink("/tmp", machine.folder.path().join("etc/link")).unwrap();
    let mut link = second();
    link.file("/etc/link/file", "", Write::Always, vec![]);
    assert!(refused(&link).contains("/etc/link is a link or no folder"));
}

/// Whatever was done before a cut: going on ends where an uninterrupted installation ends.
#[test]
fn cut_after_any_step_ends_the_same() {
    let expected = {
        let machine = Machine::new();
        install(&machine.places(), &machine.verified(&first(), "seed-0"), &everything_runs).unwrap();
        install(&machine.places(), &machine.verified(&second(), "seed-1"), &everything_runs).unwrap();
        machine.remembers()
    };
    let steps =
        |machine: &Machine, verified: &Verified| actions(&machine.places(), verified, &everything_runs).unwrap();
    for cut in 0..100 {
        let machine = Machine::new();
        let places = machine.places();
        install(&places, &machine.verified(&first(), "seed-0"), &everything_runs).unwrap();
        let verified = machine.verified(&second(), "seed-1");
        let all = steps(&machine, &verified);
        keep(&places, &verified).unwrap();
        for action in all.iter().take(cut) {
            perform(&places, &verified, action).unwrap();
        }
        // A half-written file of the next step lies about, too.
        if let Some(Action::Write(file)) = all.get(cut) {
            let (folder, name) = write::parts(&file.path);
            let folder = places.at(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
            fs::write(folder.join(format!(".{name}.imgbuild")), "half").unwrap();
        }
        fs::create_dir_all(places.state(state::COPYING)).unwrap();
        let kept = machine.kept().unwrap();
        // Cut once more while going on.
        for action in steps(&machine, &kept).iter().take(1) {
            perform(&places, &kept, action).unwrap();
        }
        go_on(&places, &machine.kept().unwrap(), &everything_runs).unwrap();
        assert_eq!(machine.remembers(), expected, "cut after {cut}");
        if cut > all.len() {
            return;
        }
    }
    panic!("more steps than were foreseen");
}
