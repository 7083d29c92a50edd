//! What the lock holds, as values.

use super::LOCAL;
use crate::base::digest::Digest;
use crate::base::epoch::Epoch;
use crate::package::Pin;
use crate::package::universe::{MultiArch, Priority};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The set of a recipe's own packages.
pub(in crate::package) const BASE: &str = "base";
/// The set of the tools, in a section of its own.
pub(in crate::package) const TOOLS: &str = "tools";
/// The set of the role that is named as the recipe's own set is.
pub(in crate::package) const ROLE_BASE: &str = "role base";
/// What the keys of local files end in.
const LOCAL_SUFFIX: &str = "@local";

/// The whole lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// By what they are for: `recipe/architecture/kernel`, or `tools/suite/architecture`.
    pub sections: BTreeMap<String, Section>,
}

/// All pins that share one set of repositories and one clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The newest `Date` of the Release files when the section was first made or last updated. Adding does not move
    /// it: otherwise a new role would change the images of all others.
    pub epoch: Epoch,
    /// The newest Release files seen, sorted: an older one is a rollback.
    pub releases: Vec<LockedRelease>,
    /// Every package that a set names, sorted by name, version and architecture.
    pub packages: Vec<Locked>,
    /// `base`, and one set per role image (`haproxy`, `haproxy+gateway`), upon it.
    pub sets: BTreeMap<String, Set>,
}

/// A Release file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedRelease {
    /// The repository's name.
    pub repository: String,
    /// The suite.
    pub suite: String,
    /// Its `Date`.
    pub date: Epoch,
    /// Digest of the signed text.
    pub sha256: Digest,
}

/// One list of requests and what it was resolved to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// What was asked for, in order: package requests, and local files as `name@digest`.
    pub requests: Vec<String>,
    /// Digest of what else decides: repositories, Recommends, the base that a role stands upon.
    pub context: Digest,
    /// `name=version` of every package, and why it is there.
    #[serde(deserialize_with = "super::read::unique_map")]
    pub packages: BTreeMap<String, String>,
}

/// One package, with what the solver needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Binary package name.
    pub name: String,
    /// Full version.
    pub version: String,
    /// Architecture.
    pub architecture: String,
    /// The repository's name, or `local`.
    pub repository: String,
    /// Path below the repository's root.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Digest of the `.deb`.
    pub sha256: Digest,
    /// `Pre-Depends`
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pre_depends: String,
    /// `Depends`
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub depends: String,
    /// `Recommends`
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub recommends: String,
    /// `Conflicts`
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub conflicts: String,
    /// `Breaks`
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub breaks: String,
    /// `Provides`
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub provides: String,
    /// `Essential`
    #[serde(default, skip_serializing_if = "is_default")]
    pub essential: bool,
    /// `Important` or `Protected`
    #[serde(default, skip_serializing_if = "is_default")]
    pub protected: bool,
    /// `Priority`
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: Priority,
    /// `Multi-Arch`
    #[serde(default, skip_serializing_if = "is_default")]
    pub multi_arch: MultiArch,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Lock {
    /// The images of a recipe that are pinned. One that adds nothing to the base has no pins of its own: where there
    /// are only such, it is `base`.
    #[must_use]
    pub fn images(&self, recipe: &str) -> BTreeSet<String> {
        let mut images = BTreeSet::new();
        for (_, section) in self.sections.iter().filter(|(key, _)| key.split('/').next() == Some(recipe)) {
            let roles = section.sets.keys().filter(|name| *name != BASE);
            images.extend(roles.map(|name| if name == ROLE_BASE { BASE.to_owned() } else { name.clone() }));
            if images.is_empty() && section.sets.contains_key(BASE) {
                images.insert(BASE.to_owned());
            }
        }
        images
    }

    /// Forgets the sets of roles (or combinations of them) that are not known, and the packages that only they needed.
    pub fn retain_roles(&mut self, known: &BTreeSet<String>) {
        for section in self.sections.values_mut() {
            let before = section.sets.len();
            let special = [BASE, TOOLS, ROLE_BASE];
            let kept = |name: &str| special.contains(&name) || name.split('+').all(|role| known.contains(role));
            section.sets.retain(|name, _| kept(name));
            if section.sets.len() != before {
                section.settle([]);
            }
        }
    }
}

impl Locked {
    /// How sets name it: `name=version`, or `name=version@local` for a local file, which may well carry the version of
    /// the archive's package and other contents.
    #[must_use]
    pub fn key(&self) -> String {
        let suffix = if self.is_local() { LOCAL_SUFFIX } else { "" };
        format!("{}={}{suffix}", self.name, self.version)
    }

    /// Whether it is a local file.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.repository == LOCAL
    }

    /// What packages are sorted by, and what names each.
    pub(super) fn order(&self) -> (&str, &str, bool) {
        (&self.name, &self.version, self.is_local())
    }

    /// What later rooms need of it.
    #[must_use]
    pub fn pin(&self) -> Pin {
        Pin {
            name: self.name.clone(),
            version: self.version.clone(),
            architecture: self.architecture.clone(),
            repository: self.repository.clone(),
            path: self.path.clone(),
            size: self.size,
            sha256: self.sha256,
        }
    }
}

impl Section {
    /// Without any package; `epoch` is the newest `Date` of its Release files.
    #[must_use]
    pub fn new(epoch: Epoch) -> Self {
        Self { epoch, releases: Vec::new(), packages: Vec::new(), sets: BTreeMap::new() }
    }

    /// The package that a set names.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Locked> {
        let (name, rest) = key.split_once('=')?;
        let local = rest.strip_suffix(LOCAL_SUFFIX);
        let wanted = (name, local.unwrap_or(rest), local.is_some());
        let at = self.packages.binary_search_by(|package| package.order().cmp(&wanted));
        at.ok().map(|at| &self.packages[at])
    }

    /// All packages of a set, sorted by name and architecture.
    #[must_use]
    pub fn packages_of(&self, set: &Set) -> Vec<&Locked> {
        set.packages.keys().filter_map(|key| self.find(key)).collect()
    }

    /// Adds packages (which replace those of the same key), forgets those that no set names, and sorts.
    pub(in crate::package) fn settle(&mut self, new: impl IntoIterator<Item = Locked>) {
        let known = std::mem::take(&mut self.packages).into_iter().chain(new);
        let mut packages: BTreeMap<String, Locked> = known.map(|package| (package.key(), package)).collect();
        let named: BTreeSet<&String> = self.sets.values().flat_map(|set| set.packages.keys()).collect();
        packages.retain(|key, _| named.contains(key));
        self.packages = packages.into_values().collect();
        self.packages.sort_by(|left, right| left.order().cmp(&right.order()));
    }
}
