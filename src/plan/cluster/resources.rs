//! What a machine needs, and what its disks are for.

use super::expand::Machine;
use super::roles;
use crate::base::size::Bytes;
use crate::input::{DiskUse, Fault};
use std::collections::{BTreeMap, BTreeSet};

/// Gives what is worth a warning. `disks` has the least size of each role's disk.
pub(super) fn check(machines: &[Machine<'_>], disks: &BTreeMap<String, Bytes>, faults: &mut Vec<Fault>) -> Vec<Fault> {
    let mut warnings = Vec::new();
    let mut told = BTreeSet::new();
    for machine in machines {
        for role in machine.roles.iter().map(|role| role.value.as_str()) {
            let least = roles::least(role);
            if let Some(own) = &machine.processors
                && own.value < i64::from(least.processors)
                && told.insert(own.place)
            {
                let message =
                    format!("`{}` has {} processors, and `{role}` needs {}", machine.name, own.value, least.processors);
                faults.push(Fault::new(own.place, message).hint("raise `cpus`"));
            }
            if let Some(own) = &machine.memory
                && own.value < least.memory
                && told.insert(own.place)
            {
                let message =
                    format!("`{}` has {} of memory, and `{role}` needs {}", machine.name, own.value, least.memory);
                faults.push(Fault::new(own.place, message).hint("raise `memory`"));
            }
            if let (Some(own), Some(least)) = (&machine.disk, disks.get(role))
                && own.value < *least
                && told.insert(own.place)
            {
                let message = format!(
                    "the disk of `{}` has {}, and the image of `{role}` needs {least}",
                    machine.name, own.value
                );
                faults.push(Fault::new(own.place, message).hint("raise `disk`"));
            }
        }
        purposes(machine, faults, &mut warnings);
    }
    warnings
}

fn purposes(machine: &Machine<'_>, faults: &mut Vec<Fault>, warnings: &mut Vec<Fault>) {
    for (at, disk) in machine.data_disks.iter().enumerate() {
        if machine.data_disks[..at].iter().any(|earlier| earlier.value.serial == disk.value.serial) {
            let message = format!("`{}` has two disks with the serial number `{}`", machine.name, disk.value.serial);
            faults.push(
                Fault::new(disk.place, message).hint("the machine tells its disks apart by it: give one another"),
            );
        }
        let fitting: &[&str] = match disk.value.purpose {
            DiskUse::Etcd => &["master", "etcd"],
            DiskUse::Gluster => &["gluster"],
            DiskUse::Containers => &["master", "worker", "meta-worker"],
            DiskUse::Data => continue,
        };
        if !fitting.iter().any(|role| machine.has(role)) {
            let message = format!(
                "the disk `{}` is for {}, which `{}` does not run",
                disk.value.serial,
                word(disk.value.purpose),
                machine.name
            );
            faults.push(Fault::new(disk.place, message).hint("write `use: data`, or move it to a node that does"));
        }
    }
    let used = |purpose: DiskUse| machine.data_disks.iter().any(|disk| disk.value.purpose == purpose);
    if machine.has("etcd") && !used(DiskUse::Etcd) {
        let message =
            format!("etcd of `{}` lies on the disk of its image: another image begins without it", machine.name);
        warnings.push(Fault::new(machine.place, message).hint("add `data_disks: [{serial: etcd1, use: etcd}]`"));
    }
    if machine.has("gluster") && !used(DiskUse::Gluster) {
        let message =
            format!("the brick of `{}` lies on the disk of its image: another image begins without it", machine.name);
        warnings.push(Fault::new(machine.place, message).hint("add `data_disks: [{serial: brick1, use: gluster}]`"));
    }
}

/// The word in documents and plans.
pub(super) fn word(purpose: DiskUse) -> &'static str {
    match purpose {
        DiskUse::Etcd => "etcd",
        DiskUse::Gluster => "gluster",
        DiskUse::Containers => "containers",
        DiskUse::Data => "data",
    }
}
