//! Every fault with its whole message.

use super::super::archives::Archive;
use super::*;
use crate::sandbox::example_account;

fn good() -> Facts {
    let archive = |name: &str| Archive {
        name: name.to_owned(),
        place: Ok((format!("http://mirror.example/{name}"), "given")),
        answer: Ok(()),
        signature: Ok(()),
        keyring: ("debian-archive".to_owned(), Ok(())),
    };
    let room = |what| Room { what, path: "/there".into(), bytes: Some(20 * GIB), inodes: Some(1_000_000) };
    Facts {
        account: Some(example_account()),
        worker: Ok(()),
        single: Ok(()),
        room: vec![room("cache"), room("results")],
        qemu: Some("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)".into()),
        kvm: Kvm::Works,
        archives: Ok(vec![archive("debian"), archive("debian-security")]),
    }
}

fn worst(facts: &Facts) -> Vec<(&'static str, State, String)> {
    let faults = judge(facts).into_iter().filter(|check| check.state != State::Ok);
    faults.map(|check| (check.name, check.state, format!("{}\n{}", check.found, check.remedies.join(" | ")))).collect()
}

fn archive(facts: &mut Facts) -> &mut Archive {
    &mut facts.archives.as_mut().unwrap()[1]
}

#[test]
fn a_machine_with_everything_has_no_faults() {
    assert_eq!(worst(&good()), []);
    assert_eq!(judge(&good()).len(), 10);
}

#[test]
fn each_fault_comes_with_the_command_that_mends_it() {
    type Damage = fn(&mut Facts);
    let cases: &[(Damage, &str, State, &str)] = &[
        (
            |f| {
                let told = |text: &str| Err((text.to_owned(), vec!["do this".to_owned()]));
                (f.worker, f.single) = (told("with all ids: no"), told("no namespaces: Operation not permitted"));
            },
            "user namespaces",
            State::Failed,
            "no namespaces: Operation not permitted\ndo this",
        ),
        (
            |f| f.worker = Err(("root has fewer than the 65536 ids needed here".into(), vec!["more".into()])),
            "user namespaces",
            State::Failed,
            "root has fewer than the 65536 ids needed here\nmore",
        ),
        (
            |f| f.room[0].bytes = Some(GIB),
            "room for the cache",
            State::Failed,
            "1 GiB free in /there, and 3 GiB are wanted\n\
             imgbuild cache prune, or put the cache elsewhere with --cache DIR",
        ),
        (
            |f| f.room[1].bytes = Some(4 * GIB),
            "room for results",
            State::Warning,
            "4 GiB free in /there, and 10 GiB are wanted\nimgbuild cache prune, or put results elsewhere with --out DIR",
        ),
        (
            |f| f.room[0].inodes = Some(1000),
            "room for the cache",
            State::Failed,
            "1000 files (inodes) free in /there, and 60000 are wanted\n\
             imgbuild cache prune, or put the cache elsewhere with --cache DIR",
        ),
        (|f| f.room[0].bytes = None, "room for the cache", State::Warning, "cannot tell how much is free in /there\n"),
        (
            |f| archive(f).place = Err(("no mirror of `debian-security`".into(), vec!["name one".into()])),
            "package mirror",
            State::Warning,
            "no mirror of `debian-security`\nname one",
        ),
        (
            |f| archive(f).answer = Err(("connection refused".into(), Vec::new())),
            "package mirror",
            State::Warning,
            "http://mirror.example/debian-security (given) does not answer: connection refused\n\
             curl --head http://mirror.example/debian-security/ tells more; another mirror: --repository debian-security=URL",
        ),
        (
            |f| archive(f).signature = Err("it is not signed".into()),
            "keyring",
            State::Failed,
            "debian-archive does not vouch for what the mirror of debian-security serves: it is not signed\n\
             name the distribution's own mirror with --repository debian-security=URL, or correct this machine's clock \
             with sudo timedatectl set-ntp true",
        ),
        (
            |f| archive(f).keyring.1 = Err("the keyring `debian-archive` is empty".into()),
            "keyring",
            State::Failed,
            "the keyring `debian-archive` is empty\n\
             export it again: gpg --armor --export KEY > recipes/keyrings/debian-archive.asc",
        ),
        (
            |f| f.archives = Err(("recipes/debian-trixie.yaml has 2 mistakes".into(), vec!["imgbuild check".into()])),
            "package mirror",
            State::Failed,
            "recipes/debian-trixie.yaml has 2 mistakes\nimgbuild check",
        ),
        (
            |f| f.kvm = Kvm::Forbidden,
            "KVM",
            State::Warning,
            "/dev/kvm may not be opened: machines are emulated, many times slower\n\
             sudo usermod --append --groups kvm anna, then log in again",
        ),
        (
            |f| f.kvm = Kvm::Missing,
            "KVM",
            State::Warning,
            "/dev/kvm does not exist: machines are emulated, many times slower\n\
             sudo modprobe kvm_intel (or kvm_amd), after virtualisation was enabled in the firmware or hypervisor",
        ),
        (
            |f| f.kvm = Kvm::Broken(std::io::ErrorKind::Unsupported),
            "KVM",
            State::Warning,
            "/dev/kvm is there and makes no machine (unsupported): machines are emulated, many times slower\n\
             sudo dmesg | grep -i kvm tells why; a virtual machine needs nested virtualisation of its host",
        ),
    ];
    for (damage, name, state, message) in cases {
        let mut facts = good();
        damage(&mut facts);
        assert_eq!(worst(&facts), [(*name, *state, (*message).to_owned())]);
    }
}

#[test]
fn faults_of_the_account_are_told_in_the_words_of_a_build() {
    let (account, obstacle) = crate::sandbox::example_account_without_ids();
    let told = (obstacle.sentence.clone(), vec![obstacle.remedy.clone()]);
    let facts = Facts { account: Some(account), worker: Err(told), ..good() };
    let message = format!("{}\n{}", obstacle.sentence, obstacle.remedy);
    assert_eq!(worst(&facts), [("subordinate ids", State::Failed, message)]);
}

#[test]
fn root_needs_no_subordinate_ids() {
    let facts = Facts { account: None, ..good() };
    assert_eq!((worst(&facts), judge(&facts).len()), (Vec::new(), 8));
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
