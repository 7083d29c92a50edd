//! Keyrings: several certificates, as one binary file or as any number of armoured blocks.

use super::refusal::KeyringError;
use crate::base::limits::{KEYRING_BYTES, KEYRING_CERTIFICATES};
use pgp::composed::{Deserializable as _, SignedPublicKey};
use pgp::types::KeyDetails as _;

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";

/// The certificates of one keyring; a key that stands there twice is one certificate with all its signatures.
#[derive(Clone, Debug)]
pub struct Certificates {
    pub(super) name: String,
    pub(super) certificates: Vec<SignedPublicKey>,
}

impl Certificates {
    /// Reads a keyring. Certificates that cannot be read are left out: their signatures then come from nobody known.
    ///
    /// # Errors
    /// When there is no certificate in it at all.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, KeyringError> {
        if bytes.len() > KEYRING_BYTES {
            return Err(KeyringError::TooLong { name: name.to_owned(), size: bytes.len(), limit: KEYRING_BYTES });
        }
        let mut keyring = Self { name: name.to_owned(), certificates: Vec::new() };
        let mut reason = "it is empty".to_owned();
        let binary = bytes.first().is_some_and(|first| first & 0x80 != 0);
        if binary {
            match SignedPublicKey::from_bytes_many(bytes) {
                Ok(found) => keyring.take(found, &mut reason)?,
                Err(error) => reason = error.to_string(),
            }
        } else {
            let text = String::from_utf8_lossy(bytes);
            for block in blocks(&text, &mut reason) {
                match SignedPublicKey::from_string_many(block) {
                    Ok((found, _headers)) => keyring.take(found, &mut reason)?,
                    Err(error) => reason = error.to_string(),
                }
            }
        }
        if keyring.certificates.is_empty() {
            return Err(KeyringError::Empty { name: name.to_owned(), reason });
        }
        Ok(keyring)
    }

    fn take(
        &mut self,
        found: impl Iterator<Item = pgp::errors::Result<SignedPublicKey>>,
        reason: &mut String,
    ) -> Result<(), KeyringError> {
        for certificate in found {
            match certificate {
                Ok(certificate) => self.merge(certificate),
                Err(error) => *reason = error.to_string(),
            }
            if self.certificates.len() > KEYRING_CERTIFICATES {
                return Err(KeyringError::TooMany { name: self.name.clone(), limit: KEYRING_CERTIFICATES });
            }
        }
        Ok(())
    }

    /// A revocation in one copy of a certificate must count for every copy.
    fn merge(&mut self, new: SignedPublicKey) {
        let fingerprint = new.fingerprint();
        match self.certificates.iter_mut().find(|known| known.fingerprint() == fingerprint) {
            Some(known) => {
                known.details.revocation_signatures.extend(new.details.revocation_signatures);
                known.details.direct_signatures.extend(new.details.direct_signatures);
                known.details.users.extend(new.details.users);
                known.public_subkeys.extend(new.public_subkeys);
            }
            None => self.certificates.push(new),
        }
    }
}

/// The armoured blocks of a text, in order; text between them is allowed, as in files made by `cat`.
fn blocks<'a>(text: &'a str, reason: &mut String) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(BEGIN) {
        let Some(length) = rest[start..].find(END) else {
            "an armoured block has no end".clone_into(reason);
            break;
        };
        let end = start + length + END.len();
        found.push(&rest[start..end]);
        rest = &rest[end..];
    }
    if found.is_empty() && !text.trim().is_empty() && reason == "it is empty" {
        "there is no armoured block in it".clone_into(reason);
    }
    found
}
