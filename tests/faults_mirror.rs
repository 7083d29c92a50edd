//! Mirrors that are hostile, broken or slow, through the real command: each has its own message, and nothing is left
//! behind: cache, lock and results are what they were.
//!
//! The messages stand in `tests/fixtures/faults/`; `UPDATE_EXPECTED=1` writes them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

#[path = "support/archive/mod.rs"]
mod archive;
#[path = "support/small/mod.rs"]
mod small;

use archive::generator::{Archive, Package, Signed, Suite};
use archive::keys::{DAY, Keys, Signing};
use archive::server::Mode;
use archive::{client, options, said};
use imgbuild::base::progress::Silent;
use pgp::crypto::hash::HashAlgorithm;
use small::{NEW, OLD, Project, contents};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// An index is 1 KB, a Release file 2: nothing of it depends on the machine.
fn plain(archive: &Archive, version: &str) -> Vec<Package> {
    let package = |name: &str, version: &str, fields: &str| {
        let mut package = archive.package(name, version, format!("{name} {version}").repeat(500).as_bytes());
        package.stanza.push_str(fields);
        package
    };
    vec![
        package("system", "1", "Essential: yes\n"),
        package("kernel", "6.1", ""),
        package("maker", "1.47", ""),
        package("library", version, ""),
        package("application", version, "Depends: library\n"),
        package("slow", version, ""),
    ]
}

/// A project that is locked at the archive's first day and has a result.
fn scene() -> Project {
    let project = Project::with(plain);
    project.good("lock app");
    project.write("out/images/app/0123456789abcdef/app.qcow2", "an older result");
    std::os::unix::fs::symlink("0123456789abcdef", project.path("out/images/app/latest")).unwrap();
    project
}

/// Everything that a command could leave something in.
fn state(project: &Project) -> BTreeMap<PathBuf, String> {
    let mut state = contents(project.folder.path());
    // A command that gets as far as that opens the cache.
    let empty =
        ["cache/layers", "cache/tools", "cache/bases", "cache/work", "cache/packages", "cache/packages/partial"];
    empty.iter().for_each(|name| drop(state.remove(&PathBuf::from(name))));
    state.retain(|path, _| !path.starts_with("cache/locks"));
    state
}

/// Compares messages with the file of this name, case by case.
fn compare(name: &str, cases: &BTreeMap<String, String>) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/faults").join(name);
    let mut text = String::new();
    for (case, said) in cases {
        let _ = write!(text, "== {case}\n{said}");
    }
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "{} differs:\n{text}", path.display());
}

/// The time of day in a message is another one each time.
fn timeless(said: &str) -> String {
    match said.split_once("now it is ") {
        Some((before, after)) => format!("{before}now it is TODAY{}", &after[after.find('Z').unwrap() + 1..]),
        None => said.to_owned(),
    }
}

/// Each in a project of its own, side by side.
fn all<T: Sync>(cases: &[(&'static str, T)], run: impl Fn(&T) -> String + Sync) -> BTreeMap<String, String> {
    let results = std::sync::Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for (name, case) in cases {
            scope.spawn(|| {
                let said = timeless(&run(case));
                results.lock().unwrap().insert((*name).to_owned(), said);
            });
        }
    });
    results.into_inner().unwrap()
}

type Change = fn(&Project);

const INDEX: &str = "dists/small/main/binary-amd64/Packages.xz";
const IN_RELEASE: &str = "dists/small/InRelease";

/// The Release file of the second day, signed so.
fn sign(project: &Project, keys: &Keys, signing: &Signing) {
    project.archive.publish(&Suite { signed: Signed::Unsigned, ..project.suite(NEW, "2") });
    let release = std::fs::read_to_string(project.archive.path("dists/small/Release")).unwrap();
    project.archive.remove("dists/small/Release");
    project.archive.write(IN_RELEASE, keys.clear_sign(signing, &release).as_bytes());
}

fn trust(project: &Project, keys: &Keys) {
    project.write("recipes/keyrings/test.asc", &keys.armoured());
}

/// A certificate of another shape, trusted, and what it signed.
fn shaped(project: &Project, change: impl FnOnce(&mut archive::keys::Shape)) {
    let keys = Keys::fixture("first").shaped(change);
    trust(project, &keys);
    sign(project, &keys, &Signing::default());
}

fn edit(project: &Project, path: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let bytes = std::fs::read(project.archive.path(path)).unwrap();
    project.archive.write(path, &change(bytes));
}

fn by_hash(project: &Project) -> String {
    project.archive.publish(&Suite { by_hash: true, ..project.suite(NEW, "2") });
    let digest = imgbuild::base::digest::Digest::of(&std::fs::read(project.archive.path(INDEX)).unwrap());
    format!("dists/small/main/binary-amd64/by-hash/SHA256/{digest}")
}

const REFUSED: [(&str, Change); 16] = [
    ("InRelease tampered", |project| {
        project.publish(NEW, "2");
        edit(project, IN_RELEASE, |bytes| {
            String::from_utf8(bytes).unwrap().replace("Label: Test", "Label: Tesu").into()
        });
    }),
    ("unsigned", |project| {
        project.archive.publish(&Suite { signed: Signed::Unsigned, ..project.suite(NEW, "2") });
        project.archive.remove(IN_RELEASE);
    }),
    ("signed by an unknown key", |project| sign(project, &Keys::fixture("second"), &Signing::default())),
    ("signed by an expired key", |project| shaped(project, |shape| shape.primary_lifetime = Some(180 * DAY))),
    ("signed by an expired subkey", |project| shaped(project, |shape| shape.subkey_lifetime = Some(180 * DAY))),
    ("signed by a revoked key", |project| shaped(project, |shape| shape.primary_revoked = true)),
    ("signed by a revoked subkey", |project| shaped(project, |shape| shape.subkey_revoked = true)),
    ("signed by a too short key", |project| {
        let keys = Keys::fixture("short");
        trust(project, &keys);
        sign(project, &keys, &Signing { by_subkey: false, ..Signing::default() });
    }),
    ("signed with SHA-1", |project| {
        let (keys, signing) = (Keys::fixture("second"), Signing { hash: HashAlgorithm::Sha1, ..Signing::default() });
        trust(project, &keys);
        sign(project, &keys, &signing);
    }),
    ("past Valid-Until", |project| {
        project.recipe(|text| text.replace("CHECK", "true"));
        project.publish(NEW, "2");
    }),
    ("older than the lock saw", |project| {
        project.archive.publish(&Suite { date: "Sat, 29 Jun 2024 12:00:00 UTC", ..project.suite(OLD, "0") });
    }),
    ("index of a wrong size", |project| {
        project.publish(NEW, "2");
        edit(project, INDEX, |mut bytes| {
            bytes.push(0);
            bytes
        });
    }),
    ("index of a wrong digest", |project| {
        project.publish(NEW, "2");
        edit(project, INDEX, |mut bytes| {
            bytes[40] ^= 1;
            bytes
        });
    }),
    ("index by digest is another", |project| {
        let path = by_hash(project);
        edit(project, &path, |mut bytes| {
            bytes[40] ^= 1;
            bytes
        });
    }),
    ("index by digest is longer", |project| {
        let path = by_hash(project);
        edit(project, &path, |mut bytes| {
            bytes.push(0);
            bytes
        });
    }),
    ("index and index by digest are missing", |project| {
        let path = by_hash(project);
        project.archive.remove(&path);
        project.archive.remove(INDEX);
    }),
];

#[test]
fn hostile_archives_are_refused_and_leave_nothing_behind() {
    let cases = all(&REFUSED, |change| {
        let project = scene();
        change(&project);
        let before = state(&project);
        let said = project.refused("lock --update");
        let mut after = state(&project);
        // An older index is verified all the same, and lies under the name of its digest.
        after.retain(|path, digest| before.contains_key(path) || !path.ends_with(digest));
        assert_eq!(after, before, "{said}");
        // What is locked needs nothing of it.
        assert_eq!(project.good("lock app"), "the lock is unchanged\n");
        said
    });
    compare("refused-archives", &cases);
}

const DEB: &str = "pool/main/a/application/application_1_amd64.deb";

const REFUSED_PACKAGES: [(&str, Change); 3] = [
    ("package of a wrong size", |project| {
        edit(project, DEB, |mut bytes| {
            bytes.push(0);
            bytes
        });
    }),
    ("package of a wrong digest", |project| {
        edit(project, DEB, |mut bytes| {
            bytes[100] ^= 1;
            bytes
        });
    }),
    ("package is missing", |project| project.archive.remove(DEB)),
];

#[test]
fn hostile_packages_are_refused_and_leave_nothing_behind() {
    let cases = all(&REFUSED_PACKAGES, |change| {
        let project = scene();
        change(&project);
        let before = state(&project);
        let said = project.refused("role app");
        let mut after = state(&project);
        // Other packages may have come before the bad one: whole, and under the names of their digests.
        after.retain(|path, digest| !(path.starts_with("cache/packages") && path.ends_with(format!("{digest}.deb"))));
        after.retain(|path, kind| !(path.starts_with("cache/packages") && kind == "Folder"));
        assert_eq!(after, before, "{said}");
        said
    });
    compare("refused-packages", &cases);
}

const BROKEN: [(&str, &str, Mode); 10] = [
    ("404", "/", Mode::Status(404)),
    ("403", "/", Mode::Status(403)),
    ("500", "/", Mode::Status(500)),
    ("503 for the index", "Packages.xz", Mode::Status(503)),
    ("login page", "/", Mode::LoginPage),
    ("login page for the index", "Packages.xz", Mode::LoginPage),
    ("truncating", "/", Mode::Truncate(100)),
    ("resetting", "/", Mode::Reset(100)),
    ("endless", "/", Mode::Endless),
    ("silent and down at last", "Packages.xz", Mode::Truncate(0)),
];

#[test]
fn broken_servers_are_told_with_a_remedy_and_leave_nothing_behind() {
    let mut broken: Vec<(&'static str, (String, Option<Mode>))> =
        BROKEN.into_iter().map(|(name, part, mode)| (name, (part.to_owned(), Some(mode)))).collect();
    broken
        .push(("redirecting in circles", ("/".to_owned(), Some(Mode::Redirect("/dists/small/InRelease".to_owned())))));
    broken.push(("redirecting to a file", ("/".to_owned(), Some(Mode::Redirect("file:///etc/passwd".to_owned())))));
    broken.push(("down", (String::new(), None)));
    let cases = all(&broken, |(part, mode)| {
        let project = scene();
        project.publish(NEW, "2");
        let before = state(&project);
        let line = match mode {
            Some(mode) => {
                project.server.always(part, mode.clone());
                "lock --update".to_owned()
            }
            None => "lock --update --repository test=http://127.0.0.1:9".to_owned(),
        };
        let said = project.refused(&line);
        let mut after = state(&project);
        // The beginning of an index is kept for the next time.
        after.retain(|path, _| path.extension().is_none_or(|extension| extension != "part"));
        assert_eq!(after, before, "{said}");
        project.server.behave();
        assert!(project.good("lock --update").contains("application  1 -> 2\n"));
        said
    });
    compare("broken-servers", &cases);
}

#[test]
fn passing_faults_are_survived() {
    let faults: [(&'static str, Mode); 7] = [
        ("503", Mode::Status(503)),
        ("truncating", Mode::Truncate(300)),
        ("resetting", Mode::Reset(300)),
        ("ignoring ranges", Mode::IgnoreRanges),
        ("wrong ranges", Mode::WrongRange),
        ("telling no length", Mode::NoLength),
        ("one kilobyte a second", Mode::Drip(100)),
    ];
    let undisturbed = {
        let project = scene();
        project.publish(NEW, "2");
        project.good("lock --update");
        std::fs::read_to_string(project.path("imgbuild.lock")).unwrap()
    };
    all(&faults, |mode| {
        let project = scene();
        project.publish(NEW, "2");
        for part in ["InRelease", "Packages.xz"] {
            // A cut makes the next request one for a range.
            project.server.times(part, 1, Mode::Truncate(200));
            project.server.times(part, 2, mode.clone());
        }
        project.good("lock --update");
        let lock = std::fs::read_to_string(project.path("imgbuild.lock")).unwrap();
        assert_eq!(lock, undisturbed, "{mode:?}");
        String::new()
    });
}

#[test]
fn archives_that_change_meanwhile_are_read_again_or_refused() {
    let project = scene();
    let old = std::fs::read(project.archive.path(IN_RELEASE)).unwrap();
    project.publish(NEW, "2");
    // The Release file of yesterday, the indices of today: and then both of today.
    project.server.times("InRelease", 1, Mode::Instead(old));
    edit(&project, INDEX, |bytes| bytes);
    std::fs::remove_dir_all(project.path("cache/indices")).unwrap();
    assert!(project.good("lock --update").contains("application  1 -> 2\n"));
    // A package that was replaced under its name between the lock and its download.
    project.archive.package("application", "2", b"replaced");
    let before = std::fs::read(project.path("imgbuild.lock")).unwrap();
    let said = project.refused("role app");
    compare("replaced-package", &BTreeMap::from([("package replaced".to_owned(), said)]));
    assert_eq!(std::fs::read(project.path("imgbuild.lock")).unwrap(), before);
    assert_eq!(std::fs::read_to_string(project.path("out/images/app/latest/app.qcow2")).unwrap(), "an older result");
}

#[test]
fn dripping_servers_are_left() {
    let project = Project::with(plain);
    let cache = project.path("cache");
    project.server.always("InRelease", Mode::Drip(2));
    let repository = project.archive.repository(&project.server.url, &["small"]);
    let error = client(options(&cache)).indices(std::slice::from_ref(&repository), "amd64", &Silent).unwrap_err();
    let said = said(&error, &project.server.url, project.archive.root());
    let began = said.find("the server gives ").unwrap_or_else(|| panic!("{said}"));
    assert!(said[began..].contains(" bytes in 1 s, fewer than 1000 (3 attempts)\nhint: "), "{said}");
    // Silence in the middle is something else.
    project.server.behave();
    project.server.always("InRelease", Mode::SilentAfter(100, Duration::from_secs(5)));
    let error = client(options(&cache)).indices(&[repository], "amd64", &Silent).unwrap_err();
    assert!(format!("{error:#}").contains("the server fell silent (3 attempts)"), "{error:#}");
}
