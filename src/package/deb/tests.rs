//! Packages made here, whole and damaged, through the reader.

use super::*;
use crate::base::limits::{DEB_CONTROL_BYTES, DEB_CONTROL_FILES};
use proptest::prelude::*;
use std::io::Write as _;

fn tar(files: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes, mode) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        if name.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn compress(bytes: &[u8], suffix: &str) -> Vec<u8> {
    match suffix {
        ".gz" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        ".xz" => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        ".zst" => zstd::encode_all(bytes, 1).unwrap(),
        _ => bytes.to_vec(),
    }
}

fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = ar::MAGIC.to_vec();
    for (name, contents) in members {
        bytes.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, contents.len()).bytes());
        bytes.extend(*contents);
        if contents.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

const CONTROL: &[u8] = b"Package: demo\nVersion: 1-1\nArchitecture: all\nDescription: x\n y\n";

fn package(suffix: &str) -> Vec<u8> {
    let control = compress(&tar(&[("control", CONTROL, 0o644), ("postinst", b"#!/bin/sh\n", 0o755)]), suffix);
    let data = compress(&tar(&[("usr/", b"", 0o755), ("usr/x", b"hello", 0o600)]), suffix);
    let (control_name, data_name) = (format!("control.tar{suffix}"), format!("data.tar{suffix}"));
    ar(&[("debian-binary", b"2.0\n"), (&control_name, &control), (&data_name, &data)])
}

#[test]
fn packages_of_every_compression_are_read() {
    for suffix in ["", ".gz", ".xz", ".zst"] {
        let deb = Deb::from_bytes(package(suffix)).unwrap();
        let control = deb.control().unwrap();
        assert_eq!(control.stanza().unwrap().get("Package"), Some("demo"), "{suffix}");
        assert_eq!(control.files["postinst"], ControlFile { bytes: b"#!/bin/sh\n".to_vec(), mode: 0o755 });
        assert_eq!(control.lines("postinst").unwrap(), ["#!/bin/sh"]);
        assert!(control.lines("conffiles").unwrap().is_empty());
        for _ in 0..2 {
            let mut archive = tar::Archive::new(deb.data().unwrap());
            let names: Vec<_> = archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().into_owned()).collect();
            assert_eq!(names, [Path::new("usr/"), Path::new("usr/x")], "{suffix}");
        }
    }
}

#[test]
fn packages_on_disk_are_read_like_those_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.deb");
    std::fs::write(&path, package(".xz")).unwrap();
    let deb = Deb::open(&path).unwrap();
    assert_eq!(deb.control().unwrap(), Deb::from_bytes(package(".xz")).unwrap().control().unwrap());
    assert_eq!(deb.data_compression(), Compression::Xz);
    std::fs::File::options().write(true).open(&path).unwrap().set_len(deb.data_length() / 2).unwrap();
    assert!(std::io::copy(&mut deb.data().unwrap(), &mut std::io::sink()).is_err());
}

#[test]
fn signatures_beside_the_parts_are_passed_over() {
    let control = tar(&[("control", CONTROL, 0o644)]);
    let whole = ar(&[("debian-binary", b"2.0\n"), ("_gpg", b"x"), ("control.tar/", &control), ("data.tar", &tar(&[]))]);
    assert!(Deb::from_bytes(whole).unwrap().control().is_ok());
}

#[test]
fn other_archives_are_refused_with_the_reason() {
    let control = tar(&[("control", CONTROL, 0o644)]);
    let version = ("debian-binary", &b"2.0\n"[..]);
    let members = |found: &str| {
        format!(
            "the package's members are {found}, wanted are debian-binary, control.tar* and data.tar*, in this order"
        )
    };
    let mut long = package(".xz");
    long.extend_from_slice(b"abc");
    let cases: Vec<(Vec<u8>, String)> = vec![
        (b"".to_vec(), "at byte 0 of the package: 0 bytes are too short for a package".into()),
        (
            b"PK\x03\x04xxxxxx".to_vec(),
            "at byte 0 of the package: the magic line `!<arch>` of an ar archive is missing".into(),
        ),
        (ar(&[]), members("[]")),
        (
            ar(&[version, ("data.tar", b""), ("control.tar", &control)]),
            members(r#"["debian-binary", "data.tar", "control.tar"]"#),
        ),
        (ar(&[version, ("control.tar", &control)]), members(r#"["debian-binary", "control.tar"]"#)),
        (
            ar(&[version, ("control.tar.lz4", b""), ("data.tar", b"")]),
            members(r#"["debian-binary", "control.tar.lz4", "data.tar"]"#),
        ),
        (
            ar(&[("_x", b""), version, ("control.tar", b""), ("data.tar", b"")]),
            members(r#"["_x", "debian-binary", "control.tar", "data.tar"]"#),
        ),
        (
            ar(&[("debian-binary", b"3.0\n"), ("control.tar", b""), ("data.tar", b"")]),
            "the package's format version is \"3.0\", only 2.0 can be read".into(),
        ),
        (ar(&[version, version]), "at byte 72 of the package: member `debian-binary` is there twice".into()),
        (ar(&[("a b", b"")]), "at byte 8 of the package: `a b` is no member name".into()),
        (
            package("")[..200].to_vec(),
            "at byte 72 of the package: member `control.tar` claims 3072 bytes, 68 bytes are left".into(),
        ),
        (
            long.clone(),
            format!("at byte {} of the package: 3 bytes are left where a header of 60 begins", long.len() - 3),
        ),
    ];
    for (bytes, message) in cases {
        assert_eq!(Deb::from_bytes(bytes).unwrap_err().to_string(), message);
    }
}

#[test]
fn control_archives_without_sense_are_refused() {
    let many: Vec<(String, &[u8], u32)> = (0..=DEB_CONTROL_FILES).map(|n| (format!("f{n}"), &b""[..], 0o644)).collect();
    let many: Vec<(&str, &[u8], u32)> = many.iter().map(|(name, bytes, mode)| (name.as_str(), *bytes, *mode)).collect();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (tar(&[]), "control archive: the file `control` is missing"),
        (tar(&[("control", CONTROL, 0o644), ("control", CONTROL, 0o644)]), "control archive: `control` is there twice"),
        (tar(&[("a/b", b"", 0o644)]), "control archive: `a/b` is no name of a control file"),
        (tar(&[("x/", b"", 0o755)]), "control archive: `x` is not a plain file"),
        (tar(&many), "control archive: there are more than 256 files"),
    ];
    for (control, message) in cases {
        let whole = ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control), ("data.tar", b"")]);
        assert_eq!(Deb::from_bytes(whole).unwrap().control().unwrap_err().to_string(), message);
    }
}

#[test]
fn bombs_are_stopped_at_the_limit() {
    let zeros = vec![0; DEB_CONTROL_BYTES as usize + 1];
    for suffix in ["", ".gz", ".zst"] {
        let name = format!("control.tar{suffix}");
        let bomb = compress(&zeros, suffix);
        let whole = ar(&[("debian-binary", b"2.0\n"), (&name, &bomb), ("data.tar", b"")]);
        let message = Deb::from_bytes(whole).unwrap().control().unwrap_err().to_string();
        assert!(message.contains("unpacks to more than the 67108864 bytes allowed"), "{suffix}: {message}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut framed = ar::MAGIC.to_vec();
        framed.extend(&bytes);
        let _ = Deb::from_bytes(bytes);
        let _ = Deb::from_bytes(framed);
    }

    #[test]
    fn mutated_packages_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), kind in 0_usize..4, cut in any::<bool>()) {
        let mut bytes = package(["", ".gz", ".xz", ".zst"][kind]);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        if let Ok(deb) = Deb::from_bytes(bytes) {
            if let Ok(control) = deb.control() {
                let _ = control.stanza();
            }
            let _ = std::io::copy(&mut deb.data().unwrap(), &mut std::io::sink());
        }
    }
}
