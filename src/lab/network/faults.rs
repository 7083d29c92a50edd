//! What is wrong with one direction of one port.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What happens to frames of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::lab) struct Faults {
    /// All of them are lost.
    pub(in crate::lab) cut: bool,
    /// Each arrives so many milliseconds later.
    pub(in crate::lab) delay: u32,
    /// So many of a thousand are lost.
    pub(in crate::lab) loss: u16,
}

impl Faults {
    /// Whether nothing is wrong.
    pub(in crate::lab) fn none(self) -> bool {
        self == Self::default()
    }

    /// When what arrives now goes on; `None` when it is lost.
    pub(super) fn pass(self, random: &mut Random) -> Option<Duration> {
        if self.cut || (self.loss > 0 && random.below(1000) < u64::from(self.loss)) {
            return None;
        }
        Some(Duration::from_millis(self.delay.into()))
    }
}

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut said = Vec::new();
        if self.cut {
            said.push("cut".to_owned());
        }
        if self.delay > 0 {
            said.push(format!("{} ms late", self.delay));
        }
        if self.loss > 0 {
            said.push(format!("{}.{} % lost", self.loss / 10, self.loss % 10));
        }
        f.write_str(&said.join(", "))
    }
}

/// Numbers that look random and are the same for the same seed (SplitMix64): a lossy line can be had twice.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `bound`, which is far below 2^64.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_about_what_was_asked_for_and_the_same_for_the_same_seed() {
        let lost = |seed| {
            let mut random = Random::new(seed);
            let faults = Faults { loss: 300, ..Faults::default() };
            (0..10_000).map(|_| faults.pass(&mut random).is_none()).collect::<Vec<_>>()
        };
        let count = lost(1).iter().filter(|lost| **lost).count();
        assert!((2800..3200).contains(&count), "{count}");
        assert_eq!(lost(7), lost(7));
        assert_ne!(lost(7), lost(8));
    }

    #[test]
    fn faults_say_what_they_are() {
        let faults = Faults { cut: true, delay: 50, loss: 125 };
        assert_eq!(faults.to_string(), "cut, 50 ms late, 12.5 % lost");
        assert!(Faults::default().none() && !faults.none());
    }
}
