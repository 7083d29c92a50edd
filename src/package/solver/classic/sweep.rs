//! What nothing needs goes again, unless something that stays at least suggests it: apt's `MarkAndSweep`.

use super::super::{Field, Reason, SolveError};
use super::Classic;
use crate::package::relation::{self, Relation};
use crate::package::universe::EntryId;
use std::collections::{HashMap, VecDeque};

impl<'a> Classic<'_, 'a> {
    /// Takes the marks of what cannot be reached from what was asked for or given. Of what can: the relation that did.
    pub(super) fn sweep(&mut self) -> Result<HashMap<EntryId, Reason>, SolveError> {
        let mut reached = HashMap::new();
        let mut known: Vec<(bool, usize, EntryId)> = Vec::new();
        for (_, state) in self.table.states() {
            let entry = |id: EntryId| self.table.universe.entry(id);
            let stays = |id: EntryId| state.root || entry(id).essential || entry(id).protected;
            known.extend(state.install.filter(|id| stays(*id)).map(|id| (!state.given, state.turn, id)));
        }
        known.sort();
        let mut agenda: VecDeque<EntryId> = known.into_iter().map(|(_, _, id)| id).collect();
        for id in &agenda {
            reached.insert(*id, Reason::Given);
        }
        while let Some(owner) = agenda.pop_front() {
            for (field, text) in self.followed(owner) {
                // A field that cannot be read suggests nothing; those that are needed were read before.
                for group in relation::parse(text).unwrap_or_default() {
                    for found in group.0.iter().flat_map(|relation| self.standing(relation)) {
                        if let std::collections::hash_map::Entry::Vacant(place) = reached.entry(found) {
                            let (by, relation) = (self.table.name(owner).to_owned(), group.to_string());
                            place.insert(Reason::Needed { by, field, relation });
                            agenda.push_back(found);
                        }
                    }
                }
            }
        }
        let garbage: Vec<&'a str> = self
            .table
            .states()
            .filter(|(_, state)| state.marked && state.install.is_some_and(|id| !reached.contains_key(&id)))
            .map(|(name, _)| name)
            .collect();
        for name in garbage {
            self.table.delete(name);
        }
        Ok(reached)
    }

    fn followed(&self, owner: EntryId) -> [(Field, &'a str); 4] {
        let entry = self.table.universe.entry(owner);
        [
            (Field::PreDepends, entry.pre_depends),
            (Field::Depends, entry.depends),
            (Field::Recommends, entry.recommends),
            (Field::Suggests, entry.suggests),
        ]
    }

    /// What is installed and meant; newly installed ones do not count where a given one does.
    fn standing(&self, relation: &Relation<'a>) -> Vec<EntryId> {
        let mut found: Vec<EntryId> = self.table.meeting(relation).collect();
        let given = |id: &EntryId| self.table.get(self.table.name(*id)).is_some_and(|state| state.given);
        if found.iter().any(given) {
            found.retain(given);
        }
        found
    }
}
