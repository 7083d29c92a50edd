//! Addresses of networks and of their cards: read strictly, counted without overflow, written one way.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The address of a network card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac([u8; 6]);

/// An address and how many of its bits name the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not six pairs of hexadecimal digits.
    #[error("`{0}` is no address of a network card")]
    Mac(String),
    /// The lowest bit of the first byte is set.
    #[error("`{0}` is an address of a group, which no network card has")]
    Group(String),
    /// No address, `/` and number of bits.
    #[error("`{0}` is no network such as 192.168.4.0/24")]
    Cidr(String),
    /// More bits than the address has.
    #[error("the prefix of `{0}` is longer than the address")]
    Prefix(String),
}

impl Mac {
    /// Its bytes.
    #[must_use]
    pub fn octets(self) -> [u8; 6] {
        self.0
    }

    /// The address that many further on; `None` when it would leave the manufacturer's half.
    #[must_use]
    pub fn plus(self, count: u32) -> Option<Self> {
        let [a, b, c, x, y, z] = self.0;
        let number = u32::from_be_bytes([0, x, y, z]).checked_add(count).filter(|number| *number < 1 << 24)?;
        let [_, x, y, z] = number.to_be_bytes();
        Some(Self([a, b, c, x, y, z]))
    }
}

impl FromStr for Mac {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let refuse = || AddressError::Mac(text.to_owned());
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(refuse)?;
            *byte = u8::from_str_radix(part, 16).ok().filter(|_| !part.starts_with('+')).ok_or_else(refuse)?;
        }
        if parts.next().is_some() || bytes == [0; 6] {
            return Err(refuse());
        }
        if bytes[0] & 1 == 1 {
            return Err(AddressError::Group(text.to_owned()));
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, x, y, z] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{x:02x}:{y:02x}:{z:02x}")
    }
}

impl TryFrom<String> for Mac {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl Cidr {
    /// An address in a network of this many bits; `None` when the address has fewer.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        (prefix <= width(address)).then_some(Self { address, prefix })
    }

    /// The address as it was written.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// Bits that name the network.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether this is the sixth version's.
    #[must_use]
    pub fn is_v6(self) -> bool {
        self.address.is_ipv6()
    }

    /// The network itself: all bits behind the prefix are zero.
    #[must_use]
    pub fn network(self) -> Self {
        let address = from_number(to_number(self.address) & self.mask(), self.is_v6());
        Self { address, prefix: self.prefix }
    }

    /// The last address of the network; in the fourth version this is the broadcast address.
    #[must_use]
    pub fn last(self) -> IpAddr {
        let host = !self.mask() & all_ones(self.is_v6());
        from_number(to_number(self.address) | host, self.is_v6())
    }

    /// Whether an address lies in the network.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv6() == self.is_v6() && to_number(address) & self.mask() == to_number(self.address) & self.mask()
    }

    /// Whether two networks share an address.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.network().address) || other.contains(self.network().address)
    }

    /// Whether a machine may have this address: neither the network's own nor the broadcast address.
    #[must_use]
    pub fn is_host(self, address: IpAddr) -> bool {
        let whole = self.prefix + 1 >= width(self.address);
        self.contains(address)
            && (whole || (address != self.network().address && (self.is_v6() || address != self.last())))
    }

    fn mask(self) -> u128 {
        let bits = u32::from(width(self.address) - self.prefix);
        all_ones(self.is_v6()) & u128::MAX.checked_shl(bits).unwrap_or(0)
    }
}

impl FromStr for Cidr {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let refuse = || AddressError::Cidr(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(refuse)?;
        let digits = !prefix.is_empty() && prefix.len() <= 3 && prefix.bytes().all(|c| c.is_ascii_digit());
        if !digits || (prefix.len() > 1 && prefix.starts_with('0')) {
            return Err(refuse());
        }
        let address: IpAddr = address.parse().map_err(|_| refuse())?;
        let prefix = prefix.parse().map_err(|_| AddressError::Prefix(text.to_owned()))?;
        Self::new(address, prefix).ok_or_else(|| AddressError::Prefix(text.to_owned()))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl TryFrom<String> for Cidr {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

/// The address that many further on, in the same version; `None` past its end.
#[must_use]
pub fn plus(address: IpAddr, count: u32) -> Option<IpAddr> {
    let number = to_number(address).checked_add(u128::from(count))?;
    (number <= all_ones(address.is_ipv6())).then(|| from_number(number, address.is_ipv6()))
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv6() { 128 } else { 32 }
}

fn all_ones(v6: bool) -> u128 {
    if v6 { u128::MAX } else { u128::from(u32::MAX) }
}

fn to_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn from_number(number: u128, v6: bool) -> IpAddr {
    // What does not fit was cut by the masks above.
    if v6 { IpAddr::V6(number.into()) } else { IpAddr::V4(u32::try_from(number).unwrap_or(u32::MAX).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_know_their_bounds() {
        let lan = cidr("192.168.4.17/24");
        assert_eq!(lan.network().to_string(), "192.168.4.0/24");
        assert_eq!(lan.last().to_string(), "192.168.4.255");
        for (address, host) in
            [("192.168.4.0", false), ("192.168.4.255", false), ("192.168.4.1", true), ("192.168.5.1", false)]
        {
            assert_eq!(lan.is_host(address.parse().unwrap()), host, "{address}");
        }
        assert!(cidr("10.0.0.0/31").is_host("10.0.0.0".parse().unwrap()), "point to point: RFC 3021");
        assert!(cidr("fd00::/64").is_host("fd00::ffff:ffff:ffff:ffff".parse().unwrap()), "no broadcast in IPv6");
        assert!(!cidr("fd00::/64").contains("192.168.4.1".parse().unwrap()));
        assert!(cidr("0.0.0.0/0").contains("192.168.4.1".parse().unwrap()));
        assert!(cidr("::/0").overlaps(cidr("fd00::/64")));
        assert!(
            cidr("10.0.0.0/8").overlaps(cidr("10.244.0.0/16")) && !cidr("10.0.0.0/9").overlaps(cidr("10.244.0.0/16"))
        );
    }

    #[test]
    fn counting_stops_at_the_end() {
        assert_eq!(plus("192.168.4.254".parse().unwrap(), 3).unwrap().to_string(), "192.168.5.1");
        assert_eq!(plus("255.255.255.255".parse().unwrap(), 1), None);
        let mac: Mac = "52:54:00:00:04:FF".parse().unwrap();
        assert_eq!(mac.plus(1).unwrap().to_string(), "52:54:00:00:05:00");
        assert_eq!("52:54:00:ff:ff:ff".parse::<Mac>().unwrap().plus(1), None);
    }

    #[test]
    fn texts_that_are_no_addresses_are_refused() {
        for text in [
            "",
            "52:54:00:00:04",
            "52:54:00:00:04:15:16",
            "52:54:00:00:04:1",
            "52:54:00:00:04:+5",
            "00:00:00:00:00:00",
            "gg:54:00:00:04:15",
        ] {
            assert!(matches!(text.parse::<Mac>(), Err(AddressError::Mac(_))), "{text}");
        }
        assert!(matches!("01:00:5e:00:00:01".parse::<Mac>(), Err(AddressError::Group(_))));
        for text in
            ["192.168.4.0", "192.168.4.0/", "192.168.4.0/024", "192.168.04.0/24", "/24", "x/24", "fe80::1%eth0/64"]
        {
            assert!(matches!(text.parse::<Cidr>(), Err(AddressError::Cidr(_))), "{text}");
        }
        for text in ["192.168.4.0/33", "::/129", "::/999"] {
            assert!(matches!(text.parse::<Cidr>(), Err(AddressError::Prefix(_))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn addresses_are_written_as_they_are_read(bytes in any::<[u8; 6]>(), address in any::<u32>(), prefix in 0u8..=32) {
            let mac = Mac(bytes).to_string();
            if let Ok(read) = mac.parse::<Mac>() {
                prop_assert_eq!(read.to_string(), mac);
            }
            let cidr = Cidr::new(IpAddr::V4(address.into()), prefix).unwrap();
            prop_assert_eq!(cidr.to_string().parse::<Cidr>().unwrap(), cidr);
            prop_assert!(cidr.contains(cidr.address()) && cidr.contains(cidr.last()) && cidr.overlaps(cidr.network()));
        }
    }
}
