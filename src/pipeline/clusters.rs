//! Commands about whole clusters that only read documents: `plan cluster`, `check CLUSTER`.

use super::select::sources;
use crate::base::progress::{Event, Progress};
use crate::cli::meant::Settings;
use crate::cli::outcome::{Failure, Outcome};
use crate::input::{self, ClusterInputs};
use crate::plan::{self, BalancerKind, ClusterPlan, Link, NodePlan};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// `plan cluster`: every machine, its addresses, and who serves what to whom; asks nothing but the documents.
pub(super) fn plan_cluster(settings: &Settings, cluster: &str, progress: &dyn Progress) -> Result<Outcome, Failure> {
    let plan = draw(settings, cluster, progress)?;
    Ok(Outcome::new(picture(&plan), &plan))
}

/// `check CLUSTER`: the cluster's document and those of its roles.
pub(super) fn check(settings: &Settings, cluster: &str, progress: &dyn Progress) -> Result<Outcome, Failure> {
    let plan = draw(settings, cluster, progress)?;
    let text = format!("{} is sound: {}\n", plan.name, counted(plan.nodes.len(), "machine"));
    Ok(Outcome::new(text, &serde_json::json!({"cluster": plan.name, "nodes": plan.nodes.len()})))
}

/// Loads and draws a cluster; warnings are told.
pub(super) fn draw(settings: &Settings, cluster: &str, progress: &dyn Progress) -> Result<ClusterPlan, Failure> {
    let (plan, warnings) = plan::draw_cluster(&load(settings, cluster)?)?;
    for warning in &warnings.problems {
        progress.event(Event::Warning { text: warning.to_string() });
    }
    Ok(plan)
}

/// By name, or by path: of the document, or of the folder that it lies in.
fn load(settings: &Settings, cluster: &str) -> Result<ClusterInputs, Failure> {
    let sources = sources(settings);
    match file(settings, cluster) {
        None => Ok(input::load_cluster(&sources, cluster)?),
        Some(file) => Ok(input::load_cluster_file(&sources, &file)?),
    }
}

/// The document of a cluster that is given as a path; none of one that is given by name.
pub(super) fn file(settings: &Settings, cluster: &str) -> Option<PathBuf> {
    if !cluster.contains('/') && !cluster.ends_with(".yaml") {
        return None;
    }
    let path = settings.directory.join(Path::new(cluster));
    Some(if path.is_dir() { path.join("cluster.yaml") } else { path })
}

/// `1 machine`, `2 machines`.
pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn picture(plan: &ClusterPlan) -> String {
    let mut text = format!(
        "{} in {} from {}: {}, {}\n",
        plan.name,
        plan.domain,
        plan.recipe,
        counted(plan.nodes.len(), "machine"),
        counted(plan.images().len(), "image")
    );
    table(&mut text, "networks", &networks(plan));
    table(&mut text, "services", &services(plan));
    table(&mut text, "machines", &machines(plan));
    text
}

fn networks(plan: &ClusterPlan) -> Vec<Vec<String>> {
    let row = |network: &plan::NetworkPlan| {
        let ranges = if network.foreign { "DHCP".to_owned() } else { joined(&network.ranges) };
        let mut more = Vec::new();
        if !network.gateways.is_empty() {
            more.push(format!("gateway {}", joined(&network.gateways)));
        }
        if let (Some(id), Some(parent)) = (network.vlan, &network.parent) {
            more.push(format!("VLAN {id} upon {parent}"));
        }
        if let Some((first, last)) = network.pool {
            more.push(format!("lends {first} to {last}"));
        }
        if let Some(mtu) = network.mtu {
            more.push(format!("MTU {mtu}"));
        }
        vec![network.name.clone(), ranges, more.join(", ")]
    };
    plan.networks.iter().map(row).collect()
}

fn services(plan: &ClusterPlan) -> Vec<Vec<String>> {
    let holders = plan.balancers.as_ref().map(|balancers| match balancers.kind {
        BalancerKind::External => "external balancer".to_owned(),
        BalancerKind::Pacemaker => format!("{} (Pacemaker)", balancers.nodes.join(", ")),
        BalancerKind::Keepalived => format!("{} (keepalived)", balancers.nodes.join(", ")),
    });
    let row = |service: &plan::ServicePlan| {
        let at: Vec<String> = service
            .addresses
            .iter()
            .map(|address| std::net::SocketAddr::new(*address, service.port).to_string())
            .collect();
        let to: Vec<String> =
            service.backends.iter().map(|backend| format!("{}:{}", backend.node, backend.port)).collect();
        let to = if to.is_empty() { "nobody yet".to_owned() } else { to.join(" ") };
        vec![
            service.name.clone(),
            at.join(" "),
            format!("-> {to}"),
            holders.clone().map(|who| format!("at {who}")).unwrap_or_default(),
        ]
    };
    plan.services.iter().map(row).collect()
}

fn machines(plan: &ClusterPlan) -> Vec<Vec<String>> {
    let row = |node: &NodePlan| {
        let size = format!("{} x {} {}", node.size.processors, node.size.memory, node.size.disk);
        let links: Vec<String> = node.interfaces.iter().map(interface).collect();
        let disks: Vec<String> =
            node.data_disks.iter().map(|disk| format!("+{} ({})", disk.serial, disk.purpose)).collect();
        vec![
            node.name.clone(),
            node.image.clone(),
            size,
            node.failure_domain.clone().unwrap_or_default(),
            links.join("  "),
            disks.join(" "),
        ]
    };
    plan.nodes.iter().map(row).collect()
}

fn interface(interface: &plan::InterfacePlan) -> String {
    let link = match &interface.link {
        Link::Card(mac) => mac.to_string(),
        Link::Bond { members, .. } => joined(members),
        Link::Vlan { parent, id } => format!("{parent}.{id}"),
    };
    let addresses: Vec<String> = interface.addresses.iter().map(|cidr| cidr.address().to_string()).collect();
    let how = match (interface.dhcp, addresses.is_empty()) {
        (true, true) => "dhcp".to_owned(),
        (true, false) => format!("{} (reserved)", addresses.join(" ")),
        (false, _) => addresses.join(" "),
    };
    format!("{} {how} [{link}]", interface.network)
}

fn joined<T: ToString>(list: &[T]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// A title and below it rows in columns as wide as their widest cell; the last is not padded.
pub(super) fn table(text: &mut String, title: &str, rows: &[Vec<String>]) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(text, "  {title}");
    let columns = rows[0].len();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "    {}", cells.join("  ").trim_end());
    }
}
