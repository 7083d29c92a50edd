//! Where new secrets come from: the system's randomness and its clock, behind this one door.

use crate::base::digest::Digest;
use anyhow::{Context as _, Result};
use ssh_key::rand_core::{OsRng, RngCore as _};
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Letters and digits that nobody takes for one another.
const ALPHABET: &[u8; 56] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789";

/// Gives randomness, and the moment at which certificates begin to count their days.
pub struct Source {
    now: i64,
    kind: Kind,
}

enum Kind {
    System,
    /// Digests of a counter: the same secrets every time, so none at all.
    Example(u64),
}

impl Source {
    /// The system's.
    ///
    /// # Errors
    /// When the clock stands before 1970.
    pub fn system() -> Result<Self> {
        #[allow(clippy::disallowed_methods, reason = "a certificate's end is counted from the day on which it is made")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
        Ok(Self { now: i64::try_from(now.as_secs()).context("reading the clock")?, kind: Kind::System })
    }

    /// Gives the same every time, at this moment (seconds since 1970): for tests and examples alone.
    #[must_use]
    pub fn example(now: i64) -> Self {
        Self { now, kind: Kind::Example(0) }
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.now
    }

    /// Random bytes.
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<zeroize::Zeroizing<[u8; N]>> {
        let mut bytes = zeroize::Zeroizing::new([0; N]);
        match &mut self.kind {
            Kind::System => OsRng.try_fill_bytes(&mut *bytes).context("asking the system for randomness")?,
            Kind::Example(counter) => {
                for chunk in bytes.chunks_mut(32) {
                    *counter += 1;
                    let digest = Digest::of(format!("imgbuild example {counter}").as_bytes());
                    chunk.copy_from_slice(&digest.bytes()[..chunk.len()]);
                }
            }
        }
        Ok(bytes)
    }

    /// A password of letters and digits, each as likely as any other.
    pub(super) fn password(&mut self, length: usize) -> Result<String> {
        let mut password = String::with_capacity(length);
        while password.len() < length {
            // Bytes beyond the last whole alphabet would make its first letters likelier.
            let even = self.bytes::<16>()?.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < 224).collect();
            let even: Vec<usize> = even;
            password.extend(even.iter().take(length - password.len()).map(|byte| char::from(ALPHABET[byte % 56])));
        }
        Ok(password)
    }

    /// A random UUID (version 4).
    pub(super) fn uuid(&mut self) -> Result<String> {
        let mut bytes = *self.bytes::<16>()?;
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Ok(crate::base::ids::Uuid(bytes).to_string())
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}
