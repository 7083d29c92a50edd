//! Laws of what a machine reads before it believes anything: signatures over seeds, and their manifests.

use crate::guest::format::{CLUSTER_KEY, DOCUMENTS, FILES, MANIFEST, NAMESPACE_CLUSTER, NAMESPACE_SEED, SIGNATURE};
use crate::guest::seed::copy::Volume;
use crate::guest::seed::encoded;
use crate::guest::seed::judge::{Accepted, Known, judge, parse};
use crate::guest::seed::ssh::PublicKey;
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha512};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// The card of the corpus's machine.
pub const MAC: &str = "52:54:00:00:04:0b";
/// What the corpus's first signature is over.
pub const SIGNED: &[u8] = b"bytes";
const GOOD: &str = include_str!("../corpus/guest-signature/good");
const LINE: &str = include_str!("../corpus/guest-signature/key");

/// An armour around these bytes.
fn armoured(blob: &[u8]) -> String {
    let mut text = encoded(blob);
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    let lines: Vec<String> =
        text.as_bytes().chunks(70).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
}

pub fn signature(input: &[u8]) {
    let key = PublicKey::parse(LINE).expect("the corpus has the key");
    let texts = [String::from_utf8_lossy(input).into_owned(), armoured(input)];
    for text in texts {
        // The armour's line breaks say nothing.
        if key.verify(&text, NAMESPACE_SEED, SIGNED).is_ok() {
            assert_eq!(text.replace('\n', ""), GOOD.replace('\n', ""), "another signature was accepted");
            super::reached::the_end();
        }
        assert!(key.verify(&text, NAMESPACE_SEED, b"other bytes").is_err(), "forged bytes were accepted");
        assert!(key.verify(&text, NAMESPACE_CLUSTER, SIGNED).is_err(), "another purpose was accepted");
        // The builder reads keys by another implementation: what the guest takes is the same key there.
        if let Ok(key) = PublicKey::parse(&text) {
            let there = imgbuild::format::signature::only_ed25519(&text);
            assert_eq!(there.map(|(fingerprint, _)| fingerprint), Some(key.fingerprint()), "{text:?}");
        }
    }
}

thread_local! {
    static FOLDER: RefCell<tempfile::TempDir> = RefCell::new(super::document::in_memory());
}

/// The volume of the corpus's cluster, whose documents and payload are what `manifest/good` says, with another manifest.
fn volume(manifest: &str, key: &SigningKey) -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> =
        DOCUMENTS.iter().map(|name| ((*name).to_owned(), format!("{name} of generation 7\n").into_bytes())).collect();
    files.insert(format!("{FILES}/etc/corosync/corosync.conf"), b"generation 7".to_vec());
    files.insert(format!("{FILES}/var/lib/pacemaker/cib/cib.xml"), b"cib 7".to_vec());
    let fields = |all: &[&[u8]]| -> Vec<u8> {
        all.iter().flat_map(|field| [&(field.len() as u32).to_be_bytes(), *field].concat()).collect()
    };
    let public = fields(&[b"ssh-ed25519", key.verifying_key().as_bytes()]);
    let hashed = fields(&[NAMESPACE_SEED.as_bytes(), b"", b"sha512", &Sha512::digest(manifest.as_bytes())]);
    let signed = fields(&[b"ssh-ed25519", &key.sign(&[&b"SSHSIG"[..], &hashed].concat()).to_bytes()]);
    let rest = fields(&[&public, NAMESPACE_SEED.as_bytes(), b"", b"sha512", &signed]);
    files.insert(SIGNATURE.to_owned(), armoured(&[&b"SSHSIG\0\0\0\x01"[..], &rest].concat()).into_bytes());
    files.insert(CLUSTER_KEY.to_owned(), LINE.as_bytes().to_vec());
    files.insert(MANIFEST.to_owned(), manifest.as_bytes().to_vec());
    files
}

/// Writes the volume where it differs from the one before, and judges it.
fn judged(manifest: &str) -> Result<Accepted, String> {
    let files = volume(manifest, &SigningKey::from_bytes(&[1; 32]));
    FOLDER.with_borrow(|folder| {
        for (path, bytes) in &files {
            let path = folder.path().join(path);
            if !path.exists() {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            }
            if path.ends_with(MANIFEST) || path.ends_with(SIGNATURE) || !path.exists() {
                std::fs::write(path, bytes).unwrap();
            }
        }
        let lengths = files.iter().map(|(path, bytes)| (path.clone(), bytes.len() as u64)).collect();
        let volume = Volume { folder: folder.path().to_owned(), files: lengths };
        judge(volume, &Known { macs: BTreeSet::from([MAC.to_owned()]), ..Known::default() })
    })
}

pub fn manifest(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(manifest) = parse(text) {
        let written = serde_json::to_string(&manifest).unwrap();
        assert_eq!(parse(&written).expect("what was written is read"), manifest, "{written}");
    }
    // Signed by its cluster, and yet not to be installed whatever it says.
    match judged(text) {
        Ok(Accepted::Signed(verified)) => {
            let manifest = verified.manifest;
            assert!(manifest.node.macs.iter().any(|mac| mac == MAC), "it is for another machine");
            let names: Vec<&str> = manifest.documents.iter().map(|document| document.name.as_str()).collect();
            assert_eq!(names, DOCUMENTS);
            let mut paths: Vec<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
            paths.sort_unstable();
            assert_eq!(
                paths,
                ["/etc/corosync/corosync.conf", "/var/lib/pacemaker/cib/cib.xml"],
                "a file is not listed"
            );
            super::reached::the_end();
            assert!(manifest.units.iter().all(|unit| !unit.name.contains(['/', ' ', '\n'])));
        }
        Ok(Accepted::Plain(_)) => panic!("a signed volume was taken for a plain one"),
        Err(reason) => assert!(!reason.is_empty()),
    }
}
