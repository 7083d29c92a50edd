//! Findings and how they are shown; disks are compared in tests/diff.rs.

use super::*;

fn difference(place: &[&str], file: Option<&str>, what: &str, a: &str, b: &str) -> Difference {
    let place = place.iter().map(|part| (*part).to_owned()).collect();
    let file = file.map(str::to_owned);
    Difference { place, file, what: what.into(), a: a.into(), b: b.into(), lines: Vec::new() }
}

#[test]
fn comparison_is_shown_from_the_outside_in() {
    let root = ["partition 3 (lvm)", "volume root"];
    let mut contents = difference(&root, Some("/etc/hostname"), "contents from byte 0 on", "2 bytes", "2 bytes");
    contents.lines = vec!["line 1:".into(), "- a".into(), "+ b\u{1b}[2J".into()];
    let comparison = Comparison {
        a: "/one".into(),
        b: "/other".into(),
        same: false,
        differences: vec![
            difference(&["partition table"], None, "disk GUID", "1", "2"),
            difference(&root, Some("/etc/gone"), "only there", "file", ""),
            contents,
            difference(&root[..1], None, "extents", "10", "11"),
        ],
        more: 3,
        causes: vec!["the moon (4 differences)".into()],
    };
    insta::assert_snapshot!(comparison.to_string(), @r"
    - /one
    + /other
    partition table
      disk GUID: 1 | 2
    partition 3 (lvm)
      volume root
        /etc/gone  only there: file | (nothing)
        /etc/hostname  contents from byte 0 on
            line 1:
            - a
            + b�[2J
      extents: 10 | 11
    and 3 more (--json lists them)
    likely causes
      the moon (4 differences)
    ");
}

#[test]
fn causes_name_packages_first_and_count_what_is_left() {
    let file = |path: &str, what: &str| difference(&[], Some(path), what, "a", "b");
    let package = causes::Package {
        name: "haproxy".into(),
        a: "1".into(),
        b: "2".into(),
        files: ["/usr/sbin/haproxy".to_owned(), "/etc/haproxy/haproxy.cfg".to_owned()].into(),
    };
    let differences = [
        file("/usr/sbin/haproxy", "contents from byte 9 on"),
        file("/etc/haproxy/haproxy.cfg", "mode"),
        file("/etc/machine-id", "contents from byte 0 on"),
        file("/usr/lib/python3/x.pyc", "contents from byte 8 on"),
        file("/boot/initrd.img-6.12", "contents from byte 100 on"),
        file("/usr/bin/a", "mtime"),
        file("/usr/bin/b", "mtime"),
        file("/opt/strange", "owner"),
    ];
    let said = causes::of(&differences, &[package]);
    let expected = [
        "package haproxy 1 became 2 (2 differences)",
        "other times: the builds had different clocks (the newest Date of the locked Release files), or something was written outside of the build (2 differences)",
        "the machine's identity (/etc/machine-id): an image should have none; it was booted, or a script wrote it (1 difference)",
        "the initial RAM disk was built with other contents (1 difference)",
        "compiled Python (.pyc): it holds times, or its compiler ran in another order (1 difference)",
        "not explained: 1 difference",
    ];
    assert_eq!(said, expected);
}

#[test]
fn more_differences_than_are_listed_are_counted() {
    let mut found = Findings::default();
    for number in 0..crate::base::limits::DIFFERENCES + 5 {
        found.value("x", number.to_string(), "other");
    }
    found.value("x", "same", "same");
    assert_eq!((found.differences.len(), found.more), (crate::base::limits::DIFFERENCES, 5));
}
