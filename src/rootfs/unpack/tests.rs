//! Packages made here, unpacked into a folder: who wins, what is refused, that threads do not matter.

use super::*;
use crate::base::digest::Digest;
use crate::base::progress::{Progress, Silent, Unit};
use crate::package::{PackageFile, Pin};
use crate::rootfs::database;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// A member of data.tar.
enum Member<'a> {
    Folder(u32),
    File(&'a str, u32),
    Link(&'a str),
    HardLink(&'a str),
    Device,
}
use Member::{Device, File, Folder, HardLink, Link};

const TIME: u64 = 1_000_000_000;

fn tar_of(members: &[(&str, Member<'_>)]) -> Vec<u8> {
    let (uid, gid) = me();
    let mut builder = tar::Builder::new(Vec::new());
    for (path, member) in members {
        let mut header = tar::Header::new_gnu();
        let (kind, mode, content, target) = match member {
            Folder(mode) => (tar::EntryType::Directory, *mode, "", None),
            File(content, mode) => (tar::EntryType::Regular, *mode, *content, None),
            Link(target) => (tar::EntryType::Symlink, 0o777, "", Some(*target)),
            HardLink(target) => (tar::EntryType::Link, 0o644, "", Some(*target)),
            Device => (tar::EntryType::Char, 0o666, "", None),
        };
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(u64::from(uid));
        header.set_gid(u64::from(gid));
        header.set_mtime(TIME);
        header.set_size(content.len() as u64);
        // Names as they are: the library would refuse some of those that must be tried.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        if let Some(target) = target {
            header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        }
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn me() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// Writes a package and gives it as one at hand.
fn package(folder: &Path, name: &str, fields: &str, conffiles: &str, members: &[(&str, Member<'_>)]) -> PackageFile {
    let control = format!("Package: {name}\nVersion: 1\nArchitecture: all\n{fields}Description: x\n");
    let mut files = vec![("./control", File(&control, 0o644))];
    if !conffiles.is_empty() {
        files.push(("./conffiles", File(conffiles, 0o644)));
    }
    let mut bytes = b"!<arch>\n".to_vec();
    let parts = [("debian-binary", b"2.0\n".to_vec()), ("control.tar", tar_of(&files)), ("data.tar", tar_of(members))];
    for (name, content) in parts {
        bytes.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).bytes());
        bytes.extend(&content);
        bytes.resize(bytes.len().next_multiple_of(2), b'\n');
    }
    let file = folder.join(format!("{name}.deb"));
    std::fs::write(&file, &bytes).unwrap();
    let text = |text: &str| text.to_owned();
    let pin = Pin {
        name: text(name),
        version: text("1"),
        architecture: text("all"),
        repository: text("test"),
        path: text(""),
        size: bytes.len() as u64,
        sha256: Digest::of(&bytes),
    };
    PackageFile { pin, file }
}

struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("root")).unwrap();
        Self { folder }
    }

    fn debs(&self) -> &Path {
        self.folder.path()
    }

    fn at(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join("root").join(path)
    }

    fn root(&self) -> Root {
        Root::open(&self.at("")).unwrap()
    }

    /// Unpacks all in one wave and gives each package's paths.
    fn unpack(&self, files: &[PackageFile]) -> Result<BTreeMap<String, Vec<String>>> {
        let root = self.root();
        let order = Order::open(files)?;
        let installed = database::installed(&root)?;
        let mut unpacker = Unpacker::new(&root, &order, &installed, Epoch(TIME as i64 - 5));
        let progress: &dyn Progress = &Silent;
        let all: Vec<usize> = (0..order.packages.len()).collect();
        unpacker.wave(&all, Owners::read(&root)?, &progress.phase("unpack", 0, Unit::Packages))?;
        let text = |path: &Vec<u8>| String::from_utf8(path.clone()).unwrap();
        all.iter()
            .map(|at| {
                let listing = unpacker.listing(*at)?;
                Ok((order.packages[*at].pin.name.clone(), listing.paths.iter().map(text).collect()))
            })
            .collect()
    }

    fn error(&self, files: &[PackageFile]) -> String {
        format!("{:#}", self.unpack(files).unwrap_err())
    }
}

#[test]
fn metadata_is_the_archives_with_times_held_to_the_epoch() {
    let fixture = Fixture::new();
    let members = [
        ("./", Folder(0o755)),
        ("./usr/", Folder(0o755)),
        ("./usr/bin/", Folder(0o2775)),
        ("./usr/bin/su", File("#!", 0o4755)),
        ("./usr/bin/also", HardLink("./usr/bin/su")),
        ("./usr/bin/link", Link("su")),
    ];
    let paths = fixture.unpack(&[package(fixture.debs(), "a", "", "", &members)]).unwrap();
    assert_eq!(paths["a"], ["", "usr", "usr/bin", "usr/bin/su", "usr/bin/also", "usr/bin/link"]);
    let data = std::fs::metadata(fixture.at("usr/bin/su")).unwrap();
    assert_eq!((data.mode() & 0o7777, data.nlink(), data.mtime()), (0o4755, 2, TIME as i64 - 5));
    let folder = std::fs::metadata(fixture.at("usr/bin")).unwrap();
    assert_eq!((folder.mode() & 0o7777, folder.mtime()), (0o2775, TIME as i64 - 5));
    assert_eq!(std::fs::read_link(fixture.at("usr/bin/link")).unwrap(), Path::new("su"));
}

#[test]
fn packages_that_share_folders_agree_on_the_first_ones_metadata() {
    for round in 0..8 {
        let fixture = Fixture::new();
        let one = |name: &str, mode: u32| {
            let file = format!("./opt/{name}");
            package(fixture.debs(), name, "", "", &[("./opt/", Folder(mode)), (&file, File("", 0o644))])
        };
        let mut files = vec![one("a", 0o700), one("b", 0o755), one("c", 0o777), one("d", 0o750)];
        files.rotate_left(round % 4);
        fixture.unpack(&files).unwrap();
        assert_eq!(std::fs::metadata(fixture.at("opt")).unwrap().mode() & 0o7777, 0o700);
    }
}

#[test]
fn files_of_two_packages_go_to_the_one_that_replaces() {
    for (a, b, winner) in [("", "Replaces: a (<< 2)\n", "b"), ("Replaces: virtual\n", "Provides: virtual\n", "a")] {
        let fixture = Fixture::new();
        let files = [
            package(fixture.debs(), "a", a, "", &[("./opt/", Folder(0o755)), ("./opt/f", File("a", 0o644))]),
            package(fixture.debs(), "b", b, "", &[("./opt/", Folder(0o755)), ("./opt/f", File("b", 0o600))]),
        ];
        let paths = fixture.unpack(&files).unwrap();
        assert_eq!(std::fs::read_to_string(fixture.at("opt/f")).unwrap(), winner);
        for (name, paths) in paths {
            assert_eq!(paths.contains(&"opt/f".to_owned()), name == winner, "{name} {paths:?}");
        }
    }
}

#[test]
fn files_of_two_packages_are_refused_when_neither_replaces() {
    let fixture = Fixture::new();
    let one = |name: &str| package(fixture.debs(), name, "", "", &[("./f", File(name, 0o644))]);
    let error = fixture.error(&[one("a"), one("b")]);
    assert_eq!(error, "the packages a 1 and b 1 both ship /f, and neither replaces the other");
}

#[test]
fn aliased_paths_of_a_merged_usr_are_one_path() {
    let fixture = Fixture::new();
    std::fs::create_dir_all(fixture.at("usr/lib")).unwrap();
    std::os::unix::fs::symlink("usr/lib", fixture.at("lib")).unwrap();
    let old = [("./lib/", Folder(0o755)), ("./lib/x", File("old", 0o644))];
    let new = [("./usr/lib/x", File("new", 0o644))];
    let a = package(fixture.debs(), "a", "", "", &old);
    let b = package(fixture.debs(), "b", "Replaces: a\n", "", &new);
    fixture.unpack(&[a.clone(), b]).unwrap();
    assert_eq!(std::fs::read_to_string(fixture.at("usr/lib/x")).unwrap(), "new");
    assert!(std::fs::symlink_metadata(fixture.at("lib")).unwrap().is_symlink());
    let c = package(fixture.debs(), "c", "", "", &new);
    assert!(Fixture::error(&fixture, &[a, c]).contains("both ship /usr/lib/x"));
}

#[test]
fn members_that_leave_the_root_or_are_no_files_are_refused() {
    let cases: [(&str, Member<'_>, &str); 5] = [
        ("./../evil", File("", 0o644), "`./../evil` is no path within the root"),
        ("./usr/./evil", File("", 0o644), "`./usr/./evil` is no path within the root"),
        ("./dev/null", Device, "`./dev/null` is a device, which packages may not ship"),
        ("./f", HardLink("./other"), "`./f` is a hard link to `./other`, which is no earlier file of this package"),
        ("./f", HardLink("../../etc/shadow"), "`./f` is a hard link to what is no path within the root"),
    ];
    for (path, member, expected) in cases {
        let fixture = Fixture::new();
        let error = fixture.error(&[package(fixture.debs(), "a", "", "", &[(path, member)])]);
        assert!(error.starts_with("unpacking a 1: ") && error.contains(expected), "{error}");
        assert!(!fixture.debs().join("evil").exists());
    }
}

#[test]
fn links_of_another_package_never_lead_files_elsewhere() {
    // Neither lists the folder, so only what it implies tells that they disagree; whatever comes first.
    let fixture = Fixture::new();
    let outside = fixture.debs().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let target = format!("../../../../../../../..{}", outside.display());
    for (first, second) in [("a", "b"), ("b", "a")] {
        for target in [target.as_str(), "usr"] {
            let fixture = Fixture::new();
            let link = package(fixture.debs(), first, "", "", &[("./opt", Link(target))]);
            let file = package(fixture.debs(), second, "", "", &[("./opt/f", File("x", 0o644))]);
            let error = fixture.error(&[link, file]);
            let told = error
                .contains("/opt is a folder in one of the packages a and b, and something else in the other")
                || error.contains("/opt is a folder in one of the packages b and a, and something else in the other");
            // Where the link came first and leads nowhere within the root, the file could not even be made.
            assert!(told || error.contains("unpacking /opt/f: "), "{error}");
            assert!(!fixture.at("usr/f").exists() || told, "{error}");
        }
    }
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn links_of_a_package_never_lead_its_files_out_of_the_root() {
    let fixture = Fixture::new();
    let outside = fixture.debs().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let target = format!("../../../../../../../..{}", outside.display());
    let members = [("./opt", Link(&target)), ("./opt/f", File("x", 0o644))];
    // Within the root the link's target does not exist, so nothing can be put there.
    assert!(fixture.error(&[package(fixture.debs(), "a", "", "", &members)]).contains("/opt/f"));
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn diverted_files_go_aside_and_keep_their_name_in_the_list() {
    let fixture = Fixture::new();
    std::fs::create_dir_all(fixture.at("var/lib/dpkg")).unwrap();
    std::fs::write(fixture.at("var/lib/dpkg/diversions"), "/opt/f\n/opt/f.distrib\nother\n").unwrap();
    let members = [("./opt/", Folder(0o755)), ("./opt/f", File("x", 0o644))];
    let paths = fixture.unpack(&[package(fixture.debs(), "a", "", "", &members)]).unwrap();
    assert!(fixture.at("opt/f.distrib").exists() && !fixture.at("opt/f").exists());
    assert_eq!(paths["a"], ["opt", "opt/f"]);
}

#[test]
fn conffiles_that_somebody_wrote_stay() {
    let fixture = Fixture::new();
    std::fs::create_dir(fixture.at("etc")).unwrap();
    std::fs::write(fixture.at("etc/mine"), "mine").unwrap();
    std::fs::set_permissions(fixture.at("etc/mine"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let members = [("./etc/", Folder(0o755)), ("./etc/mine", File("packaged", 0o644)), ("./etc/new", File("n", 0o644))];
    fixture.unpack(&[package(fixture.debs(), "a", "", "/etc/mine\n/etc/new\n", &members)]).unwrap();
    assert_eq!(std::fs::read_to_string(fixture.at("etc/mine")).unwrap(), "mine");
    assert_eq!(std::fs::read_to_string(fixture.at("etc/new")).unwrap(), "n");
}

#[test]
fn files_of_installed_packages_need_a_replaces() {
    let fixture = Fixture::new();
    std::fs::create_dir_all(fixture.at("var/lib/dpkg/info")).unwrap();
    std::fs::create_dir(fixture.at("opt")).unwrap();
    std::fs::write(fixture.at("opt/f"), "old").unwrap();
    std::fs::write(fixture.at("var/lib/dpkg/status"), "Package: old\nArchitecture: all\n\n").unwrap();
    std::fs::write(fixture.at("var/lib/dpkg/info/old.list"), "/.\n/opt\n/opt/f\n").unwrap();
    let members = || [("./opt/", Folder(0o755)), ("./opt/f", File("new", 0o644))];
    let error = fixture.error(&[package(fixture.debs(), "a", "", "", &members())]);
    assert_eq!(error, "unpacking a 1: unpacking /opt/f: the file belongs to the package old, which a does not replace");
    assert_eq!(std::fs::read_to_string(fixture.at("opt/f")).unwrap(), "old");
    fixture.unpack(&[package(fixture.debs(), "b", "Replaces: old\n", "", &members())]).unwrap();
    assert_eq!(std::fs::read_to_string(fixture.at("opt/f")).unwrap(), "new");
}

#[test]
fn database_of_unpacked_packages_is_what_dpkg_expects() {
    if !rustix::process::geteuid().is_root() {
        // Files of the database are root's.
        return;
    }
    let fixture = Fixture::new();
    let members = [("./", Folder(0o755)), ("./etc/", Folder(0o755)), ("./etc/conf", File("c", 0o644))];
    let file = package(fixture.debs(), "a", "Essential: yes\n", "/etc/conf\nremove-on-upgrade /etc/old\n", &members);
    let root = fixture.root();
    let order = Order::open(&[file]).unwrap();
    let installed = Installed::default();
    let mut unpacker = Unpacker::new(&root, &order, &installed, Epoch(0));
    let progress: &dyn Progress = &Silent;
    unpacker.wave(&[0], Owners::default(), &progress.phase("unpack", 0, Unit::Packages)).unwrap();
    database::add(&root, &[(&order.packages[0], &unpacker.listing(0).unwrap())], false).unwrap();
    let read = |path: &str| std::fs::read_to_string(fixture.at("var/lib/dpkg").join(path)).unwrap();
    assert_eq!(
        read("status"),
        "Package: a\nStatus: install ok unpacked\nVersion: 1\nArchitecture: all\nEssential: yes\nDescription: x\n\
         Conffiles:\n /etc/conf 4a8a08f09d37b73795649038408b5f33\n /etc/old newconffile remove-on-upgrade\n\n"
    );
    assert_eq!(read("info/a.list"), "/.\n/etc\n/etc/conf\n");
    assert_eq!(read("info/format"), "1\n");
}

#[test]
fn what_was_decompressed_ahead_is_unpacked_as_ever_and_damage_is_told() {
    let fixture = Fixture::new();
    let long = "x".repeat(300 << 10);
    let members = [("./", Folder(0o755)), ("./a", File(&long, 0o644))];
    let whole = package(fixture.debs(), "whole", "", "", &members);
    let cut = package(fixture.debs(), "cut", "", "", &[("./", Folder(0o755)), ("./b", File(&long, 0o644))]);
    let order = Order::open(&[whole, cut.clone()]).unwrap();
    let (root, installed) = (fixture.root(), Installed::default());
    let mut unpacker = Unpacker::new(&root, &order, &installed, Epoch(2_000_000_000));
    let modules = Modules::begin(fixture.debs().join("modules")).unwrap();
    unpacker.decompress(&[0], fixture.debs(), None).unwrap();
    unpacker.decompress(&[1], fixture.debs(), Some(&modules)).unwrap();
    let progress: &dyn Progress = &Silent;
    unpacker.wave(&[0, 1], Owners::default(), &progress.phase("unpack", 2, Unit::Packages)).unwrap();
    assert_eq!(std::fs::read_to_string(fixture.at("a")).unwrap(), long);
    assert_eq!(std::fs::read_to_string(fixture.at("b")).unwrap(), long);

    // It becomes shorter after it was opened.
    let order = Order::open(std::slice::from_ref(&cut)).unwrap();
    std::fs::OpenOptions::new().write(true).open(&cut.file).unwrap().set_len(1000).unwrap();
    let unpacker = Unpacker::new(&root, &order, &installed, Epoch(0));
    let error = unpacker.decompress(&[0], fixture.debs(), None).unwrap_err();
    assert_eq!(format!("{error:#}"), "unpacking cut 1: reading data.tar: the package became shorter while it was read");
}
