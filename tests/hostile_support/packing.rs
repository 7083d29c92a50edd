//! Packages and archives of any shape, names and numbers as they are given.

#![allow(dead_code, unreachable_pub, reason = "every test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::io::{Read as _, Write as _};

/// Compresses as the ending of a name says.
pub fn pack(bytes: &[u8], suffix: &str) -> Vec<u8> {
    let mut packed = Vec::new();
    match suffix {
        ".xz" => drop(liblzma::read::XzEncoder::new(bytes, 1).read_to_end(&mut packed).unwrap()),
        ".zst" => packed = zstd::encode_all(bytes, 3).unwrap(),
        ".gz" => {
            let mut encoder = flate2::write::GzEncoder::new(&mut packed, flate2::Compression::default());
            encoder.write_all(bytes).unwrap();
        }
        _ => packed.extend_from_slice(bytes),
    }
    packed
}

/// Type, path, mode, contents or target.
pub type Member<'a> = (tar::EntryType, &'a str, u32, &'a [u8]);

/// Members as a tar archive, names as they are; what is longer than a header gets GNU's long names.
pub fn packed_tar(members: &[Member<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut put = |kind: tar::EntryType, name: &[u8], link: &[u8], mode: u32, contents: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(contents.len() as u64);
        header.as_old_mut().name[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
        header.as_old_mut().linkname[..link.len().min(100)].copy_from_slice(&link[..link.len().min(100)]);
        header.set_cksum();
        bytes.extend(header.as_bytes());
        bytes.extend(contents);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    };
    for (kind, path, mode, contents) in members {
        let is_link = matches!(kind, tar::EntryType::Symlink | tar::EntryType::Link);
        let (link, contents): (&[u8], &[u8]) = if is_link { (contents, b"") } else { (b"", contents) };
        if path.len() > 100 {
            put(tar::EntryType::GNULongName, b"././@LongLink", b"", 0, &[path.as_bytes(), b"\0"].concat());
        }
        if link.len() > 100 {
            put(tar::EntryType::GNULongLink, b"././@LongLink", b"", 0, &[link, b"\0"].concat());
        }
        put(*kind, path.as_bytes(), link, *mode, contents);
    }
    bytes.extend([0; 1024]);
    bytes
}

/// An ar archive of these parts.
pub fn ar(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, contents) in parts {
        bytes.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, contents.len()).bytes());
        bytes.extend(*contents);
        bytes.resize(bytes.len().next_multiple_of(2), b'\n');
    }
    bytes
}

/// A package of these archives, both compressed.
pub fn deb(control: &[u8], data: &[u8], suffix: &str) -> Vec<u8> {
    let (control, data) = (pack(control, suffix), pack(data, suffix));
    let (first, second) = (format!("control.tar{suffix}"), format!("data.tar{suffix}"));
    ar(&[("debian-binary", b"2.0\n"), (&first, &control), (&second, &data)])
}

/// The control archive of a package `demo`.
pub fn control_members() -> Vec<Member<'static>> {
    let control = b"Package: demo\nVersion: 1\nArchitecture: all\nDescription: x\n";
    let (folder, file) = (tar::EntryType::Directory, tar::EntryType::Regular);
    vec![(folder, "./", 0o755, b""), (file, "./control", 0o644, control), (file, "./postinst", 0o755, b"#!/bin/sh\n")]
}
