//! Chooses packages for an empty system, or as an addition to pinned ones, as apt does.
//!
//! apt's classic solver is followed decision by decision (`classic`; compared with `apt-get -s install` by
//! tests/solver_against_apt.rs):
//!
//! - One candidate per name ([`Universe::candidate`]). What is asked for and every `Essential: yes` package is marked
//!   first, then dependencies, depth first, in the order of the fields: Pre-Depends, Depends, Recommends (if wanted).
//! - A dependency that a marked package meets, by any of its alternatives, asks for nothing more.
//! - Otherwise alternatives are tried from left to right. Within one, the package of that name comes before its
//!   providers, and providers are ordered: essential, protected, by `Priority`, then the one whose name the indices
//!   mention last.
//! - What a package is against loses its mark, unless something that was asked for cannot do without it. A package that
//!   cannot have what it needs is not tried again. A Recommends that cannot be met is left out.
//!
//! Where that gives up, another search goes back to the choice that the failure depends on and takes its next alternative
//! (`search`: conflict-directed backjumping), so that what can be installed is, and what cannot is explained. Its last
//! resort is another version of a package from the very suite that its dependant comes from, which is how a pinned old
//! version finds its likewise old companions.

mod classic;
mod explain;
mod relations;
mod request;
mod search;

pub use explain::{Cause, Refusal, Tried};
pub use request::{Request, RequestError, Wanted};

use super::relation::RelationError;
use super::universe::{EntryId, Universe};
use crate::base::limits::SOLVER_CHOICES;
use std::fmt;

/// What is to be solved.
#[derive(Debug)]
pub struct Problem<'p> {
    /// What was asked for, in order.
    pub requests: &'p [Request],
    /// Versions that must be chosen beside the requests: local `.deb` files.
    pub locals: &'p [EntryId],
    /// Packages that are there already and stay as they are.
    pub given: &'p [EntryId],
    /// Whether packages marked essential are asked for by themselves.
    pub essential: bool,
    /// Whether Recommends are followed.
    pub recommends: bool,
}

/// Which field makes a package needed or impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `Pre-Depends`
    PreDepends,
    /// `Depends`
    Depends,
    /// `Recommends`
    Recommends,
    /// `Suggests`: never followed, but reason enough to stay
    Suggests,
    /// `Conflicts`
    Conflicts,
    /// `Breaks`
    Breaks,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PreDepends => "Pre-Depends",
            Self::Depends => "Depends",
            Self::Recommends => "Recommends",
            Self::Suggests => "Suggests",
            Self::Conflicts => "Conflicts",
            Self::Breaks => "Breaks",
        })
    }
}

/// Why a package was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was there before.
    Given,
    /// It is marked essential.
    Essential,
    /// It was asked for, in these words.
    Requested(String),
    /// A `.deb` that a document names.
    Local,
    /// A chosen package needs it.
    Needed {
        /// Name of the package that does.
        by: String,
        /// Through which field.
        field: Field,
        /// The field's part, alternatives and all.
        relation: String,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => f.write_str("given"),
            Self::Essential => f.write_str("essential"),
            Self::Requested(words) => write!(f, "requested as `{words}`"),
            Self::Local => f.write_str("local file"),
            Self::Needed { by, field, relation } => write!(f, "needed by {by} ({field}: {relation})"),
        }
    }
}

/// A chosen package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Which.
    pub entry: EntryId,
    /// Why.
    pub reason: Reason,
}

/// Why there is no solution.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SolveError {
    /// The packages cannot be installed together.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// A relationship field of a package is malformed.
    #[error("reading {field} of {package}")]
    Relation {
        /// Name and version.
        package: String,
        /// Which field.
        field: Field,
        /// What is wrong with it.
        source: RelationError,
    },
    /// Too much was tried.
    #[error("no set of packages was found within {SOLVER_CHOICES} choices; the first obstacle: {0}")]
    TooHard(Box<Refusal>),
}

/// Chooses the packages; those given are not part of the answer, which comes in the order of choosing.
///
/// # Errors
/// When the packages cannot be installed together, with the whole chain of reasons.
pub fn solve(universe: &mut Universe<'_>, problem: &Problem<'_>) -> Result<Vec<Chosen>, SolveError> {
    for id in problem.given.iter().chain(problem.locals) {
        universe.prefer(*id);
    }
    let roots = request::roots(universe, problem)?;
    let mut reader = relations::Reader::new(universe, problem.recommends);
    if let Some(chosen) = classic::choose(universe, &mut reader, problem, &roots)? {
        return Ok(chosen);
    }
    search::Search::new(universe, problem).run(roots)
}

#[cfg(test)]
mod tests;
