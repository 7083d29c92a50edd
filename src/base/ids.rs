//! Identifiers that derive from the plan: the same plan gives the same GUIDs, always.

use super::digest::Digest;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A UUID of RFC 9562 version 8 (vendor-specific: here a truncated SHA-256 of a name).
/// Kept in the big-endian order in which it is printed; GPT's mixed order is the GPT writer's affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// The UUID that a name stands for within a namespace, such as (`image id seed`, `partition/3`).
    #[must_use]
    pub fn derive(namespace: &str, name: &str) -> Self {
        let digest = Digest::of(format!("imgbuild\0{namespace}\0{name}").as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.bytes()[..16]);
        bytes[6] = (bytes[6] & 0x0f) | 0x80;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }

    /// Reads the usual 8-4-4-4-12 form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.split('-').collect();
        let shape: Vec<usize> = text.split('-').map(str::len).collect();
        if shape != [8, 4, 4, 4, 12] || !digits.bytes().all(|c| c.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; 16];
        for (slot, at) in bytes.iter_mut().zip((0..32).step_by(2)) {
            *slot = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl From<Uuid> for String {
    fn from(uuid: Uuid) -> Self {
        uuid.to_string()
    }
}

impl TryFrom<String> for Uuid {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not a UUID"))
    }
}

/// An LVM2 identifier: 32 characters of `[A-Za-z0-9]`, printed dashed as 6-4-4-4-4-4-6.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LvmId(pub String);

impl LvmId {
    /// The identifier that a name stands for within a namespace.
    #[must_use]
    pub fn derive(namespace: &str, name: &str) -> Self {
        const ALPHABET: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let digest = Digest::of(format!("imgbuild lvm\0{namespace}\0{name}").as_bytes());
        Self(digest.bytes().iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % 62])).collect())
    }

    /// With dashes, as in LVM's text metadata.
    #[must_use]
    pub fn dashed(&self) -> String {
        let mut out = String::with_capacity(38);
        for (at, character) in self.0.chars().enumerate() {
            if matches!(at, 6 | 10 | 14 | 18 | 22 | 26) {
                out.push('-');
            }
            out.push(character);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_derive_from_names_and_survive_printing() {
        let uuid = Uuid::derive("plan", "disk");
        assert_ne!(uuid, Uuid::derive("plan", "esp"));
        assert_eq!(Uuid::parse(&uuid.to_string()), Some(uuid));
        assert_eq!(uuid.to_string().as_bytes()[14], b'8');
    }

    #[test]
    fn lvm_ids_have_lvms_shape() {
        let id = LvmId::derive("plan", "pv");
        assert_eq!(id.0.len(), 32);
        let parts: Vec<usize> = id.dashed().split('-').map(str::len).collect();
        assert_eq!(parts, [6, 4, 4, 4, 4, 4, 6]);
    }
}
