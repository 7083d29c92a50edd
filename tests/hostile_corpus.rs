//! Every reader against its whole corpus, against mutations of it and against noise: the laws of `tests/fuzz/laws` hold.
//!
//! `tests/fuzz/run` looks for new inputs, guided by coverage; what it finds is replayed here ever after, without any
//! fuzzing toolchain. `UPDATE_CORPUS=1` writes the seeds anew.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

#[path = "fuzz/generate.rs"]
mod generate;
#[path = "fuzz/guest.rs"]
mod guest;
#[path = "fuzz/lab.rs"]
mod lab;
#[path = "fuzz/laws/mod.rs"]
mod laws;
#[path = "hostile_support/packing.rs"]
mod packing;
mod support {
    //! What other tests use too.
    pub mod archive;
}

use guest::{digest, files, format, seed};
use imgbuild::base;
use laws::{TARGETS, Target};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Memory that a whole run may take: any reader that believes a hostile size goes beyond.
const MEMORY_BYTES: u64 = 1 << 30;

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target)
}

/// The corpus of a target, by name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder(target)).unwrap_or_else(|error| panic!("{target} has no corpus: {error}"));
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = paths.map(|path| (path.display().to_string(), std::fs::read(&path).unwrap())).collect();
    found.sort();
    found
}

/// The most memory that this process ever had.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

fn hold(target: &Target, name: &str, input: &[u8]) {
    let outcome = std::panic::catch_unwind(|| (target.law)(input));
    assert!(outcome.is_ok(), "{}: {name} breaks the law: {}", target.name, target.says);
}

#[test]
fn seeds_are_those_of_the_writers() {
    let update = std::env::var_os("UPDATE_CORPUS").is_some();
    for (target, name, bytes) in generate::seeds() {
        if name.starts_with(generate::CHANGING) {
            continue;
        }
        let path = folder(target).join(&name);
        if update {
            std::fs::create_dir_all(folder(target)).unwrap();
            std::fs::write(&path, &bytes).unwrap();
        }
        let found = std::fs::read(&path).unwrap_or_default();
        assert!(found == bytes, "{target}/{name} is not what the writers give: run with UPDATE_CORPUS=1, and say why");
    }
}

#[test]
fn seeds_are_accepted_by_their_readers() {
    // A seed that its reader refuses leads nowhere: at least these reach the end.
    let read = |target: &str, name: &str| std::fs::read(folder(target).join(name)).unwrap();
    let text = |target: &str, name: &str| String::from_utf8(read(target, name)).unwrap();
    assert!(imgbuild::package::archive::Release::parse(&text("release", "rich")).is_ok());
    assert!(imgbuild::package::Lock::parse(&text("lock", "good")).is_ok());
    let manifest = generate::seeds().into_iter().find(|(target, ..)| *target == "manifest").unwrap();
    imgbuild::output::Manifest::read(&manifest.2).unwrap();
    assert!(imgbuild::format::lvm::read_text(&text("lvm", "text")).is_ok());
    assert!(imgbuild::format::iso9660::read(&read("iso9660", "seed")).is_ok());
    let mut members = imgbuild::package::deb::Members::new(std::io::Cursor::new(read("members", "all-kinds")));
    let mut count = 0;
    while members.member().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 8);
    let nothing = laws::disk::changed(laws::disk::FAT.0, &laws::disk::FAT.1, b"");
    assert_eq!(imgbuild::format::fat::read(&nothing).unwrap().entries.len(), 6);
    let nothing = laws::disk::changed(laws::disk::GPT.0, &laws::disk::GPT.1, &read("gpt", "same"));
    assert_eq!(imgbuild::format::gpt::read(&nothing).unwrap().partitions.len(), 3);
    let nothing = laws::disk::changed(laws::disk::LVM.0, &laws::disk::LVM.1, &read("lvm", "same"));
    assert_eq!(imgbuild::format::lvm::read(&nothing).unwrap().volumes.len(), 2);
    // These laws say themselves how far an input went.
    let reached = |target: &str, name: &str| {
        TARGETS.iter().find(|known| known.name == target).map(|known| {
            laws::reached::forget();
            (known.law)(&read(target, name));
            laws::reached::end()
        })
    };
    for (target, name) in [
        ("ext4-tree", "unchanged-0"),
        ("ext4-tree", "unchanged-1"),
        ("ext4-tree", "same-0-00"),
        ("cluster", "all-services"),
        ("bundle", "good"),
        ("vulnerabilities", "good"),
        ("vulnerabilities", "packed.xz"),
        ("apt-conf", "nested"),
        ("apt-conf", "flat"),
        ("guest-signature", "good"),
        ("guest-manifest", "good"),
        ("lab-frames", "frames"),
        ("lab-names", "address-and-name"),
        ("lab-leases", "lending"),
    ] {
        assert_eq!(reached(target, name), Some(true), "{target}/{name} does not reach the end");
    }
    assert_eq!(reached("guest-signature", "other-key"), Some(false));
}

/// What a lock says that the package `imgbuild` depends on, without the version that follows where there are several.
fn locked(lock: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(lock)).unwrap();
    let own =
        text.split("[[package]]").find(|part| part.contains("\nname = \"imgbuild\"\n")).expect("it locks imgbuild");
    let names = own.lines().filter_map(|line| line.strip_prefix(" \"")?.split(['"', ' ']).next());
    names.map(str::to_owned).collect()
}

#[test]
fn lock_of_the_fuzzing_program_knows_all_dependencies() {
    // It is compiled with its own lock and `--locked`: one that is out of date is noticed by nobody who does not fuzz.
    let manifest = include_str!("../Cargo.toml");
    let (_, development) = manifest.split_once("\n[dev-dependencies]\n").expect("there are some");
    let lines = development.lines().take_while(|line| !line.is_empty());
    let only_here: BTreeSet<&str> = lines.filter_map(|line| line.split(' ').next()).collect();
    let here: BTreeSet<String> =
        locked("Cargo.lock").into_iter().filter(|name| !only_here.contains(name.as_str())).collect();
    assert!(here.len() > 20 && only_here.contains("proptest"), "{here:?} {only_here:?}");
    let there = locked("tests/fuzz/Cargo.lock");
    let told = "run `cargo metadata --manifest-path tests/fuzz/Cargo.toml`";
    assert_eq!(here, there, "the fuzzing program's lock is out of date: {told}");
}

#[test]
fn whole_corpus_keeps_the_laws() {
    let mut bytes = 0;
    for target in TARGETS {
        let corpus = corpus(target.name);
        assert!(!corpus.is_empty(), "{} has no corpus", target.name);
        for (name, input) in corpus {
            hold(target, &name, &input);
            bytes += input.len();
        }
    }
    assert!(bytes < 2 << 20, "the corpus has {bytes} bytes: keep it below two MiB");
    assert!(peak() < MEMORY_BYTES, "the corpus took {} bytes of memory", peak());
}

#[test]
fn broken_laws_are_noticed() {
    let broken = Target { name: "none", law: |input| assert!(input.len() < 3, "long"), longest: 9, says: "short" };
    hold(&broken, "ab", b"ab");
    assert!(std::panic::catch_unwind(|| hold(&broken, "abc", b"abc")).is_err());
}

/// One small change to an input.
#[derive(Clone, Debug)]
enum Change {
    Set(u32, u8),
    Cut(u32),
    Drop(u32, u16),
    Repeat(u32, u16),
    Insert(u32, Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    let digits = prop_oneof![any::<u8>(), Just(b'0'), Just(b'9'), Just(0), Just(255), Just(b'/'), Just(b'\n')];
    prop_oneof![
        6 => (any::<u32>(), digits).prop_map(|(at, value)| Change::Set(at, value)),
        1 => any::<u32>().prop_map(Change::Cut),
        1 => (any::<u32>(), 1_u16..600).prop_map(|(at, length)| Change::Drop(at, length)),
        1 => (any::<u32>(), 1_u16..600).prop_map(|(at, length)| Change::Repeat(at, length)),
        1 => (any::<u32>(), proptest::collection::vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let place = |at: u32, length: usize| at as usize % length.max(1);
    let length = bytes.len();
    match change {
        Change::Set(at, value) if length > 0 => bytes[place(*at, length)] = *value,
        Change::Set(..) => {}
        Change::Cut(at) => bytes.truncate(place(*at, length + 1)),
        Change::Drop(at, count) => {
            let start = place(*at, length + 1);
            bytes.drain(start..(start + usize::from(*count)).min(length));
        }
        Change::Repeat(at, count) => {
            let start = place(*at, length + 1);
            let copy = bytes[start..(start + usize::from(*count)).min(length)].to_vec();
            bytes.splice(start..start, copy);
        }
        Change::Insert(at, more) => {
            let start = place(*at, length + 1);
            bytes.splice(start..start, more.iter().copied());
        }
    }
}

/// How much more the long tests try.
fn effort() -> usize {
    if std::env::var_os("IMGBUILD_TEST_LONG").is_some() { 20 } else { 1 }
}

/// Deterministic, so that a failure today is a failure tomorrow.
fn runner(cases: usize) -> TestRunner {
    let cases = u32::try_from(cases * effort()).unwrap();
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let seed = [7; 32];
    let generator = proptest::test_runner::TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &seed);
    TestRunner::new_with_rng(config, generator)
}

#[test]
fn mutated_seeds_keep_the_laws() {
    let mut seeds: Vec<(&str, Vec<u8>)> =
        generate::seeds().into_iter().map(|(target, _, bytes)| (target, bytes)).collect();
    seeds.sort();
    for target in TARGETS {
        let own: Vec<Vec<u8>> =
            seeds.iter().filter(|(name, _)| *name == target.name).map(|(_, bytes)| bytes.clone()).collect();
        let strategy = (proptest::sample::select(own), proptest::collection::vec(change(), 1..6));
        let outcome = runner(100).run(&strategy, |(mut bytes, changes)| {
            changes.iter().for_each(|change| apply(&mut bytes, change));
            (target.law)(&bytes);
            Ok(())
        });
        assert!(outcome.is_ok(), "{}: {}: {outcome:?}", target.name, target.says);
    }
    assert!(peak() < MEMORY_BYTES, "mutated seeds took {} bytes of memory", peak());
}

#[test]
fn noise_keeps_the_laws() {
    for target in TARGETS {
        let outcome = runner(50).run(&proptest::collection::vec(any::<u8>(), 0..2000), |bytes| {
            (target.law)(&bytes);
            Ok(())
        });
        assert!(outcome.is_ok(), "{}: {}: {outcome:?}", target.name, target.says);
    }
}

#[test]
fn every_beginning_of_a_seed_keeps_the_laws() {
    for (target, name, bytes) in generate::seeds() {
        let law = TARGETS.iter().find(|known| known.name == target).expect("the target is known");
        // All beginnings of what is short, of the rest some; where the formats end is tried in `hostile_debs` and beside them.
        for length in (0..bytes.len()).step_by(1 + bytes.len() / (100 * effort())) {
            hold(law, &format!("the first {length} bytes of {name}"), &bytes[..length]);
        }
    }
}
