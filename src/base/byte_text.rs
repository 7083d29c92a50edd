//! Bytes that are nearly always text, as JSON strings: what is not UTF-8, and `%`, becomes `%xx`.
//!
//! For fields: `#[serde(with = "crate::base::byte_text")]`.

use serde::{Deserialize, Deserializer, Serializer};
use std::borrow::Cow;
use std::fmt::Write as _;

/// Writes the bytes as a string.
///
/// # Errors
/// When the serialiser fails.
pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&to_text(bytes))
}

/// Reads the bytes back.
///
/// # Errors
/// When a `%` is not followed by two hexadecimal digits.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    from_text(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` has a stray %")))
}

/// The bytes as text.
#[must_use]
pub fn to_text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.contains('%')
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        out.push_str(&chunk.valid().replace('%', "%25"));
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02x}");
        }
    }
    Cow::Owned(out)
}

/// The bytes that a text stands for.
#[must_use]
pub fn from_text(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        let (before, after) = rest.split_at(at);
        out.extend_from_slice(before);
        let digits = after.get(1..3).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        out.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = &after[3..];
    }
    out.extend_from_slice(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_are_not_text_are_escaped() {
        assert_eq!(to_text(b"usr/bin"), "usr/bin");
        assert_eq!(to_text(b"100%\xff\xc3\xa4"), "100%25%ff\u{e4}");
        assert_eq!(from_text("%+1"), None);
        assert_eq!(from_text("%4"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_survive(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(from_text(&to_text(&bytes)), Some(bytes));
        }
    }
}
