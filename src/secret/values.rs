//! What is secret of a cluster, and what belongs to it. Everything here was made before: these values only hand it out.

use super::{Source, SshKey};
use crate::base::secret::{Secret, SecretBytes};
use crate::plan::ClusterPlan;
use anyhow::Result;
use std::collections::BTreeMap;

/// When examples are made: 2026-01-01.
const EXAMPLE_MOMENT: i64 = 1_767_225_600;

/// Everything secret of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterIdentity {
    /// The cluster's name.
    pub name: String,
    /// A UUID: another cluster of the same name has another one.
    pub id: String,
    /// Signs seeds (`NAMESPACE_SEED`); its public half is the seed's `cluster.pub`.
    pub seed_key: SshKey,
    /// Signature over the line of `cluster.pub` (with its line feed) by a key that images trust (`NAMESPACE_CLUSTER`), if
    /// somebody laid one beside.
    pub endorsement: Option<String>,
    /// Signs the machines' SSH host keys.
    pub host_authority: SshKey,
    /// Signs people's SSH keys.
    pub user_authority: SshKey,
    /// Corosync's `authkey`: 256 bytes.
    pub corosync_key: SecretBytes,
    /// VRRP's password: the 8 characters that the protocol has room for.
    pub vrrp_password: Secret,
    /// Who may read HAProxy's statistics.
    pub statistics: Account,
    /// X.509 authorities by name: `ca`, `front-proxy-ca`, `etcd-ca`; none without Kubernetes.
    pub authorities: BTreeMap<String, Certified>,
    /// What Kubernetes signs its service accounts' tokens with.
    pub service_accounts: Option<KeyPair>,
    /// What belongs to one machine alone, by the machine's name; also those that are no longer in the plan.
    pub nodes: BTreeMap<String, NodeIdentity>,
}

impl ClusterIdentity {
    /// Secrets that are none, because they are the same every time: for tests and examples alone.
    ///
    /// # Errors
    /// When a name of the plan fits into no certificate.
    pub fn example(plan: &ClusterPlan) -> Result<Self> {
        super::make(plan, None, &mut Source::example(EXAMPLE_MOMENT))
    }
}

/// What belongs to one machine alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeIdentity {
    /// Its SSH host key (Ed25519).
    pub host_key: SshKey,
    /// The same signed by the host authority for all its names and addresses: one line of a `-cert.pub` file, without a
    /// line feed.
    pub host_certificate: String,
    /// X.509 leaves by name: `etcd-server`, `etcd-peer`, `etcd-client`, `apiserver-etcd-client`, `kubelet-client`,
    /// `kubelet-server`; each where its role needs it.
    pub leaves: BTreeMap<String, Certified>,
    /// Its UUID in the pool of gluster.
    pub gluster: Option<String>,
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// In PEM.
    pub certificate: String,
    /// PKCS#8 in PEM.
    pub key: Secret,
}

/// A key without a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// PKCS#8 in PEM.
    pub private: Secret,
    /// In PEM.
    pub public: String,
}

/// A name with a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Who.
    pub user: String,
    /// Letters and digits.
    pub password: Secret,
}
