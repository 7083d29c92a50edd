//! Other people's readers agree with our volumes, and notice damage; our reader agrees with another writer.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

use imgbuild::base::epoch::Epoch;
use imgbuild::base::process::{Run, find};
use imgbuild::format::iso9660::{Content, Volume, read, write};
use std::path::{Path, PathBuf};

/// Skips loudly; `tests/run` counts these lines.
fn tool(name: &str) -> bool {
    let there = find(name).is_some();
    if !there {
        println!("SKIP: {name} is not installed");
    }
    there
}

fn seed() -> Volume {
    let mut volume = Volume::new("cidata", Epoch(1_700_000_000));
    volume.file("meta-data", 0o600, "instance-id: i-1\n");
    volume.file("user-data", 0o600, "#cloud-config\n");
    volume.file("network-config", 0o600, "version: 2\n");
    volume.file("a name with blanks and é.txt", 0o644, "");
    volume.file("linux-image-6.12.107+deb13-cloud-amd64-unsigned_6.12.107-1_amd64.deb", 0o644, vec![9; 100_000]);
    for number in 0..200 {
        volume.file(format!("imgbuild/files/etc/many/{number:03}.conf"), 0o640, format!("{number}\n"));
    }
    volume
}

fn file(folder: &Path, bytes: &[u8]) -> PathBuf {
    let path = folder.join("seed.iso");
    std::fs::write(&path, bytes).unwrap();
    path
}

/// What xorriso says about a volume, both streams.
fn xorriso(image: &Path, words: &[&str]) -> String {
    let output = Run::new("xorriso").args(["-indev"]).arg(image).args(words).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn seed_is_read_by_xorriso_without_a_warning() {
    if !tool("xorriso") {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let image = file(work.path(), &write(&seed()).unwrap());
    let said = xorriso(&image, &["-find", "/", "-exec", "lsdl"]);
    assert!(!said.contains("WARNING") && !said.contains("FAILURE") && !said.contains("SORRY"), "{said}");
    assert!(said.contains("Volume id    : 'cidata'"), "{said}");
    for (path, entry) in &seed().entries {
        assert!(said.contains(&format!("'/{path}'")), "{path}: {said}");
        assert!(matches!(entry.content, Content::File(_)));
    }
    assert!(
        said.lines()
            .any(|line| line.starts_with("-rw-r-----")
                && line.contains("Nov 14  2023 '/imgbuild/files/etc/many/007.conf'")),
        "{said}"
    );
    let out = work.path().join("out");
    Run::new("xorriso").args(["-osirrox", "on", "-indev"]).arg(&image).args(["-extract", "/"]).arg(&out).run().unwrap();
    for (path, entry) in &seed().entries {
        let Content::File(bytes) = &entry.content else { unreachable!() };
        assert_eq!(&std::fs::read(out.join(path)).unwrap(), bytes, "{path}");
    }
}

#[test]
fn damage_is_noticed_by_xorriso() {
    if !tool("xorriso") {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let good = write(&seed()).unwrap();
    let mut bytes = good.clone();
    // The root folder's extent points behind the end.
    bytes[16 * 2048 + 158..16 * 2048 + 166].copy_from_slice(&[0, 0, 0x10, 0, 0, 0x10, 0, 0]);
    let said = xorriso(&file(work.path(), &bytes), &["-find", "/"]);
    assert!(said.contains("FAILURE") || said.contains("SORRY") || said.contains("WARNING"), "{said}");
    assert!(read(&bytes).is_err());
}

#[test]
fn seed_has_label_and_type_for_blkid() {
    if !tool("blkid") {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let mut bytes = write(&seed()).unwrap();
    let probe = |bytes: &[u8]| {
        let output = Run::new("blkid").args(["-p", "-o", "export"]).arg(file(work.path(), bytes)).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let said = probe(&bytes);
    assert!(said.contains("LABEL=cidata\n") && said.contains("TYPE=iso9660\n"), "{said}");
    assert!(said.contains("UUID=2023-11-14-22-13-20-00"), "{said}");
    bytes[16 * 2048 + 2] = b'X';
    assert!(!probe(&bytes).contains("LABEL=cidata"));
}

#[test]
fn joliet_tree_is_read_by_isoinfo() {
    if !tool("isoinfo") {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let image = file(work.path(), &write(&seed()).unwrap());
    let said = Run::new("isoinfo").args(["-J", "-f", "-i"]).arg(&image).run().unwrap();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.lines().any(|line| line == "/imgbuild/files/etc/many/199.conf;1"), "{said}");
    let said = Run::new("isoinfo").args(["-d", "-i"]).arg(&image).run().unwrap();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("Joliet with UCS level 3 found") && said.contains("Rock Ridge signatures"), "{said}");
}

#[test]
fn volumes_of_xorriso_are_read() {
    if !tool("xorriso") {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let source = work.path().join("source/deep/er");
    std::fs::create_dir_all(&source).unwrap();
    let long = "n".repeat(200);
    std::fs::write(source.join(&long), "long").unwrap();
    std::fs::write(work.path().join("source/user-data"), "#cloud-config\n").unwrap();
    let image = work.path().join("other.iso");
    let words = ["-as", "mkisofs", "-quiet", "-V", "CIDATA", "-J", "-joliet-long", "-r", "-o"];
    Run::new("xorriso").args(words).arg(&image).arg(work.path().join("source")).run().unwrap();
    let volume = read(&std::fs::read(image).unwrap()).unwrap();
    assert_eq!(volume.label, "CIDATA");
    let content = |path: &str| volume.entries.get(path).map(|entry| entry.content.clone());
    assert_eq!(content("user-data"), Some(Content::File(b"#cloud-config\n".to_vec())));
    assert_eq!(content(&format!("deep/er/{long}")), Some(Content::File(b"long".to_vec())));
}
