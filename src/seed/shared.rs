//! What is the same for all machines of a cluster: worked out once, lent to every seed.

use super::TemplateText;
use super::Templates;
use super::payload::Payload;
use crate::plan::{ClusterPlan, InterfacePlan, NodePlan};
use crate::secret::ClusterIdentity;
use anyhow::Result;
use minijinja::value::{Serde, Value};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The cluster, its secrets and its templates, with what templates see of them.
#[derive(Debug)]
pub(super) struct Shared<'a> {
    pub(super) plan: &'a ClusterPlan,
    pub(super) identity: &'a ClusterIdentity,
    pub(super) templates: Templates,
    /// The distribution's suite, which says what its programs understand.
    pub(super) suite: &'a str,
    /// What templates see as `cluster`.
    pub(super) cluster: Value,
    /// What templates see as `site`.
    pub(super) site: Value,
    /// Whose address is whose: all that machines have beforehand.
    owners: BTreeMap<IpAddr, String>,
    /// Files that every machine gets.
    pub(super) payload: Payload,
}

#[derive(Serialize)]
struct ClusterContext<'a> {
    name: &'a str,
    domain: &'a str,
}

/// What templates see as `node`.
#[derive(Serialize)]
struct NodeContext<'a> {
    name: &'a str,
    fqdn: String,
    roles: &'a [String],
}

impl<'a> Shared<'a> {
    pub(super) fn new(
        plan: &'a ClusterPlan,
        identity: &'a ClusterIdentity,
        suite: &'a str,
        templates: Vec<TemplateText>,
    ) -> Result<Self> {
        let owned = plan.nodes.iter().flat_map(|node| addresses(node).map(|address| (address, node.name.clone())));
        let mut shared = Self {
            plan,
            identity,
            templates: Templates::new(templates)?,
            suite,
            cluster: Serde(ClusterContext { name: &plan.name, domain: &plan.domain }).into(),
            site: Serde(&plan.site).into(),
            owners: owned.collect(),
            payload: Payload::default(),
        };
        shared.payload = super::common::payload(&shared)?;
        Ok(shared)
    }

    pub(super) fn node(&self, node: &NodePlan) -> Value {
        Serde(NodeContext { name: &node.name, fqdn: self.fqdn(node), roles: &node.roles }).into()
    }

    pub(super) fn fqdn(&self, node: &NodePlan) -> String {
        format!("{}.{}", node.name, self.plan.domain)
    }

    /// Who has this address beforehand.
    pub(super) fn owner(&self, address: IpAddr) -> Option<&str> {
        self.owners.get(&address).map(String::as_str)
    }

    /// The interface that leads out: the first whose network has a gateway that is not this machine itself, or whose
    /// addresses somebody else gives.
    pub(super) fn way_out<'n>(&self, node: &'n NodePlan) -> Option<&'n InterfacePlan> {
        node.interfaces.iter().find(|interface| {
            self.plan.network(&interface.network).is_some_and(|network| {
                let other = |gateway: &IpAddr| self.owner(*gateway) != Some(node.name.as_str());
                network.foreign || network.gateways.iter().any(other)
            })
        })
    }

    /// Interfaces at which a gateway serves: all that it has an address at but the way out, or that, if there is no other.
    pub(super) fn served<'n>(&self, node: &'n NodePlan) -> Vec<&'n InterfacePlan> {
        let way_out = self.way_out(node).map(|interface| interface.network.as_str());
        let ours = |interface: &&InterfacePlan| !interface.dhcp && !interface.addresses.is_empty();
        let inner: Vec<&InterfacePlan> = node
            .interfaces
            .iter()
            .filter(ours)
            .filter(|interface| Some(interface.network.as_str()) != way_out)
            .collect();
        if inner.is_empty() { node.interfaces.iter().filter(ours).collect() } else { inner }
    }
}

/// All addresses that a machine has beforehand, as they are listed.
pub(super) fn addresses(node: &NodePlan) -> impl Iterator<Item = IpAddr> + '_ {
    node.interfaces.iter().flat_map(|interface| &interface.addresses).map(|cidr| cidr.address())
}

/// The first address of each version: those that the machine's name leads to.
pub(super) fn principal(node: &NodePlan) -> Vec<IpAddr> {
    let mut seen = BTreeSet::new();
    addresses(node).filter(|address| seen.insert(address.is_ipv6())).collect()
}

/// The first address in a network, of this version.
pub(super) fn address_in(node: &NodePlan, network: &str, v6: bool) -> Option<IpAddr> {
    let interface = node.interfaces.iter().find(|interface| interface.network == network)?;
    interface.addresses.iter().map(|cidr| cidr.address()).find(|address| address.is_ipv6() == v6)
}
