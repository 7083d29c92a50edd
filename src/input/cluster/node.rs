//! Nodes: one machine each, or a row of them with consecutive names and addresses.

use super::network::several;
use super::words;
use crate::base::limits::CLUSTER_ROW_NODES;
use crate::base::network::Mac;
use crate::base::size::Bytes;
use crate::input::check;
use crate::input::content::key_checked;
use crate::input::decode::{Fields, Located, Report, one_of};
use crate::input::problem::Fault;
use crate::input::yaml::{Node, Value};
use std::net::IpAddr;

/// A node, or a row of them.
#[derive(Clone, Debug)]
pub(crate) struct NodeEntry {
    pub(crate) name: Located<String>,
    /// A row: `worker1`, `worker2`, ...; one machine with the plain name when not given.
    pub(crate) count: Option<Located<i64>>,
    pub(crate) roles: Vec<Located<String>>,
    pub(crate) size: SizeEntry,
    /// One for all, or one after the other along the row.
    pub(crate) failure_domains: Vec<Located<String>>,
    pub(crate) interfaces: Vec<InterfaceEntry>,
    pub(crate) data_disks: Vec<Located<DataDiskEntry>>,
    /// What single machines of a row have instead.
    pub(crate) overrides: Vec<(Located<String>, Override)>,
}

/// What a machine needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct SizeEntry {
    pub(crate) processors: Option<Located<i64>>,
    pub(crate) memory: Option<Located<Bytes>>,
    pub(crate) disk: Option<Located<Bytes>>,
}

/// One machine's own values within a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Override {
    pub(crate) size: SizeEntry,
    pub(crate) failure_domain: Option<Located<String>>,
    pub(crate) data_disks: Option<Vec<Located<DataDiskEntry>>>,
}

/// A network card, a bond of several, or a VLAN upon another interface of the machine.
#[derive(Clone, Debug)]
pub(crate) struct InterfaceEntry {
    pub(crate) network: Located<String>,
    pub(crate) mac: Option<Located<Mac>>,
    pub(crate) bond: Option<BondEntry>,
    pub(crate) addresses: AddressEntry,
}

/// Where an interface's address comes from.
#[derive(Clone, Debug)]
pub(crate) struct AddressEntry {
    /// One of each version at most; those of a row's first machine.
    pub(crate) fixed: Vec<Located<IpAddr>>,
    /// Asked for by DHCP; a fixed address is then a reservation at the gateway.
    pub(crate) dhcp: Option<Located<bool>>,
}

/// Several network cards as one.
#[derive(Clone, Debug)]
pub(crate) struct BondEntry {
    pub(crate) members: Vec<Located<Mac>>,
    pub(crate) mode: &'static str,
}

/// A disk beside the one with the system; its contents survive another image.
#[derive(Clone, Debug)]
pub(crate) struct DataDiskEntry {
    pub(crate) serial: String,
    pub(crate) purpose: DiskUse,
    pub(crate) size: Option<Located<Bytes>>,
}

/// What a data disk is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskUse {
    Etcd,
    Gluster,
    Containers,
    Data,
}

pub(super) fn nodes(report: &Report, node: &Node) -> Vec<NodeEntry> {
    report.list(node).iter().filter_map(|node| entry(report, node)).collect()
}

fn entry(report: &Report, node: &Node) -> Option<NodeEntry> {
    let mut fields = Fields::open(report, node, "a node")?;
    let name = fields.require("name").and_then(|node| report.checked(node, words::label));
    let count = fields.get("count").and_then(|node| report.integer(node, 1, CLUSTER_ROW_NODES));
    if fields.has("role") && fields.has("roles") {
        let fault = Fault::new(fields.key_place("roles"), "`role` and `roles` exclude each other");
        report.add(fault.hint("write `roles: [master, haproxy]` for a machine with several"));
    }
    let several = fields.has("roles");
    let list = fields.get("roles").map(|node| report.texts(node, "role", check::name));
    let single = if several { fields.get("role") } else { fields.require("role") };
    let roles = list.or_else(|| single.map(|node| roles(report, node))).unwrap_or_default();
    let size = fields.get("size").map(|node| size(report, node)).unwrap_or_default();
    let failure_domains = fields
        .get("failure_domain")
        .map(|node| super::one_or_more(node).iter().filter_map(|node| report.checked(node, words::word)).collect());
    let interfaces = fields.require("interfaces").map(|node| interfaces(report, node)).unwrap_or_default();
    let data_disks = fields.get("data_disks").map(|node| disks(report, node)).unwrap_or_default();
    let overrides = fields.get("overrides").map(|node| overrides(report, node)).unwrap_or_default();
    if count.is_none() && fields.has("overrides") {
        let fault = Fault::new(fields.key_place("overrides"), "`overrides` means nothing without `count`");
        report.add(fault.hint("write the values at the node itself"));
    }
    fields.close();
    let failure_domains = failure_domains.unwrap_or_default();
    Some(NodeEntry { name: name?, count, roles, size, failure_domains, interfaces, data_disks, overrides })
}

/// `master`, or `master+haproxy`.
fn roles(report: &Report, node: &Node) -> Vec<Located<String>> {
    let Some(text) = report.text(node) else { return Vec::new() };
    let mut found: Vec<Located<String>> = Vec::new();
    for part in text.value.split('+') {
        match check::name(part) {
            Ok(name) if found.iter().any(|earlier| earlier.value == name) => {
                let fault = Fault::new(text.place, format!("the role `{name}` is named twice"));
                report.add(fault.hint("name it once"));
            }
            Ok(name) => found.push(Located::new(text.place, name)),
            Err(refusal) => report.add(refusal.at(text.place)),
        }
    }
    found
}

fn size(report: &Report, node: &Node) -> SizeEntry {
    let Some(mut fields) = Fields::open(report, node, "a size") else { return SizeEntry::default() };
    let processors = fields.get("cpus").and_then(|node| report.integer(node, 1, 512));
    let memory = fields.get("memory").and_then(|node| report.size(node));
    let disk = fields.get("disk").and_then(|node| report.size(node));
    fields.close();
    SizeEntry { processors, memory, disk }
}

fn interfaces(report: &Report, node: &Node) -> Vec<InterfaceEntry> {
    let found: Vec<InterfaceEntry> = report.list(node).iter().filter_map(|node| interface(report, node)).collect();
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        let fault = Fault::new(node.place, "the node has no interface, and could neither be reached nor reach others");
        report.add(fault.hint("add `{network: ..., mac: ..., address: ...}`"));
    }
    found
}

fn interface(report: &Report, node: &Node) -> Option<InterfaceEntry> {
    let mut fields = Fields::open(report, node, "an interface")?;
    let network = fields.require("network").and_then(|node| report.checked(node, words::network));
    let mac = fields.get("mac").and_then(|node| report.checked(node, words::mac));
    let bond = fields.get("bond").and_then(|node| bond(report, node));
    if fields.has("mac") && fields.has("bond") {
        let fault =
            Fault::new(fields.key_place("mac"), "a bond has the addresses of its members and no `mac` of its own");
        report.add(fault.hint("list it among `members`"));
    }
    let fixed = several(report, fields.get("address"), "address", words::address);
    let place = fields.key_place("dhcp");
    let dhcp = fields.get("dhcp").and_then(|node| report.boolean(node)).filter(|wanted| *wanted);
    fields.close();
    let dhcp = dhcp.map(|wanted| Located::new(place, wanted));
    Some(InterfaceEntry { network: network?, mac, bond, addresses: AddressEntry { fixed, dhcp } })
}

fn bond(report: &Report, node: &Node) -> Option<BondEntry> {
    let mut fields = Fields::open(report, node, "a bond")?;
    let members = fields.require("members").map(|node| report.texts(node, "member", words::mac)).unwrap_or_default();
    let known = [("active-backup", "active-backup"), ("802.3ad", "802.3ad"), ("balance-xor", "balance-xor")];
    let mode = fields.get("mode").and_then(|node| report.checked(node, |text| one_of(text, "bond mode", &known)));
    if fields.has("members") && members.len() < 2 {
        let fault = Fault::new(fields.key_place("members"), "a bond needs at least two members");
        report.add(fault.hint("add another, or give the interface a `mac` instead of a bond"));
    }
    fields.close();
    Some(BondEntry { members, mode: mode.map_or("active-backup", |mode| mode.value) })
}

fn disks(report: &Report, node: &Node) -> Vec<Located<DataDiskEntry>> {
    report
        .list(node)
        .iter()
        .filter_map(|node| {
            let mut fields = Fields::open(report, node, "a data disk")?;
            let serial = fields.require("serial").and_then(|node| report.checked(node, serial));
            let known = [
                ("etcd", DiskUse::Etcd),
                ("gluster", DiskUse::Gluster),
                ("containers", DiskUse::Containers),
                ("data", DiskUse::Data),
            ];
            let purpose = fields
                .require("use")
                .and_then(|node| report.checked(node, |text| one_of(text, "use of a disk", &known)));
            let size = fields.get("size").and_then(|node| report.size(node));
            fields.close();
            let serial = serial?;
            Some(Located::new(serial.place, DataDiskEntry { serial: serial.value, purpose: purpose?.value, size }))
        })
        .collect()
}

/// What the hypervisor says of the disk; virtio has room for 20 bytes.
fn serial(text: &str) -> Result<String, crate::input::decode::Refusal> {
    let shape = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !text.is_empty() && text.len() <= 20 && text.chars().all(shape) {
        return Ok(text.to_owned());
    }
    Err(crate::input::decode::Refusal::new(format!("`{text}` is no serial number of a disk"))
        .hint("at most 20 letters, digits, `-` or `_`: virtio has room for no more"))
}

fn overrides(report: &Report, node: &Node) -> Vec<(Located<String>, Override)> {
    report
        .map(node)
        .iter()
        .filter_map(|(key, node)| {
            let name = key_checked(report, key, words::label);
            let mut fields = Fields::open(report, node, "an override")?;
            let size = fields.get("size").map(|node| size(report, node)).unwrap_or_default();
            let failure_domain = fields.get("failure_domain").and_then(|node| report.checked(node, words::word));
            let data_disks = fields.get("data_disks").map(|node| disks(report, node));
            fields.close();
            Some((name?, Override { size, failure_domain, data_disks }))
        })
        .collect()
}
