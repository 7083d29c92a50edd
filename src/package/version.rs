//! Debian package versions, compared as dpkg compares them (deb-version(7)).

use crate::base::limits::VERSION_BYTES;
use std::cmp::Ordering;

/// A version split into its parts, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Version<'a> {
    epoch: u32,
    upstream: &'a str,
    revision: &'a str,
}

/// Why a text is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a package version: {problem}", text.escape_debug())]
pub struct VersionError {
    text: String,
    problem: &'static str,
}

impl<'a> Version<'a> {
    /// Splits `[epoch:]upstream[-revision]`.
    ///
    /// # Errors
    /// When a part is empty or has characters that versions do not have.
    pub fn parse(text: &'a str) -> Result<Self, VersionError> {
        let refuse = |problem| VersionError { text: text.chars().take(80).collect(), problem };
        if text.len() > VERSION_BYTES {
            return Err(refuse("it is longer than 256 bytes"));
        }
        let (epoch, rest) = match text.split_once(':') {
            None => (0, text),
            Some((epoch, rest)) => {
                let digits = !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_digit());
                let number = digits.then(|| epoch.parse::<i32>().ok()).flatten().and_then(|n| u32::try_from(n).ok());
                (number.ok_or_else(|| refuse("the epoch before `:` is no number below 2147483648"))?, rest)
            }
        };
        let (upstream, revision) = match rest.rsplit_once('-') {
            None => (rest, None),
            Some((upstream, revision)) => (upstream, Some(revision)),
        };
        if upstream.is_empty() || revision == Some("") {
            return Err(refuse("a part of it is empty"));
        }
        let allowed =
            |byte: u8, more: &[u8]| byte.is_ascii_alphanumeric() || b".+~".contains(&byte) || more.contains(&byte);
        let revision = revision.unwrap_or("");
        if !upstream.bytes().all(|byte| allowed(byte, b"-:")) || !revision.bytes().all(|byte| allowed(byte, b"")) {
            return Err(refuse("it may have letters, digits and . + - ~ only"));
        }
        Ok(Self { epoch, upstream, revision })
    }
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let upstream = || compare_part(self.upstream, other.upstream);
        let revision = || compare_part(self.revision, other.revision);
        self.epoch.cmp(&other.epoch).then_with(upstream).then_with(revision)
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Equal is what compares equal: `1.0` and `0:1.0-0` are.
impl PartialEq for Version<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version<'_> {}

/// Compares two texts; what is no version sorts below all versions, bytewise.
#[must_use]
pub fn compare(left: &str, right: &str) -> Ordering {
    match (Version::parse(left), Version::parse(right)) {
        (Ok(left), Ok(right)) => left.cmp(&right),
        (Ok(_), Err(_)) => Ordering::Greater,
        (Err(_), Ok(_)) => Ordering::Less,
        (Err(_), Err(_)) => left.cmp(right),
    }
}

/// Alternates between stretches without digits (by [`weight`]) and numbers (by value, of any length).
fn compare_part(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    while !left.is_empty() || !right.is_empty() {
        let heads = |part: &[u8]| part.first().is_some_and(|byte| !byte.is_ascii_digit());
        while heads(left) || heads(right) {
            let order = weight(left.first()).cmp(&weight(right.first()));
            if order != Ordering::Equal {
                return order;
            }
            (left, right) = (&left[1..], &right[1..]);
        }
        let (number_left, rest_left) = number(left);
        let (number_right, rest_right) = number(right);
        let order = number_left.len().cmp(&number_right.len()).then_with(|| number_left.cmp(number_right));
        if order != Ordering::Equal {
            return order;
        }
        (left, right) = (rest_left, rest_right);
    }
    Ordering::Equal
}

/// A tilde sorts before the end, the end (and a digit) before letters, letters before everything else.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None | Some(b'0'..=b'9') => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    }
}

/// The leading number without its zeros, and what follows it.
fn number(part: &[u8]) -> (&[u8], &[u8]) {
    let end = part.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(part.len());
    let start = part[..end].iter().position(|byte| *byte != b'0').unwrap_or(end);
    (&part[start..end], &part[end..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn versions_compare_as_published() {
        let ascending = [
            "0~~",
            "0~~a",
            "0~",
            "0",
            "0a",
            "1.0~beta1~svn1245",
            "1.0~beta1",
            "1.0",
            "1.0-1",
            "1.0-1+b1",
            "1.0-1.1",
            "1.0-10",
            "1.0+git",
            "1.0.4",
            "1.2",
            "1.10",
            "2",
            "10",
            "1:0.4",
            "2:0",
        ];
        for (at, left) in ascending.iter().enumerate() {
            for (other, right) in ascending.iter().enumerate() {
                assert_eq!(compare(left, right), at.cmp(&other), "{left} {right}");
            }
        }
        for (left, right) in [("1.0", "0:1.0-0"), ("1.00", "1.0"), ("1.0-00", "1.0"), ("a0", "a")] {
            assert_eq!(compare(left, right), Ordering::Equal, "{left} {right}");
        }
        assert_eq!(compare("1.99999999999999999999999", "1.100000000000000000000000"), Ordering::Less);
    }

    #[test]
    fn texts_that_are_no_versions_are_refused() {
        let cases = [
            ("", "`` is not a package version: a part of it is empty"),
            ("1-", "`1-` is not a package version: a part of it is empty"),
            ("-1", "`-1` is not a package version: a part of it is empty"),
            (":1", "`:1` is not a package version: the epoch before `:` is no number below 2147483648"),
            (
                "3000000000:1",
                "`3000000000:1` is not a package version: the epoch before `:` is no number below 2147483648",
            ),
            ("1 2", "`1 2` is not a package version: it may have letters, digits and . + - ~ only"),
            ("1-2_3", "`1-2_3` is not a package version: it may have letters, digits and . + - ~ only"),
        ];
        for (text, message) in cases {
            assert_eq!(Version::parse(text).unwrap_err().to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn comparing_is_an_order(texts in proptest::collection::vec("[0-9a-c.~+:-]{0,8}", 3)) {
            let (a, b, c) = (&texts[0], &texts[1], &texts[2]);
            prop_assert_eq!(compare(a, b), compare(b, a).reverse());
            if compare(a, b) != Ordering::Greater && compare(b, c) != Ordering::Greater {
                prop_assert!(compare(a, c) != Ordering::Greater);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(left in ".{0,40}", right in ".{0,40}") {
            let _ = compare(&left, &right);
        }
    }
}
