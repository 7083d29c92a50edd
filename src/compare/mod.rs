//! Holds two images or results against each other, from the outside in: partition table, partition, volume, file, byte.
//!
//! ```text
//! results    manifests, artifacts by name
//!   disks    partition table, bytes outside of partitions
//!     partition, volume
//!       filesystem    superblock, files by path; where all files are equal: where they lie
//!         file        type, mode, owners, times, attributes, contents
//! ```
//!
//! Nothing is written and nothing is taken into memory but lists of names. What a difference may come from is said
//! beside it: `causes` knows the usual suspects.

mod bytes;
mod causes;
mod disks;
mod ext4;
mod fat;
mod results;
mod show;

pub use bytes::{Spot, first_difference};
pub use disks::disks;
pub use results::{Side, sides};

use serde::Serialize;
use std::path::PathBuf;

/// Two things held against each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The first, as found.
    pub a: PathBuf,
    /// The second.
    pub b: PathBuf,
    /// Whether all bytes that count are the same.
    pub same: bool,
    /// What differs, from the outside in.
    pub differences: Vec<Difference>,
    /// How many more there are than are listed.
    pub more: usize,
    /// Where the differences may come from, the likeliest first.
    pub causes: Vec<String>,
}

/// One thing that differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where, from the outside in: `partition 3 (lvm)`, `volume root`.
    pub place: Vec<String>,
    /// The file, as the running machine would name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What of it: `mode`, `contents`, ...
    pub what: String,
    /// How it is on the first side; empty when it is not there.
    pub a: String,
    /// How it is on the second.
    pub b: String,
    /// An excerpt of both.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
}

/// What is found, bounded.
#[derive(Debug, Default)]
struct Findings {
    place: Vec<String>,
    differences: Vec<Difference>,
    more: usize,
}

impl Findings {
    /// Goes one level in for what `within` finds.
    fn within<T>(&mut self, place: impl Into<String>, within: impl FnOnce(&mut Self) -> T) -> T {
        self.place.push(place.into());
        let given = within(self);
        self.place.pop();
        given
    }

    fn add(&mut self, what: impl Into<String>, a: impl Into<String>, b: impl Into<String>) {
        self.push(Difference { what: what.into(), a: a.into(), b: b.into(), ..Difference::default() });
    }

    /// Adds what differs, if it does.
    fn value(&mut self, what: &str, a: impl Into<String>, b: impl Into<String>) {
        let (a, b) = (a.into(), b.into());
        if a != b {
            self.add(what, a, b);
        }
    }

    fn push(&mut self, difference: Difference) {
        if self.differences.len() >= crate::base::limits::DIFFERENCES {
            self.more += 1;
            return;
        }
        self.differences.push(Difference { place: self.place.clone(), ..difference });
    }

    fn count(&self) -> usize {
        self.differences.len() + self.more
    }
}

#[cfg(test)]
mod tests;
