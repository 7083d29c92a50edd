//! Keys of X.509: ECDSA over P-256, which everything in Kubernetes reads, signing without randomness (RFC 6979), so that
//! the same certificate is the same to the byte.

use super::source::Source;
use crate::base::secret::Secret;
use anyhow::{Context as _, Result, bail, ensure};
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{PublicKeyData, SignatureAlgorithm};
use zeroize::Zeroizing;

/// PKCS#8 (RFC 5208) around an EC key (RFC 5915), up to its 32 secret bytes: version 0, id-ecPublicKey, prime256v1.
const PRIVATE_HEAD: &[u8] = &[
    0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
    0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20,
];
/// Between the secret bytes and the public point: `[1] BIT STRING`.
const PRIVATE_MIDDLE: &[u8] = &[0xa1, 0x44, 0x03, 0x42, 0x00];
/// SubjectPublicKeyInfo (RFC 5480) up to the point.
const PUBLIC_HEAD: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// An uncompressed point.
const POINT: usize = 65;

/// A key that signs.
pub(super) struct EcKey {
    signing: SigningKey,
    point: Vec<u8>,
}

impl EcKey {
    pub(super) fn make(source: &mut Source) -> Result<Self> {
        loop {
            // Nearly every 32 bytes are a key; the few beyond the curve's order are not.
            if let Ok(signing) = SigningKey::from_slice(&*source.bytes::<32>()?) {
                return Ok(Self::of(signing));
            }
        }
    }

    fn of(signing: SigningKey) -> Self {
        let point = signing.verifying_key().to_encoded_point(false).as_bytes().to_vec();
        Self { signing, point }
    }

    /// Reads PKCS#8 in PEM.
    pub(super) fn read(text: &Secret) -> Result<Self> {
        let wanted = "this is no P-256 key in PKCS#8 and PEM";
        let pem = pem::parse(text.reveal()).ok().context(wanted)?;
        let der = Zeroizing::new(pem.into_contents());
        let rest = der.strip_prefix(PRIVATE_HEAD).context(wanted)?;
        let (secret, rest) = rest.split_at_checked(32).context(wanted)?;
        let point = rest.strip_prefix(PRIVATE_MIDDLE).context(wanted)?;
        let key = Self::of(SigningKey::from_slice(secret).ok().context(wanted)?);
        ensure!(key.point == point, "its public half is not that of its secret half");
        Ok(key)
    }

    /// PKCS#8 in PEM.
    pub(super) fn private(&self) -> Secret {
        let secret = Zeroizing::new(self.signing.to_bytes());
        let der = Zeroizing::new([PRIVATE_HEAD, &secret[..], PRIVATE_MIDDLE, &self.point[..]].concat());
        Secret::new(encode("PRIVATE KEY", &der))
    }

    /// The public half in PEM.
    pub(super) fn public(&self) -> String {
        encode("PUBLIC KEY", &[PUBLIC_HEAD, &self.point[..]].concat())
    }

    /// Whether this is its public half, as certificates carry it.
    pub(super) fn is_of(&self, point: &[u8]) -> bool {
        self.point == point
    }
}

/// Makes sure that a signature over these bytes is by the key with this point.
pub(super) fn verify(point: &[u8], bytes: &[u8], signature: &[u8]) -> Result<()> {
    if point.len() != POINT {
        bail!("its authority has no P-256 key");
    }
    let key = VerifyingKey::from_sec1_bytes(point).ok().context("its authority has no P-256 key")?;
    let signature = Signature::from_der(signature).ok().context("its signature is malformed")?;
    key.verify(bytes, &signature).ok().context("its signature does not fit")
}

/// PEM with line feeds, on every system.
pub(super) fn encode(tag: &str, der: &[u8]) -> String {
    pem::encode_config(&Pem::new(tag, der), EncodeConfig::new().set_line_ending(LineEnding::LF))
}

impl PublicKeyData for EcKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for EcKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: Signature = self.signing.sign(message);
        Ok(signature.to_der().as_bytes().to_vec())
    }
}
