//! Stand-ins for programs that many scripts start and once is enough: they only note that they were asked for, and
//! what they stand for runs at the end. They are shown inside the sandbox alone; nothing of them is in the tree.

use anyhow::{Context as _, Result};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Where the stand-ins are shown inside.
pub(super) const INSIDE: &str = "/run/imgbuild";
/// Programs that only note their command line.
const NOTING: [&str; 0] = [];

/// The stand-ins of one layer and what was asked of them.
#[derive(Debug)]
pub(super) struct Deferred {
    folder: PathBuf,
}

impl Deferred {
    /// Makes the stand-ins in an empty folder.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let making = || format!("making stand-ins in {}", folder.display());
        let bin = folder.join("bin");
        fs::create_dir_all(&bin).with_context(making)?;
        fs::write(folder.join("asked"), b"").with_context(making)?;
        for name in NOTING {
            let script =
                format!("#!/bin/sh\n# imgbuild: noted, done once at the end\necho {name} \"$@\" >> {INSIDE}/asked\n");
            let path = bin.join(name);
            fs::write(&path, script).with_context(making)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).with_context(making)?;
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// Where they are outside.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The command lines asked for, each once.
    pub(super) fn asked(&self) -> Result<BTreeSet<String>> {
        let path = self.folder.join("asked");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}
