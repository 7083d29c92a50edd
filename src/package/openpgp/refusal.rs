//! Why a signature or a keyring is not accepted, one sentence per reason.

use crate::base::epoch::Epoch;

/// Why a text is not trusted. Keys are named by fingerprint, or by key id when that is all that is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no signature at all.
    #[error("it is not signed")]
    Unsigned,
    /// The bytes are not an OpenPGP message of the expected shape.
    #[error("its signature cannot be read: {reason}")]
    Malformed {
        /// What the parser says.
        reason: String,
    },
    /// More signatures than anyone makes.
    #[error("it carries {found} signatures, at most {limit} are looked at")]
    TooMany {
        /// How many there are.
        found: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// A known key's signature is not over this text.
    #[error("the signature by key {key} does not match the text: it was changed after signing")]
    Tampered {
        /// The signer.
        key: String,
    },
    /// Nobody of the keyring signed.
    #[error("it is signed by {}, which keyring `{keyring}` does not hold", keys.join(" and "))]
    UnknownKey {
        /// Who signed.
        keys: Vec<String>,
        /// The keyring's name.
        keyring: String,
    },
    /// The key's time is over.
    #[error("key {key} expired on {}", at.rfc3339())]
    ExpiredKey {
        /// The signer.
        key: String,
        /// When.
        at: Epoch,
    },
    /// The key was withdrawn.
    #[error("key {key} is revoked")]
    Revoked {
        /// The signer.
        key: String,
    },
    /// The signature's time is over.
    #[error("the signature by key {key} expired on {}", at.rfc3339())]
    ExpiredSignature {
        /// The signer.
        key: String,
        /// When.
        at: Epoch,
    },
    /// The signature claims a time that cannot be.
    #[error("the signature by key {key} claims {}, which is {problem}", at.rfc3339())]
    WrongTime {
        /// The signer.
        key: String,
        /// The claimed time.
        at: Epoch,
        /// Why that cannot be.
        problem: String,
    },
    /// The hash can be forged.
    #[error("{place} uses {hash}, which can be forged; SHA-256, SHA-384 and SHA-512 are accepted")]
    WeakHash {
        /// The signature by a key, or a key's own binding.
        place: String,
        /// The hash.
        hash: String,
    },
    /// The key can be broken.
    #[error("key {key} is too weak: {reason}")]
    WeakKey {
        /// The signer.
        key: String,
        /// Its algorithm and size.
        reason: String,
    },
    /// The key may not sign data.
    #[error("key {key} may not sign: {reason}")]
    NotForSigning {
        /// The signer.
        key: String,
        /// What is missing.
        reason: String,
    },
}

impl Refusal {
    /// How much the reason tells when several signatures are refused: the highest is shown.
    pub(super) fn weight(&self) -> u8 {
        match self {
            Self::Tampered { .. } => 9,
            Self::Revoked { .. } => 8,
            Self::ExpiredKey { .. } => 7,
            Self::WeakHash { .. } | Self::WeakKey { .. } => 6,
            Self::NotForSigning { .. } => 5,
            Self::ExpiredSignature { .. } | Self::WrongTime { .. } => 4,
            Self::UnknownKey { .. } => 3,
            Self::TooMany { .. } | Self::Malformed { .. } => 2,
            Self::Unsigned => 1,
        }
    }
}

/// Why a keyring cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// No certificate could be read.
    #[error("keyring `{name}` holds no OpenPGP certificate: {reason}")]
    Empty {
        /// The keyring's name.
        name: String,
        /// What the parser says.
        reason: String,
    },
    /// More than anyone pins.
    #[error("keyring `{name}` holds more than the {limit} certificates that are read")]
    TooMany {
        /// The keyring's name.
        name: String,
        /// How many are read.
        limit: usize,
    },
    /// Longer than any keyring.
    #[error("keyring `{name}` is {size} bytes long, at most {limit} are read")]
    TooLong {
        /// The keyring's name.
        name: String,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
}
