//! The only wiring: takes what was typed and walks through the rooms.

mod doctor;
mod init;

use crate::base::progress::Progress;
use crate::cli::meant::{Command, Request};
use crate::cli::outcome::{Failure, Outcome};
use crate::sandbox::Job;

/// What the sandbox's worker can do, by name.
pub const JOBS: &[(&str, Job)] = &[(doctor::PROBE, doctor::PROBE_JOB)];

/// Does what was ordered.
///
/// # Errors
/// When any room refuses; the failure carries the exit status.
pub fn run(request: &Request, _progress: &dyn Progress) -> Result<Outcome, Failure> {
    match &request.command {
        Command::Init { force } => Ok(init::run(&request.settings.directory, *force)?),
        Command::Doctor { repositories } => Ok(doctor::run(&request.settings, repositories)),
        other => Err(anyhow::anyhow!("{other:?} is not wired yet").into()),
    }
}
