//! The life of `imgbuild.lock` through the real command: a project and a small signed archive that moves on, goes back,
//! loses packages and is switched off.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

#[path = "support/archive/mod.rs"]
mod archive;

use archive::generator::{Archive, Package, Suite};
use archive::server::{Mode, Server};
use imgbuild::base::process::Run;
use imgbuild::input::Sources;
use imgbuild::package::Lock;
use std::path::PathBuf;

const OLD: &str = "Sun, 30 Jun 2024 12:00:00 UTC";
const NEW: &str = "Mon, 01 Jul 2024 12:00:00 UTC";

const RECIPE: &str = r#"
version: 1
description: A recipe of the small archive
distribution: debian
suite: small
architecture: amd64
repositories:
  test: {url: "URL", suites: [small], components: [main], keyring: test, check_valid_until: false}
packages: [system]
kernel: generic
kernels: {generic: {packages: [kernel]}}
disk:
  size: 2 GiB
  volumes:
    root: {size: 1 GiB, filesystem: ext4, mount: /}
tools: {suite: small, packages: [maker]}
"#;

struct Scene {
    archive: Archive,
    server: Server,
    folder: tempfile::TempDir,
}

/// How a command ended.
struct Ended {
    status: i32,
    out: String,
    said: String,
}

impl Scene {
    /// A project whose roles are `app` and, without packages, those that are built in; the archive is at its first day.
    fn new() -> Self {
        let archive = Archive::new();
        let server = Server::start(archive.root());
        let scene = Self { archive, server, folder: tempfile::tempdir().unwrap() };
        scene.write("recipes/debian-trixie.yaml", &RECIPE.replace("URL", &scene.server.url));
        scene.write("recipes/keyrings/test.asc", &scene.archive.keys.armoured());
        for role in Sources::builtin().roles().unwrap().keys() {
            scene.role(role, &[]);
        }
        scene.role("app", &["app"]);
        scene.publish(OLD, "1.0");
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn role(&self, name: &str, packages: &[&str]) {
        let text = format!("version: 1\ndescription: A role\npackages: [{}]\n", packages.join(", "));
        self.write(&format!("roles/{name}/role.yaml"), &text);
    }

    /// The archive of this day, where `library` and `system` have this version.
    fn publish(&self, date: &'static str, version: &str) {
        let package = |name: &str, version: &str, fields: &str| -> Package {
            let mut package = self.archive.package(name, version, format!("{name} {version}").as_bytes());
            package.stanza.push_str(fields);
            package
        };
        let packages = vec![
            package("system", version, "Essential: yes\n"),
            package("kernel", "6.1", ""),
            package("library", version, ""),
            package("app", "3.0-1", "Depends: library (>= 1.0)\n"),
            package("other", "5", "Depends: library\n"),
            package("maker", "1.47", ""),
        ];
        self.archive.publish(&Suite { date, ..Suite::new("small", packages) });
    }

    fn run(&self, line: &str) -> Ended {
        let output = Run::new(env!("CARGO_BIN_EXE_imgbuild"))
            .args(line.split_whitespace())
            .arg("-C")
            .arg(self.folder.path())
            .arg("--cache")
            .arg(self.path("cache"))
            .args(["--progress", "none"])
            .env("no_proxy", "127.0.0.1")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().replace(&self.server.url, "URL");
        Ended { status: output.status.code().unwrap(), out: text(&output.stdout), said: text(&output.stderr) }
    }

    /// What a command that must succeed prints.
    fn good(&self, line: &str) -> String {
        let ended = self.run(line);
        assert_eq!((ended.status, ended.said.as_str()), (0, ""), "{line}: {}", ended.out);
        ended.out
    }

    /// What a command that must fail says on standard error.
    fn refused(&self, line: &str, status: i32) -> String {
        let ended = self.run(line);
        assert_eq!((ended.status, ended.out.as_str()), (status, ""), "{line}: {}", ended.said);
        ended.said
    }

    fn lock_text(&self) -> String {
        std::fs::read_to_string(self.path("imgbuild.lock")).unwrap()
    }

    /// `name=version` of everything that is pinned in a section.
    fn pinned(&self, section: &str) -> Vec<String> {
        let lock = Lock::load(&self.path("imgbuild.lock")).unwrap();
        lock.sections[section].packages.iter().map(|one| format!("{}={}", one.name, one.version)).collect()
    }

    fn asked(&self) -> Vec<String> {
        self.server.asked().into_iter().map(|asked| asked.path).collect()
    }
}

const IMAGES: &str = "debian-trixie/amd64/generic";
const TOOLS: &str = "tools/small/amd64";
const FIRST: [&str; 4] = ["app=3.0-1", "kernel=6.1", "library=1.0", "system=1.0"];

#[test]
fn first_lock_pins_everything_and_later_ones_ask_nobody() {
    let scene = Scene::new();
    let out = scene.good("lock");
    let expected = "debian-trixie/amd64/generic\n  added       app      3.0-1\n  added       kernel   6.1\n  \
                    added       library  1.0\n  added       system   1.0\ntools/small/amd64\n  added       maker    1.47\n";
    assert_eq!(out, expected);
    assert_eq!(
        (scene.pinned(IMAGES), scene.pinned(TOOLS)),
        (FIRST.map(str::to_owned).to_vec(), vec!["maker=1.47".into()])
    );
    let package = scene.archive.package("library", "1.0", b"library 1.0").pin;
    let lock = Lock::load(&scene.path("imgbuild.lock")).unwrap();
    let locked = lock.sections[IMAGES].find("library=1.0").unwrap().pin();
    assert_eq!(locked, package);
    assert_eq!(scene.asked().iter().filter(|path| *path == "/dists/small/InRelease").count(), 1);

    let text = scene.lock_text();
    scene.publish(NEW, "2.0");
    for line in ["lock", "lock app", "lock app --locked", "lock --locked"] {
        assert_eq!(scene.good(line), "the lock is unchanged\n", "{line}");
    }
    assert!(scene.good("plan role app").starts_with("app from debian-trixie (small amd64, kernel generic)\n"));
    assert_eq!((scene.asked(), scene.lock_text()), (vec![], text));
}

#[test]
fn newer_mirror_shows_in_the_difference_and_counts_after_an_update() {
    let scene = Scene::new();
    scene.good("lock");
    let text = scene.lock_text();
    assert_eq!(scene.good("lock diff"), "the lock is unchanged\n");
    scene.publish(NEW, "2.0");
    let upgrades =
        "debian-trixie/amd64/generic\n  upgraded    library  1.0 -> 2.0\n  upgraded    system   1.0 -> 2.0\n";
    assert_eq!(scene.good("lock diff"), upgrades);
    // A role that nobody locked is no difference.
    scene.role("second", &["other"]);
    assert_eq!(scene.good("lock diff"), upgrades);
    assert_eq!(scene.lock_text(), text);
    std::fs::remove_dir_all(scene.path("roles/second")).unwrap();
    assert_eq!(scene.good("lock --update"), upgrades);
    assert_eq!(scene.pinned(IMAGES), ["app=3.0-1", "kernel=6.1", "library=2.0", "system=2.0"]);
    let lock = Lock::load(&scene.path("imgbuild.lock")).unwrap();
    assert_eq!(lock.sections[IMAGES].epoch.rfc3339(), "2024-07-01T12:00:00Z");
    assert_eq!(scene.good("lock diff"), "the lock is unchanged\n");
}

#[test]
fn additional_role_keeps_the_pins_of_others() {
    let scene = Scene::new();
    scene.good("lock");
    scene.publish(NEW, "2.0");
    scene.role("second", &["other"]);
    let added = "debian-trixie/amd64/generic\n  added       library  2.0\n  added       other    5\n";
    assert_eq!(scene.good("lock second"), added);
    let lock = Lock::load(&scene.path("imgbuild.lock")).unwrap();
    let names = |set: &str| lock.sections[IMAGES].sets[set].packages.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names("base"), ["kernel=6.1", "system=1.0"]);
    assert_eq!(names("app"), ["app=3.0-1", "library=1.0"]);
    assert_eq!(names("second"), ["library=2.0", "other=5"]);
    assert_eq!(scene.good("lock app --locked"), "the lock is unchanged\n");
}

#[test]
fn locked_refuses_an_additional_role_with_status_3_and_the_command() {
    let scene = Scene::new();
    scene.good("lock");
    let text = scene.lock_text();
    scene.role("second", &["other"]);
    scene.asked();
    let said = "error: the lock is out of date, and --locked adds nothing to it: it has no packages for the role second \
                in debian-trixie/amd64/generic\nhint: run `imgbuild lock second` and commit imgbuild.lock\n";
    for line in ["role second --locked", "lock second --locked", "lock --locked", "role app second --locked"] {
        assert_eq!(scene.refused(line, 3), said, "{line}");
    }
    assert_eq!((scene.asked(), scene.lock_text()), (vec![], text));
    assert!(!scene.path("out").exists());
}

#[test]
fn removed_requests_are_noticed_and_forgotten() {
    let scene = Scene::new();
    scene.role("second", &["other", "app"]);
    scene.good("lock");
    assert!(scene.pinned(IMAGES).contains(&"other=5".to_owned()));
    scene.role("second", &["app"]);
    let said = scene.refused("lock second --locked", 3);
    assert!(said.contains("for the role second in debian-trixie/amd64/generic, `other` was removed\n"), "{said}");
    assert_eq!(scene.good("lock"), "debian-trixie/amd64/generic\n  removed     other  5\n");
    assert_eq!(scene.pinned(IMAGES), FIRST);

    scene.role("second", &["app", "other"]);
    scene.good("lock");
    std::fs::remove_dir_all(scene.path("roles/second")).unwrap();
    let said = scene.refused("lock second", 1);
    assert!(said.contains("second"), "{said}");
    let removed = "debian-trixie/amd64/generic\n  removed     other  5\n";
    assert_eq!((scene.good("lock diff"), scene.good("lock")), (removed.to_owned(), removed.to_owned()));
    assert_eq!(scene.pinned(IMAGES), FIRST);
}

#[test]
fn difference_without_role_packages_is_about_the_base() {
    let scene = Scene::new();
    let first = scene.good("lock diff");
    assert!(first.contains("  added       app      3.0-1\n") && !scene.path("imgbuild.lock").exists(), "{first}");
    scene.good("lock base");
    assert_eq!(scene.pinned(IMAGES), ["kernel=6.1", "system=1.0"]);
    scene.publish(NEW, "2.0");
    assert_eq!(scene.good("lock diff"), "debian-trixie/amd64/generic\n  upgraded    system  1.0 -> 2.0\n");
}

#[test]
fn offline_serves_from_cache_and_lock_alone() {
    let scene = Scene::new();
    let said = scene.refused("lock --offline", 1);
    assert!(said.contains("the Release file of suite `small` is not in the cache, and the network is off"), "{said}");
    assert!(!scene.path("imgbuild.lock").exists());
    scene.good("lock");
    scene.asked();
    scene.server.always("/", Mode::Status(503));
    scene.role("second", &["other"]);
    assert_eq!(scene.good("lock app --offline"), "the lock is unchanged\n");
    // The index is at hand, so even what the lock lacks can be added.
    assert_eq!(scene.good("lock --offline"), "debian-trixie/amd64/generic\n  added       other  5\n");
    let said = scene.refused("role app --offline", 1);
    assert!(said.contains("not in the cache, and the network is off"), "{said}");
    assert_eq!(scene.asked(), [""; 0]);
}

#[test]
fn older_mirror_is_refused_by_an_update() {
    let scene = Scene::new();
    scene.publish(NEW, "2.0");
    scene.good("lock");
    let text = scene.lock_text();
    scene.publish(OLD, "1.0");
    for line in ["lock --update", "lock diff", "lock app --update"] {
        let said = scene.refused(line, 1);
        let fact = "error: the index of test small is of 2024-06-30T12:00:00Z, but the lock was made from one of \
                    2024-07-01T12:00:00Z: the mirror went back in time\n";
        assert!(said.starts_with(fact), "{line}: {said}");
        assert!(said.contains("hint: take another mirror with `--repository test=URL`"), "{line}: {said}");
        assert_eq!(scene.lock_text(), text);
    }
    // What is locked needs no index.
    assert_eq!(scene.good("lock"), "the lock is unchanged\n");
}

#[test]
fn package_that_the_mirror_lost_is_named_with_its_locked_version() {
    let scene = Scene::new();
    scene.good("lock");
    scene.publish(NEW, "2.0");
    scene.archive.remove("pool/main/l/library/library_1.0_amd64.deb");
    scene.asked();
    let said = scene.refused("role app --locked", 1);
    assert!(said.contains("package library=1.0:amd64 is no longer on the mirror of `test`"), "{said}");
    assert!(said.contains("hint: `imgbuild lock --update` pins what the mirror carries now"), "{said}");
    let asked = scene.asked();
    assert!(asked.iter().all(|path| path.starts_with("/pool/") && !path.contains("_2.0_")), "{asked:?}");
    assert!(!scene.path("out/images/app/latest").exists());
}

#[test]
fn damaged_or_foreign_archives_leave_the_lock_alone() {
    let scene = Scene::new();
    scene.good("lock");
    let text = scene.lock_text();
    scene.publish(NEW, "2.0");
    let release = std::fs::read_to_string(scene.archive.path("dists/small/InRelease")).unwrap();
    scene.archive.write("dists/small/InRelease", release.replace("Label: Test", "Label: Tesu").as_bytes());
    let said = scene.refused("lock --update", 1);
    assert!(said.contains("verifying URL/dists/small/InRelease"), "{said}");
    assert!(said.contains("hint: nothing of this archive is used"), "{said}");
    assert_eq!(scene.lock_text(), text);
}
