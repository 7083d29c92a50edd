//! The lock's text: written and read back, refused with place and remedy, compared.

use super::*;
use crate::base::digest::Digest;
use crate::base::epoch::Epoch;
use crate::package::universe::{MultiArch, Priority};
use proptest::prelude::*;

fn locked(name: &str, version: &str) -> Locked {
    Locked {
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: "amd64".to_owned(),
        repository: "debian".to_owned(),
        path: format!("pool/main/{name}_{version}.deb"),
        size: 7,
        sha256: Digest::of(version.as_bytes()),
        pre_depends: String::new(),
        depends: "libc6 (>= 2.38)".to_owned(),
        recommends: String::new(),
        conflicts: String::new(),
        breaks: String::new(),
        provides: String::new(),
        essential: false,
        protected: false,
        priority: Priority::Optional,
        multi_arch: MultiArch::Foreign,
    }
}

fn lock(packages: &[(&str, &str)]) -> Lock {
    let mut section = Section::new(Epoch(1_700_000_000));
    section.releases.push(LockedRelease {
        repository: "debian".to_owned(),
        suite: "trixie".to_owned(),
        date: Epoch(1_700_000_000),
        sha256: Digest::of(b"release"),
    });
    let new: Vec<Locked> = packages.iter().map(|(name, version)| locked(name, version)).collect();
    let set = Set {
        requests: packages.iter().map(|(name, _)| (*name).to_owned()).collect(),
        context: Digest::of(b"context"),
        packages: new.iter().map(|package| (package.key(), "essential".to_owned())).collect(),
    };
    section.sets.insert("base".to_owned(), set);
    section.settle(new);
    Lock { sections: [("debian-trixie/amd64/generic".to_owned(), section)].into() }
}

#[test]
fn locks_have_one_package_per_line() {
    insta::assert_snapshot!(lock(&[("b", "1:2-3"), ("a", "1")]).text());
    assert_eq!(Lock::default().text(), "{\n  \"version\": 1,\n  \"sections\": {}\n}\n");
}

#[test]
fn locks_are_read_back_as_written() {
    for lock in [Lock::default(), lock(&[]), lock(&[("b", "1"), ("a", "2"), ("a", "1"), ("a-b", "0")])] {
        assert_eq!(Lock::parse(&lock.text()).unwrap(), lock);
    }
    let lock = lock(&[("b", "1"), ("a", "2"), ("a", "1"), ("a-b", "0")]);
    let section = &lock.sections["debian-trixie/amd64/generic"];
    assert_eq!(section.packages_of(&section.sets["base"]).len(), 4);
    assert_eq!(section.find("a=2").unwrap().version, "2");
    assert_eq!(section.find("a=3"), None);
    assert_eq!(section.find("a=2@local"), None);
}

#[test]
fn packages_that_no_set_names_are_forgotten_and_new_ones_replace() {
    let mut lock = lock(&[("a", "1"), ("b", "1")]);
    let section = lock.sections.get_mut("debian-trixie/amd64/generic").unwrap();
    section.sets.get_mut("base").unwrap().packages.remove("b=1");
    let rebuilt = Locked { size: 8, ..locked("a", "1") };
    let local = Locked { repository: LOCAL.to_owned(), ..locked("a", "1") };
    section.sets.get_mut("base").unwrap().packages.insert(local.key(), "local file".to_owned());
    section.settle([rebuilt.clone(), local.clone(), locked("c", "1")]);
    assert_eq!(section.packages, [rebuilt, local.clone()]);
    assert_eq!(section.find("a=1@local"), Some(&local));
}

#[test]
fn damaged_locks_are_refused_with_place_and_remedy() {
    let text = lock(&[("a", "1"), ("b", "1")]).text();
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    let cases = [
        (String::new(), "line 1, column 0: EOF while parsing a value"),
        (text[..300].to_owned(), "line 10, column 10: EOF while parsing a string"),
        (changed("\"version\": 1", "\"version\": 2"), "the lock's format version is 2, this imgbuild reads version 1"),
        (
            changed("\"epoch\"", "\"epock\""),
            "line 5, column 13: unknown field `epock`, expected one of `epoch`, `releases`, `packages`, `sets`",
        ),
        (changed("{\"name\":\"a\"", "{\"name\":\"a\",\"name\":\"a\""), "line 10, column 26: duplicate field `name`"),
        (
            changed("            \"a=1\": \"essential\"", "            \"b=1\": \"essential\""),
            "line 23, column 11: `b=1` is there twice",
        ),
        (
            changed("            \"a=1\": \"essential\"", "            \"a=2\": \"essential\""),
            "line 21: `base` names a=2, which is not among the packages",
        ),
        (changed("{\"name\":\"a\"", "{\"name\":\"c\""), "line 11: b=1 comes after c=1: packages are sorted, each once"),
        (
            changed("pool/main/a_1.deb", "pool/../../a_1.deb"),
            "line 10: `pool/../../a_1.deb` is no path below a repository",
        ),
        (
            changed("\"epoch\": 1700000000", "\"epoch\": -5"),
            "line 5: -5 is no time in seconds since 1970: 0 to 253402300799 are",
        ),
        (
            changed("\"date\":1700000000", "\"date\":253402300800"),
            "line 7: 253402300800 is no time in seconds since 1970: 0 to 253402300799 are",
        ),
        (changed("pool/main/a_1.deb", "/a_1.deb"), "line 10: `/a_1.deb` is no path below a repository"),
        (changed("{\"name\":\"a\"", "{\"name\":\"../a\""), "line 10: ../a:amd64 is no package"),
        (
            changed("        {\"name\":\"a\"", "<<<<<<< HEAD\n        {\"name\":\"a\""),
            "line 10: `<<<<<<< HEAD` was left behind by a merge",
        ),
    ];
    let said: Vec<String> = cases.iter().map(|(text, _)| Lock::parse(text).unwrap_err().to_string()).collect();
    assert_eq!(said, cases.each_ref().map(|(_, message)| *message));
}

#[test]
fn lock_files_are_written_whole_and_missing_ones_are_empty() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("imgbuild.lock");
    assert_eq!(Lock::load(&path).unwrap(), Lock::default());
    let lock = lock(&[("a", "1")]);
    lock.save(&path).unwrap();
    assert_eq!(Lock::load(&path).unwrap(), lock);
    std::fs::write(&path, "=======\n").unwrap();
    let error = Lock::load(&path).unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        format!("reading {}: line 1: `=======` was left behind by a merge", path.display())
    );
    assert!(crate::base::hint::hints(&error)[0].starts_with("take one side whole"), "{error:?}");
    std::fs::write(&path, b"\xff").unwrap();
    assert!(format!("{:#}", Lock::load(&path).unwrap_err()).ends_with(": the lock is not UTF-8 text"));
}

#[test]
fn differences_are_named_and_shown_as_a_table() {
    let old = lock(&[
        ("gone", "1"),
        ("up", "1.9"),
        ("down", "2"),
        ("same", "1"),
        ("rebuilt", "1"),
        ("two", "1"),
        ("two", "2"),
    ]);
    let mut new = lock(&[
        ("come", "1"),
        ("up", "1.10"),
        ("down", "1"),
        ("same", "1"),
        ("rebuilt", "1"),
        ("two", "2"),
        ("two", "3"),
    ]);
    for section in new.sections.values_mut() {
        for package in &mut section.packages {
            if package.name == "rebuilt" {
                package.sha256 = Digest::of(b"other");
            }
        }
    }
    let table = "debian-trixie/amd64/generic\n  \
        added       come     1\n  \
        downgraded  down     2 -> 1\n  \
        removed     gone     1\n  \
        rebuilt     rebuilt  1\n  \
        upgraded    two      1 -> 3\n  \
        upgraded    up       1.9 -> 1.10\n";
    assert_eq!(LockDiff::between(&old, &new).to_string(), table);
    assert!(LockDiff::between(&old, &old).is_empty());
    assert_eq!(LockDiff::between(&old, &old).to_string(), "the locks pin the same packages\n");
    assert_eq!(LockDiff::between(&Lock::default(), &old).changes.len(), 7);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
        let _ = Lock::parse(&text);
    }

    #[test]
    fn mutated_locks_never_panic(at in any::<prop::sample::Index>(), byte in 0x20_u8..0x7f, cut in any::<bool>()) {
        let mut bytes = lock(&[("a", "1"), ("b", "1")]).text().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        if let Ok(lock) = Lock::parse(&String::from_utf8(bytes).unwrap()) {
            prop_assert_eq!(Lock::parse(&lock.text()).unwrap(), lock);
        }
    }

    #[test]
    fn random_locks_are_read_back(packages in proptest::collection::btree_set(("[a-z][a-z0-9+.-]{0,5}", "[0-9][0-9a-z.~+]{0,4}"), 0..20)) {
        let packages: Vec<(&str, &str)> = packages.iter().map(|(name, version)| (name.as_str(), version.as_str())).collect();
        let lock = lock(&packages);
        prop_assert_eq!(Lock::parse(&lock.text()).unwrap(), lock);
    }
}
