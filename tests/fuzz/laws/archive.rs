//! Laws of what comes from a package mirror, and of the host's own lists of sources.

use imgbuild::base::epoch::Epoch;
use imgbuild::base::limits::{PATH_BYTES, PATH_DEPTH, RELEASE_FILES};
use imgbuild::package::archive::{HostMirrors, Packing, Release, unpack};
use imgbuild::package::control::Stanzas;
use imgbuild::package::deb::{Deb, MemberKind, Members};
use imgbuild::package::openpgp::{Certificates, verify_clear_signed, verify_detached};
use imgbuild::package::universe::{Origin, Universe};
use imgbuild::package::version::Version;
use imgbuild::package::{compare_versions, relation};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::LazyLock;

/// The keyring, the signed file and its signature that the corpus begins with.
pub const KEYRING: &[u8] = include_bytes!("../corpus/keyring/binary");
const CLEAR_SIGNED: &[u8] = include_bytes!("../corpus/clear-signed/good");
const SIGNATURE: &[u8] = include_bytes!("../corpus/detached/good");
/// The signed text.
pub const TEXT: &str = "Origin: Demo\nSuite: stable\nDate: Sat, 01 Jun 2024 00:00:00 UTC\nSHA256:\n ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad 3 main/binary-amd64/Packages\n";
/// What the laws call now.
const NOW: Epoch = Epoch(1_719_792_000);

static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(|| Certificates::read("corpus", KEYRING).unwrap());

pub fn release(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(release) = Release::parse(text) else { return };
    assert!(release.files.len() <= RELEASE_FILES);
    for path in release.files.keys() {
        assert!(!path.starts_with('/') && path.split('/').all(|part| !matches!(part, "" | "." | "..")), "{path:?}");
    }
    let _ = (release.require_suite("stable"), release.require_fresh(NOW));
}

pub fn clear_signed(input: &[u8]) {
    for now in [Some(NOW), None] {
        if let Ok(verified) = verify_clear_signed(input, &CERTIFICATES, now) {
            // Blanks at the ends of lines are not signed.
            let lines = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
            assert_eq!(lines(&verified.text), lines(TEXT), "another text was taken for signed");
        }
    }
}

pub fn detached(input: &[u8]) {
    let other = TEXT.replace("Demo", "Evil");
    assert!(verify_detached(other.as_bytes(), input, &CERTIFICATES, None).is_err(), "a forged text was accepted");
    let _ = verify_detached(TEXT.as_bytes(), input, &CERTIFICATES, Some(NOW));
}

pub fn keyring(input: &[u8]) {
    let Ok(keyring) = Certificates::read("fuzz", input) else { return };
    let other = TEXT.replace("Demo", "Evil");
    assert!(verify_detached(other.as_bytes(), SIGNATURE, &keyring, None).is_err(), "a forged text was accepted");
    let _ = verify_clear_signed(CLEAR_SIGNED, &keyring, Some(NOW));
}

pub fn control(input: &[u8]) {
    let mut count = 0;
    for stanza in Stanzas::new(input) {
        let Ok(stanza) = stanza else { break };
        count += 1;
        assert!(count <= input.len(), "more stanzas than bytes");
        let written: String = stanza.fields().map(|(name, value)| format!("{name}: {value}\n")).collect();
        let again = imgbuild::package::control::single(written.as_bytes()).expect("what was written is read");
        assert!(stanza.fields().eq(again.fields()), "{written:?}");
    }
}

pub fn packages(input: &[u8]) {
    let mut universe = Universe::new("amd64");
    let origin = Origin { repository: "fuzz", suite: "stable", aliases: [None, None], priority: 500 };
    let _ = universe.add_index(origin, input);
    let Ok(text) = std::str::from_utf8(input) else { return };
    for stanza in Stanzas::new(text.as_bytes()).map_while(Result::ok) {
        for field in ["Depends", "Pre-Depends", "Conflicts", "Provides"] {
            let _ = stanza.get(field).map(relation::parse);
        }
    }
}

pub fn relation(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(groups) = relation::parse(text) else { return };
    let written = groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    assert_eq!(relation::parse(&written).expect("what was written is read"), groups, "{written:?}");
}

pub fn version(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut parts = text.splitn(3, '\n');
    let mut next = || parts.next().unwrap_or_default();
    let (a, b, c) = (next(), next(), next());
    assert_eq!(compare_versions(a, b), compare_versions(b, a).reverse(), "{a:?} {b:?}");
    assert!(compare_versions(a, a).is_eq());
    if compare_versions(a, b).is_le() && compare_versions(b, c).is_le() {
        assert!(compare_versions(a, c).is_le(), "{a:?} {b:?} {c:?}");
    }
    if let Ok(version) = Version::parse(a) {
        let padded = format!("{a}~");
        assert!(Version::parse(&padded).is_ok_and(|earlier| earlier < version) || a.len() == 256, "{a:?}");
    }
}

pub fn decompress(input: &[u8]) {
    const ALLOWED: u64 = 1 << 20;
    let Some((first, packed)) = input.split_first() else { return };
    let packing = [Packing::Xz, Packing::Zstd, Packing::Gzip, Packing::Plain][usize::from(*first % 4)];
    let mut out = Vec::new();
    let outcome = unpack(packing, packed, &mut out, None, ALLOWED);
    assert!(out.len() as u64 <= ALLOWED);
    if let Ok((size, digest)) = outcome {
        assert_eq!(size, out.len() as u64);
        assert!(unpack(packing, packed, &mut Vec::new(), Some((size, digest)), ALLOWED).is_ok());
    }
}

pub fn deb(input: &[u8]) {
    let Ok(deb) = Deb::from_bytes(input.to_vec()) else { return };
    if let Ok(control) = deb.control() {
        assert!(control.files.contains_key("control"));
        let _ = (control.stanza(), control.lines("conffiles"), control.lines("triggers"));
    }
    if let Ok(data) = deb.data() {
        walk(data.take(16 << 20));
    }
}

pub fn members(input: &[u8]) {
    walk(input);
}

fn walk(stream: impl std::io::Read) {
    let mut members = Members::new(stream);
    let mut kinds: BTreeMap<Vec<u8>, MemberKind> = BTreeMap::new();
    while let Ok(Some(member)) = members.member() {
        let path = &member.path;
        let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        let sound = parts.iter().all(|part| !matches!(*part, b"" | b"." | b".."));
        assert!(sound || path.is_empty(), "{path:?}");
        assert!(path.len() <= PATH_BYTES && parts.len() <= PATH_DEPTH && !path.iter().any(u8::is_ascii_control));
        for depth in 1..parts.len() {
            let above = kinds.get(&parts[..depth].join(&b'/'));
            assert!(above.is_none_or(|kind| *kind == MemberKind::Directory), "{path:?} lies below {above:?}");
        }
        if let MemberKind::HardLink(to) = &member.kind {
            assert!(matches!(kinds.get(to), Some(MemberKind::File | MemberKind::HardLink(_))), "{path:?} to {to:?}");
        }
        let earlier = kinds.insert(path.clone(), member.kind.clone());
        assert!(earlier.is_none() || earlier == Some(MemberKind::Directory), "{path:?} is there twice");
        if member.kind == MemberKind::File {
            assert!(member.mode & 0o6000 == 0 || member.mode & 0o022 == 0);
            match std::io::copy(&mut members, &mut std::io::sink()) {
                Ok(read) => assert_eq!(read, member.size, "{path:?}"),
                Err(_) => return,
            }
        }
    }
}

pub fn apt_sources(input: &[u8]) {
    let Some((first, text)) = input.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    for (_, url) in HostMirrors::read_list(&text, first % 2 == 0) {
        assert!(!url.is_empty() && !url.contains(char::is_whitespace), "{url:?}");
    }
}
