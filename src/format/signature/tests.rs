//! Signatures made here are verified here; OpenSSH's and minisign's own programs see them in tests/verify.rs.

use super::*;
use proptest::prelude::*;

/// An Ed25519 key without a password, made by `ssh-keygen -t ed25519 -N ''` for this test alone.
fn ssh_secret() -> SecretKey {
    let pair = ssh_key::private::Ed25519Keypair::from_seed(&[7; 32]);
    SecretKey::Ssh(Box::new(ssh_key::PrivateKey::from(pair)))
}

fn ssh_signer(key: &SecretKey) -> Signer {
    let SecretKey::Ssh(key) = key else { panic!("an OpenSSH key") };
    Signer::read(&key.public_key().to_openssh().unwrap()).unwrap()
}

fn minisign_pair() -> (SecretKey, Signer) {
    let pair = ::minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let text = pair.sk.to_box(None).unwrap().into_string();
    let signer = Signer::read(&pair.pk.to_box().unwrap().into_string()).unwrap();
    assert_eq!(is_protected(&text), Some(false));
    assert_eq!(Signer::read(&pair.pk.to_base64()).unwrap(), signer);
    (SecretKey::read(&text, None).unwrap(), signer)
}

#[test]
fn signatures_of_both_kinds_fit_their_bytes_and_no_others() {
    let ssh = ssh_secret();
    let signer = ssh_signer(&ssh);
    for (key, signer) in [(ssh, signer), minisign_pair()] {
        let signature = key.sign(b"bytes", "image x").unwrap();
        assert_eq!(signer.verify(&signature, b"bytes").unwrap(), key.name());
        assert_eq!(claimed(key.kind(), &signature, b"bytes").unwrap(), key.name());
        assert_eq!(signer.name(), key.name());
        let wrong = signer.verify(&signature, b"other bytes").unwrap_err();
        assert_eq!(wrong.to_string(), "it does not fit the file: the file or the signature was changed");
        assert!(signer.verify("", b"bytes").unwrap_err().to_string().starts_with("this is no signature of its kind"));
        assert_eq!(format!("{key:?}"), "SecretKey(***)");
    }
}

#[test]
fn signatures_of_other_keys_are_refused_by_name() {
    let (one, _) = minisign_pair();
    let (_, other) = minisign_pair();
    let error = other.verify(&one.sign(b"x", "c").unwrap(), b"x").unwrap_err().to_string();
    assert_eq!(error, format!("it was made by {}, and not by {}", one.name(), other.name()));
}

#[test]
fn lists_of_allowed_signers_give_the_keys_that_may_sign_files() {
    let SecretKey::Ssh(key) = ssh_secret() else { panic!() };
    let line = key.public_key().to_openssh().unwrap();
    let count = |text: &str| match Signer::read(text) {
        Ok(Signer::Ssh(keys)) => keys.len(),
        _ => 0,
    };
    assert_eq!(count(&line), 1);
    assert_eq!(count(&format!("# who\n\nme@mirror.example {line} comment\n*@x {line}")), 2);
    assert_eq!(count(&format!("me namespaces=\"git,file\" {line}")), 1);
    assert_eq!(count(&format!("me namespaces=\"git\" {line}")), 0);
    assert_eq!(count(&format!("me cert-authority {line}")), 0);
}

#[test]
fn what_is_no_key_is_refused() {
    for text in ["", "a letter", "ssh-ed25519 AAAA", "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n"] {
        assert_eq!(is_protected(text), None);
        assert_eq!(
            SecretKey::read(text, None).unwrap_err().to_string(),
            "this is no secret key of minisign or OpenSSH"
        );
        let error = Signer::read(text).unwrap_err().to_string();
        assert_eq!(error, "this is no public key of minisign or OpenSSH, and no list of allowed signers");
    }
}

proptest! {
    #[test]
    fn arbitrary_keys_and_signatures_never_panic(text in "\\PC{0,200}(\n[A-Za-z0-9+/=]{0,300}){0,4}") {
        let _ = (is_protected(&text), SecretKey::read(&text, Some("x")), Signer::read(&text));
        for kind in [Kind::Minisign, Kind::Ssh] {
            let _ = claimed(kind, &text, b"x");
        }
    }
}
