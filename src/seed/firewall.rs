//! The firewall of gateways and frontends: a table of its own, which lets in what the cluster's document asks for.

use super::gateway::everybody;
use super::payload::{Item, Payload};
use super::shared::{Shared, address_in};
use crate::base::network::Cidr;
use crate::format::seed::Effect;
use crate::plan::{InterfacePlan, NodePlan};
use anyhow::Result;
use minijinja::context;
use minijinja::value::Value;
use std::net::IpAddr;

const FIREWALL: &str = "imgbuild-firewall.service";
/// Roles whose ports are all known here; what else a machine does, it does for the cluster's machines.
const KNOWN: [&str; 3] = ["base", "frontend", "gateway"];

pub(super) fn payload(shared: &Shared<'_>, node: &NodePlan, value: &Value, payload: &mut Payload) -> Result<()> {
    let more = node.roles.iter().any(|role| !KNOWN.contains(&role.as_str()));
    let mut input = Vec::new();
    if node.has("gateway") {
        input.extend(serving(&shared.served(node)));
    }
    input.extend(vrrp(shared, node));
    if node.has("frontend") || node.has("haproxy") {
        input.extend(services(shared));
        input.extend(statistics(shared, node));
    }
    if more {
        input.extend(members(shared));
    }
    let uplinks = uplinks(shared, node);
    // Pods and others are forwarded by rules of their own, which a policy here would overrule.
    let forward = (!more || node.has("gateway")).then(|| forwarding(shared, node, &uplinks));
    let nat = translation(shared, node, &uplinks);
    let context = context! { node => value.clone(), cluster => shared.cluster.clone(), input, forward, nat, uplinks };
    let rules = shared.templates.render("firewall.nft", context)?;
    payload.file("/etc/imgbuild/firewall.nft", Item::new(rules).reloads(FIREWALL));
    let unit = shared.templates.render("firewall.service", context! {})?;
    let path = format!("/etc/systemd/system/{FIREWALL}");
    payload.file(path, Item::new(unit).effect(Effect::DaemonReload).restarts(FIREWALL));
    payload.unit(FIREWALL, true);
    Ok(())
}

/// The gateway's ways out.
fn uplinks(shared: &Shared<'_>, node: &NodePlan) -> Vec<String> {
    if !node.has("gateway") {
        return Vec::new();
    }
    let served = shared.served(node);
    let out = shared.way_out(node).filter(|out| served.iter().all(|interface| interface.network != out.network));
    out.map(|interface| interface.network.clone()).into_iter().collect()
}

/// Addresses, names, time, TFTP.
fn serving(interfaces: &[&InterfacePlan]) -> Vec<String> {
    let rules = interfaces.iter().flat_map(|interface| {
        let name = &interface.network;
        [
            format!("iifname \"{name}\" udp dport {{ 53, 67, 69, 123, 547 }} accept"),
            format!("iifname \"{name}\" tcp dport 53 accept"),
        ]
    });
    rules.collect()
}

/// Peers of keepalived alone: its passwords keep nobody out.
fn vrrp(shared: &Shared<'_>, node: &NodePlan) -> Vec<String> {
    let groups = ["gateway", "frontend"].into_iter().filter(|role| node.has(role));
    let mut peers: Vec<IpAddr> = groups
        .flat_map(|role| shared.plan.with_role(role))
        .filter(|peer| peer.name != node.name)
        .flat_map(|peer| {
            let networks = node.interfaces.iter().map(|interface| interface.network.as_str());
            networks
                .flat_map(move |network| [false, true].into_iter().filter_map(move |v6| address_in(peer, network, v6)))
        })
        .collect();
    peers.sort_unstable();
    peers.dedup();
    by_version(&peers).map(|(version, list)| format!("{version} saddr {{ {list} }} meta l4proto 112 accept")).collect()
}

/// What the balancers listen on.
fn services(shared: &Shared<'_>) -> Vec<String> {
    let rules = shared.plan.services.iter().flat_map(|service| {
        by_version(&service.addresses)
            .map(|(version, list)| format!("{version} daddr {{ {list} }} tcp dport {} accept", service.port))
            .collect::<Vec<_>>()
    });
    rules.collect()
}

/// HAProxy's statistics, from the machine's own networks.
fn statistics(shared: &Shared<'_>, node: &NodePlan) -> Vec<String> {
    let Some(first) = node.interfaces.iter().find(|interface| !interface.addresses.is_empty()) else {
        return Vec::new();
    };
    let Some(network) = shared.plan.network(&first.network) else { return Vec::new() };
    let range =
        |range: &Cidr| format!("{} saddr {range} tcp dport 8404 accept", if range.is_v6() { "ip6" } else { "ip" });
    network.ranges.iter().map(range).collect()
}

/// The cluster's machines, and its pods where there are some.
fn members(shared: &Shared<'_>) -> Vec<String> {
    let pods: Vec<Cidr> = shared.plan.kubernetes.iter().flat_map(|kubernetes| kubernetes.pods.clone()).collect();
    let rules = [("ip", false), ("ip6", true)].into_iter().filter_map(|(version, v6)| {
        let mut all = everybody(shared, v6);
        all.extend(pods.iter().filter(|range| range.is_v6() == v6).map(ToString::to_string));
        (!all.is_empty()).then(|| format!("{version} saddr {{ {} }} accept", all.join(", ")))
    });
    rules.collect()
}

fn forwarding(shared: &Shared<'_>, node: &NodePlan, uplinks: &[String]) -> Vec<String> {
    let served = shared.served(node);
    let inner = served.iter().filter(|interface| !uplinks.contains(&interface.network));
    inner
        .flat_map(|interface| {
            let from = &interface.network;
            uplinks.iter().map(move |to| format!("iifname \"{from}\" oifname \"{to}\" accept")).collect::<Vec<_>>()
        })
        .collect()
}

fn translation(shared: &Shared<'_>, node: &NodePlan, uplinks: &[String]) -> Vec<String> {
    let served = shared.served(node);
    let ranges = served.iter().filter_map(|interface| shared.plan.network(&interface.network)).flat_map(|n| &n.ranges);
    let ranges: Vec<&Cidr> = ranges.collect();
    let rules = uplinks.iter().flat_map(|out| {
        ranges.iter().map(move |range| {
            let version = if range.is_v6() { "ip6" } else { "ip" };
            format!("oifname \"{out}\" {version} saddr {range} masquerade")
        })
    });
    rules.collect()
}

/// Addresses of each version that has some, as a list.
fn by_version(addresses: &[IpAddr]) -> impl Iterator<Item = (&'static str, String)> + '_ {
    [("ip", false), ("ip6", true)].into_iter().filter_map(|(version, v6)| {
        let list: Vec<String> =
            addresses.iter().filter(|address| address.is_ipv6() == v6).map(ToString::to_string).collect();
        (!list.is_empty()).then(|| (version, list.join(", ")))
    })
}
