//! Bytes, sectors and LVM extents as types of their own: mixing them up does not compile.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Bytes of one sector. 4Kn disks are not supported: GPT and the LVM label sit at sector 1 of 512.
pub const SECTOR: u64 = 512;
/// Bytes of one LVM extent in every volume group that imgbuild lays out.
pub const EXTENT: u64 = 4 * MIB;
/// 2^10 bytes.
pub const KIB: u64 = 1 << 10;
/// 2^20 bytes.
pub const MIB: u64 = 1 << 20;
/// 2^30 bytes.
pub const GIB: u64 = 1 << 30;

/// A number of bytes. Written in documents as `4 GiB`, `512MiB`, `20G` (binary units all).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// A number or a position of 512-byte sectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sectors(pub u64);

/// A number or a position of LVM extents of [`EXTENT`] bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Extents(pub u64);

/// Why a size could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a size: write a whole number with a unit, such as `512 MiB` or `20 GiB`")]
pub struct SizeError(pub String);

impl Bytes {
    /// Reads `4 GiB`, `4GiB`, `4G`, `4096` (bytes). Units: B, K/KiB, M/MiB, G/GiB, T/TiB.
    ///
    /// # Errors
    /// When the text is no whole number with one of these units, or exceeds 2^64 - 1 bytes.
    pub fn parse(text: &str) -> Result<Self, SizeError> {
        let refuse = || SizeError(text.to_owned());
        let trimmed = text.trim();
        let split = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
        let number: u64 = trimmed[..split].parse().map_err(|_| refuse())?;
        let factor: u64 = match trimmed[split..].trim() {
            "" | "B" => 1,
            "K" | "KiB" => KIB,
            "M" | "MiB" => MIB,
            "G" | "GiB" => GIB,
            "T" | "TiB" => 1 << 40,
            _ => return Err(refuse()),
        };
        number.checked_mul(factor).map(Bytes).ok_or_else(refuse)
    }

    /// The number of sectors, if it is whole.
    #[must_use]
    pub fn sectors(self) -> Option<Sectors> {
        self.0.is_multiple_of(SECTOR).then_some(Sectors(self.0 / SECTOR))
    }

    /// The number of extents that hold this many bytes, rounded up.
    #[must_use]
    pub fn extents_up(self) -> Extents {
        Extents(self.0.div_ceil(EXTENT))
    }
}

impl Sectors {
    /// The same length in bytes.
    #[must_use]
    pub fn bytes(self) -> Bytes {
        Bytes(self.0 * SECTOR)
    }
}

impl Extents {
    /// The same length in bytes.
    #[must_use]
    pub fn bytes(self) -> Bytes {
        Bytes(self.0 * EXTENT)
    }
}

impl fmt::Display for Bytes {
    /// The largest binary unit that keeps the number whole, or one decimal above 1 MiB.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1_u64 << 40, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];
        for (factor, unit) in units {
            if self.0 >= factor {
                if self.0.is_multiple_of(factor) {
                    return f.pad(&format!("{} {unit}", self.0 / factor));
                }
                #[expect(clippy::cast_precision_loss, reason = "for people, one decimal")]
                return f.pad(&format!("{:.1} {unit}", self.0 as f64 / factor as f64));
            }
        }
        f.pad(&format!("{} B", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_with_binary_units_are_read() {
        let cases = [("4 GiB", 4 * GIB), ("512MiB", 512 * MIB), ("20G", 20 * GIB), ("7", 7), ("1 K", KIB)];
        for (text, bytes) in cases {
            assert_eq!(Bytes::parse(text), Ok(Bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn sizes_without_sense_are_refused() {
        for text in ["", "GiB", "-1 GiB", "1.5 GiB", "4 GB", "99999999999 TiB", "4 gib"] {
            assert!(Bytes::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_in_the_largest_whole_unit() {
        assert_eq!(Bytes(4 * GIB).to_string(), "4 GiB");
        assert_eq!(Bytes(1536 * MIB).to_string(), "1.5 GiB");
        assert_eq!(Bytes(12).to_string(), "12 B");
        assert_eq!(format!("{:>7}", Bytes(4 * GIB)), "  4 GiB");
    }
}
