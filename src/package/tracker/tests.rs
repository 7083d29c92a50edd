//! Lists as they should be, as they should not be, and the stream against the whole document in memory.

use super::read::read_up_to;
use super::*;
use crate::base::limits::{VULNERABILITY_SUITES, VULNERABILITY_TEXT_BYTES};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::io::{Cursor, Read as _};

fn wanted(sources: &[(&str, &str)]) -> Wanted {
    let mut wanted = Wanted { release: "trixie".to_owned(), sources: BTreeMap::new() };
    for (name, version) in sources {
        wanted.sources.entry((*name).to_owned()).or_default().insert((*version).to_owned());
    }
    wanted
}

fn found(list: &str, wanted: &Wanted) -> Result<Found, TrackerError> {
    read(Cursor::new(list.as_bytes().to_vec()), wanted)
}

fn said(list: &str) -> String {
    let error = anyhow::Error::new(found(list, &wanted(&[("a", "1")])).unwrap_err());
    format!("{error:#}")
}

fn one(status: Value) -> String {
    json!({"a": {"CVE-1-1": {"releases": {"trixie": status}}}}).to_string()
}

/// In short: state, and the suite that has the fix.
fn state_of(status: Value, version: &str) -> String {
    let found = found(&one(status), &wanted(&[("a", version)])).unwrap();
    match found.advisories.first().map(|advisory| &advisory.state) {
        None => "sound".to_owned(),
        Some(State::Open) => "open".to_owned(),
        Some(State::Undetermined) => "undetermined".to_owned(),
        Some(State::Fixed { version, suite }) => format!("fixed {version} {}", suite.as_deref().unwrap_or("nowhere")),
    }
}

#[test]
fn versions_are_judged_by_what_fixes_them() {
    let fixed = |version: &str| {
        json!({"status": "resolved", "fixed_version": version, "urgency": "low",
               "repositories": {"trixie": "1.0-1", "trixie-security": "1.0-1+deb13u2"}})
    };
    let cases = [
        (fixed("1.0-1+deb13u1"), "1.0-1", "fixed 1.0-1+deb13u1 trixie-security"),
        (fixed("1.0-1+deb13u1"), "1.0-1+deb13u1", "sound"),
        (fixed("1.0-1+deb13u1"), "1:0.5-1", "sound"),
        (fixed("1.0-2"), "1.0-1", "fixed 1.0-2 nowhere"),
        (fixed("1.0-1"), "1.0~rc1-1", "fixed 1.0-1 trixie"),
        // It never had it.
        (fixed("0"), "0.1-1", "sound"),
        // What cannot be compared is no reason to be at ease.
        (fixed("$%"), "1.0-1", "fixed $% nowhere"),
        (json!({"status": "resolved"}), "1.0-1", "sound"),
        (json!({"status": "open"}), "99-1", "open"),
        (json!({"status": "undetermined"}), "1.0-1", "undetermined"),
        (json!({"status": "some new word"}), "1.0-1", "undetermined"),
    ];
    for (status, version, expected) in cases {
        assert_eq!(state_of(status.clone(), version), expected, "{version} {status}");
    }
}

#[test]
fn only_what_is_wanted_is_kept() {
    let list = json!({
        "a": {
            "CVE-1-1": {"description": "x", "scope": "remote", "releases": {
                "sid": {"status": "open"}, "trixie": {"status": "open", "urgency": "high**", "nodsa": "Minor issue"}}},
            "CVE-1-2": {"releases": {"bookworm": {"status": "open"}}},
        },
        "b": {"CVE-2-1": {"releases": {"trixie": {"status": "open"}}}},
        "c": {"CVE-3-1": {"releases": {"bookworm": {"status": "open"}}}},
    });
    let found = found(&list.to_string(), &wanted(&[("a", "1"), ("a", "2"), ("c", "1"), ("d", "1")])).unwrap();
    assert_eq!((found.listed, found.known.into_iter().collect::<Vec<_>>()), (3, vec!["a".to_owned()]));
    let named: Vec<(&str, &str, Urgency, Option<&str>)> = found
        .advisories
        .iter()
        .map(|one| (one.name.as_str(), one.version.as_str(), one.urgency, one.remark.as_deref()))
        .collect();
    let remark = Some("Minor issue");
    assert_eq!(named, [("CVE-1-1", "1", Urgency::High, remark), ("CVE-1-1", "2", Urgency::High, remark)]);
}

#[test]
fn urgencies_have_the_trackers_words() {
    let words = ["unimportant", "low", "low**", "medium*", "high", "not yet assigned", "end-of-life", ""];
    let found: Vec<&str> = words.iter().map(|word| Urgency::of(word).word()).collect();
    assert_eq!(found, ["unimportant", "low", "low", "medium", "high", "unassigned", "unassigned", "unassigned"]);
}

#[test]
fn compressed_lists_are_known_by_their_first_bytes() {
    let list = one(json!({"status": "open"}));
    let mut xz = Vec::new();
    liblzma::read::XzEncoder::new(list.as_bytes(), 1).read_to_end(&mut xz).unwrap();
    let mut gz = Vec::new();
    flate2::read::GzEncoder::new(list.as_bytes(), flate2::Compression::fast()).read_to_end(&mut gz).unwrap();
    let zst = zstd::encode_all(list.as_bytes(), 1).unwrap();
    for packed in [list.clone().into_bytes(), xz, gz, zst] {
        let found = read(Cursor::new(packed.clone()), &wanted(&[("a", "1")])).unwrap();
        assert_eq!(found.advisories.len(), 1);
        let cut = packed[..packed.len() - 3].to_vec();
        assert!(read(Cursor::new(cut), &wanted(&[("a", "1")])).is_err());
    }
}

#[test]
fn lists_of_another_form_are_refused_with_their_place() {
    let cases = [
        ("[]", "line 1, column 0: invalid type: sequence, expected source packages by name"),
        ("", "line 1, column 0: EOF while parsing a value"),
        ("<html>", "line 1, column 1: expected value"),
        ("{\"a\": 1}", "line 1, column 7: invalid type: integer `1`, expected vulnerabilities by name"),
        ("{\"a\": {\"CVE-1-1\": 2}}", "line 1, column 19: invalid type: integer `2`, expected a vulnerability"),
        ("{\"a\": {\"CVE-1-1\": {\"releases\": {\"trixie\": {}}}}}", "line 1, column 44: missing field `status`"),
        ("{\"b\": 1} x", "line 1, column 10: trailing characters"),
        ("{\"a\": {}, \"a\": {}}", "line 1, column 14: `a` is there twice"),
        ("{\"a\": {\"C\": {}, \"C\": {}}}", "line 1, column 22: `C` is there twice"),
    ];
    for (list, expected) in cases {
        let found = said(list);
        // Columns are the parser's affair; what counts is that there is one.
        let shape = |text: &str| text.split_once(": ").map(|(_, problem)| problem.to_owned());
        assert_eq!(shape(&found), shape(expected), "{found}");
        assert!(found.starts_with("line 1, column "), "{found}");
    }
}

#[test]
fn absurd_lists_are_refused() {
    let deep = format!("{{\"b\": {}", "[".repeat(100_000));
    assert_eq!(said(&deep), "reading it: it is nested more than 32 levels deep");
    let long = format!("{{\"b\": \"{}\"}}", "x".repeat(VULNERABILITY_TEXT_BYTES + 10));
    assert_eq!(said(&long), "reading it: a text in it has more than 1048576 bytes");
    let suites: serde_json::Map<String, Value> =
        (0..=VULNERABILITY_SUITES).map(|n| (n.to_string(), json!("1"))).collect();
    let many = one(json!({"status": "open", "repositories": suites}));
    assert!(said(&many).ends_with("more than 64 suites"), "{}", said(&many));
    // Megabytes in a few bytes.
    let bomb = zstd::encode_all(std::io::repeat(b' ').take(1 << 20), 1).unwrap();
    let error = anyhow::Error::new(read_up_to(1000, Cursor::new(bomb), &wanted(&[])).unwrap_err());
    assert_eq!(format!("{error:#}"), "reading it: unpacks to more than the 1000 bytes allowed");
}

/// What the walk should find, by the whole document in memory.
fn by_document(list: &Value, wanted: &Wanted) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (source, versions) in &wanted.sources {
        for (name, entry) in list[source].as_object().into_iter().flatten() {
            let status = &entry["releases"]["trixie"];
            for version in versions {
                let vulnerable = match (status["status"].as_str(), status["fixed_version"].as_str()) {
                    (None, _) | (Some("resolved"), None) => false,
                    (Some("resolved"), Some(fixed)) => older(version, fixed),
                    _ => true,
                };
                if vulnerable {
                    found.push((format!("{source} {version}"), name.clone()));
                }
            }
        }
    }
    found.sort();
    found
}

fn a_status() -> impl Strategy<Value = Value> {
    let word = prop_oneof![Just("open"), Just("resolved"), Just("undetermined")];
    (word, proptest::option::of("[0-3]"), "[a-z\"\\\\]{0,5}").prop_map(|(word, fixed, text)| {
        let mut status = json!({"status": word, "nodsa": text, "other": [{"x": [null, true, 1.5, text]}]});
        if let Some(fixed) = fixed {
            status["fixed_version"] = json!(fixed);
        }
        status
    })
}

fn a_list() -> impl Strategy<Value = Value> {
    let releases = proptest::collection::btree_map(prop_oneof![Just("trixie"), Just("sid")], a_status(), 0..3);
    let entry =
        (releases, "\\PC{0,10}").prop_map(|(releases, text)| json!({"description": text, "releases": releases}));
    let entries = proptest::collection::btree_map("CVE-[0-9]", entry, 0..4);
    proptest::collection::btree_map("[a-d]", entries, 0..4).prop_map(|list| json!(list))
}

proptest! {
    #[test]
    fn stream_finds_what_the_document_holds(list in a_list(), pretty in any::<bool>()) {
        let wanted = wanted(&[("a", "1"), ("a", "2"), ("c", "0")]);
        let text = if pretty { serde_json::to_string_pretty(&list).unwrap() } else { list.to_string() };
        let found = found(&text, &wanted).unwrap();
        let found: Vec<_> = found.advisories.into_iter().map(|one| (format!("{} {}", one.source, one.version), one.name)).collect();
        prop_assert_eq!(found, by_document(&list, &wanted));
    }

    #[test]
    fn damaged_lists_never_panic(list in a_list(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = list.to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        let _ = read(Cursor::new(bytes), &wanted(&[("a", "1")]));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(Cursor::new(bytes), &wanted(&[("a", "1")]));
    }
}
