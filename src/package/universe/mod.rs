//! All package versions that a build may take: those of the indices, those that the lock pins, local `.deb` files.
//!
//! Fields stay borrowed from the texts; relationships are read when the solver asks for them.

mod entry;
mod mention;
mod policy;

pub use entry::{Entry, MultiArch, Priority};

use super::control::{ControlError, Stanza, Stanzas};
use super::relation::{self, Relation};
use super::version::{Version, VersionError};
use crate::base::limits::INDEX_PACKAGES;
use std::cell::OnceCell;
use std::collections::HashMap;

/// Names an [`Entry`] within its universe; in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(u32);

/// Where entries come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The repository's name.
    pub repository: &'a str,
    /// The suite; empty for what the lock pins and for local files.
    pub suite: &'a str,
    /// The suite's other names (`stable` for `trixie`).
    pub aliases: [Option<&'a str>; 2],
    /// apt's pin priority.
    pub priority: i32,
}

impl Origin<'_> {
    /// Whether this suite is meant by the name: its own or an alias.
    #[must_use]
    pub fn is_suite(&self, name: &str) -> bool {
        self.suite == name || self.aliases.contains(&Some(name))
    }
}

/// Why an index was refused.
#[derive(Debug, thiserror::Error)]
pub enum UniverseError {
    /// It is no control data.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A stanza lacks a field that every package has.
    #[error("the stanza that ends at line {line} has no `{field}`")]
    Missing {
        /// Where.
        line: usize,
        /// Which.
        field: &'static str,
    },
    /// A package's name, version or architecture is none.
    #[error("the stanza that ends at line {line}: {problem}")]
    Malformed {
        /// Where.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// More than [`INDEX_PACKAGES`].
    #[error("there are more than {INDEX_PACKAGES} package versions")]
    TooMany,
}

/// The package versions, with what is needed to look them up.
#[derive(Clone, Debug)]
pub struct Universe<'a> {
    architecture: &'a str,
    origins: Vec<Origin<'a>>,
    entries: Vec<Entry<'a>>,
    by_name: HashMap<&'a str, Vec<EntryId>>,
    providers: HashMap<&'a str, Vec<Provider<'a>>>,
    preferred: HashMap<&'a str, EntryId>,
    mentions: OnceCell<HashMap<&'a str, u32>>,
}

/// A package that provides a name, with the version that it provides, if it says one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Provider<'a> {
    pub(super) entry: EntryId,
    pub(super) version: Option<&'a str>,
}

impl Provider<'_> {
    /// Whether what is provided is what the relation means: without a version, only relations without one are met.
    pub(super) fn meets(&self, relation: &Relation<'_>) -> bool {
        relation.constraint.is_none() || self.version.is_some_and(|version| relation.admits(version))
    }
}

impl<'a> Universe<'a> {
    /// An empty one for machines of this architecture.
    #[must_use]
    pub fn new(architecture: &'a str) -> Self {
        Self {
            architecture,
            origins: Vec::new(),
            entries: Vec::new(),
            by_name: HashMap::new(),
            providers: HashMap::new(),
            preferred: HashMap::new(),
            mentions: OnceCell::new(),
        }
    }

    /// Adds a `Packages` text. Stanzas of other architectures are passed over.
    ///
    /// # Errors
    /// When the text is malformed; nothing of it is to be trusted then.
    pub fn add_index(&mut self, origin: Origin<'a>, text: &'a [u8]) -> Result<(), UniverseError> {
        let mut stanzas = Stanzas::new(text);
        while let Some(stanza) = stanzas.next() {
            self.add_stanza(origin, &stanza?, stanzas.line())?;
        }
        Ok(())
    }

    /// Adds one package; `None` when it is for another architecture.
    ///
    /// # Errors
    /// When a field is missing or malformed; `line` is for the message.
    pub fn add_stanza(
        &mut self,
        origin: Origin<'a>,
        stanza: &Stanza<'a>,
        line: usize,
    ) -> Result<Option<EntryId>, UniverseError> {
        let entry = Entry::read(stanza).map_err(|field| UniverseError::Missing { line, field })?;
        self.add(origin, entry).map_err(|error| match error {
            UniverseError::Malformed { problem, .. } => UniverseError::Malformed { line, problem },
            other => other,
        })
    }

    /// Adds an entry; `None` when it is for another architecture.
    ///
    /// # Errors
    /// When its name, version or provided names are malformed.
    pub fn add(&mut self, origin: Origin<'a>, mut entry: Entry<'a>) -> Result<Option<EntryId>, UniverseError> {
        let malformed = |problem: String| UniverseError::Malformed { line: 0, problem };
        if !relation::is_name(entry.name) {
            return Err(malformed(format!("`{}` is no package name", entry.name.escape_debug())));
        }
        Version::parse(entry.version).map_err(|error: VersionError| malformed(error.to_string()))?;
        if entry.architecture != "all" && entry.architecture != self.architecture {
            return Ok(None);
        }
        if self.entries.len() == INDEX_PACKAGES {
            return Err(UniverseError::TooMany);
        }
        entry.origin = self.origin(origin);
        if let Some(known) = self.same(&entry) {
            // The same file in two suites: it is as preferred as the better of them makes it, and a suite that gives
            // it to everybody (security updates) ends its phasing.
            self.entries[known].phased &= entry.phased;
            if self.origins[self.entries[known].origin].priority < origin.priority {
                self.entries[known].origin = entry.origin;
            }
            return Ok(u32::try_from(known).ok().map(EntryId));
        }
        self.mentions.take();
        let id = EntryId(u32::try_from(self.entries.len()).map_err(|_| UniverseError::TooMany)?);
        if !entry.provides.is_empty() {
            let groups = relation::parse(entry.provides).map_err(|error| malformed(format!("Provides: {error}")))?;
            for provided in groups.into_iter().flat_map(|group| group.0) {
                let version = provided.constraint.map(|(_, version)| version);
                self.providers.entry(provided.name).or_default().push(Provider { entry: id, version });
            }
        }
        self.by_name.entry(entry.name).or_default().push(id);
        self.entries.push(entry);
        Ok(Some(id))
    }

    fn origin(&mut self, origin: Origin<'a>) -> usize {
        self.origins.iter().position(|known| *known == origin).unwrap_or_else(|| {
            self.origins.push(origin);
            self.origins.len() - 1
        })
    }

    fn same(&self, entry: &Entry<'a>) -> Option<usize> {
        let known = self.by_name.get(entry.name)?.iter().map(|id| id.0 as usize);
        known.into_iter().find(|at| {
            let other = &self.entries[*at];
            other.sha256 == entry.sha256 && other.version == entry.version && other.architecture == entry.architecture
        })
    }

    /// The entry of this id.
    #[must_use]
    pub fn entry(&self, id: EntryId) -> &Entry<'a> {
        &self.entries[id.0 as usize]
    }

    /// Where an entry comes from.
    #[must_use]
    pub fn origin_of(&self, id: EntryId) -> &Origin<'a> {
        &self.origins[self.entry(id).origin]
    }

    /// Name and version, as messages show them.
    #[must_use]
    pub fn shown(&self, id: EntryId) -> String {
        let entry = self.entry(id);
        format!("{} {}", entry.name, entry.version)
    }

    /// All versions of a name, in the order in which they were added.
    #[must_use]
    pub fn versions(&self, name: &str) -> &[EntryId] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    pub(super) fn providers(&self, name: &str) -> &[Provider<'a>] {
        self.providers.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether a package provides this name.
    #[must_use]
    pub fn is_provided(&self, name: &str) -> bool {
        !self.providers(name).is_empty()
    }

    /// Every entry, in order.
    pub fn ids(&self) -> impl Iterator<Item = EntryId> + use<> {
        (0..u32::try_from(self.entries.len()).unwrap_or(u32::MAX)).map(EntryId)
    }

    /// The architecture of the machines.
    #[must_use]
    pub fn architecture(&self) -> &'a str {
        self.architecture
    }

    /// The known name that is most like this one, for a question to the person who typed it.
    #[must_use]
    pub fn nearest(&self, name: &str) -> Option<&'a str> {
        let known = self.by_name.keys().chain(self.providers.keys()).copied();
        let close = known.filter(|known| known.len().abs_diff(name.len()) <= 2);
        let measured = close.map(|known| (distance(known, name), known));
        measured.filter(|(distance, _)| *distance <= 2 && *distance < name.len()).min().map(|(_, known)| known)
    }
}

/// Levenshtein's distance over bytes.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (at, byte) in left.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (other, against) in right.bytes().enumerate() {
            let substituted = diagonal + usize::from(byte != against);
            diagonal = row[other + 1];
            row[other + 1] = substituted.min(diagonal + 1).min(row[other] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests;
