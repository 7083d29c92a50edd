//! Where things lie in the machine. Tests put another folder in the place of `/`.

use std::path::PathBuf;

/// The machine's folders.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    root: PathBuf,
}

impl Places {
    /// Below this folder; the machine's own is `/`.
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The root itself.
    pub(crate) fn root(&self) -> PathBuf {
        self.root.clone()
    }

    /// An absolute path of the machine.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// What outlives a restart: the pinned key, the installed manifest, the journal.
    pub(crate) fn state(&self, name: &str) -> PathBuf {
        self.at("var/lib/imgbuild").join(name)
    }

    /// What does not.
    pub(crate) fn run(&self, name: &str) -> PathBuf {
        self.at("run/imgbuild").join(name)
    }

    /// Keys that the image trusts.
    pub(crate) fn trust(&self) -> PathBuf {
        self.at("usr/lib/imgbuild/trust")
    }

    /// The only place where cloud-init looks for its documents.
    pub(crate) fn documents(&self) -> PathBuf {
        self.at("var/lib/cloud/seed/nocloud")
    }
}

/// Names below `/var/lib/imgbuild`.
pub(crate) mod state {
    /// The first cluster key that this machine saw.
    pub(crate) const CLUSTER_KEY: &str = "cluster.pub";
    /// What was installed last, completely.
    pub(crate) const MANIFEST: &str = "manifest.json";
    /// A verified volume that is being installed: after a power cut it is installed again, to the same end.
    pub(crate) const NEXT: &str = "next";
    /// The same while it is being copied.
    pub(crate) const COPYING: &str = "next.copying";
    /// What the changed files entail and was not done yet.
    pub(crate) const PENDING: &str = "pending.json";
}

/// Names below `/run/imgbuild`.
pub(crate) mod run {
    /// Who installs holds this lock.
    pub(crate) const LOCK: &str = "lock";
    /// Refusals of this boot, one a line.
    pub(crate) const REFUSED: &str = "refused";
    /// There when cloud-init's documents changed since it read them.
    pub(crate) const REBOOT: &str = "restart-wanted";
    /// How the machine is.
    pub(crate) const STATUS: &str = "status.json";
    /// Where a volume is mounted while it is copied.
    pub(crate) const MOUNT: &str = "volume";
}
