//! Signatures over a small file (SHA256SUMS): minisign's and OpenSSH's, made and verified.
//!
//! ```text
//! SHA256SUMS.minisig   minisign: Ed25519 over BLAKE2b, with a trusted comment   `minisign -V`
//! SHA256SUMS.sig       SSHSIG: armoured, namespace `file`                       `ssh-keygen -Y verify`
//! ```
//!
//! The crates `minisign` and `ssh-key` do the work; what is accepted is decided here.
//! Formats: <https://jedisct1.github.io/minisign/> and
//! <https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig>

mod minisign;
mod ssh;

use std::fmt;

/// The namespace of signatures over files: what `ssh-keygen -Y sign` is told for them.
pub const NAMESPACE: &str = "file";

/// What a signature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// minisign's.
    Minisign,
    /// OpenSSH's.
    Ssh,
}

impl Kind {
    /// What a signature's file name ends with.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Minisign => "minisig",
            Self::Ssh => "sig",
        }
    }
}

/// Why something could not be signed or verified.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// Not a secret key of a kind that is known.
    #[error("this is no secret key of minisign or OpenSSH")]
    NoSecretKey,
    /// Not a public key of a kind that is known.
    #[error("this is no public key of minisign or OpenSSH, and no list of allowed signers")]
    NoPublicKey,
    /// The key's password is missing or another.
    #[error("the secret key's password is wrong")]
    Password,
    /// The key's kind is not supported.
    #[error("keys of the kind {0} are not supported: Ed25519, ECDSA (P-256, P-384) and RSA are")]
    Algorithm(String),
    /// Not a signature.
    #[error("this is no signature of its kind: {0}")]
    Malformed(String),
    /// Made by another key.
    #[error("it was made by {found}, and not by {wanted}")]
    OtherKey {
        /// Whose it is.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// The right key, but not over these bytes.
    #[error("it does not fit the file: the file or the signature was changed")]
    Wrong,
    /// Of another purpose.
    #[error("it has the namespace `{0}`, and `file` is wanted")]
    Namespace(String),
    /// The signing itself failed.
    #[error("signing failed: {0}")]
    Signing(String),
}

/// A secret key at hand, its password removed.
pub enum SecretKey {
    /// minisign's.
    Minisign(Box<::minisign::SecretKey>),
    /// OpenSSH's.
    Ssh(Box<ssh_key::PrivateKey>),
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(***)")
    }
}

/// Whether a secret key's text is protected by a password; `None` when it is no secret key.
#[must_use]
pub fn is_protected(text: &str) -> Option<bool> {
    if ssh::is_secret(text) { ssh::is_protected(text) } else { minisign::is_protected(text) }
}

impl SecretKey {
    /// Reads a secret key; a password is only looked at when the key is protected by one.
    ///
    /// # Errors
    /// When it is none, or the password is not its own.
    pub fn read(text: &str, password: Option<&str>) -> Result<Self, SignatureError> {
        if ssh::is_secret(text) {
            return ssh::secret(text, password).map(|key| Self::Ssh(Box::new(key)));
        }
        minisign::secret(text, password).map(|key| Self::Minisign(Box::new(key)))
    }

    /// What signatures of this key are.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Minisign(_) => Kind::Minisign,
            Self::Ssh(_) => Kind::Ssh,
        }
    }

    /// Whose it is, for people: never the key itself.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Minisign(key) => minisign::name(key.keynum()),
            Self::Ssh(key) => ssh::name(key.public_key().key_data()),
        }
    }

    /// Signs a file's bytes. `comment` is one line that minisign signs along; OpenSSH's form has none.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign(&self, bytes: &[u8], comment: &str) -> Result<String, SignatureError> {
        match self {
            Self::Minisign(key) => minisign::sign(key, bytes, comment),
            Self::Ssh(key) => ssh::sign(key, bytes),
        }
    }
}

/// Whose signatures are accepted.
#[derive(Clone, Debug, PartialEq)]
pub enum Signer {
    /// A public key of minisign.
    Minisign(Box<::minisign::PublicKey>),
    /// Public keys of OpenSSH, any of them.
    Ssh(Vec<ssh_key::PublicKey>),
}

impl Signer {
    /// Reads a public key of minisign (the file, or its one line), public keys of OpenSSH, or a list of allowed signers.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn read(text: &str) -> Result<Self, SignatureError> {
        match ssh::public(text)? {
            keys if !keys.is_empty() => Ok(Self::Ssh(keys)),
            _ => minisign::public(text).map(|key| Self::Minisign(Box::new(key))),
        }
    }

    /// What its signatures are.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Minisign(_) => Kind::Minisign,
            Self::Ssh(_) => Kind::Ssh,
        }
    }

    /// Whose it is, for people.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Minisign(key) => minisign::name(key.keynum()),
            Self::Ssh(keys) => keys.iter().map(|key| ssh::name(key.key_data())).collect::<Vec<_>>().join(" or "),
        }
    }

    /// Verifies a signature over a file's bytes, and gives whose it is.
    ///
    /// # Errors
    /// When it is malformed, by another key, or over other bytes.
    pub fn verify(&self, signature: &str, bytes: &[u8]) -> Result<String, SignatureError> {
        match self {
            Self::Minisign(key) => minisign::verify(key, signature, bytes),
            Self::Ssh(keys) => ssh::verify(keys, signature, bytes),
        }
    }
}

/// Fingerprint (`SHA256:...`) and line (without comment) of a file's only OpenSSH key, when that is one of Ed25519:
/// the one kind that guests verify.
#[must_use]
pub fn only_ed25519(text: &str) -> Option<(String, String)> {
    ssh::only_ed25519(text)
}

/// Whose a signature claims to be. For OpenSSH's, which carries its key, also whether it fits the bytes.
///
/// # Errors
/// When it is malformed or does not fit.
pub fn claimed(kind: Kind, signature: &str, bytes: &[u8]) -> Result<String, SignatureError> {
    match kind {
        Kind::Minisign => minisign::claimed(signature),
        Kind::Ssh => ssh::claimed(signature, bytes),
    }
}

#[cfg(test)]
mod tests;
