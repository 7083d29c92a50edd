//! Which key of a certificate may sign, and until when: bindings, flags, expiry, revocation, strength.

use super::refusal::Refusal;
use super::signature::{hash_problem, unknown_critical};
use crate::base::epoch::Epoch;
use pgp::composed::SignedPublicKey;
use pgp::packet::{PublicSubkey, Signature, SignatureType};
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails, KeyVersion, PublicParams, Tag};

/// Bits of an RSA modulus, at least.
const RSA_BITS: u16 = 2048;

/// A key that was found in a certificate, judged.
pub(super) enum Candidate<'a> {
    /// The primary key itself.
    Primary(&'a SignedPublicKey),
    /// A subkey of it.
    Subkey(&'a SignedPublicKey, &'a PublicSubkey),
}

impl Candidate<'_> {
    /// The key's fingerprint, upper-case hexadecimal.
    pub(super) fn fingerprint(&self) -> String {
        match self {
            Self::Primary(certificate) => fingerprint(*certificate),
            Self::Subkey(_, key) => fingerprint(*key),
        }
    }

    /// When the key was made.
    pub(super) fn created(&self) -> Epoch {
        match self {
            Self::Primary(certificate) => epoch(certificate.created_at().as_secs()),
            Self::Subkey(_, key) => epoch(key.created_at().as_secs()),
        }
    }

    /// Whether the signature over the text is this key's.
    pub(super) fn verifies(&self, signature: &Signature, text: &[u8]) -> bool {
        match self {
            Self::Primary(certificate) => signature.verify(&certificate.primary_key, text).is_ok(),
            Self::Subkey(_, key) => signature.verify(*key, text).is_ok(),
        }
    }

    /// Whether this key may sign data, at all the given times.
    pub(super) fn may_sign(&self, times: &[Epoch]) -> Result<(), Refusal> {
        match self {
            Self::Primary(certificate) => {
                let binding = primary(certificate, times)?;
                if binding.flags.is_some_and(|signs| !signs) {
                    return Err(not_for_signing(*certificate, "its key flags do not include signing"));
                }
                Ok(())
            }
            Self::Subkey(certificate, key) => {
                primary(certificate, times)?;
                subkey(certificate, key, times)
            }
        }
    }
}

/// What the newest valid binding says.
struct Binding {
    /// Whether signing is among the key flags; `None` when there are no flags.
    flags: Option<bool>,
}

/// The primary key: self-signed, neither revoked nor expired, strong.
fn primary(certificate: &SignedPublicKey, times: &[Epoch]) -> Result<Binding, Refusal> {
    let key = &certificate.primary_key;
    strong(key)?;
    let details = &certificate.details;
    // Revocations count whatever their hash: a forged one does no harm worth having.
    if details.revocation_signatures.iter().any(|signature| signature.verify_key(key).is_ok()) {
        return Err(Refusal::Revoked { key: fingerprint(key) });
    }
    let mut weak = None;
    let mut bindings: Vec<&Signature> = Vec::new();
    let direct = details.direct_signatures.iter().filter(|signature| {
        signature.typ() == Some(SignatureType::Key) && issued_by(signature, key) && signature.verify_key(key).is_ok()
    });
    bindings.extend(direct);
    for user in &details.users {
        // Third-party certifications fill user ids; only the owner's own signatures bind.
        let own: Vec<&Signature> = user
            .signatures
            .iter()
            .filter(|s| issued_by(s, key) && s.verify_certification(key, Tag::UserId, &user.id).is_ok())
            .collect();
        if !own.iter().any(|signature| signature.typ() == Some(SignatureType::CertRevocation)) {
            bindings.extend(own);
        }
    }
    let newest = newest(bindings, times, &mut weak, &format!("the self-signature of key {}", fingerprint(key)));
    let Some(newest) = newest else {
        return Err(weak.unwrap_or_else(|| not_for_signing(key, "it has no valid self-signature")));
    };
    expiry(key, newest, times)?;
    Ok(Binding { flags: flags(newest) })
}

/// A subkey: bound by the primary key and binding back, flagged for signing, neither revoked nor expired, strong.
fn subkey(certificate: &SignedPublicKey, key: &PublicSubkey, times: &[Epoch]) -> Result<(), Refusal> {
    strong(key)?;
    let owner = &certificate.primary_key;
    let wanted = key.fingerprint();
    let valid: Vec<&Signature> = certificate
        .public_subkeys
        .iter()
        .filter(|copy| copy.key.fingerprint() == wanted)
        .flat_map(|copy| &copy.signatures)
        .filter(|signature| signature.verify_subkey_binding(owner, key).is_ok())
        .collect();
    if valid.iter().any(|signature| signature.typ() == Some(SignatureType::SubkeyRevocation)) {
        return Err(Refusal::Revoked { key: fingerprint(key) });
    }
    let mut weak = None;
    let place = format!("the binding of key {}", fingerprint(key));
    let Some(newest) = newest(valid, times, &mut weak, &place) else {
        return Err(weak.unwrap_or_else(|| not_for_signing(key, "its primary key does not bind it")));
    };
    if flags(newest) != Some(true) {
        return Err(not_for_signing(key, "its key flags do not include signing"));
    }
    let back = newest.embedded_signature().filter(|back| back.verify_primary_key_binding(key, owner).is_ok());
    let Some(back) = back else {
        return Err(not_for_signing(key, "it does not confirm its primary key"));
    };
    if let Some(hash) = hash_problem(back) {
        return Err(Refusal::WeakHash { place: format!("the back-signature of key {}", fingerprint(key)), hash });
    }
    expiry(key, newest, times)
}

/// The newest acceptable signature that is not younger than the last of these times.
fn newest<'a>(
    signatures: Vec<&'a Signature>,
    times: &[Epoch],
    weak: &mut Option<Refusal>,
    place: &str,
) -> Option<&'a Signature> {
    let latest = times.iter().max().copied().unwrap_or(Epoch(i64::MAX));
    let mut found: Option<(&Signature, Epoch)> = None;
    for signature in signatures {
        let Some(created) = signature.created().map(|time| epoch(time.as_secs())) else { continue };
        if let Some(hash) = hash_problem(signature) {
            *weak = Some(Refusal::WeakHash { place: place.to_owned(), hash });
            continue;
        }
        let expired = signature
            .signature_expiration_time()
            .filter(|lifetime| lifetime.as_secs() > 0)
            .is_some_and(|lifetime| created.0 + i64::from(lifetime.as_secs()) <= latest.0);
        if created > latest || expired || unknown_critical(signature) {
            continue;
        }
        if found.is_none_or(|(_, best)| created >= best) {
            found = Some((signature, created));
        }
    }
    found.map(|(signature, _)| signature)
}

fn expiry(key: &impl KeyDetails, binding: &Signature, times: &[Epoch]) -> Result<(), Refusal> {
    let Some(lifetime) = binding.key_expiration_time().filter(|lifetime| lifetime.as_secs() > 0) else {
        return Ok(());
    };
    let at = Epoch(i64::from(key.created_at().as_secs()) + i64::from(lifetime.as_secs()));
    match times.iter().any(|time| *time >= at) {
        true => Err(Refusal::ExpiredKey { key: fingerprint(key), at }),
        false => Ok(()),
    }
}

fn flags(binding: &Signature) -> Option<bool> {
    let present = binding.config().is_some_and(|config| {
        config.hashed_subpackets().any(|part| matches!(part.data, pgp::packet::SubpacketData::KeyFlags(_)))
    });
    present.then(|| binding.key_flags().sign())
}

fn issued_by(signature: &Signature, key: &impl KeyDetails) -> bool {
    let id = key.legacy_key_id();
    let print = key.fingerprint();
    signature.issuer_key_id().into_iter().any(|issuer| *issuer == id)
        || signature.issuer_fingerprint().into_iter().any(|issuer| *issuer == print)
}

fn strong(key: &impl KeyDetails) -> Result<(), Refusal> {
    let weak = |reason: String| Err(Refusal::WeakKey { key: fingerprint(key), reason });
    if !matches!(key.version(), KeyVersion::V4 | KeyVersion::V6) {
        return weak(format!("it is a key of version {}", u8::from(key.version())));
    }
    match key.public_params() {
        PublicParams::RSA(parameters) => {
            // An MPI begins with its length in bits.
            let mut bytes = Vec::new();
            let bits = match parameters.to_writer(&mut bytes) {
                Ok(()) if bytes.len() > 2 => u16::from_be_bytes([bytes[0], bytes[1]]),
                _ => 0,
            };
            if bits < RSA_BITS {
                return weak(format!("RSA with {bits} bits, at least {RSA_BITS} are needed"));
            }
            Ok(())
        }
        PublicParams::ECDSA(_) | PublicParams::EdDSALegacy(_) | PublicParams::Ed25519(_) | PublicParams::Ed448(_) => {
            Ok(())
        }
        _ => weak(format!("{:?} is not accepted for signing", key.algorithm())),
    }
}

fn not_for_signing(key: &impl KeyDetails, reason: &str) -> Refusal {
    Refusal::NotForSigning { key: fingerprint(key), reason: reason.to_owned() }
}

fn fingerprint(key: &impl KeyDetails) -> String {
    format!("{:X}", key.fingerprint())
}

fn epoch(seconds: u32) -> Epoch {
    Epoch(i64::from(seconds))
}
