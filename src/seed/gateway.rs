//! The gateway's dnsmasq: addresses, names and TFTP, all of it out of the cluster's document.

use super::payload::{Item, Payload};
use super::shared::{Shared, addresses, principal};
use crate::base::network::{Mac, plus};
use crate::format::seed::Effect;
use crate::plan::{InterfacePlan, Link, NetworkPlan, NodePlan};
use anyhow::Result;
use minijinja::context;
use minijinja::value::{Serde, Value};
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr};

const DNSMASQ: &str = "dnsmasq.service";
const CHRONY: &str = "chrony.service";
/// How long an address is lent.
const LEASE: &str = "12h";

/// An interface at which the gateway serves.
#[derive(Serialize)]
struct Served<'a> {
    interface: &'a str,
    mtu: Option<u16>,
    v4: Option<ServedV4>,
    v6: Option<ServedV6>,
}

#[derive(Serialize)]
struct ServedV4 {
    network: IpAddr,
    mask: Ipv4Addr,
    own: IpAddr,
    pool: Option<(IpAddr, IpAddr)>,
    routers: Vec<IpAddr>,
    name_servers: Vec<IpAddr>,
}

/// Only where the gateway is the sixth version's router, too: its advertisements say so.
#[derive(Serialize)]
struct ServedV6 {
    network: IpAddr,
    prefix: u8,
    own: IpAddr,
}

/// Names and the address of each version that they lead to; the address leads back to the first of them.
#[derive(Serialize)]
struct Record {
    names: Vec<String>,
    addresses: Vec<IpAddr>,
}

pub(super) fn payload(shared: &Shared<'_>, node: &NodePlan, value: &Value, payload: &mut Payload) -> Result<()> {
    let interfaces = shared.served(node);
    let links: Vec<Served<'_>> = interfaces.iter().filter_map(|interface| served(shared, node, interface)).collect();
    let advertise = links.iter().any(|link| link.v6.is_some());
    let networks: Vec<&str> = links.iter().map(|link| link.interface).collect();
    let reservations: Vec<String> = shared.plan.nodes.iter().flat_map(|node| reservations(node, &networks)).collect();
    let context = context! {
        node => value.clone(),
        cluster => shared.cluster.clone(),
        site => shared.site.clone(),
        forwarders => Value::from(Serde(&shared.plan.site.forwarders)),
        records => Value::from(Serde(records(shared))),
        links => Value::from(Serde(links)),
        advertise,
        reservations,
    };
    let text = shared.templates.render("dnsmasq.conf", context)?;
    payload.file("/etc/dnsmasq.d/imgbuild.conf", Item::new(text).restarts(DNSMASQ));
    let text = shared.templates.render("dnsmasq.default", context! {})?;
    payload.file("/etc/default/dnsmasq", Item::new(text).restarts(DNSMASQ));
    let restart = shared.templates.render("restart.conf", context! {})?;
    let restart = Item::new(restart).effect(Effect::DaemonReload);
    payload.file("/etc/systemd/system/dnsmasq.service.d/50-imgbuild.conf", restart);
    payload.unit(DNSMASQ, true);
    payload.unit(CHRONY, true);
    Ok(())
}

fn served<'a>(shared: &'a Shared<'_>, node: &NodePlan, interface: &InterfacePlan) -> Option<Served<'a>> {
    let network = shared.plan.network(&interface.network)?;
    let own = |v6: bool| interface.addresses.iter().find(|own| own.is_v6() == v6);
    let range = |v6: bool| network.ranges.iter().find(|range| range.is_v6() == v6);
    let of = |list: &[IpAddr], v6: bool| -> Vec<IpAddr> {
        list.iter().copied().filter(|address| address.is_ipv6() == v6).collect()
    };
    let v4 = range(false).zip(own(false)).map(|(range, own)| {
        let named = of(&network.dns, false);
        ServedV4 {
            network: range.network().address(),
            mask: Ipv4Addr::from(u32::MAX.checked_shl(32 - u32::from(range.prefix())).unwrap_or(0)),
            own: own.address(),
            pool: share(shared, node, network),
            routers: of(&network.gateways, false),
            name_servers: if named.is_empty() { vec![own.address()] } else { named },
        }
    });
    let v6 =
        range(true).zip(own(true)).filter(|(_, own)| network.gateways.contains(&own.address())).map(|(range, own)| {
            ServedV6 { network: range.network().address(), prefix: range.prefix(), own: own.address() }
        });
    Some(Served { interface: &network.name, mtu: network.mtu, v4, v6 })
}

/// This gateway's part of the pool: several do not tell each other what they lent.
fn share(shared: &Shared<'_>, node: &NodePlan, network: &NetworkPlan) -> Option<(IpAddr, IpAddr)> {
    let Some((IpAddr::V4(first), IpAddr::V4(last))) = network.pool else { return None };
    let serving: Vec<&NodePlan> = shared
        .plan
        .with_role("gateway")
        .filter(|gateway| shared.served(gateway).iter().any(|interface| interface.network == network.name))
        .collect();
    let place = u32::try_from(serving.iter().position(|gateway| gateway.name == node.name)?).ok()?;
    let count = u32::try_from(serving.len()).ok()?;
    let room = u32::from(last).checked_sub(u32::from(first))?.checked_add(1)?;
    let each = room / count;
    if each == 0 {
        return (place == 0).then_some((first.into(), last.into()));
    }
    let begin = plus(first.into(), place * each)?;
    let end = if place + 1 == count { last.into() } else { plus(begin, each - 1)? };
    Some((begin, end))
}

fn records(shared: &Shared<'_>) -> Vec<Record> {
    let plan = shared.plan;
    let mut records = Vec::new();
    for node in &plan.nodes {
        let principal = principal(node);
        if !principal.is_empty() {
            records.push(Record { names: vec![shared.fqdn(node), node.name.clone()], addresses: principal.clone() });
        }
        for interface in &node.interfaces {
            // Names have no underscores.
            let name = format!("{}.{}.{}", node.name, interface.network.replace('_', "-"), plan.domain);
            let further = interface.addresses.iter().map(|cidr| cidr.address());
            let further: Vec<IpAddr> = further.filter(|address| !principal.contains(address)).collect();
            records.extend(
                further.into_iter().map(|address| Record { names: vec![name.clone()], addresses: vec![address] }),
            );
        }
    }
    if let Some(api) = &plan.api {
        records.push(Record { names: vec![api.name.clone()], addresses: api.addresses.clone() });
    }
    let further = plan.site.hosts.iter();
    records.extend(further.map(|(name, address)| Record { names: vec![name.clone()], addresses: vec![*address] }));
    records
}

/// What each card is lent: always the same address, and the machine's name.
fn reservations(node: &NodePlan, networks: &[&str]) -> Vec<String> {
    let named = node.interfaces.iter().find(|interface| !interface.addresses.is_empty()).or(node.interfaces.first());
    let served = node.interfaces.iter().filter(|interface| networks.contains(&interface.network.as_str()));
    let line = |interface: &InterfacePlan| {
        let own: Vec<IpAddr> = interface.addresses.iter().map(|cidr| cidr.address()).collect();
        let name = named.filter(|named| named.network == interface.network).map(|_| node.name.clone());
        let addresses = own.iter().map(|address| match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        });
        let mut fields: Vec<String> = cards(node, interface).iter().map(ToString::to_string).collect();
        // Whatever client identifier it sends: firmware, installer and system have different ones.
        fields.push("id:*".to_owned());
        fields.extend(name.iter().cloned());
        fields.extend(addresses);
        fields.push(LEASE.to_owned());
        (name.is_some() || !own.is_empty()).then(|| fields.join(","))
    };
    served.filter_map(line).collect()
}

/// The cards behind an interface.
fn cards(node: &NodePlan, interface: &InterfacePlan) -> Vec<Mac> {
    match &interface.link {
        Link::Card(mac) => vec![*mac],
        Link::Bond { members, .. } => members.clone(),
        Link::Vlan { parent, .. } => {
            let below =
                node.interfaces.iter().find(|other| other.network == *parent && other.network != interface.network);
            // A VLAN lies upon a card or a bond, never upon another one.
            below.map_or_else(Vec::new, |below| match &below.link {
                Link::Card(mac) => vec![*mac],
                Link::Bond { members, .. } => members.clone(),
                Link::Vlan { .. } => Vec::new(),
            })
        }
    }
}

/// All cards of a machine, each once, sorted.
pub(super) fn all_cards(node: &NodePlan) -> Vec<String> {
    let mut all: Vec<String> = node
        .interfaces
        .iter()
        .flat_map(|interface| match &interface.link {
            Link::Card(mac) => vec![*mac],
            Link::Bond { members, .. } => members.clone(),
            Link::Vlan { .. } => Vec::new(),
        })
        .map(|mac| mac.to_string())
        .collect();
    all.sort();
    all.dedup();
    all
}

/// Everybody of the cluster, by version.
pub(super) fn everybody(shared: &Shared<'_>, v6: bool) -> Vec<String> {
    let all = shared.plan.nodes.iter().flat_map(addresses);
    let mut all: Vec<IpAddr> = all.filter(|address| address.is_ipv6() == v6).collect();
    all.sort_unstable();
    all.dedup();
    all.iter().map(ToString::to_string).collect()
}
