//! What must hold of interfaces: cards and addresses once each, addresses within their network and known beforehand.

use super::expand::{Interface, Machine};
use super::networks;
use crate::base::network::Mac;
use crate::input::{Cluster, Fault, Located, NetworkEntry, Place, nearest};
use std::collections::BTreeMap;
use std::net::IpAddr;

pub(super) fn check(cluster: &Cluster, machines: &[Machine<'_>], faults: &mut Vec<Fault>) {
    let mut cards: BTreeMap<Mac, (&str, Place)> = BTreeMap::new();
    let mut owners: BTreeMap<IpAddr, (&str, Place)> = BTreeMap::new();
    for machine in machines {
        for (at, interface) in machine.interfaces.iter().enumerate() {
            let network = &interface.entry.network;
            if machine.interfaces[..at].iter().any(|earlier| earlier.entry.network.value == network.value) {
                let message = format!("`{}` has two interfaces in the network `{}`", machine.name, network.value);
                faults.push(Fault::new(network.place, message).hint("make them one bond, or two networks"));
            }
            for card in &interface.cards {
                if let Some((owner, _)) = cards.insert(card.value, (&machine.name, card.place)) {
                    let message = format!("the card {} of `{}` belongs to `{owner}` already", card.value, machine.name);
                    faults.push(
                        Fault::new(card.place, message)
                            .hint("each card needs an address of its own: the next rows count up"),
                    );
                }
            }
            for address in &interface.addresses {
                if let Some((owner, _)) = owners.insert(address.value, (&machine.name, address.place)) {
                    let message =
                        format!("the address {} of `{}` belongs to `{owner}` already", address.value, machine.name);
                    faults
                        .push(Fault::new(address.place, message).hint("choose another one: rows count up from theirs"));
                }
            }
            match cluster.networks.iter().find(|known| known.name.value == network.value) {
                Some(known) => within(cluster, machines, machine, interface, known, faults),
                None => unknown(cluster, network, faults),
            }
        }
    }
    gateways(cluster, machines, &owners, faults);
}

fn unknown(cluster: &Cluster, network: &Located<String>, faults: &mut Vec<Fault>) {
    let names: Vec<&str> = cluster.networks.iter().map(|known| known.name.value.as_str()).collect();
    let fault = Fault::new(network.place, format!("there is no network `{}`", network.value));
    let fault = fault.suggest(nearest(&network.value, names.iter().copied()));
    faults.push(fault.hint(format!("networks of this cluster: {}", names.join(", "))));
}

fn within(
    cluster: &Cluster,
    machines: &[Machine<'_>],
    machine: &Machine<'_>,
    interface: &Interface<'_>,
    network: &NetworkEntry,
    faults: &mut Vec<Fault>,
) {
    let (entry, name) = (interface.entry, &network.name.value);
    let place = entry.network.place;
    match &network.parent {
        Some(parent) => {
            if let Some(card) = entry
                .mac
                .as_ref()
                .map(|mac| mac.place)
                .or(entry.bond.as_ref().and_then(|bond| bond.members.first().map(|card| card.place)))
            {
                let message = format!("`{name}` is a VLAN and has no card of its own");
                faults.push(
                    Fault::new(card, message).hint(format!("leave it out: the card is that of `{}`", parent.value)),
                );
            }
            if machine.interface(&parent.value).is_none() {
                let message = format!(
                    "`{}` is in the VLAN `{name}` but not in `{}`, which carries it",
                    machine.name, parent.value
                );
                faults.push(Fault::new(place, message).hint(format!("give it an interface in `{}` too", parent.value)));
            }
        }
        None if entry.mac.is_none() && entry.bond.is_none() => {
            let message = format!("the interface of `{}` in `{name}` names no card", machine.name);
            faults.push(Fault::new(place, message).hint("add `mac: \"52:54:00:...\"`: the seed knows the card by it"));
        }
        None => {}
    }
    for address in &interface.addresses {
        if network.foreign {
            let message = format!("in `{name}` somebody else gives the addresses (`dhcp: true`)");
            faults.push(Fault::new(address.place, message).hint("leave `address` out, or give the network a `cidr`"));
        } else if !network.ranges.iter().any(|range| range.value.is_host(address.value)) && !network.ranges.is_empty() {
            let ranges: Vec<String> = network.ranges.iter().map(|range| range.value.to_string()).collect();
            let message = format!(
                "the address {} of `{}` is no machine's in {}",
                address.value,
                machine.name,
                ranges.join(" or ")
            );
            let meant = networks::of(cluster, address.value).map(|(other, _)| other.name.value.clone());
            let hint = match meant {
                Some(other) if other != *name => format!("it lies in the network `{other}`"),
                _ => "choose one inside the range; its first and last are not for machines".to_owned(),
            };
            faults.push(Fault::new(address.place, message).hint(hint));
        }
        if let Some(pool) = &network.pool
            && pool.value.0.is_ipv6() == address.value.is_ipv6()
            && (pool.value.0..=pool.value.1).contains(&address.value)
        {
            let message =
                format!("the address {} of `{}` lies in the pool that is lent to others", address.value, machine.name);
            faults.push(Fault::new(address.place, message).hint("choose one outside the pool, also for reservations"));
        }
    }
    let dhcp = entry.addresses.dhcp.is_some();
    if interface.addresses.is_empty() && !network.foreign && !dhcp {
        let message = format!("the interface of `{}` in `{name}` has no address", machine.name);
        faults.push(Fault::new(place, message).hint("add `address: ...`, or `dhcp: true` where the gateway lends one"));
    }
    if let Some(wanted) = &entry.addresses.dhcp
        && !network.foreign
    {
        let served = machines.iter().any(|other| other.has("gateway") && other.interface(name).is_some());
        if !served {
            let message =
                format!("`{}` asks for its address in `{name}`, and no gateway is there to answer", machine.name);
            faults.push(
                Fault::new(wanted.place, message)
                    .hint("add a node with the role `gateway` in that network, or give an `address`"),
            );
        } else if machine.has("gateway") {
            let message = format!("the gateway `{}` would ask itself for its address", machine.name);
            faults.push(Fault::new(wanted.place, message).hint("give it an `address`"));
        } else if interface.addresses.is_empty() && network.pool.is_none() {
            let message =
                format!("`{}` has no reserved address, and `{name}` has no pool to lend one from", machine.name);
            faults.push(
                Fault::new(wanted.place, message).hint("add an `address` (it is reserved), or a `pool` to the network"),
            );
        }
    }
}

/// A network's gateway is the cluster's own: one machine has its address, or two share it.
fn gateways(
    cluster: &Cluster,
    machines: &[Machine<'_>],
    owners: &BTreeMap<IpAddr, (&str, Place)>,
    faults: &mut Vec<Fault>,
) {
    for network in &cluster.networks {
        let here: Vec<&Machine<'_>> = machines
            .iter()
            .filter(|machine| machine.has("gateway") && machine.interface(&network.name.value).is_some())
            .collect();
        for gateway in &network.gateways {
            let owner = owners.get(&gateway.value);
            if let Some((owner, place)) = owner
                && !here.iter().any(|machine| machine.name == *owner)
            {
                let message =
                    format!("`{owner}` has the address of the gateway of `{}`, but not its role", network.name.value);
                faults.push(Fault::new(*place, message).hint("give the node the role `gateway`, or another address"));
            }
            if here.len() == 1 && owner.is_none() {
                let message = format!(
                    "`{}` is the gateway of `{}`, but {} is not its address",
                    here[0].name, network.name.value, gateway.value
                );
                faults.push(
                    Fault::new(gateway.place, message).hint("give the node this address, or name its address here"),
                );
            }
            if here.len() == 2 && owner.is_some() {
                let message = format!("two gateways share {}, so that it belongs to neither", gateway.value);
                faults.push(
                    Fault::new(gateway.place, message)
                        .hint("give both nodes addresses of their own: they agree on who has this one"),
                );
            }
        }
        if let Some(third) = here.get(2) {
            let message = format!("`{}` is a third gateway in `{}`", third.name, network.name.value);
            faults
                .push(Fault::new(third.place, message).hint("one is enough, two share an address, more are of no use"));
        }
    }
}
