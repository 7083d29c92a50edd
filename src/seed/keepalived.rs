//! keepalived: VRRP among named peers. All addresses of one group move together, because one instance has them all.
//!
//! A second instance for the public network, joined to the first by a group, would move both just as well; but where
//! only one of the networks is cut, each half elects an owner of its own and the group never rests. So the first
//! network decides, and an interface of another one that loses its carrier counts as a failure.

use super::payload::{Item, Payload};
use super::shared::{Shared, address_in};
use crate::format::seed::Effect;
use crate::plan::{BalancersPlan, FloatingAddress, NodePlan};
use anyhow::Result;
use minijinja::context;
use minijinja::value::{Serde, Value};
use serde::Serialize;
use std::net::IpAddr;

const KEEPALIVED: &str = "keepalived.service";
/// The first machine's priority, and the step to the next one: never equal, or two of them are masters (RFC 9568: 1 to 254).
const PRIORITY: usize = 150;
const STEP: usize = 10;

/// Addresses that one machine of several holds.
#[derive(Serialize)]
pub(super) struct Instance {
    name: &'static str,
    interface: String,
    id: u8,
    priority: usize,
    source: IpAddr,
    peers: Vec<IpAddr>,
    password: String,
    addresses: Vec<Floating>,
    excluded: Vec<Floating>,
    tracked: Vec<String>,
    check: bool,
}

#[derive(Serialize)]
struct Floating {
    address: IpAddr,
    prefix: u8,
    interface: String,
}

/// The instance of the balancers' addresses; `None` where this machine has no address to speak from.
pub(super) fn balancers(shared: &Shared<'_>, node: &NodePlan, balancers: &BalancersPlan) -> Option<Instance> {
    let instance = instance(shared, "balancers", node, &balancers.nodes, &balancers.addresses, balancers.vrrp_id)?;
    Some(Instance { check: true, ..instance })
}

/// The instance of what several gateways share: the gateway's address of each network that no machine has of its own.
pub(super) fn gateways(shared: &Shared<'_>, node: &NodePlan) -> Option<Instance> {
    let names: Vec<String> = shared.plan.with_role("gateway").map(|gateway| gateway.name.clone()).collect();
    if names.len() < 2 {
        return None;
    }
    let way_out = shared.way_out(node).map(|interface| interface.network.as_str());
    let mut floating = Vec::new();
    for interface in node.interfaces.iter().filter(|interface| Some(interface.network.as_str()) != way_out) {
        let Some(network) = shared.plan.network(&interface.network) else { continue };
        for gateway in network.gateways.iter().filter(|gateway| shared.owner(**gateway).is_none()) {
            let range = network.ranges.iter().find(|range| range.contains(*gateway))?;
            let address = crate::base::network::Cidr::new(*gateway, range.prefix())?;
            floating.push(FloatingAddress { address, network: network.name.clone() });
        }
    }
    instance(shared, "gateways", node, &names, &floating, None)
}

fn instance(
    shared: &Shared<'_>,
    name: &'static str,
    node: &NodePlan,
    members: &[String],
    floating: &[FloatingAddress],
    id: Option<u8>,
) -> Option<Instance> {
    let first = floating.first()?;
    let (network, v6) = (&first.network, first.address.is_v6());
    let place = members.iter().position(|member| *member == node.name)?;
    let peers = members.iter().filter(|member| **member != node.name).filter_map(|member| {
        let peer = shared.plan.nodes.iter().find(|node| node.name == *member)?;
        address_in(peer, network, v6)
    });
    let last = match first.address.address() {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    };
    let own = |floating: &FloatingAddress| Floating {
        address: floating.address.address(),
        prefix: floating.address.prefix(),
        interface: floating.network.clone(),
    };
    let (same, other): (Vec<_>, Vec<_>) = floating.iter().partition(|floating| floating.address.is_v6() == v6);
    let mut tracked: Vec<String> =
        floating.iter().map(|floating| floating.network.clone()).filter(|other| other != network).collect();
    tracked.dedup();
    Some(Instance {
        name,
        interface: network.clone(),
        id: id.unwrap_or(last.max(1)),
        priority: PRIORITY.saturating_sub(place * STEP.min(PRIORITY / members.len().max(1))).max(1),
        source: address_in(node, network, v6)?,
        peers: peers.collect(),
        // Only the second version of VRRP knows passwords, and only that has none of the sixth version's addresses.
        password: if v6 { String::new() } else { shared.identity.vrrp_password.reveal().to_owned() },
        addresses: same.into_iter().map(own).collect(),
        excluded: other.into_iter().map(own).collect(),
        tracked,
        check: false,
    })
}

pub(super) fn payload(shared: &Shared<'_>, instances: &[Instance], value: &Value, payload: &mut Payload) -> Result<()> {
    if instances.is_empty() {
        return Ok(());
    }
    let check = instances.iter().any(|instance| instance.check);
    let context = context! { node => value.clone(), cluster => shared.cluster.clone(), check, instances => Value::from(Serde(instances)) };
    let text = shared.templates.render("keepalived.conf", context)?;
    payload.file("/etc/keepalived/keepalived.conf", Item::new(text).mode(0o600).reloads(KEEPALIVED));
    if check {
        let script = shared.templates.render("check-haproxy", context! {})?;
        payload.file("/usr/local/sbin/imgbuild-check-haproxy", Item::new(script).mode(0o755));
    }
    let confined = shared.templates.render("keepalived.service.conf", context! {})?;
    let confined = Item::new(confined).effect(Effect::DaemonReload).restarts(KEEPALIVED);
    payload.file("/etc/systemd/system/keepalived.service.d/50-imgbuild.conf", confined);
    payload.unit(KEEPALIVED, true);
    Ok(())
}
