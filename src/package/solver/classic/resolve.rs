//! What apt's `pkgProblemResolver` does about packages that lack something or stand in each other's way: the one with the
//! higher score stays.

use super::super::relations;
use super::super::{Field, SolveError};
use super::Classic;
use super::mark::Manner;
use super::state::Why;
use crate::package::relation::{self, Group, Relation};
use crate::package::universe::{EntryId, Priority};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

/// How often everything is gone through; apt's own bound.
const ROUNDS: usize = 20;
/// How deep a chain of packages is put back. apt has no bound; real chains have a handful.
const DEPTH: usize = 300;

/// Scores of names, as apt counts them.
type Scores<'a> = HashMap<&'a str, i64>;

/// How it stands with one package that is looked into.
struct Case<'a> {
    name: &'a str,
    /// Another dependency need not be looked at: something was changed.
    done: bool,
    changed: bool,
    /// What is to be dropped in its favour.
    against: Vec<&'a str>,
}

impl<'a> Classic<'_, 'a> {
    pub(super) fn resolve(&mut self) -> Result<(), SolveError> {
        let mut scores = self.scores()?;
        let first = scores.clone();
        let mut put_back = HashSet::new();
        for round in 0..ROUNDS {
            let mut names: Vec<(Reverse<i64>, usize, &'a str)> = Vec::new();
            let installed = self.table.states().filter(|(_, state)| state.install.is_some());
            names.extend(installed.map(|(name, state)| (Reverse(score(&first, name)), state.turn, name)));
            names.sort();
            let mut changed = false;
            for (_, _, name) in names {
                if self.table.lacks(name)?.0 {
                    changed |= self.look_into(name, round, &mut scores, &mut put_back)?;
                }
            }
            if !changed || self.is_too_long() {
                break;
            }
        }
        Ok(())
    }

    /// Tries to mend one package; whether anything was changed.
    fn look_into(
        &mut self,
        name: &'a str,
        round: usize,
        scores: &mut Scores<'a>,
        put_back: &mut HashSet<&'a str>,
    ) -> Result<bool, SolveError> {
        let Some(id) = self.table.get(name).and_then(|state| state.install) else { return Ok(false) };
        let relations = self.table.reader.of(id)?;
        let mut case = Case { name, done: false, changed: false, against: Vec::new() };
        let needed = relations.positive.iter().enumerate().filter(|(_, (field, _))| *field != Field::Recommends);
        for (at, (_, group)) in needed {
            if !case.done && !self.table.is_met(group) {
                self.mend_need(&mut case, group, Why::For(id, at), scores, put_back)?;
            }
        }
        for (_, relation) in &relations.negative {
            if !case.done && self.table.is_against_any(name, relation) {
                self.mend_conflict(&mut case, relation, scores, put_back)?;
            }
        }
        if self.table.get(name).is_some_and(|state| state.install.is_some()) {
            for other in std::mem::take(&mut case.against) {
                let kept = !self.table.state(other).given && self.table.keep(other);
                if (!kept || round > 1) && score(scores, name) > score(scores, other) {
                    scores.insert(other, score(scores, name));
                    case.changed = true;
                }
                case.changed |= kept;
            }
        }
        Ok(case.changed)
    }

    fn mend_need(
        &mut self,
        case: &mut Case<'a>,
        group: &Group<'a>,
        why: Why,
        scores: &mut Scores<'a>,
        put_back: &mut HashSet<&'a str>,
    ) -> Result<(), SolveError> {
        let alternatives = group.0.len() > 1;
        let protected = self.table.state(case.name).protected;
        let mut held = false;
        for relation in &group.0 {
            if self.table.is_met(group) {
                return Ok(());
            }
            let targets = self.targets(relation);
            if targets.is_empty() && !protected && !alternatives {
                self.table.keep(case.name);
                (case.changed, case.done) = (true, true);
                return Ok(());
            }
            for target in targets {
                let other = self.table.name(target);
                if protected {
                    if self.put_back(other, why, put_back, 0)? {
                        lower(scores, other, case.name);
                        break;
                    }
                    continue;
                }
                let marked = self.table.state(case.name).marked;
                self.table.keep(case.name);
                held = true;
                if alternatives && marked {
                    let why = self.table.state(case.name).why;
                    self.mark(case.name, Manner::ALONE, why)?;
                }
                case.changed = true;
                case.done |= !alternatives;
                break;
            }
        }
        if alternatives && !self.table.is_met(group) && !protected {
            if held {
                self.table.keep(case.name);
            } else {
                self.table.delete(case.name);
            }
            case.changed = true;
        }
        Ok(())
    }

    fn mend_conflict(
        &mut self,
        case: &mut Case<'a>,
        relation: &Relation<'a>,
        scores: &mut Scores<'a>,
        put_back: &mut HashSet<&'a str>,
    ) -> Result<(), SolveError> {
        let met: Vec<EntryId> = self.table.meeting(relation).collect();
        for target in met {
            let other = self.table.name(target);
            if other == case.name {
                continue;
            }
            if score(scores, case.name) > score(scores, other) {
                if !self.table.state(other).protected {
                    case.against.push(other);
                }
            } else if self.table.state(case.name).protected {
                let why = self.table.state(other).why;
                if self.put_back(other, why, put_back, 0)? {
                    lower(scores, other, case.name);
                    break;
                }
            } else {
                self.table.keep(case.name);
                (case.changed, case.done) = (true, true);
                break;
            }
        }
        Ok(())
    }

    /// Every version that the relation means, candidate or not.
    fn targets(&self, relation: &Relation<'a>) -> Vec<EntryId> {
        let universe = self.table.universe;
        let real = universe.versions(relation.name).iter().copied();
        let mut found: Vec<EntryId> = real.filter(|id| relations::is_real_match(universe, *id, relation)).collect();
        // apt finds the last one that provides a name first.
        let providers = universe.providers(relation.name).iter().rev();
        let meant = providers.filter(|provider| relations::is_provided_match(universe, provider, relation));
        found.extend(meant.map(|provider| provider.entry));
        found
    }

    /// Marks a package, and what it needs, where each is a candidate still: apt's `DoUpgrade`. Each is tried once.
    fn put_back(
        &mut self,
        name: &'a str,
        why: Why,
        tried: &mut HashSet<&'a str>,
        depth: usize,
    ) -> Result<bool, SolveError> {
        let state = self.table.state(name).clone();
        if depth > DEPTH || state.given || state.root || state.candidate.is_none() || !tried.insert(name) {
            return Ok(false);
        }
        if !self.mark(name, Manner::ALONE, why)? {
            return Ok(false);
        }
        let Some(id) = self.table.state(name).install else { return Ok(false) };
        let relations = self.table.reader.of(id)?;
        let needed = relations.positive.iter().enumerate().filter(|(_, (field, _))| *field != Field::Recommends);
        let mut failed = false;
        for (at, (_, group)) in needed {
            for relation in &group.0 {
                if self.table.is_met(group) {
                    break;
                }
                let other = self.likely_target(relation);
                if self.table.state(other).protected || !self.table.seems_possible(relation) {
                    failed = true;
                    continue;
                }
                failed = !self.put_back(other, Why::For(id, at), tried, depth + 1)?;
                if !failed {
                    break;
                }
            }
            if failed {
                break;
            }
        }
        let in_the_way = relations.negative.iter().find(|(_, relation)| self.table.is_against_any(name, relation));
        if let Some((_, relation)) = in_the_way.filter(|_| !failed) {
            let other = self.likely_target(relation);
            failed = self.table.state(other).protected;
        }
        if failed {
            if state.marked {
                self.table.delete(name);
            } else {
                self.table.keep(name);
            }
        }
        Ok(!failed)
    }

    /// The package of the relation's name, or the only one that provides it.
    fn likely_target(&self, relation: &Relation<'a>) -> &'a str {
        let universe = self.table.universe;
        if !universe.versions(relation.name).is_empty() {
            return relation.name;
        }
        let mut names = universe.providers(relation.name).iter().map(|provider| self.table.name(provider.entry));
        names.next_back().unwrap_or(relation.name)
    }

    /// How much each package weighs: its priority, who depends on it, whether it was asked for.
    fn scores(&mut self) -> Result<Scores<'a>, SolveError> {
        let universe = self.table.universe;
        let mut standing: Vec<(usize, EntryId)> = Vec::new();
        standing.extend(self.table.states().filter_map(|(_, state)| state.install.map(|id| (state.turn, id))));
        standing.sort();
        let mut scores: Scores<'a> = HashMap::new();
        let mut needs: Vec<(&'a str, Vec<&'a str>)> = Vec::new();
        for (_, id) in &standing {
            let entry = universe.entry(*id);
            let priority = match entry.priority {
                Priority::Required => 3,
                Priority::Important => 2,
                Priority::Standard => 1,
                Priority::Optional => -1,
                Priority::Extra => -2,
            };
            let essential = if entry.essential || entry.protected { 100 } else { 0 };
            let given = i64::from(self.table.get(entry.name).is_some_and(|state| state.given));
            *scores.entry(entry.name).or_default() += priority + essential + given;
            let mut named = Vec::new();
            let fields = [entry.pre_depends, entry.depends, entry.recommends, entry.conflicts, entry.breaks];
            for (at, text) in fields.into_iter().enumerate() {
                let points = if at < 3 { 1 } else { -1 };
                for relation in relation::parse(text).unwrap_or_default().iter().flat_map(|group| &group.0) {
                    self.add_points(&mut scores, entry.name, relation, points);
                    if points > 0 {
                        named.push(relation.name);
                    }
                }
            }
            needs.push((entry.name, named));
        }
        let own = scores.clone();
        for (name, named) in needs {
            for other in named {
                if self.table.get(other).is_some_and(|state| state.install.is_some()) {
                    *scores.entry(other).or_default() += score(&own, name).max(0);
                }
            }
        }
        for (_, id) in &standing {
            let name = self.table.name(*id);
            let transfer = (score(&scores, name) - score(&own, name)).abs();
            let providers = universe.providers(name).iter().map(|provider| provider.entry);
            for provider in providers.filter(|id| self.stands(*id)) {
                *scores.entry(self.table.name(provider)).or_default() += transfer;
            }
        }
        for (_, id) in &standing {
            let entry = universe.entry(*id);
            let asked = self.table.get(entry.name).is_some_and(|state| state.root && !state.given);
            let essential = entry.essential || entry.protected;
            let more = if asked { 10_000 } else { 0 } + if essential { 5_000 } else { 0 };
            *scores.entry(entry.name).or_default() += more;
        }
        Ok(scores)
    }

    /// Gives what one relation names its points.
    fn add_points(&self, scores: &mut Scores<'a>, owner: &str, relation: &Relation<'a>, points: i64) {
        let universe = self.table.universe;
        let itself = |name: &str| points < 0 && name == owner;
        if !itself(relation.name) {
            let install = self.table.get(relation.name).and_then(|state| state.install);
            let meant = install.is_some_and(|id| relations::is_real_match(universe, id, relation));
            if relation.constraint.is_some() && !meant {
                return;
            }
            *scores.entry(relation.name).or_default() += points;
        }
        let mut seen = HashSet::new();
        for provider in universe.providers(relation.name) {
            let name = self.table.name(provider.entry);
            if !itself(name)
                && self.stands(provider.entry)
                && relations::is_provided_match(universe, provider, relation)
                && seen.insert(name)
            {
                *scores.entry(name).or_default() += points;
            }
        }
    }
}

fn score(scores: &Scores<'_>, name: &str) -> i64 {
    scores.get(name).copied().unwrap_or(0)
}

/// Who was put back for another weighs no more than that.
fn lower<'a>(scores: &mut Scores<'a>, other: &'a str, name: &str) {
    let own = score(scores, name);
    if score(scores, other) > own {
        scores.insert(other, own);
    }
}
