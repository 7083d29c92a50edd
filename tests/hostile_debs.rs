//! Hostile packages: each is refused with its own message, before anything of the member is written.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

#[path = "hostile_support/packing.rs"]
mod packing;

use imgbuild::base::limits::{DEB_CONTROL_BYTES, PATH_DEPTH, TAR_EXTENSION_BYTES};
use imgbuild::package::deb::{Deb, MemberKind, Members};
use packing::{Member, ar, control_members, deb, pack, packed_tar};
use std::error::Error;
use std::io::Read;
use tar::EntryType::{self, Directory, Link, Regular, Symlink};

/// An error and its causes on one line.
fn said(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Reads all of a package; the names of its members, or what is said against it.
fn read(bytes: Vec<u8>) -> Result<Vec<String>, String> {
    let deb = Deb::from_bytes(bytes).map_err(|error| said(&error))?;
    let control = deb.control().map_err(|error| said(&error))?;
    control.stanza().map_err(|error| said(&error))?;
    walk(deb.data().map_err(|error| said(&error))?)
}

fn walk(stream: impl Read) -> Result<Vec<String>, String> {
    let mut members = Members::new(stream);
    let mut names = Vec::new();
    while let Some(member) = members.member().map_err(|error| said(&error))? {
        if member.kind == MemberKind::File {
            std::io::copy(&mut members, &mut std::io::sink()).map_err(|error| said(&error))?;
        }
        names.push(String::from_utf8_lossy(&member.path).into_owned());
    }
    Ok(names)
}

/// What is said against a package of these members.
fn against(members: &[Member<'_>]) -> String {
    let data = packed_tar(members);
    let error = read(deb(&packed_tar(&control_members()), &data, "")).unwrap_err();
    assert_eq!(walk(&data[..]).unwrap_err(), error);
    error
}

fn header(change: impl FnOnce(&mut tar::Header)) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(Regular);
    header.as_old_mut().name[..3].copy_from_slice(b"./f");
    header.set_mode(0o644);
    header.set_size(0);
    change(&mut header);
    header.set_cksum();
    header.as_bytes().to_vec()
}

#[test]
fn members_that_lead_out_of_the_root_are_refused() {
    let long = format!("./{}", "d/".repeat(PATH_DEPTH) + "f");
    let longer = format!("./{}", "n".repeat(4096));
    let cases: &[(&[Member<'_>], &str)] = &[
        (&[(Regular, "./../evil", 0o644, b"")], "`./../evil` is no path within the root"),
        (&[(Regular, "../evil", 0o644, b"")], "`../evil` is no path within the root"),
        (&[(Regular, "./usr/../../evil", 0o644, b"")], "`./usr/../../evil` is no path within the root"),
        (&[(Regular, "./usr/./evil", 0o644, b"")], "`./usr/./evil` is no path within the root"),
        (&[(Regular, "./usr//evil", 0o644, b"")], "`./usr//evil` is no path within the root"),
        (&[(Regular, "", 0o644, b"")], "`` is no path within the root"),
        (&[(Regular, "./", 0o644, b"")], "`./` is the root, and no folder"),
        (&[(Regular, "/etc/passwd", 0o644, b"")], "`/etc/passwd` is an absolute path"),
        (
            &[(Symlink, "./etc/x", 0o777, b"/"), (Regular, "./etc/x/shadow", 0o644, b"")],
            "`./etc/x/shadow` lies below `etc/x`, which is a link",
        ),
        (
            &[(Symlink, "./x", 0o777, b"../../.."), (Regular, "./x/a/b/c", 0o644, b"")],
            "`./x/a/b/c` lies below `x`, which is a link",
        ),
        (&[(Regular, "./x/a", 0o644, b""), (Symlink, "./x", 0o777, b"/etc")], "`./x` is there twice"),
        (&[(Directory, "./x/", 0o755, b""), (Symlink, "./x", 0o777, b"/etc")], "`./x` is there twice"),
        (&[(Regular, "./x", 0o644, b""), (Regular, "./x/y", 0o644, b"")], "`./x/y` lies below `x`, which is a file"),
        (&[(Symlink, "./x", 0o777, b"")], "`./x` is a link whose target is no path"),
        (&[(Symlink, "./x", 0o777, b"a\nb")], "`./x` is a link whose target is no path"),
        (&[(Link, "./x", 0o644, b"./../etc/shadow")], "`./x` is a hard link to what is no path within the root"),
        (&[(Link, "./x", 0o644, b"/etc/shadow")], "`./x` is a hard link to what is an absolute path"),
        (
            &[(Link, "./x", 0o644, b"./etc/shadow")],
            "`./x` is a hard link to `./etc/shadow`, which is no earlier file of this package",
        ),
        (
            &[(Symlink, "./l", 0o777, b"/etc/shadow"), (Link, "./x", 0o644, b"./l")],
            "`./x` is a hard link to `./l`, which is no earlier file of this package",
        ),
        (
            &[(Directory, "./l/", 0o755, b""), (Link, "./x", 0o644, b"./l")],
            "`./x` is a hard link to `./l`, which is no earlier file of this package",
        ),
        (&[(Link, "./x", 0o644, b"./x")], "`./x` is a hard link to `./x`, which is no earlier file of this package"),
    ];
    for (members, expected) in cases {
        assert_eq!(against(members), *expected);
    }
    let said = against(&[(Regular, &long, 0o644, b"")]);
    assert_eq!(said, format!("`{long}` is 257 folders deep, at most 256 are unpacked"));
    let said = against(&[(Regular, &longer, 0o644, b"")]);
    assert_eq!(said, format!("`{longer}` is a path of 4098 bytes, at most 4096 are unpacked"));
}

#[test]
fn names_that_no_file_should_have_are_refused() {
    for (name, shown) in [
        ("./a\nb", "./a\\nb"),
        ("./a\rb", "./a\\rb"),
        ("./\u{1b}[31m", "./\\u{1b}[31m"),
        ("./a\u{7f}", "./a\\u{7f}"),
        ("./a\tb", "./a\\tb"),
    ] {
        let said = against(&[(Regular, name, 0o644, b"")]);
        assert_eq!(said, format!("`{shown}` has a control character in its name"));
    }
    // Bytes that are no UTF-8 are names all the same: some packages have them.
    let mut bytes = header(|header| header.as_old_mut().name[..4].copy_from_slice(b"./\xff\xfe"));
    bytes.extend([0; 1024]);
    assert_eq!(walk(&bytes[..]).unwrap(), ["\u{fffd}\u{fffd}"]);
    assert_eq!(walk(&packed_tar(&[(Regular, "./été \\ '", 0o644, b"")])[..]).unwrap(), ["été \\ '"]);
}

#[test]
fn what_is_no_file_is_refused() {
    let cases = [
        (EntryType::Char, "`./f` is a device, which packages may not ship"),
        (EntryType::Block, "`./f` is a device, which packages may not ship"),
        (EntryType::Fifo, "`./f` is a pipe, which packages may not ship"),
        (EntryType::GNUSparse, "`./f` is a sparse file, which packages may not ship"),
        (EntryType::XGlobalHeader, "`./f` is of type `g`, which packages may not ship"),
        (EntryType::new(b'V'), "`./f` is of type `V`, which packages may not ship"),
    ];
    for (kind, expected) in cases {
        assert_eq!(against(&[(kind, "./f", 0o644, b"")]), expected);
    }
}

#[test]
fn privileges_where_they_do_not_belong_are_refused() {
    let refused = [
        ("./etc/su", 0o4755, "`./etc/su` has set-user-id (mode 4755), and no programs belong there"),
        ("./tmp/su", 0o4755, "`./tmp/su` has set-user-id (mode 4755), and no programs belong there"),
        ("./home/x/su", 0o2755, "`./home/x/su` has set-group-id (mode 2755), and no programs belong there"),
        ("./var/lib/su", 0o6755, "`./var/lib/su` has set-user-id (mode 6755), and no programs belong there"),
        ("./usr/share/su", 0o4755, "`./usr/share/su` has set-user-id (mode 4755), and no programs belong there"),
        ("./su", 0o4755, "`./su` has set-user-id (mode 4755), and no programs belong there"),
        ("./usr/bin/su", 0o4644, "`./usr/bin/su` has set-user-id (mode 4644), and cannot be executed"),
        (
            "./usr/bin/su",
            0o4757,
            "`./usr/bin/su` has set-user-id (mode 4757), and others than its owner may write to it",
        ),
        (
            "./usr/bin/su",
            0o2775,
            "`./usr/bin/su` has set-group-id (mode 2775), and others than its owner may write to it",
        ),
    ];
    for (path, mode, expected) in refused {
        assert_eq!(against(&[(Regular, path, mode, b"")]), expected);
    }
    let elsewhere = [(Regular, "./usr/bin/su", 0o4755, &b""[..]), (Link, "./tmp/su", 0o4755, b"./usr/bin/su")];
    assert_eq!(against(&elsewhere), "`./tmp/su` has set-user-id (mode 4755), and no programs belong there");
    // As sudo, mount, ssh-agent, dbus and /var/mail come.
    let kept = [
        (Regular, "./usr/bin/sudo", 0o4755, &b""[..]),
        (Regular, "./bin/mount", 0o4755, b""),
        (Regular, "./usr/bin/ssh-agent", 0o2755, b""),
        (Regular, "./usr/lib/dbus-1.0/dbus-daemon-launch-helper", 0o4754, b""),
        (Regular, "./usr/sbin/unix_chkpwd", 0o2755, b""),
        (Directory, "./var/mail/", 0o2775, b""),
        (Directory, "./tmp/", 0o1777, b""),
    ];
    assert_eq!(walk(&packed_tar(&kept)[..]).unwrap().len(), kept.len());
}

#[test]
fn packages_of_absurd_sizes_are_refused() {
    let claims = |size: u64| {
        let mut bytes = header(|header| header.set_size(size));
        bytes.extend([0; 1024]);
        walk(&bytes[..]).unwrap_err()
    };
    assert_eq!(claims(1 << 40), "`./f` claims 1099511627776 bytes, at most 68719476736 are unpacked");
    assert_eq!(claims(u64::MAX >> 1), "`./f` claims 9223372036854775807 bytes, at most 68719476736 are unpacked");
    assert_eq!(claims(1 << 30), "the archive ends early");
    for (kind, what) in [
        (EntryType::GNULongName, "long names"),
        (EntryType::GNULongLink, "long link targets"),
        (EntryType::XHeader, "extended headers"),
    ] {
        // Endless zeros: whoever believed the size would fill memory.
        let start = header(|header| {
            header.set_entry_type(kind);
            header.set_size(60 << 30);
        });
        let said = walk(start.chain(std::io::repeat(0))).unwrap_err();
        let limit = TAR_EXTENSION_BYTES;
        assert_eq!(said, format!("at byte 0 of the archive: 64424509440 bytes of {what}, at most {limit} are read"));
    }
    let pax = |record: &[u8]| {
        let mut bytes = packed_tar(&[(EntryType::XHeader, "pax", 0o644, record), (Regular, "./f", 0o644, b"abc")]);
        let said = walk(&bytes[..]).unwrap_err();
        bytes.clear();
        said
    };
    assert_eq!(
        pax(b"14 size=99999\n"),
        "at byte 1024 of the archive: its extended header gives another size than its header"
    );
    assert_eq!(
        pax(b"22 GNU.sparse.major=1\n"),
        "at byte 1024 of the archive: sparse files are not packed into packages"
    );
    assert_eq!(pax(b"99 path=x\n"), "at byte 1024 of the archive: a record of its extended header is malformed");
    assert_eq!(pax(b"18 uid=4294967296\n"), "at byte 1024 of the archive: the id 4294967296 does not fit 32 bits");
    assert_eq!(pax(b"17 path=../../e\n"), "at byte 1024 of the archive: a record of its extended header is malformed");
    assert_eq!(pax(b"16 path=../../e\n"), "`../../e` is no path within the root");
    let twice = packed_tar(&[(EntryType::XHeader, "p", 0o644, b"9 uid=00\n"), (EntryType::XHeader, "p", 0o644, b"")]);
    assert_eq!(walk(&twice[..]).unwrap_err(), "at byte 1024 of the archive: a member has two extended headers");
}

#[test]
fn bombs_are_stopped_at_the_limit() {
    // Zeros compress a thousandfold: some kilobytes claim to be a control archive beyond the limit.
    let mut control = packed_tar(&[(Regular, "./control", 0o644, b"Package: x\nVersion: 1\nArchitecture: all\n")]);
    control.truncate(control.len() - 1024);
    let size = usize::try_from(DEB_CONTROL_BYTES).unwrap();
    control.extend(header(|header| header.set_size(DEB_CONTROL_BYTES)));
    control.resize(size + 1024, 0);
    for suffix in [".gz", ".xz", ".zst"] {
        let packed = pack(&control, suffix);
        assert!(packed.len() < 200_000, "{suffix}: {}", packed.len());
        let name = format!("control.tar{suffix}");
        let said = read(ar(&[("debian-binary", b"2.0\n"), (&name, &packed), ("data.tar", b"")])).unwrap_err();
        assert_eq!(said, "control archive: unpacks to more than the 67108864 bytes allowed", "{suffix}");
        // After the end of the archive, where nobody looks, too.
        let mut hidden = packed_tar(&control_members());
        hidden.resize(size + 1024, 0);
        let packed = pack(&hidden, suffix);
        let said = read(ar(&[("debian-binary", b"2.0\n"), (&name, &packed), ("data.tar", b"")])).unwrap_err();
        assert_eq!(said, "control archive: unpacks to more than the 67108864 bytes allowed", "{suffix}");
    }
    // A decoder that is asked for a dictionary of 1.5 GiB.
    let mut greedy = pack(&packed_tar(&control_members()), ".xz");
    let filter = greedy.windows(2).position(|pair| pair == [0x21, 0x01]).unwrap();
    greedy[filter + 2] = 37;
    let sum = crc32fast::hash(&greedy[12..20]);
    greedy[20..24].copy_from_slice(&sum.to_le_bytes());
    let said = read(ar(&[("debian-binary", b"2.0\n"), ("control.tar.xz", &greedy), ("data.tar", b"")])).unwrap_err();
    assert!(said.starts_with("control archive: "), "{said}");
}

#[test]
fn members_that_are_there_twice_are_refused() {
    let file = (Regular, "./f", 0o644, &b""[..]);
    assert_eq!(against(&[file, file]), "`./f` is there twice");
    assert_eq!(against(&[file, (Directory, "./f/", 0o755, b"")]), "`./f/` is there twice");
    assert_eq!(against(&[file, (Link, "./f", 0o644, b"./f")]), "`./f` is there twice");
    let folder = (Directory, "./d/", 0o755, &b""[..]);
    assert_eq!(walk(&packed_tar(&[folder, folder])[..]).unwrap(), ["d", "d"]);
    let version = ("debian-binary", &b"2.0\n"[..]);
    assert_eq!(
        read(ar(&[version, version])).unwrap_err(),
        "at byte 72 of the package: member `debian-binary` is there twice"
    );
    let control = packed_tar(&control_members());
    let parts = [version, ("control.tar", &control), ("data.tar", b""), ("data.tar.xz", b"")];
    assert_eq!(
        read(ar(&parts)).unwrap_err(),
        "the package's members are [\"debian-binary\", \"control.tar\", \"data.tar\", \"data.tar.xz\"], wanted are \
         debian-binary, control.tar* and data.tar*, in this order"
    );
    let twice = [control_members(), control_members()[1..2].to_vec()].concat();
    let said = read(deb(&packed_tar(&twice), &packed_tar(&[]), "")).unwrap_err();
    assert_eq!(said, "control archive: `./control` is there twice");
}

#[test]
fn every_beginning_of_a_package_is_refused() {
    let data = packed_tar(&[(Directory, "./", 0o755, b""), (Regular, "./usr/bin/x", 0o755, b"contents")]);
    for suffix in ["", ".gz", ".xz", ".zst"] {
        let whole = deb(&packed_tar(&control_members()), &data, suffix);
        assert_eq!(read(whole.clone()).unwrap(), ["", "usr/bin/x"], "{suffix}");
        for length in 0..whole.len() {
            let outcome = read(whole[..length].to_vec());
            // The last byte may be nothing but the padding of the outer archive.
            let padding = length + 1 == whole.len() && whole[length] == b'\n';
            assert!(outcome.is_err() || padding, "{suffix}: the first {length} of {} bytes are accepted", whole.len());
        }
        // The same inside: the outer archive fits, the inner one was cut.
        let packed = pack(&data, suffix);
        let (name, control) = (format!("data.tar{suffix}"), packed_tar(&control_members()));
        for length in 0..packed.len() - usize::from(suffix.is_empty()) * 1023 {
            let parts = [("debian-binary", &b"2.0\n"[..]), ("control.tar", &control), (&name, &packed[..length])];
            assert!(read(ar(&parts)).is_err(), "{suffix}: {length} of {} bytes of data.tar", packed.len());
        }
    }
}

#[test]
fn members_beyond_counting_are_refused() {
    // Headers without end, made as they are read: two million of them are enough.
    struct Endless(u64);
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let name = format!("./{}", self.0);
            let block = header(|header| header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes()));
            self.0 += 1;
            buffer[..512].copy_from_slice(&block);
            Ok(512)
        }
    }
    // Both take a minute.
    if std::env::var_os("IMGBUILD_TEST_LONG").is_none() {
        return;
    }
    let said = walk(Endless(1000)).unwrap_err();
    assert_eq!(said, "the archive has more than 2000000 members");
    // Names that take all the room that there is for them come first.
    struct Long(u64, Vec<u8>);
    impl Read for Long {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.1.is_empty() {
                self.0 += 1;
                let name = format!("./{:0>255}/{}", self.0, format!("{:0>255}/", self.0).repeat(14));
                self.1 = packed_tar(&[(Regular, &name, 0o644, b"")]);
                self.1.truncate(self.1.len() - 1024);
            }
            let length = buffer.len().min(self.1.len());
            buffer[..length].copy_from_slice(&self.1[..length]);
            self.1.drain(..length);
            Ok(length)
        }
    }
    assert_eq!(walk(Long(0, Vec::new())).unwrap_err(), "the names in the archive take more than 268435456 bytes");
}
