//! Limits of `base::limits`, each passed by one: refused, with the whole message. What needs a package, a mirror or a
//! root to reach its limit is tried where these are tested.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

mod support {
    //! What other tests use too.
    pub mod archive;
}

use imgbuild::base::limits::{
    DOCUMENT_BYTES, DOCUMENT_DEPTH, DOCUMENT_NODES, HOST_LIST_BYTES, ISO_DEPTH, KEYRING_BYTES, LOCK_BYTES, LVM_DEPTH,
    LVM_NODES, RELATION_BYTES, RELEASE_FILES, RELEASE_SIGNATURES, VERSION_BYTES,
};
use imgbuild::base::{epoch::Epoch, files};
use imgbuild::format::{iso9660, lvm};
use imgbuild::input::{Sources, load};
use imgbuild::package::archive::{HostMirrors, Packing, Release, unpack};
use imgbuild::package::openpgp::{Certificates, verify_detached};
use imgbuild::package::version::Version;
use imgbuild::package::{Lock, relation};
use pgp::ser::Serialize as _;
use std::fmt::Write as _;
use support::archive::keys::{Keys, Signing};

#[test]
fn release_files_list_no_more_than_is_allowed() {
    let mut text = "Date: Sat, 01 Jun 2024 00:00:00 UTC\nSHA256:\n".to_owned();
    for number in 0..=RELEASE_FILES {
        let _ = writeln!(text, " {:064} 0 f{number}", 0);
    }
    assert_eq!(Release::parse(&text).unwrap_err().to_string(), "it lists more than 200000 files");
    let fewer = text.trim_end().rsplit_once('\n').unwrap().0;
    assert_eq!(Release::parse(fewer).unwrap().files.len(), RELEASE_FILES);
}

#[test]
fn texts_carry_no_more_signatures_than_are_looked_at() {
    let keys = Keys::fixture("first");
    let keyring = Certificates::read("test", &keys.binary()).unwrap();
    let one = keys.detached(&Signing::default(), b"text\n").to_bytes().unwrap();
    assert!(verify_detached(b"text\n", &one.repeat(RELEASE_SIGNATURES), &keyring, None).is_ok());
    let error = verify_detached(b"text\n", &one.repeat(RELEASE_SIGNATURES + 1), &keyring, None).unwrap_err();
    assert_eq!(error.to_string(), "it carries 17 signatures, at most 16 are looked at");
}

#[test]
fn keyrings_are_no_longer_than_what_is_read() {
    let error = Certificates::read("test", &vec![b'x'; KEYRING_BYTES + 1]).unwrap_err();
    assert_eq!(error.to_string(), "keyring `test` is 4194305 bytes long, at most 4194304 are read");
    let error = Certificates::read("test", &vec![b'x'; KEYRING_BYTES]).unwrap_err();
    assert_eq!(error.to_string(), "keyring `test` holds no OpenPGP certificate: there is no armoured block in it");
}

#[test]
fn keyrings_hold_no_more_certificates_than_are_read() {
    // The same key with another time of making is another certificate; its signatures do not matter here.
    let whole = Keys::fixture("first").binary();
    let (start, body) = match (whole[0], usize::from(whole[1])) {
        (0x98, short) => (2, short),
        (0xc6, short) if short < 192 => (2, short),
        (0x99, high) => (3, high << 8 | usize::from(whole[2])),
        (0xc6, high) => (3, ((high - 192) << 8) + usize::from(whole[2]) + 192),
        other => panic!("{other:?} is no public key packet"),
    };
    let length = start + body;
    let mut many = Vec::new();
    for number in 0..1025_u32 {
        let mut key = whole[..length].to_vec();
        key[start + 1..start + 5].copy_from_slice(&number.to_be_bytes());
        many.extend(key);
    }
    let error = Certificates::read("test", &many).unwrap_err();
    assert_eq!(error.to_string(), "keyring `test` holds more than the 1024 certificates that are read");
    assert!(Certificates::read("test", &many[..1024 * length]).is_ok());
}

#[test]
fn relations_and_versions_are_no_longer_than_is_allowed() {
    let field = " ".repeat(RELATION_BYTES + 1);
    let error = relation::parse(&field).unwrap_err();
    assert_eq!(error.to_string(), "a relationship field of 262145 bytes is longer than the 262144 allowed");
    assert!(relation::parse(&field[1..]).unwrap().is_empty());
    let version = "1".repeat(VERSION_BYTES + 1);
    let shown = "1".repeat(80);
    let error = Version::parse(&version).unwrap_err();
    assert_eq!(error.to_string(), format!("`{shown}` is not a package version: it is longer than 256 bytes"));
    assert!(Version::parse(&version[1..]).is_ok());
}

#[test]
fn indices_unpack_to_no_more_than_is_allowed() {
    let packed = zstd::encode_all(&[0; 5000][..], 3).unwrap();
    let error = unpack(Packing::Zstd, &packed[..], &mut Vec::new(), None, 4999).unwrap_err();
    assert_eq!(error.to_string(), "it unpacks to more than the 4999 bytes allowed for it");
    assert!(unpack(Packing::Zstd, &packed[..], &mut Vec::new(), None, 5000).is_ok());
}

#[test]
fn metadata_of_lvm_is_no_deeper_and_no_longer_than_is_believed() {
    let deep = "a {\n".repeat(LVM_DEPTH + 1) + &"}\n".repeat(LVM_DEPTH + 1);
    let error = lvm::read_text(&deep).unwrap_err();
    assert_eq!(error.to_string(), "line 9 of the metadata text: sections are nested too deeply");
    let many: String = (0..=LVM_NODES).map(|number| format!("a{number} = 1\n")).collect();
    let error = lvm::read_text(&many).unwrap_err();
    assert_eq!(error.to_string(), "line 20001 of the metadata text: too many settings");
}

#[test]
fn volumes_are_no_deeper_than_is_written() {
    let mut volume = iso9660::Volume::new("x", Epoch(0));
    let path = vec!["d"; ISO_DEPTH + 1].join("/");
    volume.file(path.as_str(), 0o644, "");
    let error = iso9660::write(&volume).unwrap_err();
    let expected = format!("`{path}` is no path within a volume: names of 1 to 128 bytes, at most 32 of them");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn documents_are_no_longer_and_no_deeper_than_is_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("roles/x")).unwrap();
    let path = folder.path().join("roles/x/role.yaml");
    let said = |text: &str| {
        std::fs::write(&path, text).unwrap();
        load(&Sources::new(folder.path()), "debian-trixie", &["x"]).unwrap_err().to_string()
    };
    let long = format!("version: 1\n#{}\n", " ".repeat(usize::try_from(DOCUMENT_BYTES).unwrap()));
    assert_eq!(
        said(&long).trim_end(),
        format!(
            "roles/x/role.yaml: {} is longer than the 1048576 bytes allowed for it\n\
             hint: files above 1 MiB belong into a .deb or among the role's `downloads`, which are pinned by digest",
            path.display()
        )
    );
    let deep = format!("version: 1\npackages: {}{}\n", "[".repeat(DOCUMENT_DEPTH), "]".repeat(DOCUMENT_DEPTH));
    assert!(said(&deep).contains("lists and mappings are nested deeper than 24 levels"), "{}", said(&deep));
    let many = format!("version: 1\npackages:\n{}", "- a\n".repeat(DOCUMENT_NODES));
    assert!(said(&many).contains("the document holds more than 50000 values"), "{}", said(&many));
}

#[test]
fn locks_and_lists_are_no_longer_than_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("imgbuild.lock");
    std::fs::File::create(&path).unwrap().set_len(LOCK_BYTES + 1).unwrap();
    let error = Lock::load(&path).unwrap_err();
    let expected = format!("{} is longer than the 268435456 bytes allowed for it", path.display());
    assert_eq!(format!("{error:#}"), expected);
    // A list of the host's that is too long is left out, like all that cannot be read.
    let apt = folder.path().join("etc/apt");
    std::fs::create_dir_all(&apt).unwrap();
    let line = "deb http://mirror.example/debian trixie main\n";
    std::fs::write(apt.join("sources.list"), line).unwrap();
    assert!(HostMirrors::from_apt(folder.path()).get("debian").is_some());
    let list = line.to_owned() + &"#".repeat(usize::try_from(HOST_LIST_BYTES).unwrap());
    std::fs::write(apt.join("sources.list"), list).unwrap();
    assert!(HostMirrors::from_apt(folder.path()).get("debian").is_none());
}

#[test]
fn files_are_read_up_to_their_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    std::fs::write(&path, "1234").unwrap();
    assert_eq!(files::read(&path, 4).unwrap(), b"1234");
    let error = files::read(&path, 3).unwrap_err();
    assert_eq!(error.to_string(), format!("{} is longer than the 3 bytes allowed for it", path.display()));
}
