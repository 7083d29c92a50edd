//! `open.txt`: where apt still chooses otherwise, and how exactly.
//!
//! An entry is a line `suite set (recommends: true|false)` and, indented, the names after `here` and after `apt` that only
//! one of them installs. Lines that begin with `#` say why.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Names of packages that only one of the two installs, in this version.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    here: BTreeSet<String>,
    apt: BTreeSet<String>,
}

impl Difference {
    pub(crate) fn between(here: &BTreeSet<String>, apt: &BTreeSet<String>) -> Self {
        let names = |left: &BTreeSet<String>, right: &BTreeSet<String>| {
            left.difference(right).map(|shown| shown.split(' ').next().unwrap_or_default().to_owned()).collect()
        };
        Self { here: names(here, apt), apt: names(apt, here) }
    }

    pub(crate) fn is_none(&self) -> bool {
        self.here.is_empty() && self.apt.is_empty()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (side, names) in [("here", &self.here), ("apt", &self.apt)] {
            if !names.is_empty() {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                writeln!(f, "  {side} {}", names.join(" "))?;
            }
        }
        Ok(())
    }
}

pub(crate) struct Open(BTreeMap<String, Difference>);

impl Open {
    pub(crate) fn read(text: &str) -> Self {
        let mut entries: Vec<(String, Difference)> = Vec::new();
        let mut at_apt = false;
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if !line.starts_with(' ') {
                assert!(entries.iter().all(|(title, _)| title != line), "open.txt: twice: {line}");
                entries.push((line.to_owned(), Difference::default()));
                continue;
            }
            let (_, difference) = entries.last_mut().unwrap_or_else(|| panic!("open.txt: of which set? {line}"));
            for (at, word) in line.split_whitespace().enumerate() {
                match word {
                    "here" if at == 0 => at_apt = false,
                    "apt" if at == 0 => at_apt = true,
                    name if at_apt => drop(difference.apt.insert(name.to_owned())),
                    name => drop(difference.here.insert(name.to_owned())),
                }
            }
        }
        Self(entries.into_iter().collect())
    }

    pub(crate) fn of(&self, suite: &str, set: &str, recommends: bool) -> Option<&Difference> {
        self.0.get(&format!("{suite} {set} (recommends: {recommends})"))
    }

    /// Sets of a suite that stand there.
    pub(crate) fn names(&self, suite: &str) -> impl Iterator<Item = &str> {
        let words = self.0.keys().map(|title| title.split(' ').collect::<Vec<_>>());
        words.filter(move |words| words[0] == suite).filter_map(|words| words.get(1).copied())
    }
}
