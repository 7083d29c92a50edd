//! Which signatures are accepted, which are refused and why; `gpgv` says its own word beside ours.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

#[path = "support/archive/mod.rs"]
mod archive;

use archive::keys::{DAY, KEYS_MADE, Keys, NOW, SIGNED, Signing, clear_sign_by_all};
use imgbuild::base::epoch::Epoch;
use imgbuild::base::process::{Run, find};
use imgbuild::package::openpgp::{Certificates, Refusal, Verified, verify_clear_signed, verify_detached};
use pgp::composed::ArmorOptions;
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::SignatureType;
use pgp::ser::Serialize as _;

const TEXT: &str = "Origin: Test\nSuite: stable  \n- dashed\nLast: line\n";
/// Blanks at the end of a line are not signed, so they are not given either.
const SIGNED_TEXT: &str = "Origin: Test\nSuite: stable\n- dashed\nLast: line\n";

fn verify(file: &str, keyring: &[u8]) -> Result<Verified, Refusal> {
    let keyring = Certificates::read("pinned", keyring).unwrap();
    verify_clear_signed(file.as_bytes(), &keyring, Some(Epoch(NOW)))
}

/// Whether gpgv finds a good signature in the same file. Its clock is the machine's: years after the tests' now.
fn gpgv(file: &str, keyring: &[u8]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("keyring.gpg"), keyring).unwrap();
    std::fs::write(path("file"), file).unwrap();
    let run = Run::new("gpgv").arg("--homedir").arg(folder.path()).args(["--status-fd", "1"]);
    let output = run.arg("--keyring").arg(path("keyring.gpg")).arg(path("file")).output().unwrap();
    // The exit status also fails when an unknown key has signed beside a known one.
    String::from_utf8_lossy(&output.stdout).lines().any(|line| line.starts_with("[GNUPG:] GOODSIG "))
}

struct Case {
    name: &'static str,
    file: String,
    keyring: Vec<u8>,
    /// Our refusal, or nothing when the file is accepted.
    refusal: Option<String>,
    /// Whether gpgv accepts it.
    gpgv: bool,
}

fn cases() -> Vec<Case> {
    let first = Keys::fixture("first");
    let second = Keys::fixture("second");
    let short = Keys::fixture("short");
    let dsa = Keys::fixture("dsa");
    let subkey = first.subkey_fingerprint();
    let primary = first.primary_fingerprint();
    let by_subkey = Signing::default();
    let by_primary = Signing { by_subkey: false, ..Signing::default() };
    let good = first.clear_sign(&by_subkey, TEXT);
    let shaped = |change: fn(&mut archive::keys::Shape)| first.clone().shaped(change).binary();
    let mut cases = Vec::new();
    let mut add = |name, file: &str, keyring: Vec<u8>, refusal: Option<String>, gpgv| {
        cases.push(Case { name, file: file.to_owned(), keyring, refusal, gpgv });
    };
    add("signed by a subkey", &good, first.binary(), None, true);
    add("signed by the primary key", &first.clear_sign(&by_primary, TEXT), first.binary(), None, true);
    add("signed by an RSA subkey", &second.clear_sign(&by_subkey, TEXT), second.binary(), None, true);
    let sha256 = Signing { hash: HashAlgorithm::Sha256, kind: SignatureType::Binary, ..Signing::default() };
    add("SHA-256, binary signature", &first.clear_sign(&sha256, TEXT), first.binary(), None, true);
    let both = [second.binary(), first.binary()].concat();
    add("two keys in one keyring", &good, both, None, true);
    let certified = first.clone().shaped(|shape| shape.certified_by = Some(Box::new(Keys::fixture("second"))));
    add("certified by others too", &good, certified.binary(), None, true);
    let two = clear_sign_by_all(&[(&second, by_subkey.clone()), (&first, by_subkey.clone())], TEXT);
    add("one of two signers is known", &two, first.binary(), None, true);

    let tampered = good.replace("Suite: stable", "Suite: unstable");
    let message = format!("the signature by key {subkey} does not match the text: it was changed after signing");
    add("text changed", &tampered, first.binary(), Some(message), false);
    add("no signature", TEXT, first.binary(), Some("it is not signed".to_owned()), false);
    let message = format!("it is signed by key {subkey}, which keyring `pinned` does not hold");
    add("unknown key", &good, second.binary(), Some(message), false);
    let message = format!(
        "it is signed by key {} and key {subkey}, which keyring `pinned` does not hold",
        second.subkey_fingerprint()
    );
    add("two unknown keys", &two, short.binary(), Some(message), false);

    let expired = |key: &str| Some(format!("key {key} expired on 2024-06-11T00:00:00Z"));
    let until_june = |shape: &mut archive::keys::Shape| shape.primary_lifetime = Some(162 * DAY);
    add("primary key expired since", &good, shaped(until_june), expired(&primary), false);
    let subkey_until_june = |shape: &mut archive::keys::Shape| shape.subkey_lifetime = Some(162 * DAY);
    add("subkey expired since", &good, shaped(subkey_until_june), expired(&subkey), false);
    let late = |shape: &mut archive::keys::Shape| shape.primary_lifetime = Some(18_250 * DAY);
    add("key expires in fifty years", &good, shaped(late), None, true);
    let message = format!("key {primary} is revoked");
    add("primary key revoked", &good, shaped(|shape| shape.primary_revoked = true), Some(message), false);
    let message = format!("key {subkey} is revoked");
    add("subkey revoked", &good, shaped(|shape| shape.subkey_revoked = true), Some(message), false);
    let revoked_copy = [first.binary(), shaped(|shape| shape.primary_revoked = true)].concat();
    let message = format!("key {primary} is revoked");
    add("revoked in a second copy", &good, revoked_copy, Some(message), true);

    let weak = "which can be forged; SHA-256, SHA-384 and SHA-512 are accepted";
    let sha1 = Signing { hash: HashAlgorithm::Sha1, ..Signing::default() };
    let message = format!("the signature by key {} uses SHA1, {weak}", second.subkey_fingerprint());
    add("SHA-1", &second.clear_sign(&sha1, TEXT), second.binary(), Some(message), true);
    let message = format!("the self-signature of key {} uses SHA1, {weak}", second.primary_fingerprint());
    let weak_self = second.clone().shaped(|shape| shape.self_hash = HashAlgorithm::Sha1).binary();
    add("SHA-1 in the key", &second.clear_sign(&by_subkey, TEXT), weak_self, Some(message), true);
    let message =
        format!("key {} is too weak: RSA with 1024 bits, at least 2048 are needed", short.primary_fingerprint());
    add("RSA 1024", &short.clear_sign(&by_primary, TEXT), short.binary(), Some(message), true);
    let message = format!("key {} is too weak: DSA is not accepted for signing", dsa.primary_fingerprint());
    let dsa_signed = dsa.clear_sign(&Signing { hash: HashAlgorithm::Sha256, ..by_primary.clone() }, TEXT);
    let dsa_binary = dsa.clone().shaped(|shape| shape.self_hash = HashAlgorithm::Sha256).binary();
    add("DSA", &dsa_signed, dsa_binary, Some(message), true);

    let message = format!("key {subkey} may not sign: its key flags do not include signing");
    add("subkey not for signing", &good, shaped(|shape| shape.subkey_flags = Some(false)), Some(message), false);
    let message = format!("key {primary} may not sign: its key flags do not include signing");
    let certify_only = shaped(|shape| shape.primary_flags = Some(false));
    add("primary key not for signing", &first.clear_sign(&by_primary, TEXT), certify_only, Some(message), false);
    let message = format!("key {subkey} may not sign: it does not confirm its primary key");
    add("subkey without back-signature", &good, shaped(|shape| shape.back_signature = false), Some(message), false);

    let brief = Signing { lifetime: Some(DAY), ..Signing::default() };
    let message = format!("the signature by key {subkey} expired on 2024-06-02T00:00:00Z");
    add("signature expired", &first.clear_sign(&brief, TEXT), first.binary(), Some(message), false);
    let early = Signing { time: KEYS_MADE - DAY, ..Signing::default() };
    let message = format!(
        "the signature by key {subkey} claims 2023-12-31T00:00:00Z, which is before the key was made (2024-01-01T00:00:00Z)"
    );
    add("signed before the key was made", &first.clear_sign(&early, TEXT), first.binary(), Some(message), false);
    let future = Signing { time: SIGNED + 60 * DAY, ..Signing::default() };
    let message = format!(
        "the signature by key {subkey} claims 2024-07-31T00:00:00Z, which is in the future: this machine's clock says 2024-07-01T00:00:00Z"
    );
    add("signed in the future", &first.clear_sign(&future, TEXT), first.binary(), Some(message), true);
    let critical = Signing { critical_notation: true, ..Signing::default() };
    let message = "its signature cannot be read: it carries a critical part that is not understood".to_owned();
    add("critical notation", &first.clear_sign(&critical, TEXT), first.binary(), Some(message), false);

    let malformed = |reason: &str| Some(format!("its signature cannot be read: {reason}"));
    let before = format!("Suite: other\n{good}");
    add("text before", &before, first.binary(), malformed("there is text before the signed message"), true);
    let after = format!("{good}Suite: other\n");
    add("text after", &after, first.binary(), malformed("there is text after the signed message"), true);
    let cut = &good[..good.len() - 40];
    add("cut off", cut, first.binary(), malformed("the file ends within the signed message"), false);
    cases
}

#[test]
fn clear_signed_texts_are_judged_as_the_policy_says() {
    for case in cases() {
        match (verify(&case.file, &case.keyring), &case.refusal) {
            (Ok(verified), None) => assert_eq!(verified.text, SIGNED_TEXT, "{}", case.name),
            (Err(refusal), Some(message)) => assert_eq!(refusal.to_string(), *message, "{}", case.name),
            (found, wanted) => panic!("{}: {found:?} instead of {wanted:?}", case.name),
        }
    }
}

#[test]
fn gpgv_agrees_where_it_is_as_strict() {
    if find("gpgv").is_none() {
        eprintln!("SKIPPED: gpgv is not installed");
        return;
    }
    let differ: Vec<&str> =
        cases().iter().filter(|case| gpgv(&case.file, &case.keyring) != case.gpgv).map(|case| case.name).collect();
    assert_eq!(differ, [""; 0]);
}

#[test]
fn accepted_text_names_signer_and_time() {
    let first = Keys::fixture("first");
    let verified = verify(&first.clear_sign(&Signing::default(), TEXT), &first.binary()).unwrap();
    assert_eq!(verified.signer, first.subkey_fingerprint());
    assert_eq!(verified.signed, Epoch(i64::from(SIGNED)));
}

#[test]
fn every_changed_byte_of_the_text_is_noticed() {
    let first = Keys::fixture("first");
    let good = first.clear_sign(&Signing::default(), TEXT);
    let keyring = Certificates::read("pinned", &first.binary()).unwrap();
    let start = good.find("Origin").unwrap();
    for at in start..good.find("-----BEGIN PGP SIGNATURE").unwrap() - 1 {
        let mut bytes = good.clone().into_bytes();
        bytes[at] ^= 1;
        if let Ok(verified) = verify_clear_signed(&bytes, &keyring, Some(Epoch(NOW))) {
            // Only blanks at a line's end may change, and those are not given.
            assert_eq!(verified.text, SIGNED_TEXT, "byte {at}");
        }
    }
}

#[test]
fn without_a_now_only_the_time_of_signing_counts() {
    let first = Keys::fixture("first").shaped(|shape| shape.primary_lifetime = Some(162 * DAY));
    let keyring = Certificates::read("pinned", &first.binary()).unwrap();
    let good = first.clear_sign(&Signing::default(), TEXT);
    verify_clear_signed(good.as_bytes(), &keyring, None).unwrap();
    let late = first.clear_sign(&Signing { time: SIGNED + 20 * DAY, ..Signing::default() }, TEXT);
    let refusal = verify_clear_signed(late.as_bytes(), &keyring, None).unwrap_err();
    assert!(matches!(refusal, Refusal::ExpiredKey { .. }), "{refusal}");
}

#[test]
fn detached_signatures_are_judged_the_same_way() {
    let first = Keys::fixture("first");
    let keyring = Certificates::read("pinned", first.armoured().as_bytes()).unwrap();
    let now = Some(Epoch(NOW));
    let signing = Signing { kind: SignatureType::Binary, ..Signing::default() };
    let signature = first.detached(&signing, SIGNED_TEXT.as_bytes());
    let armoured = signature.to_armored_string(ArmorOptions::default()).unwrap();
    let binary = signature.to_bytes().unwrap();
    for signature in [armoured.as_bytes(), &binary] {
        let verified = verify_detached(SIGNED_TEXT.as_bytes(), signature, &keyring, now).unwrap();
        assert_eq!(verified.text, SIGNED_TEXT);
        let refusal = verify_detached(b"Origin: Other\n", signature, &keyring, now).unwrap_err();
        assert!(matches!(refusal, Refusal::Tampered { .. }), "{refusal}");
    }
    assert_eq!(verify_detached(TEXT.as_bytes(), b"\n", &keyring, now), Err(Refusal::Unsigned));
    let refusal = verify_detached(TEXT.as_bytes(), b"<html>", &keyring, now).unwrap_err();
    assert!(matches!(refusal, Refusal::Malformed { .. }), "{refusal}");
}

#[test]
fn keyrings_are_read_in_every_shape() {
    let first = Keys::fixture("first");
    let second = Keys::fixture("second");
    let good = first.clear_sign(&Signing::default(), TEXT);
    let blocks = format!("second:\n{}\nfirst:\n{}", second.armoured(), first.armoured());
    for keyring in [blocks.into_bytes(), [second.binary(), first.binary()].concat(), first.armoured().into_bytes()] {
        verify(&good, &keyring).unwrap();
    }
    let cases: [(&[u8], &str); 3] = [
        (b"", "keyring `pinned` holds no OpenPGP certificate: it is empty"),
        (b"hello", "keyring `pinned` holds no OpenPGP certificate: there is no armoured block in it"),
        (
            b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n",
            "keyring `pinned` holds no OpenPGP certificate: an armoured block has no end",
        ),
    ];
    for (bytes, message) in cases {
        assert_eq!(Certificates::read("pinned", bytes).unwrap_err().to_string(), message);
    }
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        let _ = Certificates::read("pinned", &bytes);
        let keyring = Certificates::read("pinned", &Keys::fixture("first").binary()).unwrap();
        let _ = verify_detached(b"x", &bytes, &keyring, None);
        let _ = verify_clear_signed(&bytes, &keyring, None);
    }

    #[test]
    fn damaged_signatures_never_panic_and_never_pass_another_text(at in 0_usize..600, bit in 0_u8..8) {
        let first = Keys::fixture("first");
        let keyring = Certificates::read("pinned", &first.binary()).unwrap();
        let mut bytes = first.clear_sign(&Signing::default(), TEXT).into_bytes();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        if let Ok(verified) = verify_clear_signed(&bytes, &keyring, Some(Epoch(NOW))) {
            assert_eq!(verified.text, SIGNED_TEXT);
        }
    }
}
