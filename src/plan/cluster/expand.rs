//! Rows of nodes become machines: names, cards and addresses counted up, single machines overridden.

use super::roles;
use crate::base::network::{self, Mac};
use crate::base::size::Bytes;
use crate::input::{Cluster, Fault, InterfaceEntry, Located, NodeEntry, Override, Place, nearest};
use crate::input::{DataDiskEntry, SizeEntry};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// One machine, with the places of what was said of it.
pub(super) struct Machine<'a> {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) roles: Vec<Located<String>>,
    pub(super) processors: Option<Located<i64>>,
    pub(super) memory: Option<Located<Bytes>>,
    pub(super) disk: Option<Located<Bytes>>,
    pub(super) failure_domain: Option<Located<String>>,
    pub(super) interfaces: Vec<Interface<'a>>,
    pub(super) data_disks: &'a [Located<DataDiskEntry>],
}

/// One interface of one machine.
pub(super) struct Interface<'a> {
    pub(super) entry: &'a InterfaceEntry,
    /// The card, or the members of a bond.
    pub(super) cards: Vec<Located<Mac>>,
    pub(super) addresses: Vec<Located<IpAddr>>,
}

impl Machine<'_> {
    /// Whether the machine has this role.
    pub(super) fn has(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own.value == role)
    }

    /// The interface in a network.
    pub(super) fn interface(&self, network: &str) -> Option<&Interface<'_>> {
        self.interfaces.iter().find(|interface| interface.entry.network.value == network)
    }
}

/// All machines of a cluster, in the order of the document.
pub(super) fn machines<'a>(cluster: &'a Cluster, faults: &mut Vec<Fault>) -> Vec<Machine<'a>> {
    let mut all: Vec<Machine<'a>> = Vec::new();
    let mut seen: BTreeMap<String, Place> = BTreeMap::new();
    for entry in &cluster.nodes {
        let row = row(entry, faults);
        for (name, over) in &entry.overrides {
            let _ = over;
            if !row.iter().any(|machine| machine.name == name.value) {
                let names = row.iter().map(|machine| machine.name.as_str());
                let message = format!("the row `{}` has no machine `{}`", entry.name.value, name.value);
                let fault = Fault::new(name.place, message).suggest(nearest(&name.value, names));
                let last = row.last().map_or("", |machine| machine.name.as_str());
                faults.push(fault.hint(format!("its machines are {} to {last}", row[0].name)));
            }
        }
        for machine in row {
            if let Some(earlier) = seen.get(&machine.name) {
                let message = format!("a node `{}` stands already in line {}", machine.name, earlier.line);
                let hint = "give it another name; rows count from 1: `worker` with `count: 3` makes worker1 to worker3";
                faults.push(Fault::new(machine.place, message).hint(hint));
                continue;
            }
            seen.insert(machine.name.clone(), machine.place);
            all.push(machine);
        }
    }
    all
}

fn row<'a>(entry: &'a NodeEntry, faults: &mut Vec<Fault>) -> Vec<Machine<'a>> {
    let count = entry.count.as_ref().map_or(1, |count| u32::try_from(count.value).unwrap_or(1));
    (0..count).map(|at| machine(entry, at, faults)).collect()
}

fn machine<'a>(entry: &'a NodeEntry, at: u32, faults: &mut Vec<Fault>) -> Machine<'a> {
    let name = match &entry.count {
        Some(_) => format!("{}{}", entry.name.value, at + 1),
        None => entry.name.value.clone(),
    };
    if name.len() > 63 {
        let message = format!("the name `{name}` is longer than the 63 bytes of a DNS label");
        faults.push(Fault::new(entry.name.place, message).hint("choose a shorter one"));
    }
    let none = Override::default();
    let over = entry.overrides.iter().find(|(other, _)| other.value == name).map_or(&none, |(_, over)| over);
    let pick = |own: &SizeEntry| (own.processors.clone(), own.memory.clone(), own.disk.clone());
    let (own, general) = (pick(&over.size), pick(&entry.size));
    let domains = &entry.failure_domains;
    let along = (!domains.is_empty()).then(|| domains[usize::try_from(at).unwrap_or(0) % domains.len()].clone());
    let roles = entry.roles.iter().map(|role| Located::new(role.place, roles::canonical(&role.value).to_owned()));
    let interfaces = entry.interfaces.iter().map(|interface| counted(interface, at, &name, faults)).collect();
    let data_disks = match entry.overrides.iter().find(|(other, _)| other.value == name) {
        Some((_, Override { data_disks: Some(disks), .. })) => disks.as_slice(),
        _ => entry.data_disks.as_slice(),
    };
    Machine {
        place: entry.name.place,
        roles: roles.collect(),
        processors: own.0.or(general.0),
        memory: own.1.or(general.1),
        disk: own.2.or(general.2),
        failure_domain: over.failure_domain.clone().or(along),
        interfaces,
        data_disks,
        name,
    }
}

fn counted<'a>(entry: &'a InterfaceEntry, at: u32, name: &str, faults: &mut Vec<Fault>) -> Interface<'a> {
    let written = entry.mac.iter().chain(entry.bond.iter().flat_map(|bond| &bond.members));
    // Members of a bond lie side by side: the next machine's begin behind them.
    let step = entry.bond.as_ref().map_or(1, |bond| u32::try_from(bond.members.len()).unwrap_or(1));
    let mut cards = Vec::new();
    for mac in written {
        match at.checked_mul(step).and_then(|by| mac.value.plus(by)) {
            Some(value) => cards.push(Located::new(mac.place, value)),
            None => {
                let message = format!("counting up from {} leaves the manufacturer's range at `{name}`", mac.value);
                faults.push(Fault::new(mac.place, message).hint("begin with a lower address, or make the row shorter"));
            }
        }
    }
    let mut addresses = Vec::new();
    for address in &entry.addresses.fixed {
        match network::plus(address.value, at) {
            Some(value) => addresses.push(Located::new(address.place, value)),
            None => {
                let message = format!("counting up from {} ends before `{name}`", address.value);
                faults.push(Fault::new(address.place, message).hint("begin with a lower address"));
            }
        }
    }
    Interface { entry, cards, addresses }
}
