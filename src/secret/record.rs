//! What each machine was told last: so that a seed written again is the same to the byte, and a changed one is newer.

use crate::base::digest::Digest;
use crate::base::hint::{Remedy as _, hinted};
use crate::base::{files, limits};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

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
    /// To whom the secrets were sealed last (age's recipients).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// What was sealed last: tells whether the sealed file is out of date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Digest>,
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
        Self {
            version: Self::VERSION,
            cluster: cluster.to_owned(),
            id: id.to_owned(),
            recipients: Vec::new(),
            sealed: None,
            nodes: BTreeMap::new(),
        }
    }

    /// The record that lies here, if one does.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or of another version.
    pub fn read(file: &Path) -> Result<Option<Self>> {
        if !file.exists() {
            return Ok(None);
        }
        let bytes = files::read(file, limits::RECORD_BYTES)?;
        let read: Result<Self, _> = serde_json::from_slice(&bytes);
        let record = read.with_context(|| format!("reading {}", file.display())).hint(
            "take it from version control: without it, machines could be told things of an earlier generation, which \
             they refuse",
        )?;
        if record.version == Self::VERSION {
            return Ok(Some(record));
        }
        let message = format!("{} has version {}, not {}", file.display(), record.version, Self::VERSION);
        Err(hinted(message, "use the imgbuild that wrote it, or a newer one"))
    }

    /// Writes it, whole and durably.
    ///
    /// # Errors
    /// When that fails.
    pub fn write(&self, file: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self).context("writing a record")?;
        text.push(b'\n');
        files::write_atomic(file, &text)
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
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("record.json");
        assert_eq!(Record::read(&file).unwrap(), None);
        record.write(&file).unwrap();
        assert_eq!(Record::read(&file).unwrap(), Some(record));
        std::fs::write(&file, "{}").unwrap();
        let error = format!("{:#}", Record::read(&file).unwrap_err());
        assert_eq!(error, format!("reading {}: missing field `version` at line 1 column 2", file.display()));
    }
}
