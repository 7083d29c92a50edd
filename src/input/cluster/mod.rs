//! The document `seeds/<cluster>/cluster.yaml`: one cluster, its networks, addresses, services and nodes.
//!
//! Each text is checked for itself here; whether all of it fits together is seen when the cluster's plan is drawn.

mod network;
mod node;
mod service;
mod site;
mod words;

pub(crate) use network::NetworkEntry;
pub(crate) use node::{DataDiskEntry, DiskUse, InterfaceEntry, NodeEntry, Override, SizeEntry};
pub(crate) use service::{
    ApiEntry, Balancer, EtcdTopology, GlusterEntry, KubernetesEntry, ListenerEntry, Runtime, VaultEntry,
};
pub(crate) use site::{Site, SyslogProtocol, UserEntry as ClusterUserEntry};

use super::check;
use super::decode::{Fields, Located, Report};
use super::yaml::{Node, Value};

/// A cluster, each value checked for itself.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) name: Located<String>,
    pub(crate) domain: Located<String>,
    pub(crate) recipe: Option<Located<String>>,
    pub(crate) site: Site,
    pub(crate) networks: Vec<NetworkEntry>,
    pub(crate) api: Option<ApiEntry>,
    pub(crate) listeners: Vec<ListenerEntry>,
    pub(crate) kubernetes: Option<KubernetesEntry>,
    pub(crate) gluster: Option<GlusterEntry>,
    pub(crate) vault: Option<VaultEntry>,
    pub(crate) nodes: Vec<NodeEntry>,
}

/// Reads a cluster out of its tree.
pub(super) fn cluster(report: &Report, node: &Node) -> Option<Cluster> {
    let mut fields = Fields::open(report, node, "a cluster")?;
    fields.get("version");
    fields.get("description").and_then(|node| report.text(node));
    let name = fields.require("cluster").and_then(|node| report.checked(node, words::label));
    let domain = fields.require("domain").and_then(|node| report.checked(node, words::domain));
    let recipe = fields.get("recipe").and_then(|node| report.checked(node, check::name));
    let site = site::site(report, &mut fields);
    let networks = fields.require("networks").map(|node| network::networks(report, node)).unwrap_or_default();
    let api = fields.get("api").and_then(|node| service::api(report, node));
    let listeners = fields.get("listeners").map(|node| service::listeners(report, node)).unwrap_or_default();
    let kubernetes = fields.get("kubernetes").and_then(|node| service::kubernetes(report, node));
    let gluster = fields.get("storage").and_then(|node| service::storage(report, node));
    let vault = fields.get("secrets").and_then(|node| service::secrets(report, node));
    let nodes = fields.require("nodes").map(|node| node::nodes(report, node)).unwrap_or_default();
    fields.close();
    let (name, domain) = (name?, domain?);
    Some(Cluster { name, domain, recipe, site, networks, api, listeners, kubernetes, gluster, vault, nodes })
}

/// A single value or a list of them: most clusters have one address each, dual-stack ones two.
fn one_or_more(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        _ => std::slice::from_ref(node),
    }
}
