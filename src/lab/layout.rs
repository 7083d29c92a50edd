//! From a cluster's plan to what is plugged in where: segments, cards, and the lab's own station on each network.

use super::network::{Site, outside};
use crate::base::network::{Cidr, Mac};
use crate::plan::{ClusterPlan, Link, NetworkPlan};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

/// First bytes of the stations' cards: given by ourselves, no manufacturer's.
const STATION: [u8; 5] = [0x02, 0x69, 0x6d, 0x67, 0x00];

/// Where a card is plugged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Socket {
    /// This segment of the switch.
    Segment(usize),
    /// A network of its own that leads out through this host.
    Uplink,
}

/// A machine's card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Card {
    pub(super) address: Mac,
    pub(super) socket: Socket,
}

/// The lab's own station on a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Post {
    /// The network.
    pub(super) network: String,
    pub(super) range: Cidr,
    pub(super) site: Site,
    pub(super) segment: usize,
}

/// Everything that is plugged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Names of the networks that have a segment.
    pub(super) segments: Vec<String>,
    /// Of each machine, in the order of the plan.
    pub(super) cards: Vec<Vec<Card>>,
    pub(super) posts: Vec<Post>,
    /// The station that is the world outside, if the lab itself is that.
    pub(super) outside: Option<usize>,
}

impl Layout {
    /// Lays it out. Where the lab is `closed`, it stands in for the world outside; otherwise this host leads there.
    pub(super) fn of(plan: &ClusterPlan, closed: bool) -> Self {
        // One world is enough: further networks that are somebody else's lead out all the same.
        let foreign = plan.networks.iter().find(|network| network.foreign && network.vlan.is_none() && closed);
        let foreign = foreign.map(|network| network.name.as_str());
        let own = |network: &&NetworkPlan| {
            network.vlan.is_none() && (!network.foreign || Some(network.name.as_str()) == foreign)
        };
        let segments: Vec<String> = plan.networks.iter().filter(own).map(|network| network.name.clone()).collect();
        let segment = |name: &str| segments.iter().position(|segment| segment == name);
        let socket = |network: &str| segment(network).map_or(Socket::Uplink, Socket::Segment);
        let cards = plan.nodes.iter().map(|node| {
            let mut cards = Vec::new();
            for interface in &node.interfaces {
                let socket = socket(&interface.network);
                match &interface.link {
                    Link::Card(address) => cards.push(Card { address: *address, socket }),
                    Link::Bond { members, .. } => {
                        cards.extend(members.iter().map(|address| Card { address: *address, socket }));
                    }
                    // It rides on the card of its parent.
                    Link::Vlan { .. } => {}
                }
            }
            cards
        });
        let cards = cards.collect();
        let taken = taken(plan);
        let mut posts = Vec::new();
        for network in plan.networks.iter().filter(|network| !network.foreign) {
            let carrier = network.parent.as_deref().unwrap_or(&network.name);
            let (Some(segment), Some(range)) = (segment(carrier), network.ranges.iter().find(|range| !range.is_v6()))
            else {
                continue;
            };
            let Some(address) = free(*range, network.pool, &taken) else { continue };
            let mut card = [0; 6];
            card[..5].copy_from_slice(&STATION);
            card[5] = u8::try_from(posts.len()).unwrap_or(u8::MAX);
            let (prefix, vlan, mtu) = (range.prefix(), network.vlan, network.mtu.unwrap_or(1500));
            let site = Site { card, address, prefix, vlan, mtu };
            posts.push(Post { network: network.name.clone(), range: *range, site, segment });
        }
        let mut beyond = None;
        if let Some(name) = foreign
            && let Some(segment) = segment(name)
            && let Some(range) = Cidr::new(IpAddr::V4(outside::NETWORK), outside::PREFIX)
        {
            beyond = Some(posts.len());
            let mut card = [0; 6];
            card[..5].copy_from_slice(&STATION);
            card[5] = u8::MAX;
            let site = Site { card, address: outside::ROUTER, prefix: outside::PREFIX, vlan: None, mtu: 1500 };
            posts.push(Post { network: name.to_owned(), range, site, segment });
        }
        Self { segments, cards, posts, outside: beyond }
    }

    /// The networks that lie behind the machines which lead out, as the world outside must know them.
    pub(super) fn inner(&self) -> Vec<(Ipv4Addr, u8)> {
        let inner = self.posts.iter().enumerate().filter(|(number, _)| Some(*number) != self.outside);
        let ranges = inner.filter_map(|(_, post)| match post.range.network().address() {
            IpAddr::V4(network) => Some((network, post.range.prefix())),
            IpAddr::V6(_) => None,
        });
        ranges.collect()
    }

    /// An address in a station's network for one more that comes while the lab runs.
    pub(super) fn visitor(&self, plan: &ClusterPlan, post: usize, number: u8) -> Option<Ipv4Addr> {
        let mut taken = taken(plan);
        taken.extend(self.posts.iter().map(|post| IpAddr::V4(post.site.address)));
        let post = self.posts.get(post)?;
        let pool = plan.networks.iter().find(|network| network.name == post.network).and_then(|network| network.pool);
        let mut address = None;
        for _ in 0..=number {
            address = free(post.range, pool, &taken);
            taken.extend(address.map(IpAddr::V4));
        }
        address
    }

    /// The station in whose network an address lies.
    pub(super) fn post(&self, address: Ipv4Addr) -> Option<usize> {
        self.posts.iter().position(|post| post.range.contains(IpAddr::V4(address)))
    }
}

/// All addresses that the plan gives to anybody.
fn taken(plan: &ClusterPlan) -> BTreeSet<IpAddr> {
    let mut taken = BTreeSet::new();
    for network in &plan.networks {
        taken.extend(&network.gateways);
        taken.extend(&network.dns);
    }
    for node in &plan.nodes {
        taken.extend(node.interfaces.iter().flat_map(|interface| &interface.addresses).map(|cidr| cidr.address()));
    }
    let floating = plan.balancers.iter().flat_map(|balancers| &balancers.addresses);
    taken.extend(floating.map(|floating| floating.address.address()));
    taken.extend(plan.services.iter().flat_map(|service| &service.addresses));
    taken
}

/// The highest address of a network that nobody has and nobody is lent.
fn free(range: Cidr, pool: Option<(IpAddr, IpAddr)>, taken: &BTreeSet<IpAddr>) -> Option<Ipv4Addr> {
    let (IpAddr::V4(first), IpAddr::V4(last)) = (range.network().address(), range.last()) else { return None };
    let lent = |address: IpAddr| pool.is_some_and(|(first, last)| first <= address && address <= last);
    let mut candidates = (u32::from(first) + 1..u32::from(last)).rev().map(Ipv4Addr::from);
    candidates.find(|address| !taken.contains(&IpAddr::V4(*address)) && !lent(IpAddr::V4(*address)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::path::Path;

    /// One of the built-in clusters.
    pub(in crate::lab) fn example(name: &str) -> ClusterPlan {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/cluster.{name}.json"));
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn cards_follow_the_plan_and_foreign_networks_lead_out() {
        let layout = Layout::of(&example("balancers"), false);
        assert_eq!(layout.segments, ["lan"]);
        let sockets: Vec<Vec<Socket>> =
            layout.cards.iter().map(|cards| cards.iter().map(|card| card.socket).collect()).collect();
        assert_eq!(sockets[0], [Socket::Uplink, Socket::Segment(0)]);
        assert!(sockets[1..].iter().all(|sockets| *sockets == [Socket::Segment(0)]));
        let [post] = &layout.posts[..] else { panic!("{:?}", layout.posts) };
        // .200 to .249 are lent, .255 is everybody.
        assert_eq!(post.site.address, Ipv4Addr::new(192, 168, 4, 254));
        assert_eq!(layout.post(Ipv4Addr::new(192, 168, 4, 10)), Some(0));
        assert_eq!(layout.post(Ipv4Addr::new(10, 0, 0, 1)), None);
    }

    #[test]
    fn a_closed_lab_is_the_world_outside_itself() {
        let layout = Layout::of(&example("balancers"), true);
        assert_eq!(layout.segments, ["uplink", "lan"]);
        let sockets: Vec<Socket> = layout.cards[0].iter().map(|card| card.socket).collect();
        assert_eq!(sockets, [Socket::Segment(0), Socket::Segment(1)]);
        assert_eq!(layout.outside, Some(1));
        assert_eq!(layout.post(outside::LENT), Some(1));
        assert_eq!((layout.posts[1].site.address, layout.posts[1].segment), (outside::ROUTER, 0));
        // Nobody leads out of this one.
        let layout = Layout::of(&example("six-nodes"), true);
        assert_eq!(layout.outside, None);
    }

    #[test]
    fn visitors_have_addresses_that_nobody_has() {
        let plan = example("balancers");
        let layout = Layout::of(&plan, true);
        assert_eq!(layout.inner(), [(Ipv4Addr::new(192, 168, 4, 0), 24)]);
        let own: Vec<_> = (0..6).map(|number| layout.visitor(&plan, 0, number).unwrap().octets()[3]).collect();
        // .254 is the station's own; .249 to .200 are lent.
        assert_eq!(own, [253, 252, 251, 250, 199, 198]);
    }

    #[test]
    fn an_address_that_is_taken_or_lent_is_passed_over() {
        let range: Cidr = "10.0.0.0/29".parse().unwrap();
        let taken = BTreeSet::from(["10.0.0.6".parse().unwrap()]);
        let pool = Some(("10.0.0.3".parse().unwrap(), "10.0.0.5".parse().unwrap()));
        assert_eq!(free(range, pool, &taken), Some(Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!(free("10.0.0.1/32".parse().unwrap(), None, &taken), None);
    }

    #[test]
    fn a_vlan_has_a_station_but_no_card() {
        let layout = Layout::of(&example("demo"), false);
        let plan = example("demo");
        let vlans: Vec<&NetworkPlan> = plan.networks.iter().filter(|network| network.vlan.is_some()).collect();
        for network in vlans {
            assert!(!layout.segments.contains(&network.name));
            let post = layout.posts.iter().find(|post| post.network == network.name).unwrap();
            assert_eq!(post.site.vlan, network.vlan);
        }
    }
}
