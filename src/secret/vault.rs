//! Secrets in HashiCorp Vault or OpenBao: the key-value store, version 2, by HTTP.
//! <https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2>
//!
//! ```text
//! MOUNT/PATH/cluster       a field for each file that belongs to the cluster
//! MOUNT/PATH/nodes/NAME    a field for each file of one machine
//! ```
//!
//! Fields are named as the files are; what is no text is hexadecimal, in a field that ends with `.hex`. Every write says
//! which version it replaces, so that two people at once cannot undo each other's work unseen.

use crate::base::hint::{Remedy as _, hinted};
use crate::base::limits::{SEALED_BYTES, VAULT_CONNECT_TIME};
use crate::base::parallel;
use crate::base::private::PrivateFiles;
use crate::base::secret::{Secret, SecretBytes};
use crate::base::{files, limits};
use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};

/// The group of what belongs to the cluster.
const CLUSTER: &str = "cluster";
/// Requests at once.
const REQUESTS: usize = 8;

/// How Vault is reached and convinced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultAccess {
    /// `VAULT_ADDR`.
    pub address: Option<String>,
    /// `VAULT_TOKEN`.
    pub token: Option<Secret>,
    /// Where `vault login` leaves the token.
    pub token_file: Option<PathBuf>,
    /// `VAULT_ROLE_ID` and `VAULT_SECRET_ID`.
    pub role: Option<(String, Secret)>,
    /// `VAULT_NAMESPACE`.
    pub namespace: Option<String>,
    /// `VAULT_CACERT`.
    pub authority: Option<PathBuf>,
    /// How long an answer may take.
    pub patience: Duration,
}

/// A path in Vault.
pub struct Vault {
    agent: Agent,
    address: String,
    namespace: Option<String>,
    token: Secret,
    mount: String,
    path: String,
    /// By group: the version that was read, which a write replaces.
    versions: Mutex<BTreeMap<String, u64>>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({}/{} at {})", self.mount, self.path, self.address)
    }
}

impl Vault {
    /// Reaches Vault, with the token that is given, or one for the role.
    ///
    /// # Errors
    /// When nothing says where it is or who we are, or it refuses.
    pub fn open(mount: &str, path: &str, access: &VaultAccess) -> Result<Self> {
        let address = access.address.clone().map(|address| address.trim_end_matches('/').to_owned());
        let address = address.filter(|address| !address.is_empty()).ok_or_else(|| {
            hinted(
                "the secrets are in Vault, and nothing says where it is",
                "set VAULT_ADDR: `export VAULT_ADDR=https://vault.example:8200`",
            )
        })?;
        safe(&address)?;
        let mut vault = Self {
            agent: agent(access)?,
            address,
            namespace: access.namespace.clone(),
            token: Secret::new(String::new()),
            mount: mount.trim_matches('/').to_owned(),
            path: path.trim_matches('/').to_owned(),
            versions: Mutex::default(),
        };
        vault.token = match (&access.token, &access.role, &access.token_file) {
            (Some(token), _, _) => token.clone(),
            (None, Some((role, secret)), _) => vault.log_in(role, secret)?,
            (None, None, Some(file)) if file.is_file() => Secret::of_file(file)?,
            _ => {
                return Err(hinted(
                    format!("nothing says who asks Vault at {}", vault.address),
                    "set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID for AppRole, or run `vault login`",
                ));
            }
        };
        Ok(vault)
    }

    /// Where a file lies.
    #[must_use]
    pub fn of(&self, path: &str) -> String {
        let (group, field) = split(path);
        format!("{field} at {}/{}/{group} in Vault", self.mount, self.path)
    }

    /// Where everything lies.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{}/{} in Vault at {}", self.mount, self.path, self.address)
    }

    /// Everything below the path; none if nothing is there.
    ///
    /// # Errors
    /// When Vault cannot be reached, refuses, or something was deleted.
    pub fn read(&self) -> Result<Option<PrivateFiles>> {
        let Some(mut found) = self.group(CLUSTER)? else { return Ok(None) };
        let groups: Vec<String> = self.nodes()?.into_iter().map(|name| format!("nodes/{name}")).collect();
        for files in parallel::map_on(REQUESTS, &groups, |group| self.group(group))? {
            found.extend(files.unwrap_or_default());
        }
        Ok(Some(found))
    }

    /// Writes the groups that are different, each only over the version that was read before.
    ///
    /// # Errors
    /// When Vault refuses, or somebody else wrote meanwhile.
    pub fn write(&self, secrets: &PrivateFiles) -> Result<()> {
        let there = self.read()?.unwrap_or_default();
        let (old, new) = (grouped(&there), grouped(secrets));
        // The cluster's own first: who comes second is refused before a machine's are touched.
        let changed = |group: &&String| old.get(*group) != new.get(*group);
        let first = new.keys().filter(|group| *group == CLUSTER).filter(changed);
        let rest: Vec<&String> = new.keys().filter(|group| *group != CLUSTER).filter(changed).collect();
        for group in first {
            self.put(group, &new[group])?;
        }
        parallel::map_on(REQUESTS, &rest, |group| self.put(group, &new[*group]))?;
        Ok(())
    }

    fn group(&self, group: &str) -> Result<Option<PrivateFiles>> {
        let path = format!("{}/data/{}/{group}", self.mount, self.path);
        let (status, answer) = self.ask("GET", &path, None)?;
        let version = answer["data"]["metadata"]["version"].as_u64();
        match (status, version) {
            (404, None) => Ok(None),
            (404, Some(version)) => Err(hinted(
                format!("{}/{}/{group} was deleted in Vault (version {version})", self.mount, self.path),
                format!(
                    "bring it back: `vault kv undelete -mount={} -versions={version} {}/{group}`",
                    self.mount, self.path
                ),
            )),
            (200, Some(version)) => {
                self.versions.lock().unwrap_or_else(PoisonError::into_inner).insert(group.to_owned(), version);
                let fields = answer["data"]["data"].as_object().context("Vault gave no fields")?;
                let place = || format!("{}/{}/{group} in Vault", self.mount, self.path);
                unfolded(group, fields).with_context(|| format!("reading {}", place())).map(Some)
            }
            _ => Err(self.refusal(&path, status, &answer)),
        }
    }

    /// Names of the machines.
    fn nodes(&self) -> Result<BTreeSet<String>> {
        let path = format!("{}/metadata/{}/nodes", self.mount, self.path);
        let (status, answer) = self.ask("GET", &format!("{path}?list=true"), None)?;
        match status {
            404 => Ok(BTreeSet::new()),
            200 => {
                let keys = answer["data"]["keys"].as_array().context("Vault gave no names")?;
                Ok(keys.iter().filter_map(Value::as_str).filter(|key| !key.contains('/')).map(str::to_owned).collect())
            }
            _ => Err(self.refusal(&path, status, &answer)),
        }
    }

    fn put(&self, group: &str, files: &PrivateFiles) -> Result<()> {
        let path = format!("{}/data/{}/{group}", self.mount, self.path);
        let version = self.versions.lock().unwrap_or_else(PoisonError::into_inner).get(group).copied().unwrap_or(0);
        let body = json!({"options": {"cas": version}, "data": folded(files)});
        let (status, answer) = self.ask("POST", &path, Some(&body))?;
        match status {
            200 | 204 => Ok(()),
            400 if said(&answer).contains("check-and-set") => Err(hinted(
                format!("{path} in Vault was changed by somebody else meanwhile (it is no longer version {version})"),
                "run the command again: it begins with what is there now",
            )),
            _ => Err(self.refusal(&path, status, &answer)),
        }
    }

    fn log_in(&self, role: &str, secret: &Secret) -> Result<Secret> {
        let path = "auth/approle/login";
        let body = json!({"role_id": role, "secret_id": secret.reveal()});
        let (status, answer) = self.ask("POST", path, Some(&body))?;
        match answer["auth"]["client_token"].as_str().filter(|_| status == 200) {
            Some(token) => Ok(Secret::new(token.to_owned())),
            None => Err(hinted(
                format!("Vault at {} gives the role no token ({status})", self.address),
                "look at VAULT_ROLE_ID and VAULT_SECRET_ID: a secret id may have been used up or have expired",
            )),
        }
    }

    /// One request; an answer of any status.
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let url = format!("{}/v1/{path}", self.address);
        let mut headers = vec![("X-Vault-Request", "true")];
        if !self.token.reveal().is_empty() {
            headers.push(("X-Vault-Token", self.token.reveal()));
        }
        headers.extend(self.namespace.as_deref().map(|name| ("X-Vault-Namespace", name)));
        let sent = match body {
            None => {
                headers.iter().fold(self.agent.get(&url), |request, (name, value)| request.header(*name, *value)).call()
            }
            Some(body) => {
                let bytes = SecretBytes::new(serde_json::to_vec(body).context("writing a request")?);
                let request = self.agent.post(&url).header("Content-Type", "application/json");
                headers
                    .iter()
                    .fold(request, |request, (name, value)| request.header(*name, *value))
                    .send(bytes.reveal())
            }
        };
        let failed = || format!("asking Vault: {method} {}/v1/{path}", self.address);
        let hint = "look whether VAULT_ADDR is right, and whether Vault runs and can be reached from here";
        let mut answer = sent.map_err(plain).with_context(failed).hint(hint)?;
        let read = answer.body_mut().with_config().limit(SEALED_BYTES).read_to_vec();
        let bytes = SecretBytes::new(read.map_err(plain).with_context(failed).hint(hint)?);
        // Proxies and load balancers answer with pages; the status says enough.
        let value = serde_json::from_slice(bytes.reveal()).unwrap_or(Value::Null);
        Ok((answer.status().as_u16(), value))
    }

    fn refusal(&self, path: &str, status: u16, answer: &Value) -> anyhow::Error {
        let said = said(answer);
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        let said = if self.token.reveal().is_empty() { said } else { said.replace(self.token.reveal(), "***") };
        let hint = match status {
            403 => format!(
                "the token needs a policy for `{0}/data/{1}/*` (create, read, update) and `{0}/metadata/{1}/*` (list), \
                 and may have expired: `vault token lookup`",
                self.mount, self.path
            ),
            404 => format!("is `{}` a key-value store of version 2? `vault secrets list`", self.mount),
            503 => "it may be sealed: `vault status`".to_owned(),
            429 | 472 | 473 | 500..=599 => "look at Vault's own log; nothing was changed by this request".to_owned(),
            _ => "look at Vault's own log".to_owned(),
        };
        hinted(format!("Vault at {} refuses {path} ({status}){said}", self.address), hint)
    }
}

/// What Vault says is wrong.
fn said(answer: &Value) -> String {
    let errors = answer["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = errors.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; ");
    text.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

/// The client's error in words, which repeats no header.
fn plain(error: ureq::Error) -> anyhow::Error {
    match error {
        ureq::Error::Timeout(_) => anyhow::anyhow!("it did not answer in time"),
        ureq::Error::HostNotFound => anyhow::anyhow!("its name cannot be resolved"),
        ureq::Error::Io(error) => anyhow::anyhow!("{error}"),
        ureq::Error::Rustls(error) => anyhow::anyhow!("TLS: {error}"),
        ureq::Error::Tls(error) => anyhow::anyhow!("TLS: {error}"),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => anyhow::anyhow!("VAULT_ADDR is no URL"),
        ureq::Error::BodyExceedsLimit(limit) => anyhow::anyhow!("its answer is longer than {limit} bytes"),
        _ => anyhow::anyhow!("the connection failed"),
    }
}

/// Refuses to send secrets through a network in the clear.
fn safe(address: &str) -> Result<()> {
    let Some(rest) = address.strip_prefix("http://") else { return Ok(()) };
    let host = rest.split('/').next().unwrap_or_default();
    let host = host
        .strip_prefix('[')
        .and_then(|rest| rest.split(']').next())
        .unwrap_or_else(|| host.rsplit_once(':').map_or(host, |(host, _)| host));
    if host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()) {
        return Ok(());
    }
    let message = "VAULT_ADDR begins with http://: token and secrets would cross the network in the clear";
    Err(hinted(message, "use https://, with VAULT_CACERT=FILE where its authority is your own"))
}

fn agent(access: &VaultAccess) -> Result<Agent> {
    let roots = match &access.authority {
        None => RootCerts::PlatformVerifier,
        Some(file) => {
            let bytes = files::read(file, limits::SIGNATURE_BYTES).hint("VAULT_CACERT names a file of certificates")?;
            let certificates: Vec<Certificate<'static>> = ureq::tls::parse_pem(&bytes)
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            if certificates.is_empty() {
                let message = format!("{} holds no certificate in PEM", file.display());
                return Err(hinted(message, "VAULT_CACERT names the certificate of the authority that Vault's is by"));
            }
            RootCerts::new_with_certs(&certificates)
        }
    };
    let connect = VAULT_CONNECT_TIME.min(access.patience);
    let config = Agent::config_builder()
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .http_status_as_error(false)
        .user_agent(concat!("imgbuild/", env!("CARGO_PKG_VERSION")))
        .max_idle_connections_per_host(REQUESTS)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_resolve(Some(connect))
        .timeout_connect(Some(connect))
        .timeout_global(Some(access.patience));
    Ok(Agent::new_with_config(config.build()))
}

/// The group and the field of a file.
fn split(path: &str) -> (String, &str) {
    match path.strip_prefix("nodes/").and_then(|rest| rest.split_once('/')) {
        Some((node, field)) => (format!("nodes/{node}"), field),
        None => (CLUSTER.to_owned(), path),
    }
}

fn grouped(files: &PrivateFiles) -> BTreeMap<String, PrivateFiles> {
    let mut groups: BTreeMap<String, PrivateFiles> = BTreeMap::new();
    for (path, bytes) in files {
        let (group, field) = split(path);
        groups.entry(group).or_default().insert(field.to_owned(), bytes.clone());
    }
    groups
}

fn folded(fields: &PrivateFiles) -> Map<String, Value> {
    let field = |(name, bytes): (&String, &SecretBytes)| match bytes.text() {
        Some(text) => (name.clone(), Value::String(text.reveal().to_owned())),
        None => (format!("{name}.hex"), Value::String(hexadecimal(bytes.reveal()))),
    };
    fields.iter().map(field).collect()
}

fn unfolded(group: &str, fields: &Map<String, Value>) -> Result<PrivateFiles> {
    let mut files = PrivateFiles::new();
    for (name, value) in fields {
        let text = value.as_str().with_context(|| format!("the field `{name}` is no text"))?;
        let (name, bytes) = match name.strip_suffix(".hex") {
            Some(name) => (name, bytes_of(text).with_context(|| format!("the field `{name}.hex` is not hexadecimal"))?),
            None => (name.as_str(), text.as_bytes().to_vec()),
        };
        let path = if group == CLUSTER { name.to_owned() } else { format!("{group}/{name}") };
        files.insert(path, SecretBytes::new(bytes));
    }
    Ok(files)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(text: &str) -> Option<Vec<u8>> {
    if !text.bytes().all(|c| c.is_ascii_hexdigit()) || !text.len().is_multiple_of(2) {
        return None;
    }
    let pair = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}
