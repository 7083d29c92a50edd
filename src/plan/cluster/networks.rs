//! What must hold of the networks: ranges apart, gateways inside, VLANs upon networks that are there.

use crate::base::network::Cidr;
use crate::input::{Cluster, Fault, Located, NetworkEntry, nearest};
use std::net::IpAddr;

pub(super) fn check(cluster: &Cluster, faults: &mut Vec<Fault>) {
    for (at, network) in cluster.networks.iter().enumerate() {
        inside(network, faults);
        pool(network, faults);
        if let Some(parent) = &network.parent {
            carried(cluster, network, parent, faults);
        }
        for earlier in &cluster.networks[..at] {
            for range in &network.ranges {
                if let Some(other) = earlier.ranges.iter().find(|other| other.value.overlaps(range.value)) {
                    let message = format!(
                        "the networks `{}` and `{}` overlap: {} and {}",
                        earlier.name.value, network.name.value, other.value, range.value
                    );
                    faults.push(Fault::new(range.place, message).hint("machines in both would not know where to send"));
                }
            }
            if let (Some(vlan), Some(other)) = (&network.vlan, &earlier.vlan)
                && vlan.value == other.value
                && network.parent.as_ref().map(|parent| &parent.value)
                    == earlier.parent.as_ref().map(|parent| &parent.value)
            {
                let message = format!("VLAN {} upon the same network is already `{}`", vlan.value, earlier.name.value);
                faults.push(Fault::new(vlan.place, message).hint("give it another number"));
            }
        }
    }
    if let Some(kubernetes) = &cluster.kubernetes {
        let mut ranges: Vec<(String, &Located<Cidr>)> = Vec::new();
        for network in &cluster.networks {
            ranges.extend(network.ranges.iter().map(|range| (format!("the network `{}`", network.name.value), range)));
        }
        for (what, list) in [("the pods", &kubernetes.pods), ("the services", &kubernetes.services)] {
            for range in list {
                if let Some((other, at)) = ranges.iter().find(|(_, other)| other.value.overlaps(range.value)) {
                    let message = format!("the range of {what} {} overlaps that of {other}, {}", range.value, at.value);
                    faults.push(
                        Fault::new(range.place, message).hint("choose one that nobody uses, such as 10.244.0.0/16"),
                    );
                }
            }
            ranges.extend(list.iter().map(|range| (what.to_owned(), range)));
        }
    }
}

/// Gateways are machines in the network.
fn inside(network: &NetworkEntry, faults: &mut Vec<Fault>) {
    for gateway in &network.gateways {
        if !network.ranges.iter().any(|range| range.value.is_host(gateway.value)) && !network.ranges.is_empty() {
            let ranges: Vec<String> = network.ranges.iter().map(|range| range.value.to_string()).collect();
            let message = format!("the gateway {} cannot be a machine in {}", gateway.value, ranges.join(" or "));
            faults.push(Fault::new(gateway.place, message).hint("give the gateway's address within the network"));
        }
    }
}

fn pool(network: &NetworkEntry, faults: &mut Vec<Fault>) {
    let Some(pool) = &network.pool else { return };
    let (first, last) = pool.value;
    if !network.ranges.iter().any(|range| range.value.is_host(first) && range.value.is_host(last)) {
        let message = format!("the pool {first}-{last} does not lie within the network `{}`", network.name.value);
        faults.push(Fault::new(pool.place, message).hint("choose first and last address inside the range"));
    }
    for gateway in &network.gateways {
        if (first..=last).contains(&gateway.value) && first.is_ipv6() == gateway.value.is_ipv6() {
            let message = format!("the pool {first}-{last} holds the gateway {}", gateway.value);
            faults.push(Fault::new(pool.place, message).hint("leave it out of the pool"));
        }
    }
}

/// A VLAN lies upon a network that is there and is no VLAN itself.
fn carried(cluster: &Cluster, network: &NetworkEntry, parent: &Located<String>, faults: &mut Vec<Fault>) {
    let Some(carrier) = cluster.networks.iter().find(|other| other.name.value == parent.value) else {
        let names: Vec<&str> = cluster.networks.iter().map(|other| other.name.value.as_str()).collect();
        let message = format!("the VLAN lies upon `{}`, and there is no such network", parent.value);
        let fault = Fault::new(parent.place, message).suggest(nearest(&parent.value, names.iter().copied()));
        faults.push(fault.hint(format!("networks of this cluster: {}", names.join(", "))));
        return;
    };
    if carrier.parent.is_some() {
        let message = format!("the VLAN lies upon `{}`, which is a VLAN itself", parent.value);
        faults.push(Fault::new(parent.place, message).hint("name the network that carries both"));
    }
    if let (Some(own), Some(most)) = (&network.mtu, carrier.mtu.as_ref().map_or(Some(1500), |mtu| Some(mtu.value)))
        && own.value > most
    {
        let message =
            format!("packets of {} bytes do not fit through `{}`, which carries {most}", own.value, parent.value);
        faults.push(Fault::new(own.place, message).hint("lower it, or raise the `mtu` of the network below"));
    }
}

/// The network that an address lies in.
pub(super) fn of(cluster: &Cluster, address: IpAddr) -> Option<(&NetworkEntry, Cidr)> {
    cluster.networks.iter().find_map(|network| {
        let range = network.ranges.iter().find(|range| range.value.contains(address))?;
        Some((network, range.value))
    })
}
