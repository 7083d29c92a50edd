//! What each machine was told last: so that a seed written again is the same to the byte, and a changed one is newer.

use crate::base::digest::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the machines of a cluster were told last. No secret: it is kept beside the cluster's document, and belongs into
/// version control with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Version of the form.
    pub version: u32,
    /// The cluster's name.
    pub cluster: String,
    /// The cluster's id: says which secrets belong to it.
    pub id: String,
    /// By the machine's name; also those that are no longer in the plan, so that one that returns is told newer things.
    pub nodes: BTreeMap<String, NodeRecord>,
}

/// What one machine was told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRecord {
    /// From 1.
    pub generation: u64,
    /// Of all that it was told, but for the generation.
    pub digest: Digest,
}

impl Record {
    /// The version of records that this program writes, and the only one that it reads.
    pub const VERSION: u32 = 1;

    /// Of a cluster that nobody was told anything of.
    #[must_use]
    pub fn new(cluster: &str, id: &str) -> Self {
        Self { version: Self::VERSION, cluster: cluster.to_owned(), id: id.to_owned(), nodes: BTreeMap::new() }
    }

    /// The generation for what a machine is told now: the last one if it is the same, the next one if anything changed.
    /// `digest` is over everything but the generation itself.
    pub fn generation(&mut self, node: &str, digest: Digest) -> u64 {
        let record = self.nodes.entry(node.to_owned()).or_insert(NodeRecord { generation: 0, digest });
        if record.generation == 0 || record.digest != digest {
            *record = NodeRecord { generation: record.generation.saturating_add(1), digest };
        }
        record.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_rise_with_content_only() {
        let mut record = Record::new("demo", "id");
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        let told: Vec<u64> = [one, one, two, two, one].into_iter().map(|d| record.generation("a", d)).collect();
        assert_eq!(told, [1, 1, 2, 2, 3]);
        assert_eq!(record.generation("b", one), 1);
    }
}
