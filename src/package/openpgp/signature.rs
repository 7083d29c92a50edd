//! One signature over a text, judged against a keyring.

use super::certificate::Candidate;
use super::keyring::Certificates;
use super::refusal::Refusal;
use crate::base::epoch::Epoch;
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType, SubpacketData};
use pgp::types::KeyDetails as _;

/// How far a signer's clock may run ahead of ours, in seconds.
const CLOCK_SKEW_SECONDS: i64 = 24 * 3600;

/// Who signed and when, or why this signature does not count. Without `now`, only the time of signing is judged.
pub(super) fn judge(
    signature: &Signature,
    text: &[u8],
    keyring: &Certificates,
    now: Option<Epoch>,
) -> Result<(String, Epoch), Refusal> {
    let candidates = candidates(signature, keyring);
    let Some(first) = candidates.first() else {
        return Err(Refusal::UnknownKey { keys: vec![issuer(signature)], keyring: keyring.name.clone() });
    };
    if let Some(hash) = hash_problem(signature) {
        return Err(Refusal::WeakHash { place: format!("the signature by key {}", first.fingerprint()), hash });
    }
    let malformed = |reason: &str| Refusal::Malformed { reason: reason.to_owned() };
    if !matches!(signature.typ(), Some(SignatureType::Binary | SignatureType::Text)) {
        return Err(malformed("it is not a signature over a text"));
    }
    if unknown_critical(signature) {
        return Err(malformed("it carries a critical part that is not understood"));
    }
    let created = signature.created().ok_or_else(|| malformed("it does not say when it was made"))?;
    let created = Epoch(i64::from(created.as_secs()));
    let mut refusal = Refusal::Tampered { key: first.fingerprint() };
    for candidate in &candidates {
        let key = candidate.fingerprint();
        if !candidate.verifies(signature, text) {
            continue;
        }
        match timely(signature, candidate, created, now).and_then(|()| {
            let times: Vec<Epoch> = [created].into_iter().chain(now).collect();
            candidate.may_sign(&times)
        }) {
            Ok(()) => return Ok((key, created)),
            Err(reason) => refusal = reason,
        }
    }
    Err(refusal)
}

fn timely(signature: &Signature, candidate: &Candidate<'_>, created: Epoch, now: Option<Epoch>) -> Result<(), Refusal> {
    let key = candidate.fingerprint();
    let wrong = |problem: String| Err(Refusal::WrongTime { key: key.clone(), at: created, problem });
    if created < candidate.created() {
        return wrong(format!("before the key was made ({})", candidate.created().rfc3339()));
    }
    let Some(now) = now else { return Ok(()) };
    if created.0 > now.0.saturating_add(CLOCK_SKEW_SECONDS) {
        return wrong(format!("in the future: this machine's clock says {}", now.rfc3339()));
    }
    let lifetime = signature.signature_expiration_time().filter(|lifetime| lifetime.as_secs() > 0);
    if let Some(lifetime) = lifetime {
        let at = Epoch(created.0 + i64::from(lifetime.as_secs()));
        if at <= now {
            return Err(Refusal::ExpiredSignature { key, at });
        }
    }
    Ok(())
}

/// The keys of the keyring that the signature names as its issuer.
fn candidates<'a>(signature: &Signature, keyring: &'a Certificates) -> Vec<Candidate<'a>> {
    let ids = signature.issuer_key_id();
    let prints = signature.issuer_fingerprint();
    let mut found = Vec::new();
    let named = |id: &pgp::types::KeyId, print: &pgp::types::Fingerprint| {
        if prints.is_empty() { ids.contains(&id) } else { prints.contains(&print) }
    };
    for certificate in &keyring.certificates {
        if named(&certificate.legacy_key_id(), &certificate.fingerprint()) {
            found.push(Candidate::Primary(certificate));
        }
        let mut seen = Vec::new();
        for subkey in &certificate.public_subkeys {
            let print = subkey.key.fingerprint();
            if named(&subkey.key.legacy_key_id(), &print) && !seen.contains(&print) {
                found.push(Candidate::Subkey(certificate, &subkey.key));
                seen.push(print);
            }
        }
    }
    found
}

/// The issuer as the signature names it.
fn issuer(signature: &Signature) -> String {
    if let Some(print) = signature.issuer_fingerprint().first() {
        return format!("key {print:X}");
    }
    match signature.issuer_key_id().first() {
        Some(id) => format!("key {}", id.to_string().to_uppercase()),
        None => "a key that it does not name".to_owned(),
    }
}

/// The name of the signature's hash when it is not one that we accept.
pub(super) fn hash_problem(signature: &Signature) -> Option<String> {
    match signature.hash_alg() {
        Some(HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512) => None,
        Some(other) => Some(other.to_string()),
        None => Some("an unknown hash".to_owned()),
    }
}

/// Whether the signed part holds something critical that we do not know: such a signature does not count.
pub(super) fn unknown_critical(signature: &Signature) -> bool {
    let Some(config) = signature.config() else { return true };
    config.hashed_subpackets().any(|part| {
        part.is_critical
            && matches!(
                part.data,
                SubpacketData::Notation(_) | SubpacketData::Experimental(..) | SubpacketData::Other(..)
            )
    })
}
