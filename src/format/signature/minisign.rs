//! minisign's keys and signatures, by its author's crate.

use super::SignatureError;
use minisign::{PublicKey, PublicKeyBox, SecretKey, SecretKeyBox, SignatureBox};
use std::io::Cursor;

/// The first line of a signature file, which nothing verifies.
const UNTRUSTED: &str = "signature from imgbuild";
/// Longest key or signature line in Base64 that is looked at.
const LINE: usize = 1024;

/// The line that carries a key: the second of its file, or the only one.
fn line(text: &str) -> Option<&str> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next()?;
    let line = if first.starts_with("untrusted comment:") { lines.next()? } else { first };
    (line.len() <= LINE).then_some(line)
}

/// Bytes of a secret key: algorithms, salt and limits, then number, key and checksum.
const SECRET: usize = 158;
/// The algorithm of the signatures, and that of the password; zeros where there is none.
const ALGORITHM: &[u8] = b"Ed";
const SCRYPT: &[u8] = b"Sc";

/// A secret key's bytes.
fn bytes(text: &str) -> Option<Vec<u8>> {
    decode(line(text)?).filter(|bytes| bytes.len() == SECRET && bytes.starts_with(ALGORITHM))
}

/// Base64 with padding; the crate keeps its own to itself.
fn decode(text: &str) -> Option<Vec<u8>> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = |letter: &u8| LETTERS.iter().position(|known| known == letter);
    let plain = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - plain.len() > 2 {
        return None;
    }
    let (mut out, mut bits, mut count) = (Vec::new(), 0_usize, 0);
    for letter in plain.as_bytes() {
        bits = (bits << 6 | value(letter)?) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count).to_le_bytes()[0]);
        }
    }
    Some(out)
}

pub(super) fn is_protected(text: &str) -> Option<bool> {
    match &bytes(text)?[2..4] {
        [0, 0] => Some(false),
        SCRYPT => Some(true),
        _ => None,
    }
}

pub(super) fn secret(text: &str, password: Option<&str>) -> Result<SecretKey, SignatureError> {
    match is_protected(text).zip(bytes(text)) {
        // Keys without a password carry no checksum when minisign made them, so the crate's own way in refuses them.
        Some((false, bytes)) => SecretKey::from_bytes(&bytes).map_err(|_| SignatureError::NoSecretKey),
        Some((true, _)) => {
            let password = password.ok_or(SignatureError::Password)?.to_owned();
            let line = line(text).ok_or(SignatureError::NoSecretKey)?;
            let boxed = SecretKeyBox::from_string(&format!("untrusted comment: key\n{line}\n"));
            boxed.and_then(|key| key.into_secret_key(Some(password))).map_err(|_| SignatureError::Password)
        }
        None => Err(SignatureError::NoSecretKey),
    }
}

pub(super) fn sign(key: &SecretKey, bytes: &[u8], comment: &str) -> Result<String, SignatureError> {
    let signature = minisign::sign(None, key, Cursor::new(bytes), Some(comment), Some(UNTRUSTED));
    signature.map(SignatureBox::into_string).map_err(|error| SignatureError::Signing(error.to_string()))
}

pub(super) fn public(text: &str) -> Result<PublicKey, SignatureError> {
    let line = line(text).ok_or(SignatureError::NoPublicKey)?;
    let boxed = PublicKeyBox::from_string(&format!("untrusted comment: key\n{line}\n"));
    boxed.and_then(PublicKeyBox::into_public_key).map_err(|_| SignatureError::NoPublicKey)
}

/// The identifier that minisign prints.
pub(super) fn name(number: &[u8]) -> String {
    let digits: String = number.iter().rev().map(|byte| format!("{byte:02X}")).collect();
    format!("minisign key {digits}")
}

fn read(signature: &str) -> Result<SignatureBox, SignatureError> {
    SignatureBox::from_string(signature).map_err(|error| SignatureError::Malformed(error.to_string()))
}

pub(super) fn verify(key: &PublicKey, signature: &str, bytes: &[u8]) -> Result<String, SignatureError> {
    let signature = read(signature)?;
    if signature.keynum() != key.keynum() {
        return Err(SignatureError::OtherKey { found: name(signature.keynum()), wanted: name(key.keynum()) });
    }
    minisign::verify(key, &signature, Cursor::new(bytes), true, false, true).map_err(|_| SignatureError::Wrong)?;
    Ok(name(key.keynum()))
}

pub(super) fn claimed(signature: &str) -> Result<String, SignatureError> {
    Ok(name(read(signature)?.keynum()))
}
