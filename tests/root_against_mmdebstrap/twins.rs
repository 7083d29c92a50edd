//! Negative twins: whatever is altered in a root that passes must be noticed.

use crate::compare::differences;
use crate::dump::{Dump, Entry, Kind};
use crate::explained::{LIST, unexplained};

/// Alters an entry; says whether it could.
type Alteration = fn(&mut Entry) -> bool;

/// What is altered, and how.
const ALTERATIONS: [(&str, Alteration); 7] = [
    ("a mode", |entry| matches!(entry.kind, Kind::File { .. }) && change(&mut entry.mode, |mode| mode ^ 0o1)),
    ("a setuid bit", |entry| entry.mode & 0o4000 != 0 && change(&mut entry.mode, |mode| mode & !0o4000)),
    ("an owner", |entry| entry.uid == 0 && change(&mut entry.uid, |_| 1)),
    ("a group", |entry| entry.gid == 42 && change(&mut entry.gid, |_| 0)),
    ("a capability", |entry| {
        let lost = entry.attributes.remove("security.capability").is_some();
        lost || entry.attributes.insert("security.capability".to_owned(), vec![1]).is_none()
    }),
    ("a byte", |entry| match &mut entry.kind {
        Kind::File { bytes: Some(bytes), .. } if !bytes.is_empty() => {
            bytes[0] ^= 1;
            entry.kind = Kind::file(&bytes.clone());
            true
        }
        _ => false,
    }),
    ("a link's target", |entry| match &mut entry.kind {
        Kind::Link(target) => {
            target.push('x');
            true
        }
        _ => false,
    }),
];

fn change<T: Copy + PartialEq>(value: &mut T, to: impl Fn(T) -> T) -> bool {
    let before = *value;
    *value = to(before);
    *value != before
}

/// Alterations of our root that the comparison with theirs does not notice: of each kind one below /usr or /etc, in a
/// path that no explanation covers.
pub(crate) fn unnoticed(ours: &Dump, theirs: &Dump, of: &[&str]) -> Vec<String> {
    let complaints = |dump: &Dump| unexplained(LIST, of, &differences(dump, theirs)).len();
    let before = complaints(ours);
    let mut missed = Vec::new();
    for (what, alter) in ALTERATIONS {
        let mut altered = ours.clone();
        let path = altered.0.iter_mut().find_map(|(path, entry)| {
            let same = theirs.0.get(path).is_some_and(|other| other.kind == entry.kind);
            (same && path.starts_with("usr/") && alter(entry)).then(|| path.clone())
        });
        match path {
            None => missed.push(format!("nothing has {what} to be altered")),
            Some(path) if complaints(&altered) == before => missed.push(format!("{what} altered in {path}: unnoticed")),
            Some(_) => {}
        }
    }
    missed
}

/// A small root as an archive.
fn archive(alter: impl Fn(&str, &mut tar::Header, &mut Vec<u8>, &mut Vec<u8>)) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let files: [(&str, tar::EntryType, u32, &[u8]); 6] = [
        ("./", tar::EntryType::Directory, 0o755, b""),
        ("./etc/passwd", tar::EntryType::Regular, 0o644, b"root:x:0:0::/root:/bin/bash\ndaemon:x:1:1:::\n"),
        ("./usr/bin/ping", tar::EntryType::Regular, 0o755, b"ping"),
        ("./usr/bin/sh", tar::EntryType::Symlink, 0o777, b""),
        ("./dev/null", tar::EntryType::Char, 0o666, b""),
        (
            "./var/lib/dpkg/status",
            tar::EntryType::Regular,
            0o644,
            b"Package: a\nVersion: 1\n\nPackage: b\nVersion: 2\n",
        ),
    ];
    for (path, kind, mode, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        if kind == tar::EntryType::Char {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        }
        if kind == tar::EntryType::Symlink {
            header.set_link_name("dash").unwrap();
        }
        let mut capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
        let mut bytes = bytes.to_vec();
        alter(path, &mut header, &mut bytes, &mut capability);
        if path == "./usr/bin/ping" {
            builder.append_pax_extensions([("SCHILY.xattr.security.capability", capability.as_slice())]).unwrap();
        }
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, path, bytes.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn subjects(alter: impl Fn(&str, &mut tar::Header, &mut Vec<u8>, &mut Vec<u8>)) -> Vec<String> {
    let plain = Dump::read(archive(|_, _, _, _| {}).as_slice()).unwrap();
    let altered = Dump::read(archive(alter).as_slice()).unwrap();
    differences(&altered, &plain).into_iter().map(|difference| difference.subject).collect()
}

#[test]
fn equal_roots_have_no_differences() {
    assert!(subjects(|_, _, _, _| {}).is_empty());
}

#[test]
fn every_alteration_of_an_archive_is_noticed() {
    let ping = |path: &str| path == "./usr/bin/ping";
    assert_eq!(
        subjects(|path, header, _, _| if ping(path) {
            header.set_mode(0o700)
        }),
        ["mode usr/bin/ping"]
    );
    assert_eq!(
        subjects(|path, header, _, _| if ping(path) {
            header.set_mode(0o4755)
        }),
        ["mode usr/bin/ping"]
    );
    assert_eq!(
        subjects(|path, header, _, _| if ping(path) {
            header.set_uid(1)
        }),
        ["owner usr/bin/ping"]
    );
    assert_eq!(
        subjects(|path, header, _, _| if ping(path) {
            header.set_gid(1)
        }),
        ["group usr/bin/ping"]
    );
    assert_eq!(
        subjects(|path, _, bytes, _| if ping(path) {
            bytes[0] = b'q'
        }),
        ["content usr/bin/ping"]
    );
    assert_eq!(
        subjects(|path, _, _, value| if ping(path) {
            value[5] = 0
        }),
        ["attributes usr/bin/ping"]
    );
    let link = |path: &str, header: &mut tar::Header| {
        if path == "./usr/bin/sh" {
            header.set_link_name("bash").unwrap();
        }
    };
    assert_eq!(subjects(|path, header, _, _| link(path, header)), ["target usr/bin/sh"]);
    let device = |path: &str, header: &mut tar::Header| {
        if path == "./dev/null" {
            header.set_device_minor(5).unwrap();
        }
    };
    assert_eq!(subjects(|path, header, _, _| device(path, header)), ["device dev/null"]);
}

#[test]
fn order_counts_only_where_readers_care() {
    let status = |path: &str| path == "./var/lib/dpkg/status";
    let turned = b"Package: b\nVersion: 2\n\nPackage: a\nVersion: 1\n";
    assert!(
        subjects(|path, _, bytes, _| if status(path) {
            *bytes = turned.to_vec()
        })
        .is_empty()
    );
    let other = b"Package: b\nVersion: 3\n\nPackage: a\nVersion: 1\n";
    let found = subjects(|path, _, bytes, _| {
        if status(path) {
            *bytes = other.to_vec()
        }
    });
    assert_eq!(found, ["status b: var/lib/dpkg/status"]);
    let passwd = |path: &str| path == "./etc/passwd";
    let moved = b"root:x:0:0::/root:/bin/bash\ndaemon:x:7:1:::\n";
    let found = subjects(|path, _, bytes, _| {
        if passwd(path) {
            *bytes = moved.to_vec()
        }
    });
    assert_eq!(found, ["number daemon etc/passwd"]);
    let changed = b"root:x:0:0::/root:/bin/bash\ndaemon:x:1:2:::\n";
    let found = subjects(|path, _, bytes, _| {
        if passwd(path) {
            *bytes = changed.to_vec()
        }
    });
    assert_eq!(found, ["account daemon etc/passwd", "number daemon etc/passwd"]);
}
