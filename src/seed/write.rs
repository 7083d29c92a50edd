//! One machine after another: everything rendered, listed in a manifest, signed.

use super::payload::Payload;
use super::shared::Shared;
use super::{
    Content, SeedFile, SeedTree, TemplateText, balance, common, documents, firewall, gateway, keepalived, pacemaker,
};
use crate::base::digest::Digest;
use crate::base::hint::hinted;
use crate::format::seed::{
    CLUSTER_KEY, Cluster, Document, ENDORSEMENT, FILES, MANIFEST, Manifest, NAMESPACE_SEED, Node, PayloadFile,
    SIGNATURE, VERSION,
};
use crate::plan::{BalancerKind, ClusterPlan, NodePlan};
use crate::secret::ClusterIdentity;
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;

/// Modes on the volume and in the folder: a seed is its machine's alone.
const MODE: u32 = 0o600;

/// Writes the seeds of one cluster.
#[derive(Debug)]
pub struct Writer<'a> {
    shared: Shared<'a>,
    cluster_key: Content,
    endorsement: Option<Content>,
}

/// A seed but for its generation, and so without a signature.
#[derive(Clone, Debug)]
pub struct Draft {
    manifest: Manifest,
    files: BTreeMap<String, SeedFile>,
}

impl<'a> Writer<'a> {
    /// For a cluster with these secrets, whose machines run this suite of their distribution.
    ///
    /// # Errors
    /// When a template is broken.
    pub fn new(
        plan: &'a ClusterPlan,
        identity: &'a ClusterIdentity,
        suite: &'a str,
        templates: Vec<TemplateText>,
    ) -> Result<Self> {
        let cluster_key = Content::from(format!("{}\n", identity.seed_key.public_line()));
        let shared = Shared::new(plan, identity, suite, templates)?;
        let endorsement = identity.endorsement.clone().map(Content::from);
        Ok(Self { shared, cluster_key, endorsement })
    }

    /// Renders what one machine is told.
    ///
    /// # Errors
    /// When a template asks for what is not there, or the machine has no secrets.
    pub fn draft(&self, node: &NodePlan) -> Result<Draft> {
        let shared = &self.shared;
        let value = shared.node(node);
        let documents = documents::documents(shared, node, &value)?;
        let payload = self.payload(node)?;
        let mut files = BTreeMap::new();
        let mut add = |path: String, content: &Content| {
            files.insert(path, SeedFile { content: content.clone(), mode: MODE });
        };
        for (name, content) in &documents {
            add((*name).to_owned(), content);
        }
        for (path, item) in &payload.files {
            add(format!("{FILES}{path}"), &item.content);
        }
        add(CLUSTER_KEY.to_owned(), &self.cluster_key);
        if let Some(endorsement) = &self.endorsement {
            add(ENDORSEMENT.to_owned(), endorsement);
        }
        let manifest = Manifest {
            version: VERSION,
            cluster: Cluster { name: shared.plan.name.clone(), id: shared.identity.id.clone() },
            node: Node {
                name: node.name.clone(),
                domain: shared.plan.domain.clone(),
                roles: node.roles.clone(),
                macs: gateway::all_cards(node),
            },
            generation: 0,
            documents: documents
                .iter()
                .map(|(name, content)| Document {
                    name: (*name).to_owned(),
                    sha256: content.digest().to_string(),
                    size: content.size(),
                })
                .collect(),
            files: payload.files.iter().map(|(path, item)| listed(path, item)).collect(),
            units: payload.units,
        };
        Ok(Draft { manifest, files })
    }

    fn payload(&self, node: &NodePlan) -> Result<Payload> {
        let shared = &self.shared;
        let value = shared.node(node);
        let mut payload = shared.payload.clone();
        let keys = shared.identity.nodes.get(&node.name).ok_or_else(|| {
            hinted(format!("there are no secrets for `{}`", node.name), "`imgbuild seed` makes what is missing")
        })?;
        common::own(shared, node, keys, &mut payload)?;
        let balancers = shared.plan.balancers.as_ref().filter(|balancers| balancers.nodes.contains(&node.name));
        // The order of units: first what keeps others out, then what serves, then what brings the addresses.
        if node.has("gateway") || node.has("frontend") {
            firewall::payload(shared, node, &value, &mut payload)?;
        }
        if node.has("gateway") {
            gateway::payload(shared, node, &value, &mut payload)?;
        }
        let mut instances = Vec::new();
        if let Some(balancers) = balancers {
            balance::payload(shared, node, &value, &mut payload)?;
            match balancers.kind {
                BalancerKind::Pacemaker => pacemaker::payload(shared, balancers, &mut payload)?,
                BalancerKind::Keepalived => {
                    payload.unit(balance::HAPROXY, true);
                    instances.extend(keepalived::balancers(shared, node, balancers));
                }
                BalancerKind::External => {}
            }
        }
        if node.has("gateway") {
            instances.extend(keepalived::gateways(shared, node));
        }
        keepalived::payload(shared, &instances, &value, &mut payload)?;
        Ok(payload)
    }

    /// Gives a draft its generation and signs it.
    ///
    /// # Errors
    /// When signing fails.
    pub fn finish(&self, mut draft: Draft, generation: u64) -> Result<SeedTree> {
        draft.manifest.generation = generation;
        let mut text = serde_json::to_string_pretty(&draft.manifest).context("writing a manifest")?;
        text.push('\n');
        let signature = self.shared.identity.seed_key.sign(NAMESPACE_SEED, text.as_bytes())?;
        let mut files = draft.files;
        for (path, text) in [(MANIFEST, text), (SIGNATURE, signature)] {
            files.insert(path.to_owned(), SeedFile { content: text.into(), mode: MODE });
        }
        Ok(SeedTree { node: draft.manifest.node.name, files })
    }
}

impl Draft {
    /// Of everything but the generation.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of_value(&self.manifest)
    }

    /// What it will say; its generation is 0 yet.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }
}

fn listed(path: &str, item: &super::payload::Item) -> PayloadFile {
    PayloadFile {
        path: path.to_owned(),
        sha256: item.content.digest().to_string(),
        size: item.content.size(),
        owner: item.owner.to_owned(),
        group: item.group.to_owned(),
        mode: format!("{:04o}", item.mode),
        write: item.write,
        effects: item.effects.clone(),
    }
}
