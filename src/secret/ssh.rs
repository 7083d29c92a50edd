//! OpenSSH's keys and host certificates: Ed25519, whose signatures are the same every time.
//!
//! Formats: <https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.key>,
//! <https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.certkeys>

use super::source::Source;
use crate::base::secret::Secret;
use anyhow::{Context as _, Result, bail, ensure};
use ssh_key::certificate::{Builder, CertType};
use ssh_key::private::Ed25519Keypair;
use ssh_key::{Algorithm, Certificate, HashAlg, LineEnding, PrivateKey};
use std::collections::BTreeSet;
use std::fmt;

/// Until when host certificates are valid: the end of the year 9999. One that ends locks people out of machines, and a
/// machine whose key was stolen needs another authority anyway.
const END: u64 = 253_402_300_799;

/// An Ed25519 key as OpenSSH keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct SshKey {
    private: Secret,
    public: String,
}

impl SshKey {
    pub(super) fn make(source: &mut Source) -> Result<Self> {
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&*source.bytes::<32>()?));
        let text = key.to_openssh(LineEnding::LF).context("writing a secret key of OpenSSH")?;
        Self::read(Secret::new(text.as_str().to_owned()))
    }

    /// Reads a key that has no password, as `ssh-keygen -t ed25519 -N ''` writes it.
    ///
    /// # Errors
    /// When it is no such key.
    pub fn read(text: Secret) -> Result<Self> {
        let key = PrivateKey::from_openssh(text.reveal()).ok().context("this is no secret key of OpenSSH")?;
        if key.is_encrypted() || key.algorithm() != Algorithm::Ed25519 {
            bail!("this is no Ed25519 key without a password");
        }
        let mut public = key.public_key().clone();
        public.set_comment("");
        let public = public.to_openssh().context("writing a public key")?.trim_end().to_owned();
        Ok(Self { private: text, public })
    }

    /// The secret half, in OpenSSH's PEM: what `/etc/ssh/ssh_host_ed25519_key` holds.
    #[must_use]
    pub fn private(&self) -> &Secret {
        &self.private
    }

    /// The public half: `ssh-ed25519 AAAA...`, without a comment or line feed.
    #[must_use]
    pub fn public_line(&self) -> &str {
        &self.public
    }

    /// Signs bytes for a purpose: an armored SSHSIG (SHA-512), as `ssh-keygen -Y sign -n NAMESPACE` makes it. The same
    /// bytes give the same signature.
    ///
    /// # Errors
    /// When the namespace is empty.
    pub fn sign(&self, namespace: &str, bytes: &[u8]) -> Result<String> {
        let signature = self.key()?.sign(namespace, HashAlg::Sha512, bytes);
        signature.and_then(|signature| signature.to_pem(LineEnding::LF)).context("signing with an SSH key")
    }

    /// Signs a machine's host key for all its names: one line, without a line feed.
    pub(super) fn certify(
        &self,
        host: &Self,
        id: &str,
        names: &BTreeSet<String>,
        source: &mut Source,
    ) -> Result<String> {
        let failed = || format!("certifying the host key of {id}");
        let host = host.key()?;
        let serial = u64::from_be_bytes(*source.bytes::<8>()?) >> 1;
        // From 1970: a machine whose clock was never set is reached as well.
        let builder = Builder::new(source.bytes::<32>()?.to_vec(), host.public_key(), 0, END);
        let mut builder = builder.with_context(failed)?;
        builder.cert_type(CertType::Host).with_context(failed)?;
        builder.serial(serial).with_context(failed)?;
        builder.key_id(id).with_context(failed)?;
        for name in names {
            builder.valid_principal(name).with_context(failed)?;
        }
        let certificate = builder.sign(&self.key()?).with_context(failed)?;
        Ok(certificate.to_openssh().with_context(failed)?.trim_end().to_owned())
    }

    pub(super) fn key(&self) -> Result<PrivateKey> {
        PrivateKey::from_openssh(self.private.reveal()).ok().context("reading a secret key of OpenSSH")
    }
}

impl fmt::Debug for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SshKey({})", self.public)
    }
}

/// What a host certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostCertificate {
    pub(super) id: String,
    pub(super) names: BTreeSet<String>,
    /// Seconds since 1970.
    pub(super) until: u64,
}

/// Reads a host certificate, and makes sure that it is of this key and by this authority.
pub(super) fn host_certificate(line: &str, host: &SshKey, authority: &SshKey) -> Result<HostCertificate> {
    let certificate = Certificate::from_openssh(line.trim_end()).ok().context("this is no certificate of OpenSSH")?;
    ensure!(certificate.cert_type() == CertType::Host, "this is no host certificate");
    let (host, authority) = (host.key()?, authority.key()?);
    ensure!(certificate.public_key() == host.public_key().key_data(), "it is of another key");
    ensure!(certificate.signature_key() == authority.public_key().key_data(), "another authority signed it");
    certificate.verify_signature().ok().context("its signature does not fit")?;
    // `ssh-key` 0.6.7 does not mind lengths within that are too long, and signs what it would have written; OpenSSH minds.
    let again = certificate.to_openssh().unwrap_or_default();
    ensure!(again.trim_end() == line.trim_end(), "it is not written as OpenSSH writes it");
    let names = certificate.valid_principals().iter().cloned().collect();
    Ok(HostCertificate { id: certificate.key_id().to_owned(), names, until: certificate.valid_before() })
}
