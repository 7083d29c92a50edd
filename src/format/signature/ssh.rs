//! OpenSSH's keys and its signatures over files, by the crate `ssh-key`.

use super::{NAMESPACE, SignatureError};
use rsa::BigUint;
use rsa::sha2::{Digest as _, Sha512};
use ssh_key::private::{KeypairData, RsaKeypair};
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, HashAlg, LineEnding, Mpint, PrivateKey, PublicKey, Signature, SshSig};

/// How a secret key's file begins.
const SECRET: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
/// Keys of one list of allowed signers.
const SIGNERS: usize = 1000;

pub(super) fn is_secret(text: &str) -> bool {
    text.trim_start().starts_with(SECRET)
}

fn parse(text: &str) -> Result<PrivateKey, SignatureError> {
    PrivateKey::from_openssh(text.trim()).map_err(|_| SignatureError::NoSecretKey)
}

pub(super) fn is_protected(text: &str) -> Option<bool> {
    parse(text).ok().map(|key| key.is_encrypted())
}

pub(super) fn secret(text: &str, password: Option<&str>) -> Result<PrivateKey, SignatureError> {
    let key = parse(text)?;
    let supported = matches!(
        key.algorithm(),
        Algorithm::Ed25519
            | Algorithm::Rsa { .. }
            | Algorithm::Ecdsa { curve: ssh_key::EcdsaCurve::NistP256 | ssh_key::EcdsaCurve::NistP384 }
    );
    if !supported {
        return Err(SignatureError::Algorithm(key.algorithm().to_string()));
    }
    if key.is_encrypted() {
        key.decrypt(password.unwrap_or_default()).map_err(|_| SignatureError::Password)
    } else {
        Ok(key)
    }
}

pub(super) fn sign(key: &PrivateKey, bytes: &[u8]) -> Result<String, SignatureError> {
    let failed = |error: ssh_key::Error| SignatureError::Signing(error.to_string());
    let signature = match key.key_data() {
        KeypairData::Rsa(pair) => {
            let data = SshSig::signed_data(NAMESPACE, HashAlg::Sha512, bytes).map_err(failed)?;
            let algorithm = Algorithm::Rsa { hash: Some(HashAlg::Sha512) };
            let signature = Signature::new(algorithm, rsa_signature(pair, &data)?).map_err(failed)?;
            SshSig::new(key.public_key().key_data().clone(), NAMESPACE, HashAlg::Sha512, signature)
        }
        _ => key.sign(NAMESPACE, HashAlg::Sha512, bytes),
    };
    signature.and_then(|signature| signature.to_pem(LineEnding::LF)).map_err(failed)
}

/// `ssh-key` 0.6.7 takes the first prime twice, so that no RSA key of its own signs.
fn rsa_signature(pair: &RsaKeypair, data: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let number = |number: &Mpint| BigUint::from_bytes_be(number.as_positive_bytes().unwrap_or_default());
    let (n, e) = (number(&pair.public.n), number(&pair.public.e));
    let primes = vec![number(&pair.private.p), number(&pair.private.q)];
    let failed = |error: rsa::Error| SignatureError::Signing(error.to_string());
    let key = rsa::RsaPrivateKey::from_components(n, e, number(&pair.private.d), primes).map_err(failed)?;
    key.sign(rsa::Pkcs1v15Sign::new::<Sha512>(), &Sha512::digest(data)).map_err(failed)
}

/// The keys of `ssh-ed25519 AAAA... comment` lines, or of lines of allowed signers (`who options key`).
pub(super) fn public(text: &str) -> Result<Vec<PublicKey>, SignatureError> {
    let mut keys = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let Some(key) = key(line) else { continue };
        if keys.len() >= SIGNERS {
            return Err(SignatureError::NoPublicKey);
        }
        keys.push(key);
    }
    Ok(keys)
}

/// The key of a line, from whichever word it begins; not when its options forbid signatures over files.
fn key(line: &str) -> Option<PublicKey> {
    let starts = std::iter::once(0).chain(line.match_indices([' ', '\t']).map(|(at, _)| at + 1));
    let (at, key) = starts.filter_map(|at| Some((at, PublicKey::from_openssh(&line[at..]).ok()?))).next()?;
    let options = &line[..at];
    let other = options.contains("namespaces=") && !namespaces(options).any(|name| name == NAMESPACE || name == "*");
    (!options.contains("cert-authority") && !other).then_some(key)
}

fn namespaces(options: &str) -> impl Iterator<Item = &str> {
    let list = options.split("namespaces=").nth(1).unwrap_or_default().trim_start_matches('"');
    list.split(['"', ' ']).next().unwrap_or_default().split(',')
}

/// Kind and fingerprint, as `ssh-keygen -l` prints them.
pub(super) fn name(key: &KeyData) -> String {
    let kind = match key.algorithm() {
        Algorithm::Ed25519 => "ED25519",
        Algorithm::Ecdsa { .. } => "ECDSA",
        Algorithm::Rsa { .. } => "RSA",
        _ => "other",
    };
    format!("{kind} key {}", key.fingerprint(HashAlg::Sha256))
}

/// The only Ed25519 key of a text: fingerprint, and its line without comment.
pub(super) fn only_ed25519(text: &str) -> Option<(String, String)> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    let mut key = PublicKey::from_openssh(line).ok().filter(|key| key.algorithm() == Algorithm::Ed25519)?;
    key.set_comment("");
    let line = key.to_openssh().ok()?.trim_end().to_owned();
    Some((key.fingerprint(HashAlg::Sha256).to_string(), line))
}

fn read(signature: &str) -> Result<SshSig, SignatureError> {
    let signature = SshSig::from_pem(signature).map_err(|error| SignatureError::Malformed(error.to_string()))?;
    if signature.namespace() == NAMESPACE {
        return Ok(signature);
    }
    Err(SignatureError::Namespace(signature.namespace().to_owned()))
}

pub(super) fn verify(keys: &[PublicKey], signature: &str, bytes: &[u8]) -> Result<String, SignatureError> {
    let signature = read(signature)?;
    let Some(key) = keys.iter().find(|key| key.key_data() == signature.public_key()) else {
        let wanted = keys.iter().map(|key| name(key.key_data())).collect::<Vec<_>>().join(" or ");
        return Err(SignatureError::OtherKey { found: name(signature.public_key()), wanted });
    };
    key.verify(NAMESPACE, bytes, &signature).map_err(|_| SignatureError::Wrong)?;
    Ok(name(key.key_data()))
}

pub(super) fn claimed(signature: &str, bytes: &[u8]) -> Result<String, SignatureError> {
    let read = read(signature)?;
    verify(&[PublicKey::new(read.public_key().clone(), "")], signature, bytes)
}
