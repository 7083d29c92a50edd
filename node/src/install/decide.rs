//! What has to be done for a machine to be as its manifest says. Pure: what was seen goes in, actions come out.

use super::pending::Pending;
use crate::format::{Effect, Manifest, PayloadFile, Write};
use std::collections::BTreeMap;

/// One step. Each may be repeated, and cut off between any two.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// The cluster's key becomes this machine's.
    Pin,
    /// What the following changes entail is noted before they are made.
    Expect(Pending),
    /// A file is written.
    Write(PayloadFile),
    /// A file of an earlier generation goes.
    Remove(String),
    /// cloud-init gets its documents.
    Documents,
    /// The manifest counts as installed.
    Record,
}

/// What lies at the path of a file of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Present {
    /// Nothing.
    Nothing,
    /// What the manifest wants, owner and mode too.
    Same,
    /// Something else.
    Other,
}

/// What was seen of the machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Whether this cluster's key is pinned.
    pub(super) pinned: bool,
    /// By path: of the new manifest's files and of the installed one's.
    pub(super) files: BTreeMap<String, Present>,
    /// Whether cloud-init has these documents.
    pub(super) documents: bool,
    /// What was installed last.
    pub(super) installed: Option<Manifest>,
}

/// The actions, in order. `runs` tells whether a unit is active now: restarting others would only start them early.
pub(super) fn decide(next: &Manifest, seen: &Seen, runs: &dyn Fn(&str) -> bool) -> Vec<Action> {
    let present = |path: &str| seen.files.get(path).copied().unwrap_or(Present::Nothing);
    let mut actions = Vec::new();
    let mut pending = Pending::default();
    let mut changes = Vec::new();
    let mut note = |effects: &[Effect]| {
        for effect in effects {
            match effect {
                Effect::Restart(unit) | Effect::Reload(unit) if !runs(unit) => {}
                other => drop(pending.effects.insert(other.clone())),
            }
        }
    };
    for file in &next.files {
        let wanted = match (file.write, present(&file.path)) {
            (_, Present::Same) | (Write::Once, Present::Other) => false,
            (_, Present::Nothing) | (Write::Always, Present::Other) => true,
        };
        if wanted {
            note(&file.effects);
            changes.push(Action::Write(file.clone()));
        }
    }
    let before = seen.installed.iter().flat_map(|manifest| &manifest.files);
    for file in before.filter(|file| file.write == Write::Always) {
        let listed = next.files.iter().any(|other| other.path == file.path);
        if !listed && present(&file.path) != Present::Nothing {
            note(&file.effects);
            changes.push(Action::Remove(file.path.clone()));
        }
    }
    for unit in seen.installed.iter().flat_map(|manifest| &manifest.units).filter(|unit| unit.run) {
        if !next.units.iter().any(|other| other.name == unit.name) {
            pending.retired.insert(unit.name.clone());
        }
    }
    if !seen.pinned {
        actions.push(Action::Pin);
    }
    if pending != Pending::default() {
        actions.push(Action::Expect(pending));
    }
    actions.extend(changes);
    if !seen.documents {
        actions.push(Action::Documents);
    }
    if seen.installed.as_ref() != Some(next) {
        actions.push(Action::Record);
    }
    actions
}
