//! What a cluster serves: the API's address, listeners, Kubernetes and storage.

use super::network::several;
use super::words;
use crate::base::network::Cidr;
use crate::input::check;
use crate::input::decode::{Fields, Located, Refusal, Report, one_of};
use crate::input::problem::Fault;
use crate::input::yaml::Node;
use std::net::IpAddr;

/// The address behind which the API servers stand.
#[derive(Clone, Debug)]
pub(crate) struct ApiEntry {
    pub(crate) name: Located<String>,
    /// One of each version at most.
    pub(crate) addresses: Vec<Located<IpAddr>>,
    /// The same for a second network; they move together.
    pub(crate) public: Vec<Located<IpAddr>>,
    pub(crate) port: i64,
    pub(crate) balancer: Located<Balancer>,
    pub(crate) vrrp_id: Option<Located<i64>>,
    /// Whether a pair of balancers that is started wants to see both before it acts.
    pub(crate) wait_for_all: bool,
    /// Corosync's token timeout (milliseconds).
    pub(crate) token: Option<Located<i64>>,
}

/// Who holds the floating addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Balancer {
    Pacemaker,
    Keepalived,
    External,
}

/// Application traffic through the same balancers.
#[derive(Clone, Debug)]
pub(crate) struct ListenerEntry {
    pub(crate) name: Located<String>,
    pub(crate) port: Located<i64>,
    /// The API's own address when not given.
    pub(crate) addresses: Vec<Located<IpAddr>>,
    pub(crate) to: Target,
    /// That a connection comes about when not given.
    pub(crate) health: HealthEntry,
}

/// What shows that somebody behind a listener is well.
#[derive(Clone, Debug, Default)]
pub(crate) struct HealthEntry {
    /// The path that is asked for by HTTP, and must be answered with 200.
    pub(crate) get: Option<String>,
    /// Whether all that is said by TLS.
    pub(crate) tls: bool,
}

/// Where a listener leads.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) role: Option<Located<String>>,
    pub(crate) nodes: Vec<Located<String>>,
    pub(crate) port: i64,
}

/// A path in Vault.
#[derive(Clone, Debug)]
pub(crate) struct VaultEntry {
    pub(crate) mount: String,
    pub(crate) path: String,
}

/// Kubernetes on masters and workers.
#[derive(Clone, Debug)]
pub(crate) struct KubernetesEntry {
    pub(crate) version: Located<String>,
    pub(crate) etcd: Located<EtcdTopology>,
    pub(crate) pods: Vec<Located<Cidr>>,
    pub(crate) services: Vec<Located<Cidr>>,
    pub(crate) runtime: Runtime,
}

/// Where etcd runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EtcdTopology {
    Stacked,
    External,
}

/// What runs containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    Containerd,
    Docker,
}

/// A replicated volume.
#[derive(Clone, Debug)]
pub(crate) struct GlusterEntry {
    pub(crate) volume: Located<String>,
    pub(crate) replica: Located<i64>,
    pub(crate) mount: String,
}

pub(super) fn api(report: &Report, node: &Node) -> Option<ApiEntry> {
    let mut fields = Fields::open(report, node, "`api`")?;
    let name = fields.require("name").and_then(|node| report.checked(node, words::domain));
    let addresses = several(report, fields.require("address"), "address", words::address);
    let public = several(report, fields.get("public"), "address", words::address);
    let port = fields.get("port").and_then(|node| port(report, node)).map_or(6443, |port| port.value);
    let known =
        [("pacemaker", Balancer::Pacemaker), ("keepalived", Balancer::Keepalived), ("external", Balancer::External)];
    let balancer =
        fields.require("balancer").and_then(|node| report.checked(node, |text| one_of(text, "balancer", &known)));
    // RFC 9568: 0 is not used.
    let vrrp_id = fields.get("vrrp_id").and_then(|node| report.integer(node, 1, 255));
    if let (Some(id), Some(balancer)) = (&vrrp_id, &balancer)
        && balancer.value != Balancer::Keepalived
    {
        let fault = Fault::new(id.place, "only keepalived has a `vrrp_id`");
        report.add(fault.hint("leave it out, or write `balancer: keepalived`"));
    }
    let wait_for_all = fields.get("wait_for_all");
    // Corosync's own token timeout is 3000; below 500 a busy machine loses its membership.
    let token_node = fields.get("token");
    for (node, key) in [(wait_for_all, "wait_for_all"), (token_node, "token")] {
        if let (Some(node), Some(balancer)) = (node, &balancer)
            && balancer.value != Balancer::Pacemaker
        {
            let fault = Fault::new(node.place, format!("only pacemaker has `{key}`"));
            report.add(fault.hint("leave it out, or write `balancer: pacemaker`"));
        }
    }
    let wait_for_all = wait_for_all.and_then(|node| report.boolean(node)).unwrap_or(false);
    let token = token_node.and_then(|node| report.integer(node, 500, 60_000));
    fields.close();
    Some(ApiEntry { name: name?, addresses, public, port, balancer: balancer?, vrrp_id, wait_for_all, token })
}

pub(super) fn listeners(report: &Report, node: &Node) -> Vec<ListenerEntry> {
    report
        .list(node)
        .iter()
        .filter_map(|node| {
            let mut fields = Fields::open(report, node, "a listener")?;
            let name = fields.require("name").and_then(|node| report.checked(node, words::word));
            let port = fields.require("port").and_then(|node| port(report, node));
            let addresses = several(report, fields.get("address"), "address", words::address);
            let to = fields.require("to").and_then(|node| target(report, node));
            let health = fields.get("health").and_then(|node| health(report, node)).unwrap_or_default();
            fields.close();
            Some(ListenerEntry { name: name?, port: port?, addresses, to: to?, health })
        })
        .collect()
}

fn target(report: &Report, node: &Node) -> Option<Target> {
    let mut fields = Fields::open(report, node, "a listener's target")?;
    let role = fields.get("role").and_then(|node| report.checked(node, check::name));
    let nodes = fields.get("nodes").map(|node| report.texts(node, "node", words::label)).unwrap_or_default();
    let port = fields.require("port").and_then(|node| port(report, node));
    if fields.has("role") == fields.has("nodes") {
        let fault = Fault::new(node.place, "a listener leads to the nodes of a `role` or to `nodes` by name");
        report.add(fault.hint("write one of the two: `to: {role: worker, port: 30443}`"));
    }
    fields.close();
    Some(Target { role, nodes, port: port?.value })
}

fn health(report: &Report, node: &Node) -> Option<HealthEntry> {
    let mut fields = Fields::open(report, node, "a listener's health")?;
    let get = fields.get("get").and_then(|node| report.checked(node, words::url_path));
    let tls = fields.get("tls").and_then(|node| report.boolean(node)).unwrap_or(false);
    if !fields.has("get") && !tls {
        let fault = Fault::new(node.place, "`health` says neither what to `get` nor that it is asked by `tls`");
        report.add(
            fault.hint("write `health: {get: /healthz}`, or leave it out: that it can be connected to is enough then"),
        );
    }
    fields.close();
    Some(HealthEntry { get: get.map(|get| get.value), tls })
}

fn port(report: &Report, node: &Node) -> Option<Located<i64>> {
    report.integer(node, 1, 65_535)
}

pub(super) fn kubernetes(report: &Report, node: &Node) -> Option<KubernetesEntry> {
    let mut fields = Fields::open(report, node, "`kubernetes`")?;
    let written = fields.require("version").and_then(|node| report.checked(node, version));
    let topologies = [("stacked", EtcdTopology::Stacked), ("external", EtcdTopology::External)];
    let etcd =
        fields.get("etcd").and_then(|node| report.checked(node, |text| one_of(text, "etcd topology", &topologies)));
    let pods = several(report, fields.require("pods"), "range", words::cidr);
    let services = several(report, fields.require("services"), "range", words::cidr);
    let runtimes = [("containerd", Runtime::Containerd), ("docker", Runtime::Docker)];
    let runtime =
        fields.get("runtime").and_then(|node| report.checked(node, |text| one_of(text, "runtime", &runtimes)));
    fields.close();
    Some(KubernetesEntry {
        version: written?,
        etcd: etcd.unwrap_or(Located::new(node.place, EtcdTopology::Stacked)),
        pods,
        services,
        runtime: runtime.map_or(Runtime::Containerd, |runtime| runtime.value),
    })
}

/// A minor version, which names the package repository, or a full one.
fn version(text: &str) -> Result<String, Refusal> {
    let parts: Vec<&str> = text.trim_start_matches('v').split('.').collect();
    let numbers = parts.iter().all(|part| {
        !part.is_empty()
            && part.len() <= 3
            && part.bytes().all(|c| c.is_ascii_digit())
            && (part.len() == 1 || !part.starts_with('0'))
    });
    if !numbers || !matches!(parts.len(), 2 | 3) {
        return Err(
            Refusal::new(format!("`{text}` is no version of Kubernetes")).hint("write \"1.36\" or \"1.36.1\", quoted")
        );
    }
    if text.starts_with('v') {
        return Err(Refusal::new("the version begins with `v`").suggest(Some(parts.join("."))));
    }
    Ok(text.to_owned())
}

/// Where the cluster's secrets are kept, when it is not beside the document.
pub(super) fn secrets(report: &Report, node: &Node) -> Option<VaultEntry> {
    let mut fields = Fields::open(report, node, "`secrets`")?;
    let vault = fields.require("vault").and_then(|node| {
        let mut fields = Fields::open(report, node, "`vault`")?;
        let mount = fields.get("mount").and_then(|node| report.checked(node, words::vault_path));
        let path = fields.require("path").and_then(|node| report.checked(node, words::vault_path));
        fields.close();
        Some(VaultEntry { mount: mount.map_or_else(|| "secret".to_owned(), |mount| mount.value), path: path?.value })
    });
    fields.close();
    vault
}

pub(super) fn storage(report: &Report, node: &Node) -> Option<GlusterEntry> {
    let mut fields = Fields::open(report, node, "`storage`")?;
    let gluster = fields.get("gluster").and_then(|node| {
        let mut fields = Fields::open(report, node, "`gluster`")?;
        let volume = fields.require("volume").and_then(|node| report.checked(node, words::word));
        let replica = fields.require("replica").and_then(|node| report.integer(node, 2, 5));
        let mount = fields.get("mount").and_then(|node| report.checked(node, check::path));
        fields.close();
        let mount = mount.map_or_else(|| "/srv/gluster".to_owned(), |mount| mount.value);
        Some(GlusterEntry { volume: volume?, replica: replica?, mount })
    });
    fields.close();
    gluster
}
