//! What differs between two locks, package by package.

use super::values::{Lock, Locked, Section};
use crate::package::version;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What happened to a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// It was not there before.
    Added,
    /// It is there no longer.
    Removed,
    /// A newer version.
    Upgraded,
    /// An older version.
    Downgraded,
    /// The same version with other contents.
    Rebuilt,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// Which part of the lock.
    pub section: String,
    /// The package.
    pub name: String,
    /// What happened.
    pub kind: ChangeKind,
    /// The version before.
    pub old: Option<String>,
    /// The version now.
    pub new: Option<String>,
}

/// All differences, sorted; shown as a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LockDiff {
    /// Sorted by section and name.
    pub changes: Vec<Change>,
}

impl LockDiff {
    /// Compares two locks.
    #[must_use]
    pub fn between(old: &Lock, new: &Lock) -> Self {
        let sections: BTreeSet<&String> = old.sections.keys().chain(new.sections.keys()).collect();
        let mut changes = Vec::new();
        for section in sections {
            let (before, after) = (by_name(old.sections.get(section)), by_name(new.sections.get(section)));
            let names: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
            for name in names {
                let none = Vec::new();
                let (before, after) = (before.get(name).unwrap_or(&none), after.get(name).unwrap_or(&none));
                for (kind, old, new) in compared(before, after) {
                    changes.push(Change { section: section.clone(), name: name.to_owned(), kind, old, new });
                }
            }
        }
        Self { changes }
    }

    /// Whether the locks pin the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

fn by_name(section: Option<&Section>) -> BTreeMap<&str, Vec<&Locked>> {
    let mut names: BTreeMap<&str, Vec<&Locked>> = BTreeMap::new();
    for package in section.iter().flat_map(|section| &section.packages) {
        names.entry(&package.name).or_default().push(package);
    }
    names.values_mut().for_each(|list| list.sort_by(|left, right| version::compare(&left.version, &right.version)));
    names
}

/// Versions of one name: what both have is left out, the rest is paired from the oldest on.
fn compared(before: &[&Locked], after: &[&Locked]) -> Vec<(ChangeKind, Option<String>, Option<String>)> {
    let same = |list: &[&Locked], one: &Locked| list.iter().any(|other| other.version == one.version);
    let mut found = Vec::new();
    for old in before {
        let rebuilt = after.iter().find(|new| new.version == old.version && new.sha256 != old.sha256);
        found.extend(rebuilt.map(|new| (ChangeKind::Rebuilt, Some(old.version.clone()), Some(new.version.clone()))));
    }
    let mut gone = before.iter().filter(|old| !same(after, old));
    let mut come = after.iter().filter(|new| !same(before, new));
    loop {
        let (old, new) = (gone.next().map(|old| old.version.clone()), come.next().map(|new| new.version.clone()));
        let kind = match (&old, &new) {
            (None, None) => return found,
            (None, Some(_)) => ChangeKind::Added,
            (Some(_), None) => ChangeKind::Removed,
            (Some(old), Some(new)) if version::compare(old, new).is_lt() => ChangeKind::Upgraded,
            (Some(_), Some(_)) => ChangeKind::Downgraded,
        };
        found.push((kind, old, new));
    }
}

impl fmt::Display for LockDiff {
    /// One line per change below each section's name; columns as wide as needed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("the locks pin the same packages\n");
        }
        let longest = self.changes.iter().map(|change| change.name.len()).max().unwrap_or(0);
        let mut section = None;
        for change in &self.changes {
            if section != Some(&change.section) {
                writeln!(f, "{}", change.section)?;
                section = Some(&change.section);
            }
            let kind = match change.kind {
                ChangeKind::Added => "added",
                ChangeKind::Removed => "removed",
                ChangeKind::Upgraded => "upgraded",
                ChangeKind::Downgraded => "downgraded",
                ChangeKind::Rebuilt => "rebuilt",
            };
            write!(f, "  {kind:<10}  {:<longest$}  ", change.name)?;
            match (&change.old, &change.new) {
                (Some(old), Some(new)) if change.kind != ChangeKind::Rebuilt => writeln!(f, "{old} -> {new}")?,
                (Some(one), _) | (None, Some(one)) => writeln!(f, "{one}")?,
                (None, None) => writeln!(f)?,
            }
        }
        Ok(())
    }
}
