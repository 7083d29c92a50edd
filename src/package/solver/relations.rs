//! A package's relationships, read once, and what meets them.

use super::{Field, SolveError};
use crate::package::relation::{self, Group, Relation};
use crate::package::universe::{Entry, EntryId, MultiArch, Provider, Universe};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::rc::Rc;

/// A package's relationships, read.
pub(super) struct Relations<'a> {
    /// Pre-Depends, Depends and, where they are followed, Recommends.
    pub(super) positive: Vec<(Field, Group<'a>)>,
    /// Conflicts and Breaks.
    pub(super) negative: Vec<(Field, Relation<'a>)>,
}

/// Reads them, each package's once.
pub(super) struct Reader<'u, 'a> {
    universe: &'u Universe<'a>,
    recommends: bool,
    known: HashMap<EntryId, Rc<Relations<'a>>>,
}

impl<'u, 'a> Reader<'u, 'a> {
    pub(super) fn new(universe: &'u Universe<'a>, recommends: bool) -> Self {
        Self { universe, recommends, known: HashMap::new() }
    }

    pub(super) fn of(&mut self, id: EntryId) -> Result<Rc<Relations<'a>>, SolveError> {
        if let Some(known) = self.known.get(&id) {
            return Ok(known.clone());
        }
        let entry = *self.universe.entry(id);
        let read = |field: Field, text: &'a str| {
            relation::parse(text).map_err(|source| SolveError::Relation {
                package: self.universe.shown(id),
                field,
                source,
            })
        };
        let mut relations = Relations { positive: Vec::new(), negative: Vec::new() };
        let recommends = if self.recommends { entry.recommends } else { "" };
        let positive =
            [(Field::PreDepends, entry.pre_depends), (Field::Depends, entry.depends), (Field::Recommends, recommends)];
        for (field, text) in positive {
            relations.positive.extend(read(field, text)?.into_iter().map(|group| (field, group)));
        }
        for (field, text) in [(Field::Conflicts, entry.conflicts), (Field::Breaks, entry.breaks)] {
            let groups = read(field, text)?;
            relations.negative.extend(groups.into_iter().flat_map(|group| group.0).map(|relation| (field, relation)));
        }
        let relations = Rc::new(relations);
        self.known.insert(id, relations.clone());
        Ok(relations)
    }
}

pub(super) fn is_architecture(universe: &Universe<'_>, entry: &Entry<'_>, relation: &Relation<'_>) -> bool {
    match relation.qualifier {
        None | Some("native") => true,
        Some("any") => entry.multi_arch == MultiArch::Allowed,
        Some(architecture) => architecture == universe.architecture(),
    }
}

/// Whether a package of the relation's very name is what the relation means.
pub(super) fn is_real_match(universe: &Universe<'_>, id: EntryId, relation: &Relation<'_>) -> bool {
    let entry = universe.entry(id);
    relation.admits(entry.version) && is_architecture(universe, entry, relation)
}

/// Whether a package that provides the relation's name is what the relation means.
pub(super) fn is_provided_match(universe: &Universe<'_>, provider: &Provider<'_>, relation: &Relation<'_>) -> bool {
    provider.meets(relation) && is_architecture(universe, universe.entry(provider.entry), relation)
}

/// The package of that very name, essential, protected, by priority, the one whose name the indices mention last.
pub(super) fn provider_order(universe: &Universe<'_>, name: &str, left: EntryId, right: EntryId) -> Ordering {
    let key = |id: EntryId| {
        let entry = universe.entry(id);
        (entry.name != name, !entry.essential, !entry.protected, entry.priority)
    };
    let mention = |id: EntryId| universe.mention(universe.entry(id).name);
    // Counting mentions takes a walk over everything: only when nothing else decides.
    key(left)
        .cmp(&key(right))
        .then_with(|| if left == right { Ordering::Equal } else { mention(right).cmp(&mention(left)) })
}

/// The names that a package provides; the field was read when the universe took the package in.
pub(super) fn provided<'a>(entry: &Entry<'a>) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
    let groups = relation::parse(entry.provides).unwrap_or_default();
    let relations = groups.into_iter().flat_map(|group| group.0);
    relations.map(|relation| (relation.name, relation.constraint.map(|(_, version)| version)))
}
