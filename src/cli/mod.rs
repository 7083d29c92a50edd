//! What was typed, then what is meant, then what is shown.
//!
//! `typed` is the parser's view and the only home of its types; `lower` turns it into the plain values of
//! `meant`, which the pipeline walks through; `outcome` is how that ended. Progress is drawn by `progress`,
//! errors by `show`. This is the only room that prints.

pub mod lower;
pub mod meant;
pub mod outcome;
pub mod pages;
pub mod progress;
pub mod show;
pub mod typed;

use crate::base::progress::Progress;
use clap::Parser as _;
use lower::{Meant, Surroundings, lower};
use meant::Request;
use outcome::{Failure, Outcome, Status};
use std::process::ExitCode;

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
        Meant::Order(request) => {
            let reporter = progress::Reporter::new(progress);
            let result = run(&request, &reporter);
            reporter.finish(result.is_ok());
            result
        }
    };
    ended(&result, json)
}

fn ended(result: &Result<Outcome, Failure>, json: bool) -> ExitCode {
    let status = match result {
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
    };
    ExitCode::from(status.code())
}
