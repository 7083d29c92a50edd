//! The only wiring: takes what was typed and walks through the rooms.

use crate::base::progress::Progress;
use crate::cli::meant::Request;
use crate::cli::outcome::{Failure, Outcome};

/// Does what was ordered.
///
/// # Errors
/// When any room refuses; the failure carries the exit status.
pub fn run(request: &Request, _progress: &dyn Progress) -> Result<Outcome, Failure> {
    Err(anyhow::anyhow!("{:?} is not wired yet", request.command).into())
}
