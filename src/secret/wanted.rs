//! Which certificates a machine needs, and for which names.

use super::certificate::Leaf;
use crate::plan::{ClusterPlan, NodePlan};
use std::collections::BTreeSet;

/// Kubernetes' authorities: our name, which is that of kubeadm's files, and the common name that kubeadm gives them. Each
/// etcd has an authority of its own, because whoever has one of its certificates may do everything there.
pub(super) const AUTHORITIES: &[(&str, &str)] =
    &[("ca", "kubernetes"), ("etcd-ca", "etcd-ca"), ("front-proxy-ca", "front-proxy-ca")];

/// All leaves that there may be, and whose they are.
pub(super) const LEAVES: &[(&str, &str)] = &[
    ("apiserver-etcd-client", "etcd-ca"),
    ("etcd-client", "etcd-ca"),
    ("etcd-peer", "etcd-ca"),
    ("etcd-server", "etcd-ca"),
    ("kubelet-client", "ca"),
    ("kubelet-server", "ca"),
];

/// The name with the domain.
pub(super) fn qualified(plan: &ClusterPlan, node: &NodePlan) -> String {
    format!("{}.{}", node.name, plan.domain)
}

/// Under which names and addresses a machine is reached; a balancer also under those that float.
pub(super) fn names(plan: &ClusterPlan, node: &NodePlan) -> BTreeSet<String> {
    let mut names = own(plan, node);
    if let Some(balancers) = plan.balancers.as_ref().filter(|balancers| balancers.nodes.contains(&node.name)) {
        names.extend(balancers.addresses.iter().map(|floating| floating.address.address().to_string()));
        names.extend(plan.api.iter().map(|api| api.name.clone()));
    }
    names
}

fn own(plan: &ClusterPlan, node: &NodePlan) -> BTreeSet<String> {
    let mut names = BTreeSet::from([node.name.clone(), qualified(plan, node)]);
    let addresses = node.interfaces.iter().flat_map(|interface| &interface.addresses);
    names.extend(addresses.map(|cidr| cidr.address().to_string()));
    names
}

/// Whether the machine is in the pool of gluster.
pub(super) fn has_bricks(plan: &ClusterPlan, node: &NodePlan) -> bool {
    plan.gluster.as_ref().is_some_and(|gluster| gluster.nodes.contains(&node.name))
}

/// The X.509 leaves that a machine's roles need. Those that kubeadm makes on the masters themselves (API server and its
/// clients) are not among them.
pub(super) fn leaves(plan: &ClusterPlan, node: &NodePlan) -> Vec<Leaf> {
    let Some(kubernetes) = &plan.kubernetes else { return Vec::new() };
    let (etcd, master) = (kubernetes.etcd.contains(&node.name), kubernetes.masters.contains(&node.name));
    let mut leaves = Vec::new();
    if etcd {
        let mut names = own(plan, node);
        names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
        let leaf = Leaf { names, server: true, ..of("etcd-server", "etcd-ca", node.name.clone()) };
        leaves.push(Leaf { name: "etcd-peer", ..leaf.clone() });
        leaves.push(leaf);
        leaves.push(of("etcd-client", "etcd-ca", format!("etcd-client-{}", node.name)));
    }
    if master {
        leaves.push(of("apiserver-etcd-client", "etcd-ca", "kube-apiserver-etcd-client".to_owned()));
    }
    if master || node.has("worker") || node.has("meta-worker") {
        let user = format!("system:node:{}", node.name);
        let kubelet = Leaf { organization: Some("system:nodes"), recent: true, ..of("kubelet-client", "ca", user) };
        let server = Leaf { name: "kubelet-server", names: own(plan, node), server: true, ..kubelet.clone() };
        leaves.push(kubelet);
        leaves.push(Leaf { client: false, ..server });
    }
    leaves
}

/// A client's.
fn of(name: &'static str, authority: &'static str, common_name: String) -> Leaf {
    Leaf {
        name,
        authority,
        common_name,
        organization: None,
        names: BTreeSet::new(),
        server: false,
        client: true,
        recent: false,
    }
}
