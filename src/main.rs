//! The `imgbuild` command: see the library.

use imgbuild::{cli, pipeline, sandbox};
use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else, and before any thread: this may be a process that the sandbox started.
    if let Some(code) = sandbox::dispatch(pipeline::JOBS) {
        return code;
    }
    cli::main(pipeline::run)
}
