//! How the machine is: one line on the console when it changes, and `/run/imgbuild/status.json` for everybody.

use super::units::State;
use crate::files;
use crate::format::Manifest;
use crate::places::{Places, run};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;

/// The longest status.
const STATUS_BYTES: u64 = 4 << 20;

/// How far the machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stage {
    /// Nothing was installed: there is no role.
    Idle,
    /// The role's units are not all as they should be.
    Waiting,
    /// They are.
    Ready,
    /// It could not be found out.
    Failed,
}

impl Stage {
    /// As the console says it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Idle => "role",
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }

    /// Whether there is nothing to do but to watch.
    pub(super) fn settled(self) -> bool {
        matches!(self, Self::Idle | Self::Ready)
    }
}

/// A unit's state, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UnitState {
    name: String,
    run: bool,
    state: String,
}

/// The status; nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    version: u32,
    /// How far the machine is.
    pub(super) stage: Stage,
    node: String,
    cluster: String,
    generation: u64,
    roles: Vec<String>,
    units: Vec<UnitState>,
    /// What it waits for.
    waiting: Vec<String>,
    /// Seeds that were refused since the machine started.
    refused: Vec<String>,
    /// Whether cloud-init's documents wait for a restart.
    restart_wanted: bool,
}

impl Report {
    /// Without a role.
    pub(super) fn idle(places: &Places) -> Self {
        Self {
            version: 1,
            stage: Stage::Idle,
            node: String::new(),
            cluster: String::new(),
            generation: 0,
            roles: Vec::new(),
            units: Vec::new(),
            waiting: Vec::new(),
            refused: refused(places),
            restart_wanted: places.run(run::REBOOT).exists(),
        }
    }

    /// When not even looking works.
    pub(super) fn failed(why: String) -> Self {
        Self { stage: Stage::Failed, waiting: vec![why], ..Self::idle(&Places::new("/")) }
    }

    /// Of a machine with a role.
    pub(super) fn of(
        places: &Places,
        manifest: &Manifest,
        states: &BTreeMap<String, State>,
        waiting: Vec<String>,
    ) -> Self {
        let unit = |unit: &crate::format::Unit| {
            let state = states.get(&unit.name).cloned().unwrap_or_default();
            let state = format!("{} ({})", state.active, state.sub);
            UnitState { name: unit.name.clone(), run: unit.run, state }
        };
        Self {
            stage: if waiting.is_empty() { Stage::Ready } else { Stage::Waiting },
            node: manifest.node.name.clone(),
            cluster: manifest.cluster.name.clone(),
            generation: manifest.generation,
            roles: manifest.node.roles.clone(),
            units: manifest.units.iter().map(unit).collect(),
            waiting,
            ..Self::idle(places)
        }
    }

    /// The line for the console.
    pub(super) fn line(&self) -> String {
        let roles = self.roles.join("+");
        match self.stage {
            Stage::Idle => "no signed seed was installed: no role".to_owned(),
            Stage::Failed => self.waiting.join("; "),
            Stage::Waiting => format!("role {roles} waits: {}", self.waiting.join("; ")),
            Stage::Ready => {
                let runs = self.units.iter().filter(|unit| unit.run);
                let units: Vec<String> = runs.map(|unit| format!("{} {}", unit.name, unit.state)).collect();
                let units = if units.is_empty() { "no units of its own".to_owned() } else { units.join(", ") };
                format!("role {roles} ready: {units} (generation {})", self.generation)
            }
        }
    }
}

fn refused(places: &Places) -> Vec<String> {
    fs::read_to_string(places.run(run::REFUSED)).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Writes it where everybody may read it.
pub(super) fn write(places: &Places, report: &Report) -> Result<(), String> {
    files::make_public(&places.run(""))?;
    let mut text = serde_json::to_vec_pretty(report).map_err(|error| format!("writing the status: {error}"))?;
    text.push(b'\n');
    let path = places.run(run::STATUS);
    if fs::read(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    files::replace(&path, &text, 0o644)
}

/// For `imgbuild-node status`: the file as it is, or lines for people.
pub(crate) fn show(json: bool) -> Result<Vec<String>, String> {
    let places = Places::new("/");
    let bytes = files::read_optional(&places.run(run::STATUS), STATUS_BYTES)?;
    let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let report = match &text {
        Some(text) => serde_json::from_str(text).map_err(|error| format!("reading the status: {error}"))?,
        None => Report::idle(&places),
    };
    if json {
        let text = serde_json::to_string_pretty(&report).map_err(|error| format!("writing the status: {error}"))?;
        return Ok(vec![text]);
    }
    let mut lines = vec![format!("{}: {}", report.stage.word(), report.line())];
    if !report.node.is_empty() {
        let (node, cluster, generation) = (&report.node, &report.cluster, report.generation);
        lines.insert(0, format!("node {node} of the cluster {cluster}, generation {generation}"));
    }
    lines.extend(report.units.iter().map(|unit| format!("unit {}: {}", unit.name, unit.state)));
    lines.extend(report.refused.iter().map(|reason| format!("refused {reason}")));
    if report.restart_wanted {
        lines.push("cloud-init's documents changed: they take effect at the next restart".to_owned());
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::example::Seed;

    #[test]
    fn status_names_stage_units_and_refusals_and_survives_a_round() {
        let root = tempfile::tempdir().unwrap();
        let places = Places::new(root.path());
        fs::create_dir_all(places.run("")).unwrap();
        fs::write(places.run(run::REFUSED), "/dev/vdc: it is not signed\n").unwrap();
        let up = State { active: "active".to_owned(), sub: "running".to_owned(), ..State::default() };
        let states = BTreeMap::from([("corosync.service".to_owned(), up)]);
        let report = Report::of(&places, &Seed::new(7).manifest, &states, Vec::new());
        assert_eq!(report.line(), "role haproxy ready: corosync.service active (running) (generation 7)");
        write(&places, &report).unwrap();
        let text = fs::read_to_string(places.run(run::STATUS)).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
        assert!(text.contains("/dev/vdc: it is not signed"));
        let waits = Report::of(&places, &Seed::new(7).manifest, &states, vec!["x is failed".to_owned()]);
        assert_eq!((waits.stage.word(), waits.line().as_str()), ("waiting", "role haproxy waits: x is failed"));
    }
}
