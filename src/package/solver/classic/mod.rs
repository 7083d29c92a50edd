//! What apt's classic solver does, decision by decision: what it tries first, what it gives up, what it forgets to undo.
//!
//! 1. Everything asked for is marked and protected; then, one after the other, with all that it needs (`mark`).
//! 2. Where something is broken then, packages are dropped or held by score (`resolve`).
//! 3. What was marked on the way to a dead end stays where something that is installed depends on, recommends or suggests
//!    it, and goes otherwise (`sweep`).
//!
//! apt goes back on nothing: a package that failed once is not tried again, though it would do by now; a package in the
//! way of another is dropped at once, unless a request cannot do without it. The only thing that differs: what is given
//! is never removed. Where apt gives up, or would have to remove something, there is no answer here, and the search that
//! goes back is asked.

mod mark;
mod resolve;
mod state;
mod sweep;

use super::relations::Reader;
use super::{Chosen, Problem, Reason, SolveError};
use crate::base::limits::SOLVER_CHOICES;
use crate::package::universe::{EntryId, Universe};
use mark::Manner;
use state::{Table, Why};

/// The solver's state.
struct Classic<'u, 'a> {
    table: Table<'u, 'a>,
    /// Packages looked at, however often.
    steps: usize,
}

/// What apt chooses, in the order in which it does; none where it gives up.
pub(super) fn choose<'u, 'a>(
    universe: &'u Universe<'a>,
    reader: &'u mut Reader<'u, 'a>,
    problem: &Problem<'_>,
    roots: &[(EntryId, Reason)],
) -> Result<Option<Vec<Chosen>>, SolveError> {
    let mut classic = Classic { table: Table::new(universe, reader), steps: 0 };
    for id in problem.given {
        classic.table.give(*id);
    }
    for (at, (id, _)) in roots.iter().enumerate() {
        let state = classic.table.state(universe.entry(*id).name);
        // Two versions of one package: the search says so.
        if state.install.is_some() {
            return Ok(None);
        }
        (state.candidate, state.protected, state.root) = (Some(*id), true, true);
        let asked = Manner { deep: false, asked: true };
        classic.mark(universe.entry(*id).name, asked, Why::Root(at))?;
    }
    for (at, (id, _)) in roots.iter().enumerate() {
        let asked = Manner { deep: true, asked: true };
        classic.mark(universe.entry(*id).name, asked, Why::Root(at))?;
    }
    let broken = classic.table.is_broken()?;
    if broken {
        classic.resolve()?;
    }
    let edges = if classic.table.dropped { Some(classic.sweep()?) } else { None };
    if classic.is_too_long() || ((broken || edges.is_some()) && classic.table.is_broken()?) {
        return Ok(None);
    }
    for (id, _) in roots {
        if classic.table.get(universe.entry(*id).name).is_none_or(|state| !state.marked || state.install != Some(*id)) {
            return Ok(None);
        }
    }
    let mut marked: Vec<(usize, EntryId, Why)> = Vec::new();
    for (_, state) in classic.table.states() {
        marked.extend(state.install.filter(|_| state.marked).map(|id| (state.turn, id, state.why)));
    }
    marked.sort_by_key(|(turn, _, _)| *turn);
    let mut chosen = Vec::new();
    for (_, entry, why) in marked {
        let reason = match (why, edges.as_ref().and_then(|edges| edges.get(&entry))) {
            (Why::Root(at), _) => roots[at].1.clone(),
            // Who needed it first is not there any more.
            (Why::For(owner, _), Some(edge)) if !classic.stands(owner) => edge.clone(),
            (Why::For(owner, at), _) => classic.reason(owner, at)?,
        };
        chosen.push(Chosen { entry, reason });
    }
    Ok(Some(chosen))
}

impl Classic<'_, '_> {
    fn is_too_long(&self) -> bool {
        self.steps > SOLVER_CHOICES
    }

    /// Whether this very version is installed.
    fn stands(&self, id: EntryId) -> bool {
        self.table.get(self.table.name(id)).is_some_and(|state| state.install == Some(id))
    }

    fn reason(&mut self, owner: EntryId, at: usize) -> Result<Reason, SolveError> {
        let relations = self.table.reader.of(owner)?;
        let (field, group) = &relations.positive[at];
        Ok(Reason::Needed { by: self.table.name(owner).to_owned(), field: *field, relation: group.to_string() })
    }
}
