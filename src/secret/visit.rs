//! A person's visit to a machine: a key for this once, signed by the cluster's authority for an hour or so.

use super::{ClusterIdentity, Source, SshKey};
use anyhow::{Context as _, Result};
use ssh_key::certificate::{Builder, CertType};

/// A key that opens machines for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The key.
    pub key: SshKey,
    /// Its certificate: one line of a `-cert.pub` file, without a line feed.
    pub certificate: String,
}

impl ClusterIdentity {
    /// A key for the account of this name, for so many seconds from now. It is accepted from 1970 on: machines whose
    /// clocks are behind are visited, too.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn visit(&self, user: &str, seconds: u64, source: &mut Source) -> Result<Visit> {
        let failed = || format!("signing a key for {user}");
        let key = SshKey::make(source)?;
        let until = u64::try_from(source.now()).unwrap_or_default().saturating_add(seconds);
        let nonce = source.bytes::<32>()?.to_vec();
        let mut builder = Builder::new(nonce, key.key()?.public_key(), 0, until).with_context(failed)?;
        builder.cert_type(CertType::User).with_context(failed)?;
        builder.key_id(format!("imgbuild: a visit to {}", self.name)).with_context(failed)?;
        builder.valid_principal(user).with_context(failed)?;
        builder.extension("permit-pty", "").with_context(failed)?;
        let certificate = builder.sign(&self.user_authority.key()?).with_context(failed)?;
        Ok(Visit { certificate: certificate.to_openssh().with_context(failed)?.trim_end().to_owned(), key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::process::{Run, find};

    #[test]
    fn a_visitors_certificate_is_what_ssh_keygen_reads() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cluster.balancers.json");
        let plan = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let identity = ClusterIdentity::example(&plan).unwrap();
        let visit = identity.visit("admin", 3600, &mut Source::example(1_767_225_600)).unwrap();
        assert!(visit.certificate.starts_with("ssh-ed25519-cert-v01@openssh.com "));
        if find("ssh-keygen").is_none() {
            println!("SKIP: ssh-keygen (openssh-client) is not installed");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key-cert.pub");
        std::fs::write(&file, format!("{}\n", visit.certificate)).unwrap();
        let shown = Run::new("ssh-keygen").env("TZ", "UTC").args(["-L", "-f"]).arg(&file).run().unwrap();
        let shown = String::from_utf8(shown).unwrap();
        for expected in ["user certificate", "admin", "before 2026-01-01T01:00:00", "permit-pty"] {
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
        assert!(!shown.contains("permit-port-forwarding"));
    }
}
