//! `imgbuild doctor`: looks at this machine and says what is missing, with the command that mends it.
//!
//! `facts` looks, `judge` decides (and is therefore tested without machines), this file shows.

mod archives;
mod facts;
mod judge;

use crate::cli::meant::Settings;
use crate::cli::outcome::{Outcome, Status};
use crate::sandbox::Job;
use facts::Facts;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Name of the worker's job that tries what builds need of the kernel.
pub(super) const PROBE: &str = "doctor: probe";
/// That job.
pub(super) const PROBE_JOB: Job = facts::probe;

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// Works, with less comfort or speed.
    Warning,
    /// Builds fail because of it.
    Failed,
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// What was looked at.
    name: &'static str,
    /// How it stands.
    state: State,
    /// What was found.
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remedies: Vec<String>,
}

/// Everything that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Report {
    state: State,
    checks: Vec<Check>,
}

/// Looks at this machine. Exit status 1 when something keeps builds from working.
pub(super) fn run(settings: &Settings, repositories: &BTreeMap<String, String>) -> Outcome {
    let report = report(judge::judge(&Facts::gather(settings, repositories)));
    let status = if report.state == State::Failed { Status::Failed } else { Status::Done };
    Outcome::of(&report).with_status(status)
}

fn report(checks: Vec<Check>) -> Report {
    let state = checks.iter().map(|check| check.state).max().unwrap_or(State::Ok);
    Report { state, checks }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
        for check in &self.checks {
            let state = match check.state {
                State::Ok => "ok",
                State::Warning => "warning",
                State::Failed => "FAILED",
            };
            writeln!(f, "{state:<7}  {:<width$}  {}", check.name, check.found)?;
            for remedy in &check.remedies {
                writeln!(f, "{:<7}  {:<width$}  -> {remedy}", "", "")?;
            }
        }
        match self.state {
            State::Ok => writeln!(f, "\nThis machine builds and boots images."),
            State::Warning => writeln!(f, "\nThis machine builds images; see the warnings."),
            State::Failed => writeln!(f, "\nThis machine cannot build images yet."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_show_what_to_do_below_what_was_found() {
        let check = |name, state, found: &str, remedies: &[&str]| Check {
            name,
            state,
            found: found.to_owned(),
            remedies: remedies.iter().map(|text| (*text).to_owned()).collect(),
        };
        let report = report(vec![
            check("KVM", State::Warning, "/dev/kvm does not exist", &["enable virtualisation"]),
            check("disk space", State::Ok, "20 GiB", &[]),
        ]);
        let expected = "\
warning  KVM         /dev/kvm does not exist
                     -> enable virtualisation
ok       disk space  20 GiB

This machine builds images; see the warnings.
";
        assert_eq!(report.to_string(), expected);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["state"], "warning");
        assert_eq!(json["checks"][1], serde_json::json!({"name": "disk space", "state": "ok", "found": "20 GiB"}));
    }

    #[test]
    fn this_machine_can_be_looked_at_without_a_panic() {
        let settings = Settings {
            directory: "/".into(),
            out: "/nonexistent/out".into(),
            cache: "/nonexistent/cache".into(),
            jobs: std::num::NonZeroUsize::MIN,
        };
        let outcome = run(&settings, &BTreeMap::new());
        assert!(outcome.text.contains("user namespaces"), "{}", outcome.text);
    }
}
