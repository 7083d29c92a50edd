//! `imgbuild diff`: why two images or results differ. Ends as diff does: 0 the same, 1 different, 2 trouble.

use super::target::{self, Target};
use crate::cli::meant::Settings;
use crate::cli::outcome::{Failure, Outcome, Status};
use crate::compare::{self, Side};
use anyhow::Result;

/// Compares two images or results.
pub(super) fn run(settings: &Settings, a: &str, b: &str) -> Result<Outcome, Failure> {
    let compared = side(settings, a).and_then(|a| compare::sides(&a, &side(settings, b)?));
    let comparison = compared.map_err(|error| Failure::new(Status::Usage, error))?;
    let status = if comparison.same { Status::Done } else { Status::Failed };
    Ok(Outcome::of(&comparison).with_status(status))
}

fn side(settings: &Settings, typed: &str) -> Result<Side> {
    match target::find(settings, typed)? {
        Target::Result(there) => Side::of_result(&there.folder, there.manifest),
        Target::Image(image) => Ok(Side { result: None, image }),
    }
}
