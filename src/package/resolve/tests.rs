//! The life of a lock: first build, unchanged build, new role, changed mirror, update, rollback, refusals.

use super::*;
use crate::base::hint::hints;
use crate::base::ids::{LvmId, Uuid};
use crate::base::size::{Bytes, Extents};
use crate::package::LockDiff;
use crate::package::archive::ReleaseInfo;
use crate::plan::{Disk, Distribution, Keyring, Layer, Location, Tools, VolumeGroup};

/// An archive whose contents a test changes, and which counts how often it is asked.
struct Mirror {
    folder: tempfile::TempDir,
    /// Repository, text of its only index, date.
    indices: Vec<(&'static str, String, i64)>,
    asked: usize,
    debs: Vec<(Digest, PathBuf)>,
}

fn stanzas(lines: &str) -> String {
    let mut text = String::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut parts = line.split(';').map(str::trim);
        let (name, version) = parts.next().unwrap().split_once(' ').unwrap();
        let digest = Digest::of(line.as_bytes());
        text.push_str(&format!("Package: {name}\nVersion: {version}\nArchitecture: amd64\n"));
        text.push_str(&format!("Filename: pool/{name}_{version}_amd64.deb\nSize: 10\nSHA256: {digest}\n"));
        text.extend(parts.map(|field| format!("{field}\n")));
        text.push('\n');
    }
    text
}

const ARCHIVE: &str = "base-files 13; Essential: yes\nlibx 1\nhaproxy 3.0; Depends: libx (>= 1)\nnginx 1; Depends: libx, libz\nlibz 1\nmke2fs 1";

impl Mirror {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, indices: vec![("debian", stanzas(ARCHIVE), 1000)], asked: 0, debs: Vec::new() }
    }
}

impl Sources for Mirror {
    fn indices(&mut self, repositories: &[Repository], architecture: &str) -> Result<Vec<Index>> {
        assert_eq!(architecture, "amd64");
        self.asked += 1;
        let mut found = Vec::new();
        for (name, text, date) in &self.indices {
            if repositories.iter().any(|repository| repository.name == *name) {
                let sha256 = Digest::of(text.as_bytes());
                let file = self.folder.path().join(sha256.to_string());
                std::fs::write(&file, text)?;
                found.push(Index {
                    repository: (*name).to_owned(),
                    suite: "trixie".to_owned(),
                    component: "main".to_owned(),
                    priority: 500,
                    release: ReleaseInfo {
                        origin: None,
                        label: None,
                        codename: Some("trixie".to_owned()),
                        suite: Some("stable".to_owned()),
                        date: Epoch(*date),
                        valid_until: None,
                        sha256,
                        not_automatic: false,
                        but_automatic_upgrades: false,
                    },
                    file,
                    size: text.len() as u64,
                    sha256,
                });
            }
        }
        Ok(found)
    }

    fn deb(&mut self, file: &PinnedFile) -> Result<PathBuf> {
        let known = self.debs.iter().find(|(digest, _)| *digest == file.sha256);
        known.map(|(_, path)| path.clone()).context("looking for the file")
    }
}

fn repository(name: &str) -> Repository {
    Repository {
        name: name.to_owned(),
        location: Location::Host(name.to_owned()),
        suites: vec!["trixie".to_owned()],
        components: vec!["main".to_owned()],
        flat: false,
        keyring: Keyring { name: String::new(), content: crate::plan::Blob::Text(String::new()) },
        priority: 500,
        check_valid_until: true,
        snapshot: None,
    }
}

fn layer(packages: &[&str]) -> Layer {
    Layer { packages: packages.iter().map(|name| (*name).to_owned()).collect(), ..Layer::default() }
}

fn plan(name: &str, base: &[&str], role: &[&str]) -> ImagePlan {
    let text = str::to_owned;
    ImagePlan {
        name: text(name),
        recipe: text("debian-trixie"),
        roles: vec![text(name)],
        distribution: Distribution { id: text("debian"), suite: text("trixie"), efi_folder: text("debian") },
        architecture: text("amd64"),
        kernel: text("generic"),
        repositories: vec![repository("debian")],
        recipe_repositories: 1,
        recommends: false,
        base: layer(base),
        role: layer(role),
        kernel_arguments: Vec::new(),
        trust: Vec::new(),
        tools: Tools {
            repositories: vec![repository("debian")],
            suite: text("trixie"),
            packages: vec![text("mke2fs")],
        },
        disk: Disk {
            size: Bytes(1 << 30),
            guid: Uuid::derive("a", "b"),
            partitions: Vec::new(),
            volume_group: VolumeGroup {
                name: text("vg0"),
                id: LvmId::derive("a", "b"),
                pv_id: LvmId::derive("a", "c"),
                extents: Extents(1),
                volumes: Vec::new(),
                reserve: Bytes(0),
            },
        },
    }
}

fn names(pins: &[Pin]) -> Vec<String> {
    pins.iter().map(|pin| format!("{}={}", pin.name, pin.version)).collect()
}

fn haproxy() -> ImagePlan {
    plan("haproxy", &["libx"], &["haproxy"])
}

#[test]
fn first_build_locks_and_the_next_asks_nobody() {
    let (mut mirror, mut lock) = (Mirror::new(), Lock::default());
    let first = resolve(&haproxy(), &mut lock, LockMode::Extend, &mut mirror).unwrap();
    assert_eq!(names(&first.base), ["base-files=13", "libx=1"]);
    assert_eq!(names(&first.role), ["haproxy=3.0"]);
    assert_eq!(names(&first.tools), ["mke2fs=1"]);
    assert_eq!((first.epoch, first.changed, mirror.asked), (Epoch(1000), true, 2));
    let set = &lock.sections["debian-trixie/amd64/generic"].sets["haproxy"];
    assert_eq!(set.packages["haproxy=3.0"], "requested as `haproxy`");

    let mut read = Lock::parse(&lock.text()).unwrap();
    for mode in [LockMode::Extend, LockMode::Locked] {
        let next = resolve(&haproxy(), &mut read, mode, &mut mirror).unwrap();
        assert_eq!(next, Resolved { changed: false, ..first.clone() }, "{mode:?}");
    }
    assert_eq!((mirror.asked, &read), (2, &lock));
}

#[test]
fn a_new_role_leaves_the_pins_and_the_clock_of_others_alone() {
    let (mut mirror, mut lock) = (Mirror::new(), Lock::default());
    let first = resolve(&haproxy(), &mut lock, LockMode::Extend, &mut mirror).unwrap();
    mirror.indices[0] = ("debian", stanzas(&ARCHIVE.replace("libx 1\n", "libx 2\n").replace("libz 1", "libz 2")), 2000);
    let nginx = plan("nginx", &["libx"], &["nginx"]);
    let other = resolve(&nginx, &mut lock, LockMode::Extend, &mut mirror).unwrap();
    assert_eq!(names(&other.base), ["base-files=13", "libx=1"]);
    assert_eq!(names(&other.role), ["libz=2", "nginx=1"]);
    assert_eq!((other.epoch, other.changed), (Epoch(1000), true));
    let again = resolve(&haproxy(), &mut lock, LockMode::Locked, &mut mirror).unwrap();
    assert_eq!(again, Resolved { changed: false, ..first });
    assert_eq!(lock.sections["debian-trixie/amd64/generic"].releases[0].date, Epoch(2000));
}

#[test]
fn a_growing_role_keeps_its_pins_even_when_the_mirror_dropped_them() {
    let (mut mirror, mut lock) = (Mirror::new(), Lock::default());
    resolve(&plan("web", &[], &["nginx"]), &mut lock, LockMode::Extend, &mut mirror).unwrap();
    mirror.indices[0].1 = stanzas(
        "base-files 13; Essential: yes\nlibx 2\nlibz 2\nnginx 2; Depends: libx\nhaproxy 3.0; Depends: libx\nmke2fs 1",
    );
    let grown = resolve(&plan("web", &[], &["nginx", "haproxy"]), &mut lock, LockMode::Extend, &mut mirror).unwrap();
    assert_eq!(names(&grown.role), ["haproxy=3.0", "libx=1", "libz=1", "nginx=1"]);
    let shrunk = resolve(&plan("web", &[], &["haproxy"]), &mut lock, LockMode::Extend, &mut mirror).unwrap();
    assert_eq!(names(&shrunk.role), ["haproxy=3.0", "libx=1"]);
    assert!(!lock.text().contains("nginx"));
}

#[test]
fn an_update_takes_what_the_mirror_has_and_nothing_older() {
    let (mut mirror, mut lock) = (Mirror::new(), Lock::default());
    resolve(&haproxy(), &mut lock, LockMode::Extend, &mut mirror).unwrap();
    let old = lock.clone();
    let same = resolve(&haproxy(), &mut lock, LockMode::Update, &mut mirror).unwrap();
    assert_eq!((same.changed, &lock), (false, &old));

    mirror.indices[0] = ("debian", stanzas(&ARCHIVE.replace("libx 1\n", "libx 2\n")), 2000);
    let new = resolve(&haproxy(), &mut lock, LockMode::Update, &mut mirror).unwrap();
    assert_eq!((names(&new.base), new.epoch), (vec!["base-files=13".to_owned(), "libx=2".to_owned()], Epoch(2000)));
    let diff = LockDiff::between(&old, &lock).to_string();
    assert_eq!(diff, "debian-trixie/amd64/generic\n  upgraded    libx  1 -> 2\n");

    mirror.indices[0].2 = 1500;
    let error = resolve(&haproxy(), &mut lock, LockMode::Update, &mut mirror).unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "the index of debian trixie is of 1970-01-01T00:25:00Z, but the lock was made from one of \
         1970-01-01T00:33:20Z: the mirror went back in time"
    );
    assert!(hints(&error)[0].starts_with("take another mirror with `--repository debian=URL`"));
}

#[test]
fn a_locked_build_says_what_is_missing() {
    let (mut mirror, mut lock) = (Mirror::new(), Lock::default());
    resolve(&haproxy(), &mut lock, LockMode::Extend, &mut mirror).unwrap();
    let whole = "the lock is out of date, and --locked adds nothing to it: ";
    let mut other_repositories = haproxy();
    other_repositories.repositories.push(repository("kubernetes"));
    let mut with_recommends = haproxy();
    with_recommends.recommends = true;
    let cases = [
        (plan("nginx", &["libx"], &["nginx"]), "it has no packages for the role nginx in debian-trixie/amd64/generic"),
        (
            plan("haproxy", &["libx"], &["haproxy", "nginx"]),
            "for the role haproxy in debian-trixie/amd64/generic, `nginx` was added",
        ),
        (
            plan("haproxy", &["libz"], &["haproxy"]),
            "for the base layer in debian-trixie/amd64/generic, `libz` was added and `libx` was removed",
        ),
        (
            with_recommends,
            "for the base layer in debian-trixie/amd64/generic, the repositories, the use of Recommends or the base layer's packages changed",
        ),
        (
            other_repositories,
            "for the role haproxy in debian-trixie/amd64/generic, the repositories, the use of Recommends or the base layer's packages changed",
        ),
    ];
    let asked = mirror.asked;
    for (plan, message) in cases {
        let error = resolve(&plan, &mut lock, LockMode::Locked, &mut mirror).unwrap_err().context("building");
        assert_eq!(format!("{error:#}"), format!("building: {whole}{message}"));
        assert!(error.is::<OutOfDate>(), "{message}");
        assert_eq!(hints(&error), [format!("run `imgbuild lock {}` and commit imgbuild.lock", plan.name)]);
    }
    assert_eq!(mirror.asked, asked);
}

#[test]
fn a_role_with_repositories_shares_the_base_of_others() {
    let (mut mirror, mut lock) = (Mirror::new(), Lock::default());
    mirror.indices.push((
        "kubernetes",
        stanzas("kubelet 1.36; Depends: libx\nlibx 9\nbase-files 99; Essential: yes"),
        9000,
    ));
    let mut worker = plan("worker", &["libx"], &["kubelet"]);
    worker.repositories.push(repository("kubernetes"));
    let worker = resolve(&worker, &mut lock, LockMode::Extend, &mut mirror).unwrap();
    let haproxy = resolve(&haproxy(), &mut lock, LockMode::Extend, &mut mirror).unwrap();
    assert_eq!(names(&worker.base), ["base-files=13", "libx=1"]);
    assert_eq!(
        (names(&worker.role), worker.role[0].repository.as_str()),
        (vec!["kubelet=1.36".to_owned()], "kubernetes")
    );
    assert_eq!((&worker.base, worker.epoch), (&haproxy.base, Epoch(1000)));
    let node = Digest::of(b"node");
    let (left, right) = (plan("a", &["libx"], &[]), plan("b", &["libx"], &["haproxy"]));
    let (left, right) = (build_plan(left, &worker, &node), build_plan(right, &haproxy, &node));
    assert_eq!(left.base_layer_id, right.base_layer_id);
    assert_ne!(left.image_id, right.image_id);
}

#[test]
fn local_files_are_pinned_and_noticed_when_they_change() {
    let (mut mirror, mut lock) = (Mirror::new(), Lock::default());
    let file = |mirror: &mut Mirror, content: &str| {
        let control = format!("Package: own\nVersion: 1\nArchitecture: all\nDepends: libz\nDescription: {content}\n");
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(control.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, "control", control.as_bytes()).unwrap();
        let tar = tar.into_inner().unwrap();
        let mut deb = b"!<arch>\n".to_vec();
        for (name, bytes) in [("debian-binary", &b"2.0\n"[..]), ("control.tar", &tar), ("data.tar", b"")] {
            deb.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, bytes.len()).bytes());
            deb.extend(bytes);
        }
        let sha256 = Digest::of(&deb);
        let path = mirror.folder.path().join(format!("{content}.deb"));
        std::fs::write(&path, deb).unwrap();
        mirror.debs.push((sha256, path));
        PinnedFile { name: "own.deb".to_owned(), sha256, url: None }
    };
    let mut plan = plan("own", &[], &[]);
    plan.role.debs = vec![file(&mut mirror, "first")];
    let first = resolve(&plan, &mut lock, LockMode::Extend, &mut mirror).unwrap();
    assert_eq!(names(&first.role), ["libz=1", "own=1"]);
    let own = &first.role[1];
    assert_eq!(
        (own.repository.as_str(), own.path.as_str(), own.sha256),
        ("local", "own.deb", plan.role.debs[0].sha256)
    );
    assert!(!resolve(&plan, &mut Lock::parse(&lock.text()).unwrap(), LockMode::Locked, &mut mirror).unwrap().changed);
    plan.role.debs = vec![file(&mut mirror, "second")];
    assert!(resolve(&plan, &mut lock, LockMode::Locked, &mut mirror).unwrap_err().is::<OutOfDate>());
    let second = resolve(&plan, &mut lock, LockMode::Extend, &mut mirror).unwrap();
    assert_eq!(second.role[1].sha256, plan.role.debs[0].sha256);
    assert_ne!(second.lock_digest, first.lock_digest);
}

#[test]
fn impossible_plans_are_refused_with_the_chain() {
    let (mut mirror, mut lock) = (Mirror::new(), Lock::default());
    mirror.indices[0].1.push_str(&stanzas("broken 1; Depends: libx (>= 5)\nodd 1"));
    let cases = [
        (
            plan("web", &[], &["nginks"]),
            "choosing the packages of the role web: nginks cannot be installed: no package has or provides the name `nginks`",
            "did you mean `nginx`?",
        ),
        (
            plan("web", &["libx"], &["broken"]),
            "choosing the packages of the role web: broken cannot be installed: broken 1 needs libx (>= 5) (Depends)\n  \
             the base layer pins libx 1",
            "take newer versions of all packages with `imgbuild lock --update`",
        ),
    ];
    for (plan, message, hint) in cases {
        let error = resolve(&plan, &mut lock, LockMode::Extend, &mut mirror).unwrap_err();
        assert_eq!(format!("{error:#}"), message);
        assert_eq!(hints(&error), [hint]);
    }
    let error = resolve(&plan("web", &["a b"], &[]), &mut lock, LockMode::Update, &mut mirror).unwrap_err();
    assert!(format!("{error:#}").contains("`a b` is no package request"), "{error:#}");
    mirror.indices[0].1 = mirror.indices[0].1.replace("Filename: pool/odd", "Filename: ../odd");
    let error = resolve(&plan("odd", &["odd"], &[]), &mut lock, LockMode::Update, &mut mirror).unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "choosing the packages of the base layer: the index of debian trixie says no proper Filename of odd 1"
    );
}
