//! Loads documents: positions kept, every error of a file at once, nothing computed.
//!
//! Data flows `sources` (names to bytes) -> `yaml` (a tree with places) -> `extend` (one laid over another) ->
//! `recipe`, `role` (checked values) -> [`Inputs`]. All faults end up in one [`Problems`].

mod accounts;
mod beside;
mod builtin;
mod chain;
mod check;
mod cluster;
mod content;
mod decode;
mod extend;
mod judged;
mod load;
mod packages;
mod problem;
mod recipe;
mod role;
mod settings;
mod sources;
mod suggest;
mod volume;
mod yaml;

pub(crate) use cluster::{
    ApiEntry, Balancer, Cluster, ClusterUserEntry, DataDiskEntry, DiskUse, EtcdTopology, InterfaceEntry, ListenerEntry,
    NetworkEntry, NodeEntry, Override, Runtime, SizeEntry, SyslogProtocol,
};
pub(crate) use content::{Content, DebEntry, FileKind, RepositoryEntry, TreeKind, UserEntry};
pub use decode::Located;
pub use judged::judged;
pub(crate) use problem::{BUILTIN as BUILTIN_MARK, Fault};
pub use problem::{Documents, Place, Problem, Problems};
pub(crate) use recipe::{DiskEntry, Recipe};
pub(crate) use role::{ParameterValue, Role};
pub use sources::{Origin, Seen, Sources};
pub(crate) use suggest::nearest;
pub(crate) use volume::{Filesystem, VolumeEntry};

use crate::base::digest::Digest;
use crate::base::size::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A recipe and roles, read and checked each for itself.
#[derive(Clone, Debug)]
pub struct Inputs {
    pub(crate) documents: Documents,
    pub(crate) recipe: Recipe,
    pub(crate) roles: Vec<Role>,
    debs: Vec<LocalFile>,
}

/// A `.deb` beside the documents: plans name it by digest, this says where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFile {
    /// Digest of its contents.
    pub sha256: Digest,
    /// Absolute.
    pub path: PathBuf,
}

impl Inputs {
    /// Where the `.deb` files that recipe and roles bring along lie.
    #[must_use]
    pub fn local_files(&self) -> &[LocalFile] {
        &self.debs
    }

    /// Where the recipe says that a list of known vulnerabilities is.
    #[must_use]
    pub fn vulnerabilities(&self) -> Option<&str> {
        self.recipe.vulnerabilities.as_deref()
    }

    /// The suite of the distribution that images are built of.
    #[must_use]
    pub fn suite(&self) -> &str {
        &self.recipe.suite
    }

    /// The kernel flavours that the recipe offers, sorted.
    #[must_use]
    pub fn kernels(&self) -> Vec<&str> {
        self.recipe.kernels.keys().map(String::as_str).collect()
    }
}

/// A cluster, and what there is to build its machines from; read and checked each for itself.
#[derive(Clone, Debug)]
pub struct ClusterInputs {
    pub(crate) documents: Documents,
    pub(crate) cluster: Cluster,
    /// Roles that can be built.
    pub(crate) roles: BTreeSet<String>,
    /// The least size of the disk of each role that says one.
    pub(crate) disks: BTreeMap<String, Bytes>,
}

/// The built-in recipes, roles and example clusters: path below a project's folder, and contents; sorted by path.
#[must_use]
pub fn builtin_files() -> &'static [(&'static str, &'static [u8])] {
    builtin::BUILTIN
}

/// Loads a recipe and roles by name; `a+b` names two roles.
///
/// # Errors
/// Everything that is wrong with their documents, at once.
pub fn load(sources: &Sources, recipe: &str, roles: &[&str]) -> Result<Inputs, Problems> {
    load::load(sources, recipe, roles)
}

/// Loads a cluster by name (`seeds/NAME/cluster.yaml`, the project's before the built-in ones).
///
/// # Errors
/// Everything that is wrong with its document and with those of its roles, at once.
pub fn load_cluster(sources: &Sources, name: &str) -> Result<ClusterInputs, Problems> {
    load::cluster(sources, name, None)
}

/// Loads a cluster from a file that lies elsewhere; its roles and recipe are found by name as always.
///
/// # Errors
/// As [`load_cluster`].
pub fn load_cluster_file(sources: &Sources, file: &Path) -> Result<ClusterInputs, Problems> {
    load::cluster(sources, "", Some(file))
}
