//! What one machine is told beside cloud-init's documents: files and units, gathered from all that it is.

use super::Content;
use crate::format::seed::{Effect, Unit, Write};
use std::collections::BTreeMap;

/// Files by absolute path, and units in the order in which they are started.
#[derive(Clone, Debug, Default)]
pub(super) struct Payload {
    pub(super) files: BTreeMap<String, Item>,
    pub(super) units: Vec<Unit>,
}

/// One file.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) content: Content,
    pub(super) owner: &'static str,
    pub(super) group: &'static str,
    pub(super) mode: u32,
    pub(super) write: Write,
    pub(super) effects: Vec<Effect>,
}

impl Item {
    /// Root's, read by all, written whenever it differs.
    pub(super) fn new(content: impl Into<Content>) -> Self {
        let (owner, group) = ("root", "root");
        Self { content: content.into(), owner, group, mode: 0o644, write: Write::Always, effects: Vec::new() }
    }

    pub(super) fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    pub(super) fn owner(self, owner: &'static str, group: &'static str) -> Self {
        Self { owner, group, ..self }
    }

    pub(super) fn once(self) -> Self {
        Self { write: Write::Once, ..self }
    }

    pub(super) fn effect(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self.effects.sort();
        self
    }

    /// The unit is restarted when the file changes.
    pub(super) fn restarts(self, unit: &str) -> Self {
        self.effect(Effect::Restart(unit.to_owned()))
    }

    /// The unit reads the file anew when it changes.
    pub(super) fn reloads(self, unit: &str) -> Self {
        self.effect(Effect::Reload(unit.to_owned()))
    }
}

impl Payload {
    pub(super) fn file(&mut self, path: impl Into<String>, item: Item) {
        self.files.insert(path.into(), item);
    }

    /// A unit, after those that were named before; who wants it to run prevails.
    pub(super) fn unit(&mut self, name: &str, run: bool) {
        match self.units.iter_mut().find(|unit| unit.name == name) {
            Some(known) => known.run |= run,
            None => self.units.push(Unit { name: name.to_owned(), run }),
        }
    }
}
