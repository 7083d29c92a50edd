//! What every machine gets: names of all others, SSH, time, proxies, certificates, mirrors, logs.

use super::payload::{Item, Payload};
use super::shared::{Shared, principal};
use crate::base::digest::Digest;
use crate::format::seed::Effect;
use crate::plan::{NodePlan, ProxyPlan};
use crate::secret::NodeIdentity;
use anyhow::Result;
use minijinja::context;
use minijinja::value::{Serde, Value};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

const SSH: &str = "ssh.service";
const CHRONY: &str = "chrony.service";
const RESOLVED: &str = "systemd-resolved.service";
const SYSLOG: &str = "imgbuild-syslog.service";

/// A line of /etc/hosts.
#[derive(Serialize)]
struct Host {
    address: IpAddr,
    names: Vec<String>,
}

/// Files that are the same on all machines.
pub(super) fn payload(shared: &Shared<'_>) -> Result<Payload> {
    let (site, mut payload) = (&shared.plan.site, Payload::default());
    let hosts = shared
        .templates
        .render("hosts", context! { cluster => shared.cluster.clone(), hosts => Value::from(Serde(hosts(shared))) })?;
    payload.file("/etc/hosts", Item::new(hosts));
    let resolved = shared.templates.render("resolved.conf", context! { site => shared.site.clone() })?;
    payload.file("/etc/systemd/resolved.conf.d/50-imgbuild.conf", Item::new(resolved).restarts(RESOLVED));
    ssh_shared(shared, &mut payload);
    if let Some(proxy) = &site.proxy {
        proxies(shared, proxy, &mut payload)?;
    }
    for certificate in &site.certificate_authorities {
        // Named by what it is, so that another order of the list changes nothing.
        let name = Digest::of(certificate.as_bytes()).short();
        let path = format!("/usr/local/share/ca-certificates/imgbuild-{name}.crt");
        payload.file(path, Item::new(certificate.clone()).effect(Effect::Certificates));
    }
    for (registry, mirrors) in &site.registry_mirrors {
        let text = shared
            .templates
            .render("registry-hosts.toml", context! { registry, mirrors => Value::from(Serde(mirrors)) })?;
        // How containerd writes a host with a port.
        let folder = registry.split_once(':').map(|(host, port)| format!("{host}_{port}_"));
        let folder = folder.as_deref().unwrap_or(registry);
        payload.file(format!("/etc/containerd/certs.d/{folder}/hosts.toml"), Item::new(text));
    }
    if let Some(syslog) = &site.syslog {
        let context = context! { syslog => Value::from(Serde(syslog)) };
        let script = shared.templates.render("syslog-forward", context)?;
        payload.file("/usr/local/sbin/imgbuild-syslog-forward", Item::new(script).mode(0o755).restarts(SYSLOG));
        let unit = shared.templates.render("syslog.service", context! {})?;
        let unit = Item::new(unit).effect(Effect::DaemonReload).restarts(SYSLOG);
        payload.file(format!("/etc/systemd/system/{SYSLOG}"), unit);
        payload.unit(SYSLOG, true);
    }
    Ok(payload)
}

/// What is this machine's own among it.
pub(super) fn own(shared: &Shared<'_>, node: &NodePlan, keys: &NodeIdentity, payload: &mut Payload) -> Result<()> {
    let (host_certificates, jump) = (shared.plan.site.host_certificates, node.has("frontend"));
    let sshd = shared.templates.render("sshd.conf", context! { host_certificates, jump })?;
    payload.file("/etc/ssh/sshd_config.d/10-imgbuild.conf", Item::new(sshd).reloads(SSH));
    let host_key = "/etc/ssh/ssh_host_ed25519_key";
    payload.file(host_key, Item::new(keys.host_key.private().reveal().to_owned()).mode(0o600).reloads(SSH));
    payload.file(format!("{host_key}.pub"), Item::new(format!("{}\n", keys.host_key.public_line())));
    if host_certificates {
        let certificate = format!("{}\n", keys.host_certificate);
        payload.file(format!("{host_key}-cert.pub"), Item::new(certificate).reloads(SSH));
    }
    time(shared, node, payload)?;
    certificates(shared, keys, payload);
    Ok(())
}

/// Certificates and keys of the services that the machine's roles will run.
fn certificates(shared: &Shared<'_>, keys: &NodeIdentity, payload: &mut Payload) {
    const FOLDER: &str = "/etc/imgbuild/pki";
    if keys.leaves.is_empty() {
        return;
    }
    for (name, authority) in &shared.identity.authorities {
        payload.file(format!("{FOLDER}/{name}.crt"), Item::new(authority.certificate.clone()));
    }
    for (name, leaf) in &keys.leaves {
        payload.file(format!("{FOLDER}/{name}.crt"), Item::new(leaf.certificate.clone()));
        payload.file(format!("{FOLDER}/{name}.key"), Item::new(leaf.key.reveal().to_owned()).mode(0o600));
    }
}

fn hosts(shared: &Shared<'_>) -> Vec<Host> {
    let plan = shared.plan;
    let machine = |node: &NodePlan| {
        let names = vec![shared.fqdn(node), node.name.clone()];
        principal(node).into_iter().map(move |address| Host { address, names: names.clone() })
    };
    let mut hosts: Vec<Host> = plan.nodes.iter().flat_map(machine).collect();
    if let Some(api) = &plan.api {
        hosts.extend(api.addresses.iter().map(|address| Host { address: *address, names: vec![api.name.clone()] }));
    }
    hosts.extend(plan.site.hosts.iter().map(|(name, address)| Host { address: *address, names: vec![name.clone()] }));
    hosts
}

/// Whose signature on a user's key, and on a host's, is enough.
fn ssh_shared(shared: &Shared<'_>, payload: &mut Payload) {
    let mut trusted = format!("{}\n", shared.identity.user_authority.public_line());
    for key in &shared.plan.site.user_authorities {
        trusted.push_str(key);
        trusted.push('\n');
    }
    payload.file("/etc/ssh/imgbuild_user_authorities", Item::new(trusted).reloads(SSH));
    if shared.plan.site.host_certificates {
        let mut names = vec![format!("*.{}", shared.plan.domain)];
        names.extend(shared.plan.nodes.iter().map(|node| node.name.clone()));
        let line = format!("@cert-authority {} {}\n", names.join(","), shared.identity.host_authority.public_line());
        payload.file("/etc/ssh/ssh_known_hosts", Item::new(line));
    }
}

/// Gateways serve the time, the others ask for it.
fn time(shared: &Shared<'_>, node: &NodePlan, payload: &mut Payload) -> Result<()> {
    let site = &shared.plan.site;
    if node.has("gateway") {
        let served = shared.served(node);
        let networks = served.iter().filter_map(|interface| shared.plan.network(&interface.network));
        let ranges: Vec<String> = networks.flat_map(|network| &network.ranges).map(ToString::to_string).collect();
        let gateways: Vec<String> = shared.plan.with_role("gateway").map(|gateway| shared.fqdn(gateway)).collect();
        let own = [shared.fqdn(node), node.name.clone()];
        let is_own = |server: &String| own.contains(server) || principal(node).iter().any(|a| a.to_string() == *server);
        // Whoever else is named; of other gateways, only those: two that ask each other agree on nothing.
        let servers: Vec<&String> =
            site.time_servers.iter().filter(|server| !is_own(server) && !gateways.contains(server)).collect();
        let text = shared
            .templates
            .render("chrony-gateway.conf", context! { ranges, servers => Value::from(Serde(servers)) })?;
        payload.file("/etc/chrony/conf.d/50-imgbuild.conf", Item::new(text).restarts(CHRONY));
    } else if !site.time_servers.is_empty() {
        let text = shared.templates.render("chrony.conf", context! { site => shared.site.clone() })?;
        payload.file("/etc/chrony/chrony.conf", Item::new(text).restarts(CHRONY));
    }
    Ok(())
}

/// For people's shells and for services.
fn proxies(shared: &Shared<'_>, proxy: &ProxyPlan, payload: &mut Payload) -> Result<()> {
    let except = proxy.except.join(",");
    let mut variables: BTreeMap<String, &str> = BTreeMap::new();
    for (name, value) in
        [("http_proxy", proxy.http.as_deref()), ("https_proxy", proxy.https.as_deref()), ("no_proxy", Some(&*except))]
    {
        if let Some(value) = value {
            variables.insert(name.to_owned(), value);
            variables.insert(name.to_ascii_uppercase(), value);
        }
    }
    let variables: Vec<(String, &str)> = variables.into_iter().collect();
    let variables = Value::from(Serde(variables));
    let people = shared.templates.render("environment", context! { variables => variables.clone() })?;
    payload.file("/etc/environment", Item::new(people));
    let services = shared.templates.render("environment-systemd.conf", context! { variables })?;
    let path = "/etc/systemd/system.conf.d/50-imgbuild-proxy.conf";
    payload.file(path, Item::new(services).effect(Effect::DaemonReload));
    Ok(())
}
