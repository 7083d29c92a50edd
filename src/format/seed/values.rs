//! What a manifest says.

use serde::{Deserialize, Serialize};

/// The version of manifests that this program writes, and the only one that it reads.
pub const VERSION: u32 = 1;
/// Where the manifest lies on the volume.
pub const MANIFEST: &str = "imgbuild/manifest.json";
/// Where its signature lies.
pub const SIGNATURE: &str = "imgbuild/manifest.json.sig";
/// Where the cluster's public key lies.
pub const CLUSTER_KEY: &str = "imgbuild/cluster.pub";
/// Where the signature over that key lies, if an image wants one.
pub const ENDORSEMENT: &str = "imgbuild/cluster.pub.sig";
/// Below this lies the payload.
pub const FILES: &str = "imgbuild/files";
/// Namespace of signatures over manifests.
pub const NAMESPACE_SEED: &str = "imgbuild-seed";
/// Namespace of signatures over clusters' keys.
pub const NAMESPACE_CLUSTER: &str = "imgbuild-cluster";
/// cloud-init's documents, all of which a seed has.
pub const DOCUMENTS: [&str; 4] = ["meta-data", "network-config", "user-data", "vendor-data"];

/// Everything that one machine is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`VERSION`].
    pub version: u32,
    /// The cluster.
    pub cluster: Cluster,
    /// The machine.
    pub node: Node,
    /// Rises with every change of what this machine is told; a lower one than installed is refused, and
    /// so is the same one that says something else.
    pub generation: u64,
    /// cloud-init's documents, by name.
    pub documents: Vec<Document>,
    /// The payload, by path.
    pub files: Vec<PayloadFile>,
    /// Units that run once the payload is there, in the order in which they are started.
    pub units: Vec<Unit>,
}

/// The cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Made once with its secrets: another cluster of the same name has another one.
    pub id: String,
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its host name.
    pub name: String,
    /// The DNS domain.
    pub domain: String,
    /// Its roles, in the order of the document.
    pub roles: Vec<String>,
    /// Its network cards, lower case; a machine that has none of them is another one.
    pub macs: Vec<String>,
}

/// One of cloud-init's documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Its name on the volume.
    pub name: String,
    /// SHA-256 (hexadecimal).
    pub sha256: String,
    /// Length (bytes).
    pub size: u64,
}

/// A file of the payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayloadFile {
    /// Absolute path in the machine; on the volume it lies below [`FILES`].
    pub path: String,
    /// SHA-256 (hexadecimal).
    pub sha256: String,
    /// Length (bytes).
    pub size: u64,
    /// Owner, by name.
    pub owner: String,
    /// Group, by name.
    pub group: String,
    /// Four octal digits.
    pub mode: String,
    /// When it is written.
    pub write: Write,
    /// What its change entails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
}

/// When a file of the payload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Write {
    /// Whenever it differs; removed when a later generation no longer has it.
    Always,
    /// Only where nothing lies yet: the service makes it its own (Pacemaker's CIB).
    Once,
}

/// What the change of a file entails, after all files are written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// systemd reads its units anew.
    DaemonReload,
    /// Kernel settings are applied (`sysctl --system`).
    Sysctl,
    /// The trusted certificates are collected anew (`update-ca-certificates`).
    Certificates,
    /// The unit is restarted if it is active.
    Restart(String),
    /// The unit reloads its configuration, or is restarted, if it is active.
    Reload(String),
}

/// A unit of the role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Its name, with the suffix.
    pub name: String,
    /// Whether it runs: enabled, started, kept so. Otherwise it is disabled, and stopped if it was not: another than systemd
    /// may start it then, as Pacemaker does.
    pub run: bool,
}
