//! What stands where: each package's candidate and what is to be installed of it, and what relations see of that.

use super::super::relations::{self, Reader};
use super::super::{Field, SolveError};
use crate::package::relation::{Group, Relation};
use crate::package::universe::{EntryId, Universe};
use std::collections::{HashMap, HashSet};

/// Why a package was marked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Why {
    /// A root, by its place among them.
    Root(usize),
    /// A relation of a package, by its place among the positive ones.
    For(EntryId, usize),
}

/// One package name.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// The version that would be taken; none when it was found not to be installable.
    pub(super) candidate: Option<EntryId>,
    /// The version that relations see as installed.
    pub(super) install: Option<EntryId>,
    /// Whether it is marked for installation.
    pub(super) marked: bool,
    /// What is protected stays as it is: marked or not.
    pub(super) protected: bool,
    /// Asked for: it stays even when nothing needs it.
    pub(super) root: bool,
    /// There before.
    pub(super) given: bool,
    pub(super) why: Why,
    /// When it was marked first.
    pub(super) turn: usize,
}

pub(super) struct Table<'u, 'a> {
    pub(super) universe: &'u Universe<'a>,
    pub(super) reader: &'u mut Reader<'u, 'a>,
    states: HashMap<&'a str, State>,
    /// Candidates that were given up since dependants of this name last looked: they count on them still.
    unnoticed: HashMap<&'a str, HashSet<EntryId>>,
    turns: usize,
    /// Whether a mark was ever taken back, so that something may be left over.
    pub(super) dropped: bool,
}

impl<'u, 'a> Table<'u, 'a> {
    pub(super) fn new(universe: &'u Universe<'a>, reader: &'u mut Reader<'u, 'a>) -> Self {
        let (states, unnoticed) = (HashMap::new(), HashMap::new());
        Self { universe, reader, states, unnoticed, turns: 0, dropped: false }
    }

    pub(super) fn name(&self, id: EntryId) -> &'a str {
        self.universe.entry(id).name
    }

    pub(super) fn get(&self, name: &str) -> Option<&State> {
        self.states.get(name)
    }

    pub(super) fn state(&mut self, name: &'a str) -> &mut State {
        self.states.entry(name).or_insert_with(|| State {
            candidate: self.universe.candidate(name),
            install: None,
            marked: false,
            protected: false,
            root: false,
            given: false,
            why: Why::Root(0),
            turn: 0,
        })
    }

    pub(super) fn states(&self) -> impl Iterator<Item = (&'a str, &State)> {
        self.states.iter().map(|(name, state)| (*name, state))
    }

    pub(super) fn candidate(&self, name: &str) -> Option<EntryId> {
        self.states.get(name).map_or_else(|| self.universe.candidate(name), |state| state.candidate)
    }

    fn is_installed(&self, id: EntryId) -> bool {
        self.states.get(self.name(id)).is_some_and(|state| state.install == Some(id))
    }

    /// What is installed and meant by the relation.
    pub(super) fn meeting<'s>(&'s self, relation: &'s Relation<'a>) -> impl Iterator<Item = EntryId> + 's {
        let real = self.states.get(relation.name).and_then(|state| state.install);
        let real = real.filter(|id| relations::is_real_match(self.universe, *id, relation));
        let providers = self.universe.providers(relation.name).iter().filter(move |provider| {
            self.is_installed(provider.entry) && relations::is_provided_match(self.universe, provider, relation)
        });
        real.into_iter().chain(providers.map(|provider| provider.entry))
    }

    pub(super) fn is_met(&self, group: &Group<'a>) -> bool {
        group.0.iter().any(|relation| self.meeting(relation).next().is_some())
    }

    /// What is installed of another name than this and meant by the relation.
    pub(super) fn is_against_any(&self, name: &str, relation: &Relation<'a>) -> bool {
        self.meeting(relation).any(|id| self.name(id) != name)
    }

    /// Candidates that are meant by the relation.
    pub(super) fn candidates(&self, relation: &Relation<'a>) -> Vec<EntryId> {
        let real = self.candidate(relation.name);
        let mut found: Vec<EntryId> = Vec::new();
        found.extend(real.filter(|id| relations::is_real_match(self.universe, *id, relation)));
        for provider in self.universe.providers(relation.name) {
            if self.candidate(self.name(provider.entry)) == Some(provider.entry)
                && relations::is_provided_match(self.universe, provider, relation)
            {
                found.push(provider.entry);
            }
        }
        found
    }

    /// Whether dependants believe that a candidate is meant by the relation.
    pub(super) fn seems_possible(&self, relation: &Relation<'a>) -> bool {
        let unnoticed = || self.unnoticed.get(relation.name).into_iter().flatten();
        !self.candidates(relation).is_empty()
            || unnoticed().any(|id| {
                let mut providers = self.universe.providers(relation.name).iter();
                (self.name(*id) == relation.name && relations::is_real_match(self.universe, *id, relation))
                    || providers.any(|provider| {
                        provider.entry == *id && relations::is_provided_match(self.universe, provider, relation)
                    })
            })
    }

    /// Whether what is installed of this name lacks something that it needs, and whether it lacks a Recommends at least.
    pub(super) fn lacks(&mut self, name: &str) -> Result<(bool, bool), SolveError> {
        let Some(id) = self.states.get(name).and_then(|state| state.install) else { return Ok((false, false)) };
        let relations = self.reader.of(id)?;
        let mut wish = false;
        for (field, group) in &relations.positive {
            if !self.is_met(group) {
                if *field != Field::Recommends {
                    return Ok((true, true));
                }
                wish = true;
            }
        }
        let broken = relations.negative.iter().any(|(_, relation)| self.is_against_any(name, relation));
        Ok((broken, broken || wish))
    }

    /// Whether anything that is installed lacks what it needs.
    pub(super) fn is_broken(&mut self) -> Result<bool, SolveError> {
        let names: Vec<&str> =
            self.states().filter(|(_, state)| state.install.is_some()).map(|(name, _)| name).collect();
        for name in names {
            if self.lacks(name)?.0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn give(&mut self, id: EntryId) {
        let state = self.state(self.universe.entry(id).name);
        (state.candidate, state.install, state.given, state.root) = (Some(id), Some(id), true, true);
    }

    /// Marks the candidate for installation.
    pub(super) fn mark(&mut self, name: &'a str, why: Why) {
        self.turns += 1;
        let turn = self.turns;
        let state = self.state(name);
        if state.protected && state.install == state.candidate {
            return;
        }
        if state.install != state.candidate || !state.marked {
            (state.why, state.turn) = (why, turn);
        }
        (state.install, state.marked) = (state.candidate, true);
        self.notice(name);
    }

    /// Takes the mark back, unless that is protected; what is given stays anyhow.
    pub(super) fn keep(&mut self, name: &'a str) -> bool {
        let state = self.state(name);
        if state.marked {
            if state.protected {
                return false;
            }
            self.drop_mark(name);
        }
        true
    }

    /// Takes the mark back as for good: not of what was asked for or is essential.
    pub(super) fn delete(&mut self, name: &'a str) -> bool {
        let state = self.state(name);
        let (given, root, protected) = (state.given, state.root, state.protected);
        let entry = state.install.map(|id| *self.universe.entry(id));
        let kept = entry.is_some_and(|entry| entry.essential || entry.protected);
        if given || root || protected || kept {
            return false;
        }
        self.drop_mark(name);
        true
    }

    fn drop_mark(&mut self, name: &'a str) {
        let state = self.state(name);
        (state.install, state.marked) = (None, false);
        self.dropped = true;
        self.notice(name);
    }

    /// Takes the mark back, and the candidate with it: it was tried in vain.
    pub(super) fn discard(&mut self, name: &'a str) {
        self.drop_mark(name);
        self.give_up(name);
    }

    /// The candidate will not be tried. Dependants do not notice before they look again.
    pub(super) fn give_up(&mut self, name: &'a str) {
        let state = self.state(name);
        let Some(id) = state.candidate else { return };
        state.candidate = state.install.filter(|_| state.marked);
        self.dropped = true;
        let entry = *self.universe.entry(id);
        for name in std::iter::once(entry.name).chain(relations::provided(&entry).map(|(name, _)| name)) {
            self.unnoticed.entry(name).or_default().insert(id);
        }
    }

    /// Dependants of this package and of what it provides look again.
    fn notice(&mut self, name: &'a str) {
        if self.unnoticed.is_empty() {
            return;
        }
        self.unnoticed.remove(name);
        if let Some(id) = self.candidate(name) {
            let entry = *self.universe.entry(id);
            for (name, _) in relations::provided(&entry) {
                self.unnoticed.remove(name);
            }
        }
    }
}
