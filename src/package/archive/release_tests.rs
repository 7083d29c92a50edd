//! Release files: what is read, what is refused.

use super::*;
use proptest::prelude::*;

const DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn text() -> String {
    format!(
        "Origin: Debian\nLabel: Debian\nSuite: stable\nVersion: 13.2\nCodename: trixie\n\
         Date: Tue, 14 Nov 2023 22:13:20 UTC\nValid-Until: Tue, 21 Nov 2023 22:13:20 UTC\nAcquire-By-Hash: yes\n\
         No-Support-for-Architecture-all: Packages\nArchitectures: all amd64 arm64\nComponents: main contrib\n\
         MD5Sum:\n 0 0 main/x\nSHA256:\n {DIGEST}  12 main/binary-amd64/Packages.xz\n {DIGEST} 34 main/binary-amd64/Packages\n"
    )
}

#[test]
fn release_file_is_read_whole() {
    let release = Release::parse(&text()).unwrap();
    assert_eq!(release.info.origin.as_deref(), Some("Debian"));
    assert_eq!(release.info.codename.as_deref(), Some("trixie"));
    assert_eq!(release.info.suite.as_deref(), Some("stable"));
    assert_eq!(release.info.date, Epoch(1_700_000_000));
    assert_eq!(release.info.valid_until, Some(Epoch(1_700_604_800)));
    assert_eq!(release.info.sha256, Digest::of(text().as_bytes()));
    assert_eq!(release.architectures, ["all", "amd64", "arm64"]);
    assert_eq!(release.components, ["main", "contrib"]);
    assert!(release.by_hash && release.all_is_merged && !release.info.not_automatic);
    let listed = Listed { size: 12, sha256: Digest::of(b"abc") };
    assert_eq!(release.files["main/binary-amd64/Packages.xz"], listed);
    assert_eq!(release.files.len(), 2);
}

#[test]
fn malformed_release_files_are_refused_with_the_reason() {
    let cases = [
        (text().replace("Origin: Debian", "Origin Debian"), "line 1 is neither a field nor its continuation"),
        (format!(" x\n{}", text()), "line 1 is neither a field nor its continuation"),
        (format!("{}\nDate: x\n", text()), "line 17 is neither a field nor its continuation"),
        (format!("Origin: x\n{}", text()), "field `Origin` stands there twice"),
        (text().replace("Date: Tue", "Dote: Tue"), "field `Date` is missing"),
        (text().replace("SHA256", "SHA1"), "field `SHA256` is missing"),
        (
            text().replace("Valid-Until: Tue,", "Valid-Until: 32"),
            "field `Valid-Until` is `32 21 Nov 2023 22:13:20 UTC`, which is not a date in UTC",
        ),
        (text().replace("34 main", "x main"), "`x` is not a digest, a size and a path"),
        (
            text().replace("34 main/binary-amd64", "34 ../binary-amd64"),
            "path `../binary-amd64/Packages` is not a plain path below the Release file",
        ),
    ];
    for (text, message) in cases {
        let message = message.replace("`x` is", &format!("`{DIGEST} x main/binary-amd64/Packages` is"));
        assert_eq!(Release::parse(&text).unwrap_err().to_string(), message);
    }
}

#[test]
fn another_suite_is_refused() {
    let release = Release::parse(&text()).unwrap();
    release.require_suite("trixie").unwrap();
    release.require_suite("stable").unwrap();
    assert_eq!(
        release.require_suite("bookworm").unwrap_err().to_string(),
        "it is of suite `stable` with codename `trixie`, not of `bookworm`"
    );
    release.require_suite("trixie-updates").unwrap_err();
}

#[test]
fn release_outside_its_time_is_refused() {
    let release = Release::parse(&text()).unwrap();
    release.require_fresh(Epoch(1_700_000_000)).unwrap();
    release.require_fresh(Epoch(1_700_604_800)).unwrap();
    assert_eq!(
        release.require_fresh(Epoch(1_700_604_801)).unwrap_err().to_string(),
        "it was valid until 2023-11-21T22:13:20Z, and now it is 2023-11-21T22:13:21Z"
    );
    assert_eq!(
        release.require_fresh(Epoch(1_600_000_000)).unwrap_err().to_string(),
        "it is dated 2023-11-14T22:13:20Z, and now it is 2020-09-13T12:26:40Z"
    );
    release.info.refuse_rollback(Epoch(1_700_000_000)).unwrap();
    assert_eq!(
        release.info.refuse_rollback(Epoch(1_700_000_001)).unwrap_err().to_string(),
        "it is dated 2023-11-14T22:13:20Z, older than 2023-11-14T22:13:21Z, which was seen before"
    );
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*") {
        let _ = Release::parse(&text);
    }

    #[test]
    fn damaged_release_files_never_panic(at in 0_usize..400, with in any::<char>()) {
        let mut text = text();
        let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        text.insert(at, with);
        let _ = Release::parse(&text);
    }
}
