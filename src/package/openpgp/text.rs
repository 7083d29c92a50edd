//! Clear-signed texts (`InRelease`) and texts with a signature beside them (`Release`, `Release.gpg`).

use super::Verified;
use super::keyring::Certificates;
use super::refusal::Refusal;
use super::signature::judge;
use crate::base::epoch::Epoch;
use crate::base::limits::RELEASE_SIGNATURES;
use pgp::composed::{CleartextSignedMessage, Deserializable as _, DetachedSignature};
use pgp::packet::Signature;

const HEADER: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const FOOTER: &str = "-----END PGP SIGNATURE-----";

/// Verifies a clear-signed file and gives the signed text. Anything before or after it is refused.
///
/// `now` judges expiry; without it (locked or offline work) only the time of signing does.
///
/// # Errors
/// When no signature is acceptable; the reason is that of the signature that came nearest.
pub fn verify_clear_signed(file: &[u8], keyring: &Certificates, now: Option<Epoch>) -> Result<Verified, Refusal> {
    let malformed = |reason: &str| Refusal::Malformed { reason: reason.to_owned() };
    let file = std::str::from_utf8(file).map_err(|_| malformed("it is not UTF-8 text"))?;
    if !file.contains(HEADER) {
        return Err(Refusal::Unsigned);
    }
    if !file.starts_with(HEADER) {
        return Err(malformed("there is text before the signed message"));
    }
    if !file.trim_end_matches(['\n', '\r']).ends_with(FOOTER) {
        return Err(malformed(if file.contains(FOOTER) {
            "there is text after the signed message"
        } else {
            "the file ends within the signed message"
        }));
    }
    let (message, _headers) =
        CleartextSignedMessage::from_string(file).map_err(|error| malformed(&error.to_string()))?;
    let canonical = message.signed_text();
    let (signer, signed) = any(message.signatures(), canonical.as_bytes(), keyring, now)?;
    Ok(Verified { text: with_newline(canonical.replace("\r\n", "\n")), signer, signed })
}

/// Verifies a file against the signatures beside it (armoured or binary).
///
/// # Errors
/// As [`verify_clear_signed`].
pub fn verify_detached(
    file: &[u8],
    signatures: &[u8],
    keyring: &Certificates,
    now: Option<Epoch>,
) -> Result<Verified, Refusal> {
    let malformed = |reason: String| Refusal::Malformed { reason };
    if signatures.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::Unsigned);
    }
    let (found, _headers) =
        DetachedSignature::from_reader_many_buf(signatures).map_err(|error| malformed(error.to_string()))?;
    let mut list = Vec::new();
    for signature in found.take(RELEASE_SIGNATURES + 1) {
        list.push(signature.map_err(|error| malformed(error.to_string()))?.signature);
    }
    let (signer, signed) = any(&list, file, keyring, now)?;
    let text = std::str::from_utf8(file).map_err(|_| malformed("the signed file is not UTF-8 text".to_owned()))?;
    Ok(Verified { text: with_newline(text.to_owned()), signer, signed })
}

/// The first acceptable signature; the most telling refusal when there is none.
fn any(
    signatures: &[Signature],
    text: &[u8],
    keyring: &Certificates,
    now: Option<Epoch>,
) -> Result<(String, Epoch), Refusal> {
    if signatures.len() > RELEASE_SIGNATURES {
        return Err(Refusal::TooMany { found: signatures.len(), limit: RELEASE_SIGNATURES });
    }
    let mut worst = Refusal::Unsigned;
    for signature in signatures {
        match judge(signature, text, keyring, now) {
            Ok(signer) => return Ok(signer),
            Err(refusal) => worst = combine(worst, refusal),
        }
    }
    Err(worst)
}

/// Unknown signers are listed together; otherwise the more telling reason stays.
fn combine(held: Refusal, new: Refusal) -> Refusal {
    match (held, new) {
        (Refusal::UnknownKey { mut keys, keyring }, Refusal::UnknownKey { keys: more, .. }) => {
            keys.extend(more);
            Refusal::UnknownKey { keys, keyring }
        }
        (held, new) if new.weight() > held.weight() => new,
        (held, _) => held,
    }
}

fn with_newline(mut text: String) -> String {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
