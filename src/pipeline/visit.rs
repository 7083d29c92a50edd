//! What opens a cluster's machines to who runs its lab: a key for an hour, signed with the cluster's own authority, and
//! the machine's own key, by which it is known.

use crate::base::private;
use crate::cli::meant::Settings;
use crate::plan::ClusterPlan;
use crate::secret::{self, Source};
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// How long a key is accepted; a session that has begun goes on.
const SECONDS: u64 = 3600;
/// Only their owner may read these files.
const MODE: u32 = 0o600;

/// A key, its certificate and the key of the machine that it is for, in files, which go with this value.
pub(super) struct Pass {
    folder: TempDir,
}

impl Pass {
    /// A pass for an account on a machine, if the cluster's secrets lie open in its folder; below `run`, which nobody else may enter.
    pub(super) fn issue(
        settings: &Settings,
        cluster: &str,
        plan: &ClusterPlan,
        (user, node): (&str, &str),
        run: &Path,
    ) -> Result<Option<Self>> {
        let secrets = home(settings, cluster, plan).join("secrets");
        let Some(files) = private::read(&secrets)? else { return Ok(None) };
        let identity = secret::identity(files, &|below| secrets.join(below).display().to_string())?;
        let visit = identity.visit(user, SECONDS, &mut Source::system()?)?;
        let folder =
            tempfile::Builder::new().prefix("visit-").tempdir_in(run).context("creating a folder for a key")?;
        let pass = Self { folder };
        private::create(&pass.key(), visit.key.private().reveal().as_bytes(), MODE)?;
        private::create(&pass.certificate(), format!("{}\n", visit.certificate).as_bytes(), MODE)?;
        let known = identity.nodes.get(node).with_context(|| format!("{node} has no secrets yet"))?;
        private::create(&pass.known_hosts(), format!("{node} {}\n", known.host_key.public_line()).as_bytes(), MODE)?;
        Ok(Some(pass))
    }

    /// The file of the key.
    pub(super) fn key(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    /// The file of the certificate.
    pub(super) fn certificate(&self) -> PathBuf {
        self.folder.path().join("key-cert.pub")
    }

    /// The file with the machine's own key, by the machine's name.
    pub(super) fn known_hosts(&self) -> PathBuf {
        self.folder.path().join("known_hosts")
    }
}

/// The folder of a cluster, named or given as a path.
fn home(settings: &Settings, cluster: &str, plan: &ClusterPlan) -> PathBuf {
    if !cluster.contains('/') && !cluster.ends_with(".yaml") {
        return settings.directory.join("seeds").join(&plan.name);
    }
    let path = settings.directory.join(cluster);
    if path.is_dir() { path } else { path.parent().map(Path::to_owned).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::ClusterIdentity;
    use std::num::NonZeroUsize;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_pass_is_two_private_files_that_go_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().to_owned();
        let (out, cache) = (directory.join("out"), directory.join("cache"));
        let settings = Settings { directory, out, cache, jobs: NonZeroUsize::MIN };
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cluster.balancers.json");
        let plan: ClusterPlan = serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
        let issue = || Pass::issue(&settings, "balancers", &plan, ("admin", "balancer1"), folder.path()).unwrap();
        assert!(issue().is_none());
        let files = secret::files(&ClusterIdentity::example(&plan).unwrap());
        private::write(&folder.path().join("seeds/balancers/secrets"), &files, true).unwrap();
        let pass = issue().unwrap();
        for file in [pass.key(), pass.certificate(), pass.known_hosts()] {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(std::fs::read_to_string(pass.certificate()).unwrap().starts_with("ssh-ed25519-cert-v01"));
        let known = std::fs::read_to_string(pass.known_hosts()).unwrap();
        let own = ClusterIdentity::example(&plan).unwrap().nodes["balancer1"].host_key.public_line().to_owned();
        assert_eq!(known, format!("balancer1 {own}\n"));
        let key = pass.key();
        drop(pass);
        assert!(!key.exists());
    }
}
