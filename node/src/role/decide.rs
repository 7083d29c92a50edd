//! What has to be done for the role's units to be as the manifest says. Pure: what was seen goes in, steps come out.

use super::units::State;
use crate::format::{Effect, Unit};
use crate::install::Pending;
use std::collections::BTreeMap;
use std::fmt;

/// One step. Each may be repeated, and cut off between any two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// What a changed file entails.
    Entailed(Effect),
    /// A unit that an earlier generation ran is disabled and stopped.
    Retire(String),
    /// A unit that an earlier generation ran and this one does too: nothing is done to it.
    Strike(String),
    /// A unit that is not systemd's to start is disabled and stopped.
    Stop(String),
    /// Units are started at boot from now on. All at once: systemd reads every unit anew after each such command.
    Enable(Vec<String>),
    /// systemd forgets that it gave up on a unit.
    Forgive(String),
    /// A unit is started.
    Start(String),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entailed(Effect::DaemonReload) => f.write_str("reading units anew"),
            Self::Entailed(Effect::Sysctl) => f.write_str("applying kernel settings"),
            Self::Entailed(Effect::Certificates) => f.write_str("collecting certificates"),
            Self::Entailed(Effect::Restart(unit)) => write!(f, "restarting {unit}"),
            Self::Entailed(Effect::Reload(unit)) => write!(f, "reloading {unit}"),
            Self::Retire(unit) => write!(f, "retiring {unit}"),
            Self::Strike(unit) => write!(f, "keeping {unit}"),
            Self::Stop(unit) => write!(f, "stopping {unit}"),
            Self::Enable(units) => write!(f, "enabling {}", units.join(" and ")),
            Self::Forgive(unit) => write!(f, "trying {unit} again"),
            Self::Start(unit) => write!(f, "starting {unit}"),
        }
    }
}

/// The steps, in order: what changed files entail, what is not systemd's to start, then what is, in the manifest's order.
pub(super) fn decide(wanted: &[Unit], pending: &Pending, seen: &BTreeMap<String, State>) -> Vec<Step> {
    let mut steps = Vec::new();
    let (units, others): (Vec<_>, Vec<_>) =
        pending.effects.iter().partition(|effect| matches!(effect, Effect::Restart(_) | Effect::Reload(_)));
    steps.extend(others.into_iter().cloned().map(Step::Entailed));
    for unit in &pending.retired {
        let kept = wanted.iter().any(|other| other.name == *unit);
        steps.push(if kept { Step::Strike(unit.clone()) } else { Step::Retire(unit.clone()) });
    }
    let state = |unit: &Unit| seen.get(&unit.name).cloned().unwrap_or_default();
    for unit in wanted.iter().filter(|unit| !unit.run) {
        if state(unit).file == "enabled" {
            steps.push(Step::Stop(unit.name.clone()));
        }
    }
    steps.extend(units.into_iter().cloned().map(Step::Entailed));
    let known: Vec<(&Unit, State)> = wanted.iter().filter(|unit| unit.run).map(|unit| (unit, state(unit))).collect();
    let known = || known.iter().filter(|(_, state)| state.load == "loaded");
    let disabled = known().filter(|(_, state)| state.file == "disabled").map(|(unit, _)| unit.name.clone());
    let disabled: Vec<String> = disabled.collect();
    if !disabled.is_empty() {
        steps.push(Step::Enable(disabled));
    }
    for (unit, state) in known() {
        if state.active == "failed" {
            steps.push(Step::Forgive(unit.name.clone()));
        }
        if matches!(state.active.as_str(), "inactive" | "failed") && !state.done {
            steps.push(Step::Start(unit.name.clone()));
        }
    }
    steps
}

/// What the role waits for; nothing when it is ready.
pub(super) fn waiting(wanted: &[Unit], pending: &Pending, seen: &BTreeMap<String, State>) -> Vec<String> {
    let mut reasons = Vec::new();
    for unit in wanted {
        let state = seen.get(&unit.name).cloned().unwrap_or_default();
        let reason = match (unit.run, state.load.as_str()) {
            (true, "loaded") if state.is_up() => continue,
            (true, "loaded") => format!("{} is {} ({})", unit.name, state.active, state.sub),
            (true, "not-found") => format!("{} is not in this image", unit.name),
            (true, load) => format!("{} is {load}", unit.name),
            (false, _) if state.file == "enabled" => format!("{} still is enabled", unit.name),
            (false, _) => continue,
        };
        reasons.push(reason);
    }
    let left = pending.effects.len() + pending.retired.len();
    if left > 0 {
        reasons.push(format!("{left} consequences of changed files are left to do"));
    }
    reasons
}

#[cfg(test)]
mod tests;
