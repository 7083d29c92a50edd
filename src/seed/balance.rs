//! HAProxy, which the balancers of both kinds run.

use super::payload::{Item, Payload};
use super::shared::Shared;
use crate::format::seed::Effect;
use crate::plan::NodePlan;
use anyhow::Result;
use minijinja::context;
use minijinja::value::{Serde, Value};
use serde::Serialize;
use std::net::IpAddr;

pub(super) const HAPROXY: &str = "haproxy.service";

/// Who may read the statistics, and where.
#[derive(Serialize)]
struct Statistics<'a> {
    addresses: Vec<IpAddr>,
    user: &'a str,
    password: &'a str,
}

pub(super) fn payload(shared: &Shared<'_>, node: &NodePlan, value: &Value, payload: &mut Payload) -> Result<()> {
    let account = &shared.identity.statistics;
    // Not at the floating addresses: each machine speaks for itself.
    let statistics = Statistics {
        addresses: node.address().into_iter().collect(),
        user: &account.user,
        password: account.password.reveal(),
    };
    let context = context! {
        node => value.clone(),
        cluster => shared.cluster.clone(),
        services => Value::from(Serde(&shared.plan.services)),
        statistics => Value::from(Serde(statistics)),
    };
    let text = shared.templates.render("haproxy.cfg", context)?;
    payload.file("/etc/haproxy/haproxy.cfg", Item::new(text).owner("root", "haproxy").mode(0o640).reloads(HAPROXY));
    let confined = shared.templates.render("haproxy.service.conf", context! {})?;
    let confined = Item::new(confined).effect(Effect::DaemonReload).restarts(HAPROXY);
    payload.file("/etc/systemd/system/haproxy.service.d/50-imgbuild.conf", confined);
    Ok(())
}
