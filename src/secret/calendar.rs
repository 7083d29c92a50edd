//! What expires when, and its renewal. Nothing here shows a secret.

use super::certificate::{self, DAY, Facts};
use super::key::EcKey;
use super::source::Source;
use super::values::{Certified, ClusterIdentity};
use super::{ssh, wanted};
use crate::base::hint::hinted;
use crate::plan::ClusterPlan;
use anyhow::Result;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use time::OffsetDateTime;

/// From how many days before its end on something should be renewed.
pub const SOON_DAYS: i64 = 90;

/// One certificate or key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// How it is called: the machine and the leaf, or the authority.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Whom it names.
    pub subject: String,
    /// Hexadecimal; X.509 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// The day on which it ends (`2036-01-01`); none when it has no end.
    pub ends: Option<String>,
    /// Whole days until then; negative when it has ended.
    pub days: Option<i64>,
    /// What to make of it.
    pub state: State,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An X.509 authority.
    Authority,
    /// An X.509 certificate of a machine.
    Leaf,
    /// A machine's SSH host certificate.
    HostCertificate,
}

/// What to make of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It has ended.
    Expired,
    /// It ends within [`SOON_DAYS`].
    Soon,
    /// It lasts.
    Good,
}

/// Everything that has an end, the earliest first, and what has none.
///
/// # Errors
/// When a certificate cannot be read.
pub fn calendar(identity: &ClusterIdentity, now: i64) -> Result<Vec<Entry>> {
    let mut found: Vec<(i64, Entry)> = Vec::new();
    let mut add = |name: String, kind, subject: String, serial, until: i64| {
        found.push((until, entry(name, kind, subject, serial, until, now)));
    };
    for (name, certified) in &identity.authorities {
        let Facts { common_name, serial, until, .. } = certificate::facts(&certified.certificate)?;
        add(name.clone(), Kind::Authority, common_name, Some(serial), until);
    }
    for (name, node) in &identity.nodes {
        for (leaf, certified) in node.leaves.iter().filter(|(_, certified)| !certified.certificate.is_empty()) {
            let Facts { common_name, serial, until, .. } = certificate::facts(&certified.certificate)?;
            add(format!("{name}/{leaf}"), Kind::Leaf, common_name, Some(serial), until);
        }
        if !node.host_certificate.is_empty() {
            let said = ssh::host_certificate(&node.host_certificate, &node.host_key, &identity.host_authority)?;
            let until = i64::try_from(said.until).unwrap_or(i64::MAX);
            add(format!("{name}/ssh-host"), Kind::HostCertificate, said.id, None, until);
        }
    }
    found.sort_by(|(until, a), (other, b)| (until, &a.name).cmp(&(other, &b.name)));
    Ok(found.into_iter().map(|(_, entry)| entry).collect())
}

fn entry(name: String, kind: Kind, subject: String, serial: Option<String>, until: i64, now: i64) -> Entry {
    let day = OffsetDateTime::from_unix_timestamp(until).ok().filter(|day| day.year() < 9999);
    let days = day.map(|_| (until - now).div_euclid(DAY));
    let state = match days {
        Some(days) if days < 0 => State::Expired,
        Some(days) if days < SOON_DAYS => State::Soon,
        _ => State::Good,
    };
    let ends = day.map(|day| format!("{:04}-{:02}-{:02}", day.year(), u8::from(day.month()), day.day()));
    Entry { name, kind, subject, serial, ends, days, state }
}

/// What is to be renewed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// Machines, leaves (`master1/etcd-server`) and authorities, by name; with none, what ends soon.
    pub names: Vec<String>,
    /// Every leaf.
    pub all: bool,
    /// Authorities too, as far as they are named.
    pub authorities: bool,
    /// With keys that are new as well.
    pub keys: bool,
}

/// Renews certificates, and says which. A leaf gets a new serial number and a new period. An authority that keeps its key
/// leaves everything valid that it signed; one with a new key signs all its leaves anew.
///
/// # Errors
/// When a name is not known, or an authority was not asked for as one.
pub fn renew(
    plan: &ClusterPlan,
    mut identity: ClusterIdentity,
    order: &Renewal,
    source: &mut Source,
) -> Result<(ClusterIdentity, Vec<String>)> {
    let chosen = chosen(plan, &identity, order, source.now())?;
    let mut renewed = Vec::new();
    let mut signing = BTreeSet::new();
    for (name, common_name) in wanted::AUTHORITIES {
        let Some(old) = identity.authorities.get(*name).filter(|_| chosen.contains(*name)) else { continue };
        let key = if order.keys { None } else { Some(EcKey::read(&old.key)?) };
        identity.authorities.insert((*name).to_owned(), certificate::authority(common_name, key, source)?);
        renewed.push((*name).to_owned());
        if order.keys {
            signing.insert(*name);
        }
    }
    for node in &plan.nodes {
        let Some(there) = identity.nodes.get_mut(&node.name) else { continue };
        for leaf in wanted::leaves(plan, node) {
            let name = format!("{}/{}", node.name, leaf.name);
            if !chosen.contains(&name) && !signing.contains(leaf.authority) {
                continue;
            }
            let Some(authority) = identity.authorities.get(leaf.authority) else { continue };
            let key = match there.leaves.get(leaf.name).filter(|_| !order.keys) {
                Some(Certified { key, .. }) => Some(EcKey::read(key)?),
                None => None,
            };
            there.leaves.insert(leaf.name.to_owned(), certificate::leaf(&leaf, authority, key, source)?);
            renewed.push(name);
        }
    }
    // What a machine left behind of an authority that is gone would be damage from now on.
    for (name, node) in identity.nodes.iter_mut().filter(|(name, _)| !plan.nodes.iter().any(|n| n.name == **name)) {
        for (leaf, authority) in wanted::LEAVES {
            if let Some(certified) = node.leaves.get_mut(*leaf).filter(|_| signing.contains(authority)) {
                certified.certificate.clear();
                renewed.push(format!("{name}/{leaf} (dropped: the machine is no longer in the cluster)"));
            }
        }
    }
    Ok((identity, renewed))
}

/// The names that an order means.
fn chosen(plan: &ClusterPlan, identity: &ClusterIdentity, order: &Renewal, now: i64) -> Result<BTreeSet<String>> {
    let leaves: BTreeMap<&str, Vec<String>> = plan
        .nodes
        .iter()
        .map(|node| {
            let names = wanted::leaves(plan, node).into_iter().map(|leaf| format!("{}/{}", node.name, leaf.name));
            (node.name.as_str(), names.collect())
        })
        .collect();
    let mut chosen = BTreeSet::new();
    if order.all {
        chosen.extend(leaves.values().flatten().cloned());
    } else if order.names.is_empty() {
        let ending = calendar(identity, now)?.into_iter().filter(|entry| entry.state != State::Good);
        chosen.extend(ending.filter(|entry| entry.kind == Kind::Leaf || order.authorities).map(|entry| entry.name));
    }
    for name in &order.names {
        if identity.authorities.contains_key(name) {
            if !order.authorities {
                return Err(hinted(
                    format!("`{name}` is an authority: every machine that trusts it has to be told of the new one"),
                    "with `--authority` it gets a new period and keeps its key, so that all that it signed stays valid; \
                     with `--authority --new-keys` everything that it signed is made anew, and machines refuse each \
                     other until all of them have their new seed",
                ));
            }
            chosen.insert(name.clone());
        } else if let Some(own) = leaves.get(name.as_str()) {
            if own.is_empty() {
                return Err(hinted(format!("`{name}` has no certificate that ends"), "see `imgbuild secrets show`"));
            }
            chosen.extend(own.iter().cloned());
        } else if leaves.values().flatten().any(|leaf| leaf == name) {
            chosen.insert(name.clone());
        } else {
            let hint = "`imgbuild secrets show` lists the names; a machine's name stands for all of its own";
            return Err(hinted(format!("there is no certificate `{name}` that ends"), hint));
        }
    }
    Ok(chosen)
}
