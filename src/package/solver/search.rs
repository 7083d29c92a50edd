//! The search itself: an agenda of dependencies, a stack of decisions, and a way back that skips what is not to blame.

use super::explain::{Cause, Refusal, Tried};
use super::relations::{self, Reader, Relations};
use super::{Chosen, Field, Problem, Reason, SolveError};
use crate::base::limits::SOLVER_CHOICES;
use crate::package::relation::{Group, Relation};
use crate::package::universe::{EntryId, Universe};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

/// A dependency still to be looked at.
#[derive(Clone)]
struct Goal<'a> {
    owner: EntryId,
    relations: Rc<Relations<'a>>,
    at: usize,
}

impl<'a> Goal<'a> {
    fn field(&self) -> Field {
        self.relations.positive[self.at].0
    }

    fn group(&self) -> &Group<'a> {
        &self.relations.positive[self.at].1
    }
}

/// What is still to do, shared between decisions: going back is taking an older head.
type Agenda<'a> = Option<Rc<Node<'a>>>;

struct Node<'a> {
    goal: Goal<'a>,
    next: Agenda<'a>,
}

impl Drop for Node<'_> {
    /// Without recursion: the list is as long as the packages like.
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(mut node) = next.and_then(Rc::into_inner) {
            next = node.next.take();
        }
    }
}

/// A dependency with its alternatives, of which one is being tried.
struct Decision<'a> {
    goal: Goal<'a>,
    alternatives: Vec<EntryId>,
    next: usize,
    /// A Recommends that was left out after all alternatives failed.
    skipped: bool,
    after: Agenda<'a>,
    trail: usize,
    /// Other decisions that alternatives failed because of.
    blame: BTreeSet<usize>,
    tried: Vec<Tried>,
}

/// A package in the solution, and the decision that chose it (none for roots).
struct Placed {
    level: Option<usize>,
    reason: Reason,
}

pub(super) struct Search<'u, 'a> {
    universe: &'u Universe<'a>,
    problem: &'u Problem<'u>,
    given: HashSet<EntryId>,
    reader: Reader<'u, 'a>,
    placed: HashMap<EntryId, Placed>,
    by_name: HashMap<&'a str, EntryId>,
    /// Conflicts and Breaks of placed packages, by the name that they are against.
    against: HashMap<&'a str, Vec<(EntryId, Field, Relation<'a>)>>,
    trail: Vec<EntryId>,
    decisions: Vec<Decision<'a>>,
    agenda: Agenda<'a>,
    /// Packages that cannot be installed whatever else is chosen.
    hopeless: HashMap<EntryId, Cause>,
    first_obstacle: Option<Refusal>,
    choices: usize,
}

impl<'u, 'a> Search<'u, 'a> {
    pub(super) fn new(universe: &'u Universe<'a>, problem: &'u Problem<'u>) -> Self {
        Self {
            universe,
            problem,
            given: problem.given.iter().copied().collect(),
            reader: Reader::new(universe, problem.recommends),
            placed: HashMap::new(),
            by_name: HashMap::new(),
            against: HashMap::new(),
            trail: Vec::new(),
            decisions: Vec::new(),
            agenda: None,
            hopeless: HashMap::new(),
            first_obstacle: None,
            choices: 0,
        }
    }

    pub(super) fn run(mut self, roots: Vec<(EntryId, Reason)>) -> Result<Vec<Chosen>, SolveError> {
        for id in self.problem.given {
            self.place(*id, None, Reason::Given)?;
        }
        let mut owners = Vec::new();
        for (id, reason) in roots {
            if self.placed.contains_key(&id) {
                continue;
            }
            if let Some((cause, _)) = self.obstacle(id)? {
                return Err(refused(self.root_name(id, &reason), cause));
            }
            self.place(id, None, reason)?;
            owners.push(id);
        }
        for owner in owners.into_iter().rev() {
            self.push_goals(owner)?;
        }
        while let Some(node) = self.agenda.take() {
            self.agenda = node.next.clone();
            if self.is_met(node.goal.group()) {
                continue;
            }
            self.decide(node.goal.clone());
            self.advance()?;
        }
        let given = &self.given;
        let placed = &mut self.placed;
        let chosen = self.trail.iter().filter(|id| !given.contains(*id));
        Ok(chosen.filter_map(|id| placed.remove(id).map(|p| Chosen { entry: *id, reason: p.reason })).collect())
    }

    /// Takes the next alternative of the last decision, going back as far as needed when there is none.
    fn advance(&mut self) -> Result<(), SolveError> {
        loop {
            let level = self.decisions.len() - 1;
            let decision = &mut self.decisions[level];
            if let Some(id) = decision.alternatives.get(decision.next).copied() {
                decision.next += 1;
                let reason = Reason::Needed {
                    by: self.universe.entry(decision.goal.owner).name.to_owned(),
                    field: decision.goal.field(),
                    relation: decision.goal.group().to_string(),
                };
                let after = decision.after.clone();
                let obstacle = match self.hopeless.get(&id) {
                    Some(cause) => Some((cause.clone(), None)),
                    None => self.obstacle(id)?,
                };
                if let Some((cause, blamed)) = obstacle {
                    let package = self.universe.shown(id);
                    let decision = &mut self.decisions[level];
                    decision.tried.push(Tried { package, cause });
                    decision.blame.extend(blamed);
                    continue;
                }
                self.choices += 1;
                if self.choices > SOLVER_CHOICES {
                    let nothing = || Refusal { root: self.universe.shown(id), cause: self.nothing_known() };
                    return Err(SolveError::TooHard(Box::new(self.first_obstacle.clone().unwrap_or_else(nothing))));
                }
                self.place(id, Some(level), reason)?;
                self.agenda = after;
                return self.push_goals(id);
            }
            if decision.goal.field() == Field::Recommends && !decision.skipped {
                decision.skipped = true;
                self.agenda = decision.after.clone();
                return Ok(());
            }
            self.go_back()?;
        }
    }

    /// Gives the last decision up and returns to the latest one that its failure depends on.
    fn go_back(&mut self) -> Result<(), SolveError> {
        let level = self.decisions.len() - 1;
        let Some(failed) = self.decisions.pop() else { return Ok(()) };
        let owner = failed.goal.owner;
        let cause = Cause::Needs {
            package: self.universe.shown(owner),
            field: failed.goal.field(),
            relation: failed.goal.group().to_string(),
            tried: Arc::new(failed.tried),
        };
        let mut blame = failed.blame;
        blame.remove(&level);
        if self.first_obstacle.is_none() {
            self.first_obstacle = Some(Refusal { root: self.universe.shown(owner), cause: cause.clone() });
        }
        if blame.is_empty() {
            self.hopeless.insert(owner, cause.clone());
        }
        let placed = self.placed.get(&owner);
        blame.extend(placed.and_then(|placed| placed.level));
        let Some(target) = blame.pop_last() else {
            let root = placed.map_or_else(String::new, |placed| self.root_name(owner, &placed.reason));
            return Err(refused(root, cause));
        };
        self.decisions.truncate(target + 1);
        self.undo(self.decisions[target].trail);
        let decision = &mut self.decisions[target];
        let tried = decision.next.checked_sub(1).and_then(|at| decision.alternatives.get(at));
        let package = tried.map_or_else(String::new, |id| self.universe.shown(*id));
        decision.tried.push(Tried { package, cause });
        decision.blame.extend(blame);
        Ok(())
    }

    fn decide(&mut self, goal: Goal<'a>) {
        let (alternatives, tried) = self.alternatives(&goal);
        let after = self.agenda.clone();
        let trail = self.trail.len();
        let blame = BTreeSet::new();
        self.decisions.push(Decision { goal, alternatives, next: 0, skipped: false, after, trail, blame, tried });
    }

    /// Candidates for a dependency in the order in which they are tried, and why others are out of the question.
    fn alternatives(&self, goal: &Goal<'a>) -> (Vec<EntryId>, Vec<Tried>) {
        let universe = self.universe;
        let (mut found, mut tried) = (Vec::new(), Vec::new());
        for relation in &goal.group().0 {
            let mut matching: Vec<EntryId> = Vec::new();
            let candidate = universe.candidate(relation.name);
            matching.extend(candidate.filter(|id| relations::is_real_match(universe, *id, relation)));
            for provider in universe.providers(relation.name) {
                let entry = universe.entry(provider.entry);
                let current = || universe.candidate(entry.name) == Some(provider.entry);
                if relations::is_provided_match(universe, provider, relation) && current() {
                    matching.push(provider.entry);
                }
            }
            matching.sort_by(|left, right| relations::provider_order(universe, relation.name, *left, *right));
            if matching.is_empty() {
                tried.push(Tried { package: String::new(), cause: self.absence(relation, candidate) });
            }
            found.extend(matching);
        }
        found.extend(self.companions(goal));
        let mut seen = HashSet::new();
        found.retain(|id| seen.insert(*id));
        (found, tried)
    }

    /// Versions that are no candidates but lie in the suite that the dependant comes from: the last resort.
    fn companions(&self, goal: &Goal<'a>) -> Vec<EntryId> {
        let universe = self.universe;
        let home = universe.origin_of(goal.owner);
        let of = |relation: &Relation<'a>| {
            let here = |id: EntryId| {
                let origin = universe.origin_of(id);
                (origin.repository, origin.suite) == (home.repository, home.suite)
                    && relations::is_real_match(universe, id, relation)
            };
            universe.best(relation.name, here)
        };
        if home.suite.is_empty() { Vec::new() } else { goal.group().0.iter().filter_map(of).collect() }
    }

    fn absence(&self, relation: &Relation<'a>, candidate: Option<EntryId>) -> Cause {
        let name = relation.name.to_owned();
        match candidate {
            Some(id) if self.given.contains(&id) => {
                Cause::Pinned { name, version: self.universe.entry(id).version.to_owned() }
            }
            Some(_) => {
                let versions = self.universe.versions(relation.name).iter().rev();
                Cause::OtherVersions { name, versions: versions.map(|id| self.universe.shown(*id)).collect() }
            }
            None => Cause::Unknown { name, nearest: None },
        }
    }

    fn is_met(&self, group: &Group<'a>) -> bool {
        group.0.iter().any(|relation| self.meeting(relation).next().is_some())
    }

    /// Placed packages that are what the relation means, by name or by what they provide.
    fn meeting<'s>(&'s self, relation: &'s Relation<'a>) -> impl Iterator<Item = EntryId> + 's {
        let real = self.by_name.get(relation.name).copied();
        let real = real.filter(|id| relations::is_real_match(self.universe, *id, relation));
        let providing = self.universe.providers(relation.name).iter().filter(move |provider| {
            self.placed.contains_key(&provider.entry) && relations::is_provided_match(self.universe, provider, relation)
        });
        real.into_iter().chain(providing.map(|provider| provider.entry))
    }

    /// Why this package cannot stand beside those placed, and which decision is to blame.
    fn obstacle(&mut self, id: EntryId) -> Result<Option<(Cause, Option<usize>)>, SolveError> {
        let entry = *self.universe.entry(id);
        let relations = self.reader.of(id)?;
        if let Some(other) = self.by_name.get(entry.name).filter(|other| **other != id) {
            let (name, version) = (entry.name.to_owned(), self.universe.entry(*other).version.to_owned());
            let pinned = self.given.contains(other);
            let cause = if pinned { Cause::Pinned { name, version } } else { Cause::Chosen { name, version } };
            return Ok(Some((cause, self.placed.get(other).and_then(|placed| placed.level))));
        }
        let excluded = |by: EntryId, whom: EntryId, field: Field, relation: &Relation<'_>| {
            let (by, whom) = (self.universe.shown(by), self.universe.shown(whom));
            Cause::Excluded { by, whom, field, relation: relation.to_string() }
        };
        let level = |id: EntryId| self.placed.get(&id).and_then(|placed| placed.level);
        for (field, relation) in &relations.negative {
            let hit = self.meeting(relation).find(|other| self.universe.entry(*other).name != entry.name);
            if let Some(other) = hit {
                return Ok(Some((excluded(id, other, *field, relation), level(other))));
            }
        }
        let names = std::iter::once((entry.name, None))
            .chain(relations::provided(&entry).map(|(name, version)| (name, Some(version))));
        for (name, provided) in names {
            for (by, field, relation) in self.against.get(name).into_iter().flatten() {
                let meant = match provided {
                    None => relation.admits(entry.version),
                    Some(None) => relation.constraint.is_none(),
                    Some(Some(version)) => relation.admits(version),
                };
                if meant
                    && self.universe.entry(*by).name != entry.name
                    && relations::is_architecture(self.universe, &entry, relation)
                {
                    return Ok(Some((excluded(*by, id, *field, relation), level(*by))));
                }
            }
        }
        Ok(None)
    }

    fn place(&mut self, id: EntryId, level: Option<usize>, reason: Reason) -> Result<(), SolveError> {
        let relations = self.reader.of(id)?;
        for (field, relation) in &relations.negative {
            self.against.entry(relation.name).or_default().push((id, *field, *relation));
        }
        self.by_name.insert(self.universe.entry(id).name, id);
        self.placed.insert(id, Placed { level, reason });
        self.trail.push(id);
        Ok(())
    }

    fn undo(&mut self, trail: usize) {
        for id in self.trail.split_off(trail).into_iter().rev() {
            self.placed.remove(&id);
            self.by_name.remove(self.universe.entry(id).name);
            let Ok(relations) = self.reader.of(id) else { continue };
            for (_, relation) in &relations.negative {
                if let Some(list) = self.against.get_mut(relation.name) {
                    list.retain(|(owner, _, _)| *owner != id);
                }
            }
        }
    }

    fn push_goals(&mut self, owner: EntryId) -> Result<(), SolveError> {
        let relations = self.reader.of(owner)?;
        for at in (0..relations.positive.len()).rev() {
            let goal = Goal { owner, relations: relations.clone(), at };
            self.agenda = Some(Rc::new(Node { goal, next: self.agenda.take() }));
        }
        Ok(())
    }

    fn root_name(&self, id: EntryId, reason: &Reason) -> String {
        match reason {
            Reason::Requested(words) => words.clone(),
            _ => self.universe.shown(id),
        }
    }

    fn nothing_known(&self) -> Cause {
        Cause::Unknown { name: String::new(), nearest: None }
    }
}

fn refused(root: String, cause: Cause) -> SolveError {
    SolveError::Refused(Box::new(Refusal { root, cause }))
}
