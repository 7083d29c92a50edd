//! The reader of `.deb` files against `dpkg-deb`: packages that it builds are read alike, damage is noticed by both.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

use imgbuild::base::process::{Run, find};
use imgbuild::package::deb::Deb;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

fn build(folder: &Path, compression: &str) -> std::path::PathBuf {
    let tree = folder.join("tree");
    std::fs::create_dir_all(tree.join("DEBIAN")).unwrap();
    std::fs::create_dir_all(tree.join("usr/share/demo")).unwrap();
    let control = "Package: demo\nVersion: 1:2-3\nArchitecture: all\nMaintainer: A B <a@mirror.example>\nDescription: short\n long\n";
    std::fs::write(tree.join("DEBIAN/control"), control).unwrap();
    std::fs::write(tree.join("DEBIAN/postinst"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(tree.join("DEBIAN/postinst"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(tree.join("usr/share/demo/data"), vec![b'x'; 300_000]).unwrap();
    let path = folder.join(format!("{compression}.deb"));
    let mut run = Run::new("dpkg-deb").args(["--build", "--root-owner-group", "-Z"]).arg(compression);
    run = run.arg(&tree).arg(&path);
    let output = run.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path
}

/// Whether dpkg-deb unpacks it without complaint.
fn accepted(path: &Path) -> bool {
    let extracted = Run::new("dpkg-deb").arg("--fsys-tarfile").arg(path).output().unwrap();
    let control = Run::new("dpkg-deb").args(["--field"]).arg(path).output().unwrap();
    extracted.status.success() && control.status.success()
}

fn read(path: &Path) -> Option<(String, Vec<u8>)> {
    let deb = Deb::open(path).ok()?;
    let control = deb.control().ok()?;
    let version = control.stanza().ok()?.get("Version")?.to_owned();
    let mut data = Vec::new();
    std::io::copy(&mut deb.data().ok()?, &mut data).ok()?;
    Some((version, data))
}

#[test]
fn packages_built_by_dpkg_are_read_and_damaged_ones_refused() {
    if find("dpkg-deb").is_none() {
        eprintln!("SKIPPED: deb_against_dpkg: there is no dpkg-deb on this host");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for compression in ["none", "gzip", "xz", "zstd"] {
        let path = build(folder.path(), compression);
        let (version, data) = read(&path).unwrap();
        assert_eq!(version, "1:2-3");
        let expected = Run::new("dpkg-deb").arg("--fsys-tarfile").arg(&path).output().unwrap().stdout;
        assert!(data == expected, "{compression}: the data differs from what dpkg-deb gives");
        let control = Deb::open(&path).unwrap().control().unwrap();
        assert_eq!(control.files["postinst"].mode, 0o755);

        let bytes = std::fs::read(&path).unwrap();
        let damaged = folder.path().join("damaged.deb");
        std::fs::write(&damaged, &bytes[..bytes.len() - 200]).unwrap();
        assert!(std::fs::metadata(&damaged).unwrap().size() < bytes.len() as u64);
        assert!(!accepted(&damaged), "{compression}: dpkg-deb takes a package that was cut off");
        assert!(read(&damaged).is_none(), "{compression}: a package that was cut off is read");
    }
}
