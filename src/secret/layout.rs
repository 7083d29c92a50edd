//! How secrets lie in files: one for each thing, by names that people understand. The same paths serve the folder, the
//! sealed archive and Vault.
//!
//! ```text
//! cluster.json                         {"version": 1, "cluster": name, "id": UUID}
//! seed.key seed.pub [seed.pub.sig]     signs seeds; the signature over seed.pub by a key that images trust
//! ssh/host-authority[.pub]             signs the machines' host keys
//! ssh/user-authority[.pub]             signs people's keys
//! corosync.key                         Corosync's authkey, as bytes
//! vrrp.password  statistics.account    one line each; the account as user:password
//! kubernetes/NAME.crt NAME.key         ca, etcd-ca, front-proxy-ca
//! kubernetes/service-accounts.key .pub
//! nodes/NAME/ssh_host_ed25519_key ssh_host_ed25519_key-cert.pub
//! nodes/NAME/LEAF.crt LEAF.key         etcd-server, kubelet-client, ...
//! nodes/NAME/gluster.uuid
//! ```
//!
//! Certificates that are missing are made again of their keys; anything else that is missing or damaged is refused by name.

use super::certificate;
use super::key::EcKey;
use super::ssh::{self, SshKey};
use super::values::{Account, Certified, ClusterIdentity, KeyPair, NodeIdentity};
use super::wanted;
use crate::base::hint::{Remedy as _, hinted};
use crate::base::ids::Uuid;
use crate::base::parallel;
use crate::base::private::PrivateFiles;
use crate::base::secret::{Secret, SecretBytes};
use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the layout.
const VERSION: u32 = 1;
const HEAD: &str = "cluster.json";
const HOST_KEY: &str = "ssh_host_ed25519_key";
const HOST_CERTIFICATE: &str = "ssh_host_ed25519_key-cert.pub";
const GLUSTER: &str = "gluster.uuid";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    version: u32,
    cluster: String,
    id: String,
}

/// All files of a cluster's secrets.
#[must_use]
pub fn files(identity: &ClusterIdentity) -> PrivateFiles {
    let mut files = PrivateFiles::new();
    let mut text = |path: String, text: &str| {
        files.insert(path, SecretBytes::new(text.as_bytes().to_vec()));
    };
    let line = |line: &str| format!("{line}\n");
    let head = Head { version: VERSION, cluster: identity.name.clone(), id: identity.id.clone() };
    text(HEAD.into(), &line(&serde_json::to_string_pretty(&head).unwrap_or_default()));
    text("seed.key".into(), identity.seed_key.private().reveal());
    text("seed.pub".into(), &line(identity.seed_key.public_line()));
    if let Some(endorsement) = &identity.endorsement {
        text("seed.pub.sig".into(), endorsement);
    }
    for (name, key) in [("host", &identity.host_authority), ("user", &identity.user_authority)] {
        text(format!("ssh/{name}-authority"), key.private().reveal());
        text(format!("ssh/{name}-authority.pub"), &line(key.public_line()));
    }
    text("vrrp.password".into(), &line(identity.vrrp_password.reveal()));
    let statistics = &identity.statistics;
    text("statistics.account".into(), &line(&format!("{}:{}", statistics.user, statistics.password.reveal())));
    for (name, certified) in &identity.authorities {
        text(format!("kubernetes/{name}.crt"), &certified.certificate);
        text(format!("kubernetes/{name}.key"), certified.key.reveal());
    }
    if let Some(pair) = &identity.service_accounts {
        text("kubernetes/service-accounts.key".into(), pair.private.reveal());
        text("kubernetes/service-accounts.pub".into(), &pair.public);
    }
    for (name, node) in &identity.nodes {
        text(format!("nodes/{name}/{HOST_KEY}"), node.host_key.private().reveal());
        text(format!("nodes/{name}/{HOST_CERTIFICATE}"), &line(&node.host_certificate));
        for (leaf, certified) in &node.leaves {
            text(format!("nodes/{name}/{leaf}.crt"), &certified.certificate);
            text(format!("nodes/{name}/{leaf}.key"), certified.key.reveal());
        }
        if let Some(uuid) = &node.gluster {
            text(format!("nodes/{name}/{GLUSTER}"), &line(uuid));
        }
    }
    files.insert("corosync.key".into(), identity.corosync_key.clone());
    files
}

/// Reads a cluster's secrets; `place` says where a path lies, for messages.
///
/// # Errors
/// When something is missing, damaged or does not belong there: the file is named.
pub fn identity(mut files: PrivateFiles, place: &(dyn Fn(&str) -> String + Sync)) -> Result<ClusterIdentity> {
    let mut left = Files { files: &mut files, place };
    let head: Head = left.read(HEAD, |text| Ok(serde_json::from_str(text.reveal())?))?;
    ensure!(head.version == VERSION, "{} has version {}, not {VERSION}", place(HEAD), head.version);
    if Uuid::parse(&head.id).is_none() {
        return Err(damaged(&place(HEAD), anyhow::anyhow!("`{}` is no UUID", head.id), BACKUP));
    }
    let authorities = authorities(&mut left)?;
    let (host_authority, user_authority) = (left.ssh("ssh/host-authority")?, left.ssh("ssh/user-authority")?);
    let identity = ClusterIdentity {
        name: head.cluster,
        id: head.id,
        seed_key: left.seed_key()?,
        endorsement: left.optional("seed.pub.sig", |text| Ok(text.reveal().to_owned()))?,
        corosync_key: left.corosync()?,
        vrrp_password: left.read("vrrp.password", |text| password(one_line(&text)?, 8))?,
        statistics: left.read("statistics.account", |text| {
            let (user, secret) = one_line(&text)?.split_once(':').context("it is not `user:password`")?;
            Ok(Account { user: user.to_owned(), password: password(secret, 256)? })
        })?,
        service_accounts: left.optional("kubernetes/service-accounts.key", |text| {
            let key = EcKey::read(&text)?;
            Ok(KeyPair { private: text, public: key.public() })
        })?,
        nodes: nodes(&mut left, &host_authority, &authorities)?,
        authorities,
        host_authority,
        user_authority,
    };
    if let Some(pair) = &identity.service_accounts {
        left.derived("kubernetes/service-accounts.pub", &pair.public)?;
    }
    match files.keys().next() {
        None => Ok(identity),
        Some(path) => {
            let message = format!("{} does not belong to the cluster's secrets", place(path));
            Err(hinted(message, "keep it elsewhere: what lies among the secrets is sealed and moved with them"))
        }
    }
}

fn authorities(left: &mut Files<'_>) -> Result<BTreeMap<String, Certified>> {
    let mut found = BTreeMap::new();
    for (name, _) in wanted::AUTHORITIES {
        let (certificate, key) = (format!("kubernetes/{name}.crt"), format!("kubernetes/{name}.key"));
        match (left.files.contains_key(&certificate), left.files.contains_key(&key)) {
            (false, false) => continue,
            (false, true) => return Err(missing(&(left.place)(&certificate))),
            (true, false) => return Err(missing(&(left.place)(&key))),
            (true, true) => {}
        }
        let key = left.read(&key, |text| EcKey::read(&text).map(|_| text))?;
        let certified = Certified { certificate: left.text(&certificate)?.reveal().to_owned(), key };
        certificate::check(&certified, None).map_err(|error| damaged(&(left.place)(&certificate), error, BACKUP))?;
        found.insert((*name).to_owned(), certified);
    }
    Ok(found)
}

/// Each machine for itself, on all processors: a thousand of them have some thousand signatures.
fn nodes(
    left: &mut Files<'_>,
    host_authority: &SshKey,
    authorities: &BTreeMap<String, Certified>,
) -> Result<BTreeMap<String, NodeIdentity>> {
    let mut parts: BTreeMap<String, PrivateFiles> = BTreeMap::new();
    let below =
        |path: &str| path.strip_prefix("nodes/").and_then(|rest| rest.split_once('/')).map(|(n, _)| n.to_owned());
    let paths: Vec<(String, String)> =
        left.files.keys().filter_map(|path| Some((below(path)?, path.clone()))).collect();
    for (node, path) in paths {
        if let Some(bytes) = left.files.remove(&path) {
            parts.entry(node).or_default().insert(path, bytes);
        }
    }
    let parts: Vec<(String, PrivateFiles)> = parts.into_iter().collect();
    let place = left.place;
    let read = parallel::map(&parts, |(name, files)| {
        let mut files = files.clone();
        let mut left = Files { files: &mut files, place };
        let node = node(&mut left, name, host_authority, authorities)?;
        Ok::<_, anyhow::Error>((node, files))
    })?;
    let mut found = BTreeMap::new();
    for ((name, _), (node, rest)) in parts.into_iter().zip(read) {
        found.insert(name, node);
        left.files.extend(rest);
    }
    Ok(found)
}

fn node(
    left: &mut Files<'_>,
    name: &str,
    host_authority: &SshKey,
    authorities: &BTreeMap<String, Certified>,
) -> Result<NodeIdentity> {
    let host_key = left.read(&format!("nodes/{name}/{HOST_KEY}"), SshKey::read)?;
    let path = format!("nodes/{name}/{HOST_CERTIFICATE}");
    let host_certificate = left.optional_or(AGAIN, &path, |text| {
        let line = one_line(&text)?.to_owned();
        ssh::host_certificate(&line, &host_key, host_authority).map(|_| line)
    })?;
    let mut leaves = BTreeMap::new();
    for (leaf, authority) in wanted::LEAVES {
        leaves.extend(self::leaf(left, name, leaf, authority, authorities)?.map(|found| ((*leaf).to_owned(), found)));
    }
    let gluster = left.optional(&format!("nodes/{name}/{GLUSTER}"), |text| {
        let uuid = Uuid::parse(one_line(&text)?).context("it is no UUID")?;
        Ok(uuid.to_string())
    })?;
    Ok(NodeIdentity { host_key, host_certificate: host_certificate.unwrap_or_default(), leaves, gluster })
}

/// A leaf, without its certificate where that is missing.
fn leaf(
    left: &mut Files<'_>,
    node: &str,
    leaf: &str,
    authority: &str,
    authorities: &BTreeMap<String, Certified>,
) -> Result<Option<Certified>> {
    let (certificate, key) = (format!("nodes/{node}/{leaf}.crt"), format!("nodes/{node}/{leaf}.key"));
    if !left.files.contains_key(&key) {
        return match left.files.contains_key(&certificate) {
            false => Ok(None),
            true => Err(hinted(
                format!("{} is missing", (left.place)(&key)),
                format!("remove {} too: `imgbuild seed` makes both anew", (left.place)(&certificate)),
            )),
        };
    }
    let signer = authorities.get(authority);
    let signer = signer.ok_or_else(|| missing(&(left.place)(&format!("kubernetes/{authority}.crt"))))?;
    let key = left.read(&key, |text| EcKey::read(&text).map(|_| text))?;
    let certified = left.optional_or(AGAIN, &certificate, |text| {
        let certified = Certified { certificate: text.reveal().to_owned(), key: key.clone() };
        certificate::check(&certified, Some(signer)).map(|_| certified)
    })?;
    Ok(Some(certified.unwrap_or_else(|| Certified { certificate: String::new(), key })))
}

/// What is left to be read.
struct Files<'a> {
    files: &'a mut PrivateFiles,
    place: &'a (dyn Fn(&str) -> String + Sync),
}

impl Files<'_> {
    fn text(&mut self, path: &str) -> Result<Secret> {
        let bytes = self.files.remove(path).ok_or_else(|| missing(&(self.place)(path)))?;
        bytes.text().ok_or_else(|| damaged(&(self.place)(path), anyhow::anyhow!("it is not UTF-8"), BACKUP))
    }

    fn read<T>(&mut self, path: &str, parse: impl FnOnce(Secret) -> Result<T>) -> Result<T> {
        let text = self.text(path)?;
        parse(text).map_err(|error| damaged(&(self.place)(path), error, BACKUP))
    }

    fn optional<T>(&mut self, path: &str, parse: impl FnOnce(Secret) -> Result<T>) -> Result<Option<T>> {
        self.optional_or(BACKUP, path, parse)
    }

    fn optional_or<T>(
        &mut self,
        remedy: &str,
        path: &str,
        parse: impl FnOnce(Secret) -> Result<T>,
    ) -> Result<Option<T>> {
        if !self.files.contains_key(path) {
            return Ok(None);
        }
        let text = self.text(path)?;
        parse(text).map(Some).map_err(|error| damaged(&(self.place)(path), error, remedy))
    }

    /// A public half, which people may want to use; nothing depends on it.
    fn derived(&mut self, path: &str, expected: &str) -> Result<()> {
        let same = |text: Secret| match text.reveal().trim_end() == expected.trim_end() {
            true => Ok(()),
            false => bail!("it is not the public half of the key beside it"),
        };
        self.optional_or("remove the file: it is written again", path, same).map(|_| ())
    }

    fn ssh(&mut self, path: &str) -> Result<SshKey> {
        let key = self.read(path, SshKey::read)?;
        self.derived(&format!("{path}.pub"), key.public_line())?;
        Ok(key)
    }

    fn seed_key(&mut self) -> Result<SshKey> {
        let key = self.read("seed.key", SshKey::read)?;
        self.derived("seed.pub", key.public_line())?;
        Ok(key)
    }

    /// Corosync takes keys of 128 to 4096 bytes.
    fn corosync(&mut self) -> Result<SecretBytes> {
        let path = "corosync.key";
        let bytes = self.files.remove(path).ok_or_else(|| missing(&(self.place)(path)))?;
        if (128..=4096).contains(&bytes.reveal().len()) {
            return Ok(bytes);
        }
        let error = anyhow::anyhow!("it has {} bytes, where Corosync wants 128 to 4096", bytes.reveal().len());
        Err(damaged(&(self.place)(path), error, BACKUP))
    }
}

/// What to do about a damaged certificate.
const AGAIN: &str = "remove the file: `imgbuild seed` makes the certificate again, for the same key";
/// What to do about anything else.
const BACKUP: &str = "take it from a backup, or all of the secrets; imgbuild makes no new one in its place, because the \
                      machines know the old one";

fn damaged(place: &str, error: anyhow::Error, remedy: &str) -> anyhow::Error {
    let message = format!("{place} is damaged");
    let hinted: Result<()> = Err(error).context(message.clone()).hint(remedy);
    hinted.err().unwrap_or_else(|| anyhow::Error::msg(message))
}

fn missing(place: &str) -> anyhow::Error {
    hinted(format!("{place} is missing"), BACKUP)
}

fn one_line(text: &Secret) -> Result<&str> {
    let line = text.reveal().strip_suffix('\n').unwrap_or(text.reveal());
    ensure!(!line.is_empty() && !line.contains(['\n', '\r']), "it is not one line");
    Ok(line)
}

/// What may stand in configuration files without quotes.
fn password(text: &str, most: usize) -> Result<Secret> {
    ensure!(text.len() <= most, "it has more than {most} characters");
    ensure!(!text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric()), "it is not of letters and digits");
    Ok(Secret::new(text.to_owned()))
}
