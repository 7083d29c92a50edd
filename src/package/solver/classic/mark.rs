//! Marking a package with all that it needs, depth first, as apt's `MarkInstall` does.
//!
//! apt recurses; here the frames are on a heap, since the depth is up to the packages.

use super::super::relations::{self, Relations};
use super::super::{Field, SolveError};
use super::Classic;
use super::state::Why;
use crate::package::relation::Relation;
use crate::package::universe::EntryId;
use std::rc::Rc;

/// Dependencies of dependencies that are followed; apt's own bound.
const DEPTH: usize = 3000;

/// How a package is marked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// With what it needs, or alone.
    pub(super) deep: bool,
    /// Because a person asked for it: it is marked whatever fails.
    pub(super) asked: bool,
}

impl Manner {
    pub(super) const ALONE: Self = Self { deep: false, asked: false };
    const DEEP: Self = Self { deep: true, asked: false };
}

/// What a frame waits for.
#[derive(Clone, Copy)]
enum Waiting {
    Nothing,
    /// That the one who meets a dependency already is protected with all that it needs.
    Protection,
    /// That one of the alternatives is marked.
    Alternative,
}

/// A package whose dependencies are being looked after.
pub(super) struct Frame<'a> {
    package: EntryId,
    name: &'a str,
    relations: Rc<Relations<'a>>,
    /// It was protected before, and protects what it cannot do without.
    protects: bool,
    /// The first failure ends it.
    ends_early: bool,
    failed: bool,
    /// The dependencies, by their places.
    wishes: Vec<usize>,
    at: usize,
    alternatives: Option<Vec<EntryId>>,
    next: usize,
    waiting: Waiting,
}

impl<'a> Classic<'_, 'a> {
    /// Marks a package; whether that worked out.
    pub(super) fn mark(&mut self, name: &'a str, manner: Manner, why: Why) -> Result<bool, SolveError> {
        let mut stack: Vec<Frame<'a>> = Vec::new();
        let mut answer = self.begin(&mut stack, name, manner, why)?;
        loop {
            if let Some(answer) = answer.filter(|_| stack.is_empty()) {
                return Ok(answer);
            }
            answer = self.go_on(&mut stack, answer)?;
        }
    }

    /// The answer, when there is one at once; otherwise a frame is on the stack.
    fn begin(
        &mut self,
        stack: &mut Vec<Frame<'a>>,
        name: &'a str,
        manner: Manner,
        why: Why,
    ) -> Result<Option<bool>, SolveError> {
        self.steps += 1;
        let state = self.table.state(name).clone();
        if state.given {
            return Ok(Some(true));
        }
        let Some(package) = state.candidate else { return Ok(Some(false)) };
        let forbidden = state.protected && !state.marked && !manner.asked;
        if forbidden || stack.len() > DEPTH || self.is_too_long() {
            return Ok(Some(false));
        }
        if state.marked && !state.protected && !self.table.lacks(name)?.1 {
            return Ok(Some(true));
        }
        if manner.deep && !self.is_possible(package, state.protected)? {
            return Ok(Some(false));
        }
        if manner.asked {
            self.table.mark(name, why);
        }
        let ends_early = !state.protected && !manner.asked;
        let mut failed = false;
        let relations = self.table.reader.of(package)?;
        let mut wishes = Vec::new();
        if manner.deep {
            let all = 0..relations.positive.len();
            wishes.extend(all.filter(|at| state.protected || !self.table.is_met(&relations.positive[*at].1)));
            failed = !self.clear_conflicts(name, &relations, state.protected, manner.asked);
            if failed && ends_early {
                return Ok(Some(false));
            }
        }
        if !manner.asked {
            self.table.mark(name, why);
        }
        if !manner.deep {
            return Ok(Some(!failed));
        }
        self.table.state(name).protected = true;
        let (protects, alternatives, waiting) = (state.protected, None, Waiting::Nothing);
        stack.push(Frame {
            package,
            name,
            relations,
            protects,
            ends_early,
            failed,
            wishes,
            at: 0,
            alternatives,
            next: 0,
            waiting,
        });
        Ok(None)
    }

    /// Whether all that is needed has a candidate at least. If not, it is given up, so that nobody tries again.
    fn is_possible(&mut self, package: EntryId, protected: bool) -> Result<bool, SolveError> {
        let relations = self.table.reader.of(package)?;
        let needed = relations.positive.iter().filter(|(field, _)| *field != Field::Recommends);
        for (_, group) in needed {
            if !self.table.is_met(group) && !group.0.iter().any(|relation| self.table.seems_possible(relation)) {
                if !protected {
                    let name = self.table.name(package);
                    self.table.state(name).marked = false;
                    self.table.give_up(name);
                }
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes the marks of whatever this package is against. Who protects also sees to it that they stay unmarked.
    fn clear_conflicts(&mut self, name: &'a str, relations: &Relations<'a>, protects: bool, asked: bool) -> bool {
        let persistent = protects || asked;
        let mut cleared = true;
        for (_, relation) in &relations.negative {
            if !protects && !self.table.is_against_any(name, relation) {
                continue;
            }
            for id in self.sorted(relation) {
                let other = self.table.name(id);
                if other == name || self.table.candidate(other) != Some(id) {
                    continue;
                }
                // What is given is never removed.
                if self.table.state(other).given || !self.table.keep(other) {
                    cleared = false;
                    if !persistent {
                        break;
                    }
                } else if protects {
                    self.table.give_up(other);
                    self.table.state(other).protected = true;
                }
            }
            if !cleared && !persistent {
                break;
            }
        }
        cleared
    }

    /// Candidates that the relation means, in the order in which they are tried.
    fn sorted(&self, relation: &Relation<'a>) -> Vec<EntryId> {
        let table = &self.table;
        let mut found = table.candidates(relation);
        let rank = |id: EntryId| {
            let state = table.get(table.name(id));
            (!state.is_some_and(|state| state.protected), !state.is_some_and(|state| state.given))
        };
        found.sort_by(|left, right| {
            let by_name = || relations::provider_order(table.universe, relation.name, *left, *right);
            rank(*left).cmp(&rank(*right)).then_with(by_name)
        });
        found
    }

    /// Alternatives of a dependency; those that are to stay unmarked are none.
    fn alternatives(&self, group: &[Relation<'a>]) -> Vec<EntryId> {
        let mut found: Vec<EntryId> = group.iter().flat_map(|relation| self.sorted(relation)).collect();
        found.dedup();
        found.retain(|id| {
            let state = self.table.get(self.table.name(*id));
            !state.is_some_and(|state| state.protected && !state.marked && !state.given)
        });
        found
    }

    /// Does the next step of the uppermost frame, after what it waited for, if anything, was answered.
    fn go_on(&mut self, stack: &mut Vec<Frame<'a>>, answer: Option<bool>) -> Result<Option<bool>, SolveError> {
        let Some(frame) = stack.last_mut() else { return Ok(answer) };
        match (std::mem::replace(&mut frame.waiting, Waiting::Nothing), answer) {
            (Waiting::Protection, answer) => {
                frame.failed |= answer == Some(false);
                frame.at += 1;
            }
            (Waiting::Alternative, Some(true)) => {
                frame.alternatives = None;
                frame.at += 1;
            }
            _ => {}
        }
        let relations = frame.relations.clone();
        let Some(&at) = frame.wishes.get(frame.at) else { return Ok(Some(self.end(stack))) };
        let (field, group) = &relations.positive[at];
        let (package, protects) = (frame.package, frame.protects);
        let why = Why::For(package, at);
        let critical = *field != Field::Recommends;
        let alternatives = match frame.alternatives.take() {
            Some(alternatives) => alternatives,
            None if self.table.is_met(group) => {
                let only = if protects && critical { self.only_candidate(&group.0) } else { None };
                let name = only.map(|id| self.table.name(id)).filter(|name| !self.table.state(name).protected);
                let Some(name) = name else {
                    frame.at += 1;
                    return Ok(None);
                };
                frame.waiting = Waiting::Protection;
                self.table.state(name).protected = true;
                return self.begin(stack, name, Manner::DEEP, why);
            }
            None => {
                frame.next = 0;
                self.alternatives(&group.0)
            }
        };
        let only = protects && critical && alternatives.len() == 1;
        while let Some(&id) = alternatives.get(frame.next) {
            frame.next += 1;
            let name = self.table.name(id);
            if self.table.candidate(name) != Some(id) {
                continue;
            }
            frame.waiting = Waiting::Alternative;
            frame.alternatives = Some(alternatives);
            if only {
                if self.begin(stack, name, Manner::ALONE, why)? == Some(false) {
                    return Ok(Some(false));
                }
                self.table.state(name).protected = true;
            }
            return self.begin(stack, name, Manner::DEEP, why);
        }
        frame.at += 1;
        if critical {
            frame.failed = true;
            if frame.ends_early {
                frame.at = frame.wishes.len();
            }
        }
        Ok(None)
    }

    /// The only candidate or given package that these relations mean.
    fn only_candidate(&self, group: &[Relation<'a>]) -> Option<EntryId> {
        let mut found = self.alternatives(group);
        found.sort();
        found.dedup();
        <[EntryId; 1]>::try_from(found).ok().map(|[only]| only)
    }

    fn end(&mut self, stack: &mut Vec<Frame<'a>>) -> bool {
        let Some(frame) = stack.pop() else { return false };
        if frame.failed && frame.ends_early {
            self.table.discard(frame.name);
        }
        if !frame.protects {
            self.table.state(frame.name).protected = false;
        }
        !frame.failed
    }
}
