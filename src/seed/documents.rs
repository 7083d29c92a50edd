//! cloud-init's four documents of one machine: small, and without secrets.

use super::Content;
use super::shared::Shared;
use crate::base::digest::Hasher;
use crate::plan::{InterfacePlan, Link, NetworkPlan, NodePlan};
use anyhow::Result;
use minijinja::context;
use minijinja::value::{Serde, Value};
use serde::Serialize;
use std::io::Write as _;
use std::net::IpAddr;

/// How much of the documents' digest an instance id shows.
const ID_DIGITS: usize = 12;

/// An interface as the template sees it; what does not apply is empty.
#[derive(Default, Serialize)]
struct LinkContext<'a> {
    name: &'a str,
    mac: String,
    id: u16,
    parent: &'a str,
    members: Vec<String>,
    mode: &'a str,
    mtu: Option<u16>,
    dhcp4: bool,
    dhcp6: bool,
    router_advertisements: bool,
    optional: bool,
    addresses: Vec<String>,
    routes: Vec<Route>,
    name_servers: Vec<String>,
}

#[derive(Serialize)]
struct Route {
    to: &'static str,
    via: String,
}

/// A card of a bond.
#[derive(Serialize)]
struct Member {
    name: String,
    mac: String,
    mtu: Option<u16>,
}

/// All four, by name. The instance id is of the machine and of what the others say: cloud-init ignores a document that
/// changed under the same id.
pub(super) fn documents(shared: &Shared<'_>, node: &NodePlan, value: &Value) -> Result<Vec<(&'static str, Content)>> {
    let site = shared.site.clone();
    let render = |name: &str, context: Value| shared.templates.render(name, context);
    let user_data = render(
        "user-data",
        context! { node => value.clone(), site => site.clone(), cluster => shared.cluster.clone() },
    )?;
    let network_config = network(shared, node)?;
    let vendor_data = render(
        "vendor-data",
        context! { node => value.clone(), site => site.clone(), cluster => shared.cluster.clone() },
    )?;
    let mut hasher = Hasher::default();
    for text in [&user_data, &network_config, &vendor_data] {
        // Writing into a digest cannot fail.
        let _ = hasher.write_all(&(text.len() as u64).to_le_bytes()).and_then(|()| hasher.write_all(text.as_bytes()));
    }
    let digest = hasher.finish().to_string();
    let instance = format!("{}-{}", node.name, digest.get(..ID_DIGITS).unwrap_or(&digest));
    let meta_data =
        render("meta-data", context! { node => value.clone(), instance, cluster => shared.cluster.clone() })?;
    Ok(vec![
        ("meta-data", meta_data.into()),
        ("network-config", network_config.into()),
        ("user-data", user_data.into()),
        ("vendor-data", vendor_data.into()),
    ])
}

fn network(shared: &Shared<'_>, node: &NodePlan) -> Result<String> {
    let (mut cards, mut bonds, mut vlans, mut members) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for interface in &node.interfaces {
        let Some(network) = shared.plan.network(&interface.network) else { continue };
        let mut link = link(shared, node, interface, network);
        match &interface.link {
            Link::Card(mac) => {
                link.mac = mac.to_string();
                cards.push(link);
            }
            Link::Bond { members: macs, mode } => {
                for (number, mac) in macs.iter().enumerate() {
                    let name = format!("b{}p{number}", bonds.len());
                    link.members.push(name.clone());
                    members.push(Member { name, mac: mac.to_string(), mtu: network.mtu });
                }
                link.mode = mode;
                bonds.push(link);
            }
            Link::Vlan { parent, id } => {
                (link.parent, link.id) = (parent, *id);
                vlans.push(link);
            }
        }
    }
    let context = context! {
        site => shared.site.clone(),
        cards => Value::from(Serde(cards)),
        members => Value::from(Serde(members)),
        bonds => Value::from(Serde(bonds)),
        vlans => Value::from(Serde(vlans)),
    };
    shared.templates.render("network-config", context)
}

fn link<'a>(
    shared: &Shared<'_>,
    node: &NodePlan,
    interface: &'a InterfacePlan,
    network: &'a NetworkPlan,
) -> LinkContext<'a> {
    let way_out = shared.way_out(node).is_some_and(|first| first.network == interface.network);
    let v4 = network.foreign || network.ranges.iter().any(|range| !range.is_v6());
    let v6 = network.ranges.iter().any(|range| range.is_v6());
    let leads = |gateway: &&IpAddr| {
        let reachable = interface.addresses.iter().any(|own| own.is_v6() == gateway.is_ipv6());
        reachable && shared.owner(**gateway) != Some(node.name.as_str())
    };
    let routes = network.gateways.iter().filter(leads).map(|gateway| Route {
        // `default` is a word that not every renderer knows.
        to: if gateway.is_ipv6() { "::/0" } else { "0.0.0.0/0" },
        via: gateway.to_string(),
    });
    LinkContext {
        name: &interface.network,
        mtu: network.mtu,
        dhcp4: interface.dhcp && v4,
        dhcp6: interface.dhcp && interface.addresses.iter().any(|own| own.is_v6()),
        router_advertisements: network.foreign || (interface.dhcp && v6),
        // The way out is waited for, and nothing else.
        optional: !way_out,
        addresses: if interface.dhcp {
            Vec::new()
        } else {
            interface.addresses.iter().map(ToString::to_string).collect()
        },
        routes: if way_out && !interface.dhcp { routes.collect() } else { Vec::new() },
        name_servers: network.dns.iter().map(ToString::to_string).collect(),
        ..LinkContext::default()
    }
}
