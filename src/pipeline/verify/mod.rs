//! `imgbuild verify`: reads everything of a result again; with `--rebuild`, builds it a second time and compares.

mod cache;
mod files;
mod image;
mod rebuild;

pub(super) use rebuild::{REMOVE, remove};

use super::target::{self, Target};
use crate::base::progress::Progress;
use crate::cli::meant::{Settings, Verify};
use crate::cli::outcome::{Failure, Outcome, Status};
use crate::compare::Comparison;
use crate::output::Published;
use anyhow::Result;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// Sound.
    Ok,
    /// No fault, and yet worth knowing.
    Note,
    /// Damaged, missing or not what it should be.
    Failed,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    name: String,
    state: State,
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remedies: Vec<String>,
}

impl Check {
    fn ok(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self { name: name.into(), state: State::Ok, found: found.into(), remedies: Vec::new() }
    }

    fn note(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self { state: State::Note, ..Self::ok(name, found) }
    }

    fn failed(name: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: State::Failed, remedies: vec![remedy.into()], ..Self::ok(name, found) }
    }
}

/// Everything that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Report {
    subject: PathBuf,
    state: State,
    checks: Vec<Check>,
    /// What differs in a second build.
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<Comparison>,
}

/// What to do about a damaged result.
const AGAIN: &str = "remove the folder and build it again, or copy it again from where it came";

/// Verifies what was named. Exit status 1 when anything is damaged, 4 when a second build gives other bytes.
pub(super) fn run(settings: &Settings, verify: &Verify, progress: &dyn Progress) -> Result<Outcome, Failure> {
    let target = target::find(settings, &verify.name)?;
    let there = match &target {
        Target::Result(there) => Some(Published::clone(there)),
        Target::Image(path) => files::result_of(path),
    };
    let (subject, mut checks) = match (target, &there) {
        (Target::Image(path), None) => (path.clone(), files::lone(verify, &path)?),
        (_, Some(there)) => (there.folder.clone(), files::checks(settings, verify, there, progress)?),
        (Target::Result(there), None) => (there.folder.clone(), Vec::new()),
    };
    if let Some(there) = &there {
        checks.extend(cache::check(settings, there, progress)?);
    }
    let sound = checks.iter().all(|check| check.state != State::Failed);
    let mut comparison = None;
    if verify.rebuild && sound {
        let there = there.as_ref().ok_or_else(|| rebuild::no_result(&subject))?;
        let (check, compared) = rebuild::rebuild(settings, verify, there, progress)?;
        checks.push(check);
        comparison = compared;
    }
    let state = checks.iter().map(|check| check.state).max().unwrap_or(State::Ok);
    let status = match state {
        State::Failed if comparison.is_some() => Status::NotReproducible,
        State::Failed => Status::Failed,
        _ => Status::Done,
    };
    Ok(Outcome::of(&Report { subject, state, checks, comparison }).with_status(status))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.subject.display())?;
        let width = self.checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
        for check in &self.checks {
            let state = match check.state {
                State::Ok => "ok",
                State::Note => "note",
                State::Failed => "FAILED",
            };
            writeln!(f, "{state:<6}  {:<width$}  {}", check.name, check.found)?;
            for remedy in &check.remedies {
                writeln!(f, "{:<6}  {:<width$}  -> {remedy}", "", "")?;
            }
        }
        if let Some(comparison) = &self.comparison {
            write!(f, "\n{comparison}")?;
        }
        let verdict = if self.state == State::Failed { "not what it should be" } else { "sound" };
        writeln!(f, "{verdict}")
    }
}
