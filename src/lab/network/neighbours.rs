//! Who claims which address, as ARP tells: the lab's view of a floating address, with two owners when there are two.

use crate::base::limits::LAB_NEIGHBOURS;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Type of ARP in an Ethernet header.
const ARP: [u8; 2] = [0x08, 0x06];
/// Ethernet and IPv4, with addresses of 6 and 4 bytes.
const KINDS: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// What one ARP packet claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// The address.
    pub(super) address: Ipv4Addr,
    /// Whose it is said to be.
    pub(super) card: [u8; 6],
    /// Whether it is told to everybody without being asked.
    pub(super) gratuitous: bool,
}

/// The claim in an untagged frame, if it is ARP and claims anything.
pub(super) fn claim(frame: &[u8]) -> Option<Claim> {
    let packet = frame.get(12..)?.strip_prefix(&ARP)?.strip_prefix(&KINDS)?;
    let card: [u8; 6] = packet.get(2..8)?.try_into().ok()?;
    let address: [u8; 4] = packet.get(8..12)?.try_into().ok()?;
    let asked: [u8; 4] = packet.get(18..22)?.try_into().ok()?;
    // 0.0.0.0 probes whether an address is free and claims nothing.
    (address != [0; 4]).then(|| Claim { address: address.into(), card, gratuitous: address == asked })
}

/// An untagged frame that asks who has an address.
pub(super) fn question(card: [u8; 6], own: Ipv4Addr, address: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::with_capacity(42);
    frame.extend([0xff; 6]);
    frame.extend(card);
    frame.extend(ARP);
    frame.extend(KINDS);
    frame.extend([0, 1]);
    frame.extend(card);
    frame.extend(own.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}

/// Claims, each with the time of the newest.
#[derive(Debug, Default)]
pub(super) struct Neighbours(BTreeMap<(Ipv4Addr, [u8; 6]), Duration>);

impl Neighbours {
    /// Remembers a claim. Gives whether another card held the address until now.
    pub(super) fn hear(&mut self, claim: Claim, now: Duration) -> bool {
        let newest = self.of(claim.address).max_by_key(|(_, when)| *when).map(|(card, _)| card);
        if self.0.len() >= LAB_NEIGHBOURS {
            let oldest = self.0.iter().min_by_key(|(_, when)| **when).map(|(key, _)| *key);
            oldest.map(|key| self.0.remove(&key));
        }
        self.0.insert((claim.address, claim.card), now);
        newest.is_some_and(|card| card != claim.card)
    }

    /// Whose claims of this address were heard since then.
    pub(super) fn owners(&self, address: Ipv4Addr, since: Duration) -> Vec<[u8; 6]> {
        self.of(address).filter(|(_, when)| *when >= since).map(|(card, _)| card).collect()
    }

    fn of(&self, address: Ipv4Addr) -> impl Iterator<Item = ([u8; 6], Duration)> + '_ {
        self.0.range((address, [0; 6])..=(address, [0xff; 6])).map(|((_, card), when)| (*card, *when))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_read_from_questions_and_answers_and_from_nothing_else() {
        let (own, other) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let asked = question([2; 6], own, other);
        assert_eq!(claim(&asked), Some(Claim { address: own, card: [2; 6], gratuitous: false }));
        let told = question([2; 6], own, own);
        assert_eq!(claim(&told), Some(Claim { address: own, card: [2; 6], gratuitous: true }));
        assert_eq!(claim(&question([2; 6], Ipv4Addr::UNSPECIFIED, other)), None);
        for length in 0..asked.len() {
            assert_eq!(claim(&asked[..length]), None);
        }
        assert_eq!(claim(&[0; 60]), None);
    }

    #[test]
    fn two_owners_are_seen_as_two_and_old_claims_do_not_count() {
        let mut neighbours = Neighbours::default();
        let address = Ipv4Addr::new(10, 0, 0, 10);
        let claim = |card| Claim { address, card: [card; 6], gratuitous: false };
        assert!(!neighbours.hear(claim(1), Duration::from_secs(1)));
        assert!(neighbours.hear(claim(2), Duration::from_secs(2)));
        assert!(!neighbours.hear(claim(2), Duration::from_secs(3)));
        assert_eq!(neighbours.owners(address, Duration::ZERO), [[1; 6], [2; 6]]);
        assert_eq!(neighbours.owners(address, Duration::from_secs(2)), [[2; 6]]);
        assert!(neighbours.owners(Ipv4Addr::new(10, 0, 0, 11), Duration::ZERO).is_empty());
    }
}
