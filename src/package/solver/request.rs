//! What a person asks for: `name`, `name=version`, `name/suite`, `name:architecture`.

use super::explain::{Cause, Refusal};
use super::{Problem, Reason, SolveError};
use crate::package::relation;
use crate::package::universe::{EntryId, Universe};
use crate::package::version::{self, Version};
use std::fmt;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The package's name.
    pub name: String,
    /// The architecture, when one was named.
    pub architecture: Option<String>,
    /// Which of its versions.
    pub wanted: Wanted,
}

/// Which version is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The candidate.
    Candidate,
    /// Exactly this one.
    Version(String),
    /// The best of this suite.
    Suite(String),
}

/// Why a text is no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no package request: {problem}; write name, name=version, name/suite or name:architecture", text.escape_debug())]
pub struct RequestError {
    text: String,
    problem: &'static str,
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// When it is of none of these forms.
    pub fn parse(text: &str) -> Result<Self, RequestError> {
        let refuse = |problem| RequestError { text: text.chars().take(80).collect(), problem };
        let (head, wanted) = if let Some((head, version)) = text.split_once('=') {
            Version::parse(version).map_err(|_| refuse("what follows `=` is no version"))?;
            (head, Wanted::Version(version.to_owned()))
        } else if let Some((head, suite)) = text.split_once('/') {
            let sane = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
            if suite.is_empty() || !suite.bytes().all(sane) {
                return Err(refuse("what follows `/` is no suite"));
            }
            (head, Wanted::Suite(suite.to_owned()))
        } else {
            (text, Wanted::Candidate)
        };
        let (name, architecture) = head.split_once(':').map_or((head, None), |(name, after)| (name, Some(after)));
        if !relation::is_name(name) {
            return Err(refuse("it does not begin with a package name"));
        }
        if architecture.is_some_and(|architecture| !relation::is_architecture(architecture)) {
            return Err(refuse("what follows `:` is no architecture"));
        }
        Ok(Self { name: name.to_owned(), architecture: architecture.map(str::to_owned), wanted })
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(architecture) = &self.architecture {
            write!(f, ":{architecture}")?;
        }
        match &self.wanted {
            Wanted::Candidate => Ok(()),
            Wanted::Version(version) => write!(f, "={version}"),
            Wanted::Suite(suite) => write!(f, "/{suite}"),
        }
    }
}

/// What must be chosen whatever follows: essential packages, local files, what was asked for.
pub(super) fn roots(universe: &mut Universe<'_>, problem: &Problem<'_>) -> Result<Vec<(EntryId, Reason)>, SolveError> {
    let mut roots: Vec<(EntryId, Reason)> = Vec::new();
    let mut add = |id: EntryId, reason: Reason| {
        if !problem.given.contains(&id) && roots.iter().all(|(known, _)| *known != id) {
            roots.push((id, reason));
        }
    };
    let mut asked = Vec::new();
    for request in problem.requests {
        let id = find(universe, problem, request)?;
        universe.prefer(id);
        asked.push((id, request));
    }
    if problem.essential {
        let essential = |id: &EntryId| universe.entry(*id).essential;
        let ids: Vec<EntryId> = universe.ids().filter(essential).collect();
        for id in ids {
            if universe.candidate(universe.entry(id).name) == Some(id) {
                add(id, Reason::Essential);
            }
        }
    }
    for id in problem.locals {
        add(*id, Reason::Local);
    }
    for (id, request) in asked {
        add(id, Reason::Requested(request.to_string()));
    }
    Ok(roots)
}

fn find(universe: &Universe<'_>, problem: &Problem<'_>, request: &Request) -> Result<EntryId, SolveError> {
    let refuse = |cause: Cause| Err(SolveError::Refused(Box::new(Refusal { root: request.to_string(), cause })));
    let name = &request.name;
    let fits = |id: EntryId| match &request.architecture {
        None => true,
        Some(architecture) => {
            let own = universe.entry(id).architecture;
            own == architecture || (own == "all" && architecture == universe.architecture())
        }
    };
    let matches = |id: EntryId| {
        fits(id)
            && match &request.wanted {
                Wanted::Candidate => true,
                Wanted::Version(version) => version::compare(universe.entry(id).version, version).is_eq(),
                Wanted::Suite(suite) => universe.origin_of(id).is_suite(suite),
            }
    };
    let given = problem.given.iter().copied().find(|id| universe.entry(*id).name == name);
    if let Some(given) = given {
        // A pinned package knows no suite: the pinned version must be one that the suite carries.
        let version = universe.entry(given).version;
        let carried = |id: &EntryId| matches(*id) && universe.entry(*id).version == version;
        if matches(given) || universe.versions(name).iter().any(carried) {
            return Ok(given);
        }
        return refuse(Cause::Pinned { name: name.clone(), version: version.to_owned() });
    }
    let candidate = universe.candidate(name).filter(|id| matches(*id));
    let best = candidate.or_else(|| universe.best(name, matches));
    // An exact version or a suite is a person's word, which wins over a negative priority.
    let named = (request.wanted != Wanted::Candidate).then(|| {
        universe.versions(name).iter().copied().filter(|id| matches(*id)).max_by(|left, right| {
            version::compare(universe.entry(*left).version, universe.entry(*right).version).then(right.cmp(left))
        })
    });
    if let Some(id) = best.or(named.flatten()) {
        return Ok(id);
    }
    let versions: Vec<String> = universe.versions(name).iter().rev().map(|id| universe.shown(*id)).collect();
    if !versions.is_empty() {
        return refuse(Cause::OtherVersions { name: name.clone(), versions });
    }
    let mut providers: Vec<EntryId> = Vec::new();
    for provider in universe.providers(name) {
        let id = provider.entry;
        if fits(id) && universe.candidate(universe.entry(id).name) == Some(id) && !providers.contains(&id) {
            providers.push(id);
        }
    }
    if let Some(id) = providers.iter().copied().find(|id| problem.given.contains(id)) {
        return Ok(id);
    }
    match providers[..] {
        [only] if request.wanted == Wanted::Candidate => Ok(only),
        [] => refuse(Cause::Unknown { name: name.clone(), nearest: universe.nearest(name).map(str::to_owned) }),
        _ => {
            let mut names: Vec<String> = providers.iter().map(|id| universe.entry(*id).name.to_owned()).collect();
            names.sort();
            refuse(Cause::Virtual { name: name.clone(), providers: names })
        }
    }
}
