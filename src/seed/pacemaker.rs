//! Corosync and Pacemaker: a pair that forms by itself from identical files, without any command.

use super::balance::HAPROXY;
use super::payload::{Item, Payload};
use super::shared::Shared;
use crate::format::seed::Effect;
use crate::plan::BalancersPlan;
use anyhow::Result;
use minijinja::context;
use minijinja::value::{Serde, Value};
use serde::Serialize;
use std::net::IpAddr;

const COROSYNC: &str = "corosync.service";
const PACEMAKER: &str = "pacemaker.service";

/// A balancer as Corosync sees it.
#[derive(Serialize)]
struct Member<'a> {
    id: usize,
    name: &'a str,
    address: IpAddr,
}

/// A floating address as a resource.
#[derive(Serialize)]
struct Resource<'a> {
    id: String,
    address: IpAddr,
    prefix: u8,
    interface: &'a str,
}

/// The feature set and the schema that the suite's own Pacemaker writes: an older one refuses what is newer.
fn schema(suite: &str) -> (&'static str, &'static str) {
    match suite {
        "bookworm" => ("3.16.1", "pacemaker-3.9"),
        "noble" => ("3.17.4", "pacemaker-3.9"),
        _ => ("3.20.0", "pacemaker-4.0"),
    }
}

pub(super) fn payload(shared: &Shared<'_>, balancers: &BalancersPlan, payload: &mut Payload) -> Result<()> {
    let machine = |name: &String| shared.plan.nodes.iter().find(|node| node.name == *name);
    let known = balancers.nodes.iter().filter_map(|name| Some((name, machine(name)?.address()?)));
    let members: Vec<Member<'_>> =
        known.enumerate().map(|(number, (name, address))| Member { id: number + 1, name, address }).collect();
    let addresses: Vec<Resource<'_>> = balancers
        .addresses
        .iter()
        .enumerate()
        .map(|(number, floating)| Resource {
            id: if number == 0 { "vip".to_owned() } else { format!("vip{}", number + 1) },
            address: floating.address.address(),
            prefix: floating.address.prefix(),
            interface: &floating.network,
        })
        .collect();
    let (token, wait_for_all) = (balancers.token, balancers.wait_for_all);
    let context = context! {
        cluster => shared.cluster.clone(), members => Value::from(Serde(members)), token, wait_for_all
    };
    let corosync = shared.templates.render("corosync.conf", context)?;
    payload.file("/etc/corosync/corosync.conf", Item::new(corosync).restarts(COROSYNC));
    let key = super::Content::new(shared.identity.corosync_key.reveal().to_vec());
    payload.file("/etc/corosync/authkey", Item::new(key).mode(0o400).restarts(COROSYNC));
    let (feature_set, schema) = schema(shared.suite);
    // As long as a lone one waits for others before it decides; longer where messages are slow.
    let dc_deadtime = (token / 500).clamp(5, 20);
    let context = context! { feature_set, schema, dc_deadtime, addresses => Value::from(Serde(addresses)) };
    let cib = shared.templates.render("cib.xml", context)?;
    // Pacemaker's own from the first start on: what it holds then is newer than any seed.
    let cib = Item::new(cib).owner("hacluster", "haclient").mode(0o600).once();
    payload.file("/var/lib/pacemaker/cib/cib.xml", cib);
    let restart = shared.templates.render("restart.conf", context! {})?;
    let restart = Item::new(restart).effect(Effect::DaemonReload);
    payload.file("/etc/systemd/system/corosync.service.d/50-imgbuild.conf", restart);
    payload.unit(COROSYNC, true);
    payload.unit(PACEMAKER, true);
    // Pacemaker starts it where the address is; started by systemd too, it would run twice.
    payload.unit(HAPROXY, false);
    Ok(())
}
