//! What was typed, then what is meant, then what is shown.
//!
//! `typed` is the parser's view and the only home of its types; `lower` turns it into the plain values of
//! `meant`, which the pipeline walks through; `outcome` is how that ended. Progress is drawn by `progress`,
//! errors by `show`. This is the only room that prints.

pub mod lower;
mod lower_lab;
pub mod meant;
mod meant_lab;
pub mod outcome;
pub mod pages;
pub mod progress;
pub mod show;
pub mod typed;
mod typed_lab;
mod typed_seed;

use crate::base::hint::Remedy as _;
use crate::base::interrupt::{self, Hold, Interrupted};
use crate::base::progress::Progress;
use clap::Parser as _;
use lower::{Meant, Surroundings, lower};
use meant::{Command, LabVerb, Request};
use outcome::{Failure, Outcome, Status};
use std::process::ExitCode;
use std::sync::Arc;

/// Runs the command line of this process through a pipeline.
pub fn main(run: impl FnOnce(&Request, &dyn Progress) -> Result<Outcome, Failure>) -> ExitCode {
    let typed = typed::Typed::parse();
    let (json, progress) = (typed.common.json, progress::Style::chosen(&typed.common));
    let result = Surroundings::of_process().and_then(|around| lower(typed, &around));
    let meant = match result {
        Ok(meant) => meant,
        Err(error) => return ended(&Err(Failure::new(Status::Usage, error)), json),
    };
    let result = match meant {
        Meant::Completions(shell) => Ok(pages::completions(shell)),
        Meant::Man(folder) => pages::write_man(&folder).map_err(Failure::from),
        Meant::Order(request) => order(&request, run, progress, json),
    };
    ended(&result, json)
}

/// Runs an order that a signal may end.
fn order(
    request: &Request,
    run: impl FnOnce(&Request, &dyn Progress) -> Result<Outcome, Failure>,
    style: progress::Style,
    json: bool,
) -> Result<Outcome, Failure> {
    let reporter = Arc::new(progress::Reporter::new(style));
    let drawn = Arc::clone(&reporter);
    let end = move |by| {
        drawn.finish(false);
        let code = status(&Err(interrupted(by)), json).code();
        std::process::exit(code.into());
    };
    // Without handlers, signals end the process as ever; the next build then clears up. A joined port has nothing to clear
    // up, and whoever hangs up knows.
    if !matches!(&request.command, Command::Lab(lab) if matches!(lab.verb, LabVerb::Connect { .. })) {
        let _ = interrupt::listen(end);
    }
    let result = run(request, &*reporter);
    // From here on the end is ours.
    std::mem::forget(Hold::to_the_end());
    reporter.finish(result.is_ok());
    match (result, interrupt::pending()) {
        (Err(_), Some(by)) => Err(interrupted(by)),
        (result, _) => result,
    }
}

fn interrupted(by: Interrupted) -> Failure {
    let error = Err::<(), _>(by).hint("earlier results are whole; the same command goes on with what was fetched");
    Failure::new(Status::Interrupted(by), error.err().unwrap_or_else(|| by.into()))
}

fn ended(result: &Result<Outcome, Failure>, json: bool) -> ExitCode {
    ExitCode::from(status(result, json).code())
}

/// Shows how it ended.
fn status(result: &Result<Outcome, Failure>, json: bool) -> Status {
    match result {
        Ok(outcome) => match show::outcome(outcome, json, &mut std::io::stdout().lock()) {
            Ok(()) => outcome.status,
            // Whoever read the result has gone (`| head`): nobody is left to be told.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Status::Failed,
            Err(error) => {
                show::failure(&Failure::from(error), json, &mut std::io::stderr().lock());
                Status::Failed
            }
        },
        Err(failure) => {
            show::failure(failure, json, &mut std::io::stderr().lock());
            failure.status
        }
    }
}
