//! Networks: their ranges, gateways, name servers, VLANs and pools.

use super::{one_or_more, words};
use crate::base::network::Cidr;
use crate::input::content::key_checked;
use crate::input::decode::{Fields, Located, Refusal, Report};
use crate::input::problem::Fault;
use crate::input::yaml::Node;
use std::net::IpAddr;

/// A network. Interfaces in it bear its name.
#[derive(Clone, Debug)]
pub(crate) struct NetworkEntry {
    pub(crate) name: Located<String>,
    /// One range, or one of each version; none for a network that somebody else runs (`dhcp: true`).
    pub(crate) ranges: Vec<Located<Cidr>>,
    pub(crate) gateways: Vec<Located<IpAddr>>,
    pub(crate) dns: Vec<Located<IpAddr>>,
    pub(crate) vlan: Option<Located<i64>>,
    pub(crate) parent: Option<Located<String>>,
    pub(crate) mtu: Option<Located<i64>>,
    /// First and last address that the gateway lends to machines it does not know.
    pub(crate) pool: Option<Located<(IpAddr, IpAddr)>>,
    /// Somebody else's DHCP server gives the addresses: the way out of the cluster.
    pub(crate) foreign: bool,
}

pub(super) fn networks(report: &Report, node: &Node) -> Vec<NetworkEntry> {
    report
        .map(node)
        .iter()
        .filter_map(|(key, node)| {
            let name = key_checked(report, key, words::network);
            let mut fields = Fields::open(report, node, "a network")?;
            let foreign = fields.get("dhcp").and_then(|node| report.boolean(node)).unwrap_or(false);
            let ranges = if foreign { fields.get("cidr") } else { fields.require("cidr") };
            let ranges = several(report, ranges, "range", words::cidr);
            let gateways = several(report, fields.get("gateway"), "gateway", words::address);
            let dns =
                fields.get("dns").map(|node| report.texts(node, "name server", words::address)).unwrap_or_default();
            // 0 and 4095 are reserved (IEEE 802.1Q).
            let vlan = fields.get("vlan").and_then(|node| report.integer(node, 1, 4094));
            let parent = fields.get("parent").and_then(|node| report.checked(node, words::network));
            // 1280 is the least that IPv6 works with (RFC 8200), 9216 what switches call jumbo.
            let mtu = fields.get("mtu").and_then(|node| report.integer(node, 1280, 9216));
            let pool = fields.get("pool").and_then(|node| report.checked(node, pool));
            for key in ["cidr", "gateway", "pool"].into_iter().filter(|key| foreign && fields.has(key)) {
                let message =
                    format!("`{key}` has no effect in a network with `dhcp: true`: its own server gives the addresses");
                report.add(Fault::new(fields.key_place(key), message).hint("keep one of the two"));
            }
            for (key, other) in [("vlan", "parent"), ("parent", "vlan")] {
                if fields.has(key) && !fields.has(other) {
                    let message = format!("`{key}` means nothing without `{other}`");
                    report.add(Fault::new(fields.key_place(key), message).hint(format!("add `{other}: ...`")));
                }
            }
            fields.close();
            Some(NetworkEntry { name: name?, ranges, gateways, dns, vlan, parent, mtu, pool, foreign })
        })
        .collect()
}

/// One value, or one for each version of the protocol.
pub(super) fn several<T: Copy + Version>(
    report: &Report,
    node: Option<&Node>,
    noun: &str,
    check: impl Fn(&str) -> Result<T, Refusal>,
) -> Vec<Located<T>> {
    let Some(node) = node else { return Vec::new() };
    let found: Vec<Located<T>> = one_or_more(node).iter().filter_map(|item| report.checked(item, &check)).collect();
    for (at, value) in found.iter().enumerate() {
        if let Some(earlier) = found[..at].iter().find(|earlier| earlier.value.is_v6() == value.value.is_v6()) {
            let version = if value.value.is_v6() { 6 } else { 4 };
            let message =
                format!("a second {noun} of IP version {version}; the first stands in line {}", earlier.place.line);
            report.add(Fault::new(value.place, message).hint("give one of each version at most"));
        }
    }
    found
}

/// What belongs to one version of the protocol.
pub(super) trait Version {
    fn is_v6(&self) -> bool;
}

impl Version for IpAddr {
    fn is_v6(&self) -> bool {
        self.is_ipv6()
    }
}

impl Version for Cidr {
    fn is_v6(&self) -> bool {
        Self::is_v6(*self)
    }
}

fn pool(text: &str) -> Result<(IpAddr, IpAddr), Refusal> {
    let hint = "write the first and the last address with a `-` between them: 192.168.4.100-192.168.4.199";
    let refuse = |message: String| Refusal::new(message).hint(hint);
    let (first, last) = text.split_once('-').ok_or_else(|| refuse(format!("`{text}` is no range of addresses")))?;
    let (first, last) = (words::address(first.trim())?, words::address(last.trim())?);
    if first.is_ipv6() != last.is_ipv6() || first > last {
        return Err(refuse(format!("the range `{text}` ends before it begins")));
    }
    Ok((first, last))
}
