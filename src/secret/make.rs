//! Makes what is missing, and keeps what is there: a machine that is added later gets only what is its own.

use super::certificate::{self, Leaf};
use super::key::EcKey;
use super::source::Source;
use super::ssh::{self, SshKey};
use super::values::{Account, Certified, ClusterIdentity, KeyPair, NodeIdentity};
use super::wanted;
use crate::base::secret::{Secret, SecretBytes};
use crate::plan::{ClusterPlan, NodePlan};
use anyhow::Result;
use std::collections::BTreeMap;

/// Corosync's own size of a key (`corosync-keygen`).
const COROSYNC_BYTES: usize = 256;
/// VRRP's authentication field has room for this many (RFC 2338, 5.3.10).
const VRRP_CHARACTERS: usize = 8;
/// More than 128 bits.
const PASSWORD_CHARACTERS: usize = 24;

/// Everything secret of a cluster: what is there already, and what is missing, made now.
///
/// # Errors
/// When the system gives no randomness, or what is there cannot be read.
pub fn make(plan: &ClusterPlan, existing: Option<ClusterIdentity>, source: &mut Source) -> Result<ClusterIdentity> {
    let mut identity = match existing {
        Some(identity) => identity,
        None => fresh(plan, source)?,
    };
    if plan.kubernetes.is_some() {
        for (name, common_name) in wanted::AUTHORITIES {
            if !identity.authorities.contains_key(*name) {
                identity.authorities.insert((*name).to_owned(), certificate::authority(common_name, None, source)?);
            }
        }
        if identity.service_accounts.is_none() {
            let key = EcKey::make(source)?;
            identity.service_accounts = Some(KeyPair { private: key.private(), public: key.public() });
        }
    }
    for node in &plan.nodes {
        let there = identity.nodes.remove(&node.name);
        let made = of_node(plan, node, &identity, there, source)?;
        identity.nodes.insert(node.name.clone(), made);
    }
    Ok(identity)
}

fn fresh(plan: &ClusterPlan, source: &mut Source) -> Result<ClusterIdentity> {
    Ok(ClusterIdentity {
        name: plan.name.clone(),
        id: source.uuid()?,
        seed_key: SshKey::make(source)?,
        endorsement: None,
        host_authority: SshKey::make(source)?,
        user_authority: SshKey::make(source)?,
        corosync_key: SecretBytes::new(source.bytes::<COROSYNC_BYTES>()?.to_vec()),
        vrrp_password: Secret::new(source.password(VRRP_CHARACTERS)?),
        statistics: Account {
            user: "statistics".to_owned(),
            password: Secret::new(source.password(PASSWORD_CHARACTERS)?),
        },
        authorities: BTreeMap::new(),
        service_accounts: None,
        nodes: BTreeMap::new(),
    })
}

fn of_node(
    plan: &ClusterPlan,
    node: &NodePlan,
    identity: &ClusterIdentity,
    there: Option<NodeIdentity>,
    source: &mut Source,
) -> Result<NodeIdentity> {
    let (host_key, certificate, mut leaves, gluster) = match there {
        Some(there) => (there.host_key, Some(there.host_certificate), there.leaves, there.gluster),
        None => (SshKey::make(source)?, None, BTreeMap::new(), None),
    };
    let (id, names) = (wanted::qualified(plan, node), wanted::names(plan, node));
    let fits = |line: &String| {
        let said = ssh::host_certificate(line, &host_key, &identity.host_authority);
        said.is_ok_and(|said| said.id == id && said.names == names)
    };
    let host_certificate = match certificate.filter(fits) {
        Some(line) => line,
        None => identity.host_authority.certify(&host_key, &id, &names, source)?,
    };
    for wanted in wanted::leaves(plan, node) {
        let Some(authority) = identity.authorities.get(wanted.authority) else { continue };
        let there = leaves.remove(wanted.name);
        leaves.insert(wanted.name.to_owned(), leaf(&wanted, authority, there, source)?);
    }
    let gluster = match gluster {
        None if wanted::has_bricks(plan, node) => Some(source.uuid()?),
        there => there,
    };
    Ok(NodeIdentity { host_key, host_certificate, leaves, gluster })
}

/// The leaf that is there, if it says what is wanted; otherwise a new one of the same key.
fn leaf(wanted: &Leaf, authority: &Certified, there: Option<Certified>, source: &mut Source) -> Result<Certified> {
    let Some(there) = there else { return certificate::leaf(wanted, authority, None, source) };
    let fits = certificate::check(&there, Some(authority)).is_ok_and(|said| {
        said.common_name == wanted.common_name
            && said.organization.as_deref() == wanted.organization
            && said.names == wanted.names
    });
    if fits {
        return Ok(there);
    }
    certificate::leaf(wanted, authority, EcKey::read(&there.key).ok(), source)
}
