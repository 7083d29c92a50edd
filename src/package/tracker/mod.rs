//! Lists of known vulnerabilities in the form of the Debian security tracker's JSON export:
//!
//! ```text
//! {"openssl": {"CVE-2024-0001": {"description": "...", "releases": {
//!     "trixie": {"status": "open" | "resolved" | "undetermined", "urgency": "low", "fixed_version": "3.5.1-1",
//!                "repositories": {"trixie": "3.5.0-1", "trixie-security": "3.5.1-1"}, "nodsa": "Minor issue"}}}}}
//! ```
//!
//! The real one has some 70 MB and names every source package that ever had a vulnerability: it is walked as a stream, and
//! only what concerns the wanted source packages is kept.

mod guard;
mod read;

pub use read::read;

use crate::base::limits::VULNERABILITIES;
use crate::package::version::Version;
use std::collections::{BTreeMap, BTreeSet};

/// What is wanted of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The release's code name (`trixie`).
    pub release: String,
    /// Versions by source package.
    pub sources: BTreeMap<String, BTreeSet<String>>,
}

/// What a list says of what was wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Source packages in the list, wanted or not.
    pub listed: usize,
    /// Wanted source packages that have an entry for the release, whatever it says.
    pub known: BTreeSet<String>,
    /// What a wanted version is vulnerable to, sorted.
    pub advisories: Vec<Advisory>,
}

/// A vulnerability of a source package's version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Advisory {
    /// The source package.
    pub source: String,
    /// Its version.
    pub version: String,
    /// Such as `CVE-2024-0001`.
    pub name: String,
    /// How bad Debian finds it.
    pub urgency: Urgency,
    /// What is known of it.
    pub state: State,
    /// Why there is no security update, when there is none (`Minor issue`).
    pub remark: Option<String>,
}

/// How bad Debian finds a vulnerability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// No risk in practice.
    Unimportant,
    /// Low.
    Low,
    /// Nobody has judged it yet.
    Unassigned,
    /// Medium.
    Medium,
    /// High.
    High,
}

/// What is known of a vulnerability.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Not fixed in this release.
    Open,
    /// Nobody knows yet whether the release has it.
    Undetermined,
    /// Fixed by this version, which is newer.
    Fixed {
        /// The version.
        version: String,
        /// A suite that carries it, or a newer one.
        suite: Option<String>,
    },
}

impl Urgency {
    /// Of the tracker's word; stars behind it mean that it was not set by hand.
    #[must_use]
    pub fn of(word: &str) -> Self {
        match word.trim_end_matches('*') {
            "unimportant" => Self::Unimportant,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            _ => Self::Unassigned,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unimportant => "unimportant",
            Self::Low => "low",
            Self::Unassigned => "unassigned",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Why a list is refused.
#[derive(Debug, thiserror::Error)]
pub enum TrackerError {
    /// It cannot be read or unpacked.
    #[error("reading it")]
    Read(#[from] std::io::Error),
    /// It has another form.
    #[error("line {line}, column {column}: {problem}")]
    Form {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong there.
        problem: String,
    },
    /// More than any release has.
    #[error("it names more than {VULNERABILITIES} vulnerabilities of the image's packages")]
    TooMany,
}

/// Whether a version is older than the one that fixes something; one that cannot be compared counts as older.
fn older(version: &str, fixed: &str) -> bool {
    match (Version::parse(version), Version::parse(fixed)) {
        (Ok(version), Ok(fixed)) => version < fixed,
        _ => true,
    }
}

#[cfg(test)]
mod tests;
