//! What all machines of a cluster share: keys, users, time, names, proxies, certificates, logs.

use super::{one_or_more, words};
use crate::input::check;
use crate::input::content::key_checked;
use crate::input::decode::{Fields, Located, Refusal, Report, one_of};
use crate::input::problem::Fault;
use crate::input::yaml::Node;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What all machines of a cluster share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Site {
    /// Who may log in as every user that has no keys of its own.
    pub(crate) keys: Vec<Located<String>>,
    /// Whether the cluster's own authority signs the host keys.
    pub(crate) host_certificates: bool,
    /// Authorities whose signature on a user's key is enough.
    pub(crate) user_authorities: Vec<Located<String>>,
    pub(crate) users: Vec<UserEntry>,
    pub(crate) time_zone: Option<Located<String>>,
    pub(crate) time_servers: Vec<Located<String>>,
    pub(crate) locale: Option<Located<String>>,
    pub(crate) search: Vec<Located<String>>,
    pub(crate) forwarders: Vec<Located<IpAddr>>,
    /// Further names that the gateway answers.
    pub(crate) hosts: BTreeMap<String, Located<IpAddr>>,
    pub(crate) proxy: Option<Proxy>,
    /// Certificates in PEM, as text.
    pub(crate) authorities: Vec<Located<String>>,
    pub(crate) registry_mirrors: BTreeMap<String, Vec<Located<String>>>,
    pub(crate) syslog: Option<(Located<String>, i64, SyslogProtocol)>,
}

/// A person's account on every machine.
#[derive(Clone, Debug)]
pub(crate) struct UserEntry {
    pub(crate) name: Located<String>,
    pub(crate) keys: Vec<Located<String>>,
    pub(crate) groups: Vec<Located<String>>,
    pub(crate) sudo: bool,
    pub(crate) shell: Option<Located<String>>,
}

/// The way to the web.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxy {
    pub(crate) http: Option<Located<String>>,
    pub(crate) https: Option<Located<String>>,
    pub(crate) except: Vec<Located<String>>,
}

/// How logs travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyslogProtocol {
    Udp,
    Tcp,
}

pub(super) fn site(report: &Report, fields: &mut Fields<'_>) -> Site {
    let mut site = Site { host_certificates: true, ..Site::default() };
    if let Some(mut ssh) = fields.get("ssh").and_then(|node| Fields::open(report, node, "`ssh`")) {
        site.keys = keys(report, ssh.get("authorized_keys"));
        site.user_authorities = keys(report, ssh.get("user_authorities"));
        if let Some(node) = ssh.get("host_certificates") {
            site.host_certificates = report.boolean(node).unwrap_or(true);
        }
        ssh.close();
    }
    site.users = fields.get("users").map(|node| users(report, node)).unwrap_or_default();
    if let Some(mut time) = fields.get("time").and_then(|node| Fields::open(report, node, "`time`")) {
        site.time_zone = time.get("zone").and_then(|node| report.checked(node, words::time_zone));
        site.time_servers =
            time.get("servers").map(|node| report.texts(node, "time server", words::host)).unwrap_or_default();
        time.close();
    }
    site.locale = fields.get("locale").and_then(|node| report.checked(node, words::locale));
    if let Some(mut dns) = fields.get("dns").and_then(|node| Fields::open(report, node, "`dns`")) {
        site.search = dns.get("search").map(|node| report.texts(node, "domain", words::domain)).unwrap_or_default();
        site.forwarders =
            dns.get("forwarders").map(|node| report.texts(node, "name server", words::address)).unwrap_or_default();
        for (key, node) in dns.get("hosts").map(|node| report.map(node)).unwrap_or_default() {
            let name = key_checked(report, key, words::domain);
            if let (Some(name), Some(address)) = (name, report.checked(node, words::address)) {
                site.hosts.insert(name.value, Located::new(key.place, address.value));
            }
        }
        dns.close();
    }
    site.proxy = fields.get("proxy").and_then(|node| proxy(report, node));
    if let Some(node) = fields.get("certificate_authorities") {
        site.authorities = report.texts(node, "certificate", certificate);
    }
    for (key, node) in fields.get("registry_mirrors").map(|node| report.map(node)).unwrap_or_default() {
        let name = key_checked(report, key, registry);
        let mirrors = one_or_more(node).iter().filter_map(|node| report.checked(node, check::url)).collect();
        if let Some(name) = name {
            site.registry_mirrors.insert(name.value, mirrors);
        }
    }
    site.syslog = fields.get("syslog").and_then(|node| syslog(report, node));
    site
}

fn keys(report: &Report, node: Option<&Node>) -> Vec<Located<String>> {
    node.map(|node| report.texts(node, "key", words::public_key)).unwrap_or_default()
}

fn users(report: &Report, node: &Node) -> Vec<UserEntry> {
    report
        .map(node)
        .iter()
        .filter_map(|(key, node)| {
            let name = key_checked(report, key, check::account);
            let mut fields = Fields::open(report, node, "a user")?;
            let keys = keys(report, fields.get("authorized_keys"));
            let groups =
                fields.get("groups").map(|node| report.texts(node, "group", check::account)).unwrap_or_default();
            let sudo = fields.get("sudo").and_then(|node| report.boolean(node)).unwrap_or(false);
            let shell = fields.get("shell").and_then(|node| report.checked(node, check::path));
            fields.close();
            let name = name?;
            if name.value == "root" {
                let fault =
                    Fault::new(name.place, "`root` does not log in: sshd refuses it and its password is locked");
                report.add(fault.hint("name a user of your own, with `sudo: true`"));
            }
            Some(UserEntry { name, keys, groups, sudo, shell })
        })
        .collect()
}

fn proxy(report: &Report, node: &Node) -> Option<Proxy> {
    let mut fields = Fields::open(report, node, "a proxy")?;
    let http = fields.get("http").and_then(|node| report.checked(node, check::url));
    let https = fields.get("https").and_then(|node| report.checked(node, check::url));
    let except = fields.get("except").map(|node| report.texts(node, "exception", check::word)).unwrap_or_default();
    fields.close();
    Some(Proxy { http, https, except })
}

fn certificate(text: &str) -> Result<String, Refusal> {
    if text.contains("PRIVATE KEY") {
        let refusal = Refusal::new("this is a private key, where a certificate is wanted").hide();
        return Err(refusal.hint("private keys never stand in cluster.yaml: take it out, and make a new one"));
    }
    let text = text.trim();
    let begins = text.starts_with("-----BEGIN CERTIFICATE-----");
    if begins && text.ends_with("-----END CERTIFICATE-----") && text.len() <= 64 << 10 && text.is_ascii() {
        return Ok(format!("{text}\n"));
    }
    Err(Refusal::new("this is no certificate in PEM")
        .hint("write `- |` and below it, indented, the lines from BEGIN CERTIFICATE to END CERTIFICATE"))
}

/// A container registry: a host, perhaps with a port.
fn registry(text: &str) -> Result<String, Refusal> {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    if words::host(host).is_ok() && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Ok(text.to_owned());
    }
    Err(Refusal::new(format!("`{text}` is no registry"))
        .hint("write its host, and a port if it has one: registry.example:5000"))
}

fn syslog(report: &Report, node: &Node) -> Option<(Located<String>, i64, SyslogProtocol)> {
    let mut fields = Fields::open(report, node, "`syslog`")?;
    let host = fields.require("host").and_then(|node| report.checked(node, words::host));
    let port = fields.get("port").and_then(|node| report.integer(node, 1, 65_535)).map_or(514, |port| port.value);
    let known = [("udp", SyslogProtocol::Udp), ("tcp", SyslogProtocol::Tcp)];
    let protocol =
        fields.get("protocol").and_then(|node| report.checked(node, |text| one_of(text, "protocol", &known)));
    fields.close();
    Some((host?, port, protocol.map_or(SyslogProtocol::Tcp, |protocol| protocol.value)))
}
