//! What the facts mean for building, and what to do about them.

use super::facts::Facts;
use super::{Check, State};
use crate::base::size::{Bytes, GIB};
use crate::lab::OLDEST;
use std::io::ErrorKind;

/// Subordinate ids that a Debian root needs: 0 to 65535.
const IDS: u64 = 65_536;
/// A build of the larger roles takes about this much in the cache and beside it.
const ROOM_WANTED: u64 = 10 * GIB;
/// Less than this is not enough for one image.
const ROOM_NEEDED: u64 = 3 * GIB;

/// One check per fact.
pub(super) fn judge(facts: &Facts) -> Vec<Check> {
    let mut checks = vec![namespaces(facts)];
    if facts.user.id != 0 {
        checks.push(subordinate_ids(facts));
        checks.push(helpers(facts));
    }
    checks.extend(facts.room.iter().map(|(what, path, free)| room(what, &path.display().to_string(), *free)));
    checks.push(mirror(facts));
    checks.push(qemu(facts));
    checks.push(kvm(facts));
    checks
}

fn check<S: Into<String>>(
    name: &'static str,
    state: State,
    found: impl Into<String>,
    remedies: impl IntoIterator<Item = S>,
) -> Check {
    Check { name, state, found: found.into(), remedies: remedies.into_iter().map(Into::into).collect() }
}

fn namespaces(facts: &Facts) -> Check {
    const NAME: &str = "user namespaces";
    let Err((error, hints)) = &facts.worker else {
        return check(NAME, State::Ok, "a sandbox with all ids starts", NONE);
    };
    if facts.single_worker {
        return check(NAME, State::Failed, format!("they work, but not with all ids: {error}"), hints.clone());
    }
    let mut remedies = Vec::new();
    for (name, value) in &facts.switches {
        match (*name, *value) {
            ("kernel.unprivileged_userns_clone", 0) => {
                remedies.push("sudo sysctl -w kernel.unprivileged_userns_clone=1".to_owned())
            }
            ("kernel.apparmor_restrict_unprivileged_userns", 1) => {
                remedies.push("sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0".to_owned());
            }
            ("user.max_user_namespaces", 0) => {
                remedies.push("sudo sysctl -w user.max_user_namespaces=10000".to_owned())
            }
            _ => {}
        }
    }
    if remedies.is_empty() {
        remedies.clone_from(hints);
    }
    check(NAME, State::Failed, format!("no sandbox starts: {error}"), remedies)
}

/// No remedies.
const NONE: [String; 0] = [];

fn subordinate_ids(facts: &Facts) -> Check {
    const NAME: &str = "subordinate ids";
    let (users, groups) = facts.subordinate;
    if users >= IDS && groups >= IDS {
        return check(NAME, State::Ok, format!("{users} users, {groups} groups"), NONE);
    }
    let found = format!("{} has {users} users and {groups} groups, and {IDS} of each are needed", facts.user.name);
    let remedy = format!("sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {}", facts.user.name);
    check(NAME, State::Failed, found, [remedy])
}

fn helpers(facts: &Facts) -> Check {
    const NAME: &str = "newuidmap, newgidmap";
    if facts.id_helpers {
        check(NAME, State::Ok, "found", NONE)
    } else {
        check(NAME, State::Failed, "missing", ["sudo apt install uidmap"])
    }
}

fn room(what: &'static str, path: &str, free: Option<u64>) -> Check {
    let (name, remedy) = match what {
        "cache" => ("room for the cache", "imgbuild cache prune, or put the cache elsewhere with --cache DIR"),
        _ => ("room for results", "imgbuild cache prune, or put results elsewhere with --out DIR"),
    };
    match free {
        None => check(name, State::Warning, format!("cannot tell how much is free in {path}"), NONE),
        Some(free) => {
            let found = format!("{} free in {path}", Bytes(free));
            match free {
                ROOM_WANTED.. => check(name, State::Ok, found, NONE),
                ROOM_NEEDED.. => check(name, State::Warning, found, [remedy]),
                _ => check(name, State::Failed, found, [remedy]),
            }
        }
    }
}

fn mirror(facts: &Facts) -> Check {
    const NAME: &str = "package mirror";
    match &facts.mirror {
        Some((url, origin)) => check(NAME, State::Ok, format!("{url} ({origin})"), NONE),
        None => check(
            NAME,
            State::Warning,
            "apt on this machine has no Debian mirror",
            ["say where one is: --repository debian=URL, or IMGBUILD_REPOSITORY_DEBIAN=URL"],
        ),
    }
}

fn qemu(facts: &Facts) -> Check {
    const NAME: &str = "QEMU";
    let instead = "`imgbuild boot` takes one from the tools root";
    match &facts.qemu {
        None => check(NAME, State::Ok, format!("not installed: {instead}"), NONE),
        Some(line) => match major(line) {
            Some(OLDEST..) => check(NAME, State::Ok, line.clone(), NONE),
            _ => check(NAME, State::Ok, format!("{line}, older than {OLDEST}: {instead}"), NONE),
        },
    }
}

/// The major version in `QEMU emulator version 10.0.2 (Debian ...)`.
fn major(line: &str) -> Option<u32> {
    line.split("version ").nth(1)?.split('.').next()?.parse().ok()
}

fn kvm(facts: &Facts) -> Check {
    const NAME: &str = "KVM";
    match facts.kvm {
        Ok(()) => check(NAME, State::Ok, "/dev/kvm can be opened", NONE),
        Err(ErrorKind::NotFound) => check(
            NAME,
            State::Warning,
            "/dev/kvm does not exist: machines are emulated, many times slower",
            ["enable virtualisation in the firmware, or nested virtualisation in the hypervisor"],
        ),
        Err(ErrorKind::PermissionDenied) => check(
            NAME,
            State::Warning,
            "/dev/kvm may not be opened: machines are emulated, many times slower",
            [format!("sudo usermod --append --groups kvm {}, then log in again", facts.user.name)],
        ),
        Err(kind) => {
            check(NAME, State::Warning, format!("/dev/kvm cannot be used ({kind}): machines are emulated"), NONE)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::User;
    use super::*;

    fn good() -> Facts {
        Facts {
            user: User { id: 1000, name: "someone".into() },
            worker: Ok(()),
            single_worker: true,
            switches: [("user.max_user_namespaces", 1000)].into(),
            subordinate: (65_536, 65_536),
            id_helpers: true,
            room: vec![("cache", "/c".into(), Some(20 * GIB)), ("results", "/o".into(), Some(20 * GIB))],
            qemu: Some("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)".into()),
            kvm: Ok(()),
            mirror: Some(("http://mirror.example/debian".into(), "given")),
        }
    }

    fn worst(facts: &Facts) -> Vec<(&'static str, State, String)> {
        let faults = judge(facts).into_iter().filter(|check| check.state != State::Ok);
        faults.map(|check| (check.name, check.state, check.remedies.join(" | "))).collect()
    }

    #[test]
    fn a_machine_with_everything_has_no_faults() {
        assert_eq!(worst(&good()), []);
        assert_eq!(judge(&good()).len(), 8);
    }

    #[test]
    fn each_fault_comes_with_the_command_that_mends_it() {
        type Damage = fn(&mut Facts);
        let broken = |facts: &mut Facts| {
            facts.worker = Err(("not permitted".into(), vec!["ask".into()]));
            facts.single_worker = false;
        };
        let cases: &[(Damage, &str, State, &str)] = &[
            (|f| f.id_helpers = false, "newuidmap, newgidmap", State::Failed, "sudo apt install uidmap"),
            (
                |f| f.subordinate = (65_536, 0),
                "subordinate ids",
                State::Failed,
                "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 someone",
            ),
            (
                |f| f.room[0].2 = Some(GIB),
                "room for the cache",
                State::Failed,
                "imgbuild cache prune, or put the cache elsewhere with --cache DIR",
            ),
            (
                |f| f.room[1].2 = Some(4 * GIB),
                "room for results",
                State::Warning,
                "imgbuild cache prune, or put results elsewhere with --out DIR",
            ),
            (
                |f| f.mirror = None,
                "package mirror",
                State::Warning,
                "say where one is: --repository debian=URL, or IMGBUILD_REPOSITORY_DEBIAN=URL",
            ),
            (
                |f| f.kvm = Err(ErrorKind::PermissionDenied),
                "KVM",
                State::Warning,
                "sudo usermod --append --groups kvm someone, then log in again",
            ),
        ];
        for (damage, name, state, remedy) in cases {
            let mut facts = good();
            damage(&mut facts);
            assert_eq!(worst(&facts), [(*name, *state, (*remedy).to_owned())]);
        }
        let switches = [
            ("kernel.unprivileged_userns_clone", 0, "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
            (
                "kernel.apparmor_restrict_unprivileged_userns",
                1,
                "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
            ),
            ("user.max_user_namespaces", 0, "sudo sysctl -w user.max_user_namespaces=10000"),
            ("user.max_user_namespaces", 5, "ask"),
        ];
        for (switch, value, remedy) in switches {
            let mut facts = good();
            broken(&mut facts);
            facts.switches = [(switch, value)].into();
            assert_eq!(worst(&facts), [("user namespaces", State::Failed, remedy.to_owned())]);
        }
    }

    #[test]
    fn root_needs_no_subordinate_ids() {
        let mut facts = good();
        facts.user.id = 0;
        (facts.subordinate, facts.id_helpers) = ((0, 0), false);
        assert_eq!(worst(&facts), []);
    }

    #[test]
    fn qemu_too_old_or_missing_is_named_but_no_fault() {
        for (line, said) in [
            (Some("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)"), "older than 8"),
            (None, "not installed"),
            (Some("gibberish"), "older than 8"),
        ] {
            let facts = Facts { qemu: line.map(str::to_owned), ..good() };
            let found = judge(&facts).into_iter().find(|check| check.name == "QEMU").unwrap();
            assert!(found.state == State::Ok && found.found.contains(said), "{found:?}");
        }
    }
}
