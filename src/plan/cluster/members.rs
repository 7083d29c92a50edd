//! What must hold of those who decide together: an odd number of them, spread over failure domains.

use super::expand::Machine;
use super::roles;
use crate::input::{Cluster, EtcdTopology, Fault, nearest};
use std::collections::{BTreeMap, BTreeSet};

/// Gives what is worth a warning.
pub(super) fn check(
    cluster: &Cluster,
    machines: &[Machine<'_>],
    known: &BTreeSet<String>,
    faults: &mut Vec<Fault>,
) -> Vec<Fault> {
    let mut warnings = Vec::new();
    named(machines, known, faults);
    let with = |role: &str| -> Vec<&Machine<'_>> { machines.iter().filter(|machine| machine.has(role)).collect() };
    let (masters, etcd) = (with("master"), with("etcd"));
    odd("masters", &masters, faults);
    odd("etcd members", &etcd, faults);
    match &cluster.kubernetes {
        None => {
            for role in ["master", "worker", "meta-worker"] {
                if let Some(machine) = with(role).first() {
                    let message =
                        format!("`{}` has the role `{role}`, but the cluster has no `kubernetes`", machine.name);
                    let hint = "add `kubernetes: {version: \"1.36\", pods: 10.244.0.0/16, services: 10.96.0.0/12}`";
                    faults.push(Fault::new(machine.place, message).hint(hint));
                }
            }
        }
        Some(kubernetes) => {
            if masters.is_empty() {
                let fault = Fault::new(kubernetes.version.place, "Kubernetes needs masters, and no node has that role");
                faults.push(fault.hint("add a node with `role: master`; three of them survive the loss of one"));
            }
            if cluster.api.is_none() {
                let fault = Fault::new(kubernetes.version.place, "Kubernetes needs an address for its API");
                faults.push(fault.hint("add `api: {name: api.demo.internal, address: ..., balancer: ...}`"));
            }
            match (kubernetes.etcd.value, etcd.first()) {
                (EtcdTopology::External, None) => {
                    let fault = Fault::new(kubernetes.etcd.place, "etcd is external, but no node has the role `etcd`");
                    faults.push(fault.hint("add three nodes with that role, or write `etcd: stacked`"));
                }
                (EtcdTopology::Stacked, Some(machine)) => {
                    let message =
                        format!("`{}` has the role `etcd`, but etcd is stacked upon the masters", machine.name);
                    faults
                        .push(Fault::new(machine.place, message).hint("write `etcd: external`, or leave the node out"));
                }
                _ => {}
            }
        }
    }
    let deciding = if etcd.is_empty() { ("masters", &masters) } else { ("etcd members", &etcd) };
    majority(deciding.0, deciding.1, &mut warnings);
    if etcd.is_empty() && masters.len() == 1 {
        let message = format!("`{}` is the only master: when it fails, nothing can be changed", masters[0].name);
        warnings.push(Fault::new(masters[0].place, message).hint("three survive the loss of one"));
    }
    gluster(cluster, &with("gluster"), faults, &mut warnings);
    warnings
}

/// Roles are known, and those of one machine agree.
fn named(machines: &[Machine<'_>], known: &BTreeSet<String>, faults: &mut Vec<Fault>) {
    let mut told = BTreeSet::new();
    for machine in machines {
        for role in &machine.roles {
            let there = known.contains(&role.value) || roles::KNOWN.contains(&role.value.as_str());
            if !there && told.insert(role.place) {
                let names: BTreeSet<&str> =
                    known.iter().map(String::as_str).chain(roles::KNOWN.iter().copied()).collect();
                let fault = Fault::new(role.place, format!("there is no role `{}`", role.value));
                let fault = fault.suggest(nearest(&role.value, names.iter().copied()));
                let names: Vec<&str> = names.into_iter().collect();
                faults.push(
                    fault.hint(format!("known here: {}; a new one goes into roles/NAME/role.yaml", names.join(", "))),
                );
            }
        }
        for (one, other, why) in [
            ("haproxy", "frontend", "both would hold the floating address"),
            ("master", "etcd", "external etcd stands on machines of its own"),
            ("gateway", "master", "the way out of the cluster must not depend on it"),
        ] {
            if machine.has(one) && machine.has(other) {
                let message = format!("`{}` cannot be both `{one}` and `{other}`: {why}", machine.name);
                faults.push(Fault::new(machine.place, message).hint("give one of the two to another node"));
            }
        }
    }
}

fn odd(what: &str, members: &[&Machine<'_>], faults: &mut Vec<Fault>) {
    let count = members.len();
    if count > 0 && count.is_multiple_of(2) {
        let (lost, fewer) = ((count - 1) / 2, count - 1);
        let message = format!("{count} {what} survive the loss of {lost}, as {fewer} would: one more that can fail");
        let last = members[count - 1].place;
        faults.push(Fault::new(last, message).hint(format!("have {} or {}", count - 1, count + 1)));
    }
    if count > 7 {
        let message = format!("{count} {what}: every write waits for {} of them", count / 2 + 1);
        faults.push(
            Fault::new(members[count - 1].place, message).hint("have 3 or 5; etcd itself advises against more than 7"),
        );
    }
}

/// One failure must not take a majority along.
fn majority(what: &str, members: &[&Machine<'_>], warnings: &mut Vec<Fault>) {
    let mut domains: BTreeMap<&str, Vec<&Machine<'_>>> = BTreeMap::new();
    for member in members {
        if let Some(domain) = &member.failure_domain {
            domains.entry(&domain.value).or_default().push(member);
        }
    }
    for (domain, inside) in domains {
        if members.len() > 1 && inside.len() > members.len() / 2 {
            let message = format!(
                "`{domain}` holds {} of {} {what}: when it fails, the rest cannot decide",
                inside.len(),
                members.len()
            );
            let place =
                inside.last().map(|machine| machine.failure_domain.as_ref().map_or(machine.place, |at| at.place));
            warnings
                .push(Fault::new(place.unwrap_or_default(), message).hint("spread them over three failure domains"));
        }
    }
}

fn gluster(cluster: &Cluster, nodes: &[&Machine<'_>], faults: &mut Vec<Fault>, warnings: &mut Vec<Fault>) {
    let Some(gluster) = &cluster.gluster else {
        if let Some(node) = nodes.first() {
            let message =
                format!("`{}` has the role `gluster`, but the cluster has no `storage: {{gluster: ...}}`", node.name);
            faults.push(Fault::new(node.place, message).hint("add `storage: {gluster: {volume: gv0, replica: 3}}`"));
        }
        return;
    };
    let (count, replica) = (nodes.len(), usize::try_from(gluster.replica.value).unwrap_or(0));
    if count < replica || !count.is_multiple_of(replica.max(1)) {
        let message = format!("{count} gluster nodes cannot hold every file {replica} times");
        let hint = format!("have {replica} of them, or a multiple of it");
        faults.push(Fault::new(gluster.replica.place, message).hint(hint));
    }
    if replica == 2 {
        let fault = Fault::new(gluster.replica.place, "two replicas cannot tell which of them is right after a cut");
        warnings.push(fault.hint("have three"));
    }
}
