//! What must hold of floating addresses and of what listens at them.

use super::expand::Machine;
use super::networks;
use crate::input::{ApiEntry, Balancer, Cluster, Fault, ListenerEntry, Located, nearest};
use std::net::IpAddr;

/// Where an API server listens on its own machine.
pub(super) const API_SERVER_PORT: i64 = 6443;

/// The role of machines that hold floating addresses.
pub(super) fn role(balancer: Balancer) -> Option<&'static str> {
    match balancer {
        Balancer::Pacemaker => Some("haproxy"),
        Balancer::Keepalived => Some("frontend"),
        Balancer::External => None,
    }
}

/// Gives what is worth a warning.
pub(super) fn check(cluster: &Cluster, machines: &[Machine<'_>], faults: &mut Vec<Fault>) -> Vec<Fault> {
    let mut warnings = Vec::new();
    let Some(api) = &cluster.api else {
        without(cluster, machines, faults);
        return warnings;
    };
    let holders = holders(api, machines, faults, &mut warnings);
    for address in api.addresses.iter().chain(&api.public) {
        floating(cluster, machines, &holders, address, faults);
    }
    if let (Some(own), Some(public)) = (api.addresses.first(), api.public.first())
        && let (Some((own, _)), Some((other, _))) =
            (networks::of(cluster, own.value), networks::of(cluster, public.value))
        && own.name.value == other.name.value
    {
        let message =
            format!("the public address {} lies in `{}`, as the private one does", public.value, own.name.value);
        faults
            .push(Fault::new(public.place, message).hint("name an address of another network, or leave `public` out"));
    }
    if let Some(master) = holders.iter().find(|machine| machine.has("master"))
        && api.port == API_SERVER_PORT
    {
        let message = format!("`{}` balances port {API_SERVER_PORT}, where its own API server listens", master.name);
        faults.push(
            Fault::new(api.name.place, message).hint("choose another `port` for the API's address, such as 8443"),
        );
    }
    if machines.iter().any(|machine| format!("{}.{}", machine.name, cluster.domain.value) == api.name.value) {
        let message = format!("`{}` is the name of a machine, and cannot be the API's", api.name.value);
        faults.push(Fault::new(api.name.place, message).hint("choose a name that floats, such as api"));
    }
    listeners(cluster, api, machines, &holders, faults);
    warnings
}

fn without(cluster: &Cluster, machines: &[Machine<'_>], faults: &mut Vec<Fault>) {
    if let Some(listener) = cluster.listeners.first() {
        let fault = Fault::new(listener.name.place, "listeners need balancers, which `api` describes");
        faults.push(fault.hint("add `api: {name: ..., address: ..., balancer: pacemaker}`"));
    }
    if let Some(machine) = machines.iter().find(|machine| machine.has("haproxy") || machine.has("frontend")) {
        let message = format!("`{}` balances, but nothing says which address", machine.name);
        faults.push(Fault::new(machine.place, message).hint("add `api: {name: ..., address: ..., balancer: ...}`"));
    }
}

fn holders<'a, 'b>(
    api: &ApiEntry,
    machines: &'b [Machine<'a>],
    faults: &mut Vec<Fault>,
    warnings: &mut Vec<Fault>,
) -> Vec<&'b Machine<'a>> {
    let wanted = role(api.balancer.value);
    for other in ["haproxy", "frontend"].into_iter().filter(|role| Some(*role) != wanted) {
        if let Some(machine) = machines.iter().find(|machine| machine.has(other)) {
            let message = match wanted {
                Some(wanted) => {
                    format!("`{}` has the role `{other}`, but the address floats among `{wanted}` nodes", machine.name)
                }
                None => format!("`{}` has the role `{other}`, but the balancer is external", machine.name),
            };
            let kind = if other == "haproxy" { "pacemaker" } else { "keepalived" };
            faults
                .push(Fault::new(machine.place, message).hint(format!("change its role, or write `balancer: {kind}`")));
        }
    }
    let Some(wanted) = wanted else { return Vec::new() };
    let found: Vec<&Machine<'a>> = machines.iter().filter(|machine| machine.has(wanted)).collect();
    match found.as_slice() {
        [] => {
            let message = format!("nobody holds the address: no node has the role `{wanted}`");
            let hint = format!("add two nodes with the role `{wanted}`, or write `balancer: external`");
            faults.push(Fault::new(api.balancer.place, message).hint(hint));
        }
        [only] => {
            let message = format!("`{}` is the only balancer: when it fails, the address is gone", only.name);
            warnings.push(Fault::new(only.place, message).hint("add a second one"));
        }
        _ => {}
    }
    found
}

/// A floating address lies in one network, belongs to nobody, and every balancer is in that network.
fn floating(
    cluster: &Cluster,
    machines: &[Machine<'_>],
    holders: &[&Machine<'_>],
    address: &Located<IpAddr>,
    faults: &mut Vec<Fault>,
) {
    let owner = machines.iter().find(|machine| {
        machine.interfaces.iter().flat_map(|interface| &interface.addresses).any(|own| own.value == address.value)
    });
    if let Some(owner) = owner {
        let message = format!("the floating address {} belongs to `{}`", address.value, owner.name);
        faults.push(Fault::new(address.place, message).hint("choose one that no machine has"));
    }
    let Some((network, range)) = networks::of(cluster, address.value) else {
        // Somebody else's balancer may stand anywhere.
        if !holders.is_empty() {
            let message = format!("the floating address {} lies in no network of the cluster", address.value);
            faults
                .push(Fault::new(address.place, message).hint("choose one within a network that the balancers are in"));
        }
        return;
    };
    if !range.is_host(address.value) {
        let message = format!("the floating address {} is no machine's in {range}", address.value);
        faults.push(Fault::new(address.place, message).hint("its first and last address are not for machines"));
    }
    if network.gateways.iter().any(|gateway| gateway.value == address.value) {
        let message = format!("the floating address {} is the gateway of `{}`", address.value, network.name.value);
        faults.push(Fault::new(address.place, message).hint("choose another one"));
    }
    if let Some(pool) = &network.pool
        && pool.value.0.is_ipv6() == address.value.is_ipv6()
        && (pool.value.0..=pool.value.1).contains(&address.value)
    {
        let message = format!("the floating address {} lies in the pool that is lent to others", address.value);
        faults.push(Fault::new(address.place, message).hint("choose one outside the pool"));
    }
    let within = |holder: &Machine<'_>| {
        holder.interfaces.iter().any(|interface| {
            let name = &interface.entry.network.value;
            let known = cluster.networks.iter().find(|network| network.name.value == *name);
            // An unknown network is told of where it stands.
            known.is_none_or(|network| network.ranges.iter().any(|range| range.value.contains(address.value)))
        })
    };
    for holder in holders.iter().filter(|holder| !within(holder)) {
        let message =
            format!("`{}` has no interface in `{}`, where {} floats", holder.name, network.name.value, address.value);
        faults.push(
            Fault::new(holder.place, message)
                .hint("give it one, or choose an address of a network that all balancers are in"),
        );
    }
}

fn listeners(
    cluster: &Cluster,
    api: &ApiEntry,
    machines: &[Machine<'_>],
    holders: &[&Machine<'_>],
    faults: &mut Vec<Fault>,
) {
    if api.balancer.value == Balancer::External
        && let Some(listener) = cluster.listeners.first()
    {
        let fault = Fault::new(listener.name.place, "the balancer is external, so that nobody here listens");
        faults.push(fault.hint("describe it there, or write `balancer: pacemaker`"));
    }
    let at = |listener: &ListenerEntry| -> Vec<IpAddr> {
        let own = if listener.addresses.is_empty() { &api.addresses } else { &listener.addresses };
        own.iter().map(|address| address.value).collect()
    };
    for (number, listener) in cluster.listeners.iter().enumerate() {
        for address in &listener.addresses {
            if !api.addresses.iter().chain(&api.public).any(|known| known.value == address.value) {
                floating(cluster, machines, holders, address, faults);
            }
        }
        let earlier = &cluster.listeners[..number];
        if let Some(other) = earlier.iter().find(|other| other.name.value == listener.name.value) {
            let message =
                format!("a listener `{}` stands already in line {}", listener.name.value, other.name.place.line);
            faults.push(Fault::new(listener.name.place, message).hint("give it another name"));
        }
        let (addresses, port) = (at(listener), listener.port.value);
        let mut taken =
            vec![("the API".to_owned(), api.addresses.iter().chain(&api.public).map(|a| a.value).collect(), api.port)];
        taken.extend(
            earlier.iter().map(|other| (format!("the listener `{}`", other.name.value), at(other), other.port.value)),
        );
        for (who, theirs, used) in taken {
            if used == port && addresses.iter().any(|address| theirs.contains(address)) {
                let message = format!("{who} listens at port {port} of the same address already");
                faults.push(
                    Fault::new(listener.port.place, message).hint("choose another port, or an address of its own"),
                );
            }
        }
        // sshd listens at every address of a balancer, floating or not.
        if port == 22 {
            let fault = Fault::new(listener.port.place, "port 22 belongs to the balancers' own sshd");
            faults.push(fault.hint("choose another port"));
        }
        target(listener, machines, faults);
    }
}

fn target(listener: &ListenerEntry, machines: &[Machine<'_>], faults: &mut Vec<Fault>) {
    if let Some(role) = &listener.to.role
        && !machines.iter().any(|machine| machine.has(super::roles::canonical(&role.value)))
    {
        let known = machines.iter().flat_map(|machine| &machine.roles).map(|role| role.value.as_str());
        let message = format!(
            "the listener `{}` leads to nodes with the role `{}`, and there are none",
            listener.name.value, role.value
        );
        let fault = Fault::new(role.place, message).suggest(nearest(&role.value, known));
        faults.push(fault.hint("name a role that nodes of this cluster have"));
    }
    for node in &listener.to.nodes {
        if !machines.iter().any(|machine| machine.name == node.value) {
            let names = machines.iter().map(|machine| machine.name.as_str());
            let message =
                format!("the listener `{}` leads to `{}`, and there is no such node", listener.name.value, node.value);
            let fault = Fault::new(node.place, message).suggest(nearest(&node.value, names));
            faults.push(fault.hint("nodes of a row have a number: worker1, worker2, ..."));
        }
    }
}
