//! What the cluster knows of roles by their names: what they mean together, and what a machine with them needs.

use crate::base::size::{Bytes, GIB, MIB};

/// Roles that mean something to a cluster, also those whose images are described elsewhere.
pub(super) const KNOWN: &[&str] =
    &["base", "gateway", "haproxy", "frontend", "master", "worker", "meta-worker", "etcd", "gluster", "ceph"];

/// What a machine needs at least.
pub(super) struct Least {
    pub(super) processors: u32,
    pub(super) memory: Bytes,
}

/// Another name of the same role.
pub(super) fn canonical(role: &str) -> &str {
    if role == "control-plane" { "master" } else { role }
}

/// The least that a machine with this role works with.
pub(super) fn least(role: &str) -> Least {
    match role {
        // kubeadm's own check refuses control planes with less (its preflight errors NumCPU and Mem).
        "master" => Least { processors: 2, memory: Bytes(1700 * MIB) },
        "worker" | "meta-worker" | "gluster" => Least { processors: 1, memory: Bytes(GIB) },
        "ceph" => Least { processors: 2, memory: Bytes(4 * GIB) },
        // A Debian with its initial RAM disk and cloud-init does not start reliably with less.
        _ => Least { processors: 1, memory: Bytes(512 * MIB) },
    }
}

/// What a machine gets that says nothing.
pub(super) fn usual(roles: &[String]) -> (u32, Bytes, Bytes) {
    let heavy = roles.iter().any(|role| matches!(role.as_str(), "master" | "worker" | "meta-worker" | "ceph"));
    let middle = roles.iter().any(|role| matches!(role.as_str(), "etcd" | "gluster"));
    match (heavy, middle) {
        (true, _) => (2, Bytes(4 * GIB), Bytes(20 * GIB)),
        (_, true) => (2, Bytes(2 * GIB), Bytes(20 * GIB)),
        _ => (1, Bytes(GIB), Bytes(10 * GIB)),
    }
}

/// The image of a machine: its roles joined, without `base`, which is in all of them.
pub(super) fn image(roles: &[String]) -> String {
    let more: Vec<&str> = roles.iter().map(String::as_str).filter(|role| *role != "base").collect();
    if more.is_empty() { "base".to_owned() } else { more.join("+") }
}
