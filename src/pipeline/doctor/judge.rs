//! What the facts mean for building, and what to do about them.

use super::facts::{Facts, Room};
use super::{Check, State};
use crate::base::size::{Bytes, GIB};
use crate::lab::OLDEST;
use crate::sandbox::{Account, Kvm, Obstacle};

/// A build of the larger roles takes about this much in the cache and beside it.
const ROOM_WANTED: u64 = 10 * GIB;
/// Less than this is not enough for one image.
const ROOM_NEEDED: u64 = 3 * GIB;
/// The base and a few roles on it.
const INODES_WANTED: u64 = 200_000;
/// One base.
const INODES_NEEDED: u64 = 60_000;

/// One check per fact.
pub(super) fn judge(facts: &Facts) -> Vec<Check> {
    let mut checks = vec![namespaces(facts)];
    if let Some(account) = &facts.account {
        checks.push(subordinate_ids(account));
        checks.push(helpers(account));
    }
    checks.extend(facts.room.iter().map(room));
    checks.extend(archives(facts));
    checks.push(qemu(facts));
    checks.push(virtualisation(facts));
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
    match (&facts.worker, &facts.single) {
        (Ok(()), _) => check(NAME, State::Ok, "a sandbox with all ids starts", NONE),
        // In the words of a build.
        (Err(_), Err((error, hints))) => check(NAME, State::Failed, error.clone(), hints.clone()),
        // The ids are to blame, and have checks of their own.
        (Err(_), Ok(())) if facts.account.as_ref().is_some_and(|it| it.ids().is_err() || it.helpers().is_err()) => {
            check(NAME, State::Ok, "a sandbox starts", NONE)
        }
        (Err((error, hints)), Ok(())) => check(NAME, State::Failed, error.clone(), hints.clone()),
    }
}

/// No remedies.
const NONE: [String; 0] = [];

fn subordinate_ids(account: &Account) -> Check {
    const NAME: &str = "subordinate ids";
    match (account.ids(), account.shared()) {
        (Err(Obstacle { sentence, remedy }), _) => check(NAME, State::Failed, sentence, [remedy]),
        (Ok(_), Some(Obstacle { sentence, remedy })) => check(NAME, State::Warning, sentence, [remedy]),
        (Ok((users, groups)), None) => check(NAME, State::Ok, format!("{users} users, {groups} groups"), NONE),
    }
}

fn helpers(account: &Account) -> Check {
    const NAME: &str = "newuidmap, newgidmap";
    match account.helpers() {
        Ok(()) => check(NAME, State::Ok, "found", NONE),
        Err(Obstacle { sentence, remedy }) => check(NAME, State::Failed, sentence, [remedy]),
    }
}

fn room(room: &Room) -> Check {
    let (name, remedy) = match room.what {
        "cache" => ("room for the cache", "imgbuild cache prune, or put the cache elsewhere with --cache DIR"),
        _ => ("room for results", "imgbuild cache prune, or put results elsewhere with --out DIR"),
    };
    let path = room.path.display();
    let Some(free) = room.bytes else {
        return check(name, State::Warning, format!("cannot tell how much is free in {path}"), NONE);
    };
    // Results are a handful of files; a root in the cache has tens of thousands.
    let files = match room.inodes {
        Some(files) if room.what == "cache" && files < INODES_NEEDED => Some((State::Failed, files, INODES_NEEDED)),
        Some(files) if room.what == "cache" && files < INODES_WANTED => Some((State::Warning, files, INODES_WANTED)),
        _ => None,
    };
    let bytes = match free {
        ROOM_WANTED.. => None,
        ROOM_NEEDED.. => Some((State::Warning, ROOM_WANTED)),
        _ => Some((State::Failed, ROOM_NEEDED)),
    };
    match (bytes, files) {
        (None, None) => check(name, State::Ok, format!("{} free in {path}", Bytes(free)), NONE),
        (Some((state, wanted)), _) => {
            let found = format!("{} free in {path}, and {} are wanted", Bytes(free), Bytes(wanted));
            check(name, state, found, [remedy])
        }
        (None, Some((state, files, wanted))) => {
            check(name, state, format!("{files} files (inodes) free in {path}, and {wanted} are wanted"), [remedy])
        }
    }
}

fn archives(facts: &Facts) -> Vec<Check> {
    const MIRROR: &str = "package mirror";
    const KEYRING: &str = "keyring";
    let archives = match &facts.archives {
        Ok(archives) => archives,
        Err((error, hints)) => return vec![check(MIRROR, State::Failed, error.clone(), hints.clone())],
    };
    let mut checks = Vec::new();
    for archive in archives {
        let name = &archive.name;
        let (url, origin) = match &archive.place {
            Ok(place) => place,
            Err((error, hints)) => {
                checks.push(check(MIRROR, State::Warning, error.clone(), hints.clone()));
                continue;
            }
        };
        checks.push(match &archive.answer {
            Ok(()) => check(MIRROR, State::Ok, format!("{url} ({origin})"), NONE),
            Err((error, _)) => check(
                MIRROR,
                State::Warning,
                format!("{url} ({origin}) does not answer: {error}"),
                [format!("curl --head {url}/ tells more; another mirror: --repository {name}=URL")],
            ),
        });
    }
    let mut seen: Vec<&str> = Vec::new();
    for archive in archives {
        let (keyring, usable) = &archive.keyring;
        let fault = match (usable, &archive.signature) {
            (Err(error), _) => Some((
                error.clone(),
                format!("export it again: gpg --armor --export KEY > recipes/keyrings/{keyring}.asc"),
            )),
            (Ok(()), Err(refusal)) => Some((
                format!("{keyring} does not vouch for what the mirror of {} serves: {refusal}", archive.name),
                format!(
                    "name the distribution's own mirror with --repository {}=URL, or correct this machine's clock with sudo timedatectl set-ntp true",
                    archive.name
                ),
            )),
            (Ok(()), Ok(())) => None,
        };
        match fault {
            Some((found, remedy)) => checks.push(check(KEYRING, State::Failed, found, [remedy])),
            None if seen.contains(&keyring.as_str()) => {}
            None => checks.push(check(KEYRING, State::Ok, keyring.clone(), NONE)),
        }
        seen.push(keyring);
    }
    checks
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

fn virtualisation(facts: &Facts) -> Check {
    const NAME: &str = "KVM";
    match facts.kvm {
        Kvm::Works => check(NAME, State::Ok, "it makes virtual machines", NONE),
        Kvm::Missing => check(
            NAME,
            State::Warning,
            "/dev/kvm does not exist: machines are emulated, many times slower",
            ["sudo modprobe kvm_intel (or kvm_amd), after virtualisation was enabled in the firmware or hypervisor"],
        ),
        Kvm::Forbidden => {
            let name = facts.account.as_ref().map_or_else(|| "root".to_owned(), Account::name);
            check(
                NAME,
                State::Warning,
                "/dev/kvm may not be opened: machines are emulated, many times slower",
                [format!("sudo usermod --append --groups kvm {name}, then log in again")],
            )
        }
        Kvm::Broken(kind) => check(
            NAME,
            State::Warning,
            format!("/dev/kvm is there and makes no machine ({kind}): machines are emulated, many times slower"),
            ["sudo dmesg | grep -i kvm tells why; a virtual machine needs nested virtualisation of its host"],
        ),
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
