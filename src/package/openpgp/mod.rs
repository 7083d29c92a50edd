//! Signatures of archives, judged by a policy of our own over a strict parser.
//!
//! A text is accepted when at least one signature over it is valid and was made by a key of the pinned keyring that
//! may sign: bound to its primary key, neither expired nor revoked, strong, with a strong hash. Other signatures
//! beside it do not matter, so an archive can change keys by signing with the old and the new one.
//!
//! Rules: <https://www.rfc-editor.org/rfc/rfc9580.html>, section 5.2 (signatures), 7 (clear-signed texts), 10.1 (keys).

mod certificate;
mod keyring;
mod refusal;
mod signature;
mod text;

pub use keyring::Certificates;
pub use refusal::{KeyringError, Refusal};
pub use text::{verify_clear_signed, verify_detached};

use crate::base::epoch::Epoch;

/// A text that a key of the keyring vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The signed text, lines ended by `\n`, the last one too. Nothing else of the file may be read.
    pub text: String,
    /// Fingerprint of the key that signed, upper-case hexadecimal.
    pub signer: String,
    /// When it signed.
    pub signed: Epoch,
}
