//! The only home of namespaces and of `unsafe`: a worker in its own user and mount namespaces, and roots to run commands in.
//!
//! ```text
//! imgbuild --Worker::run--> gate (new user, mount, pid, ipc, uts namespaces) --> worker (pid 1 in there) runs the job
//!                                                                                  |
//!                                                        Command::run --> init (pid 1, pivoted root) --> the program
//! ```
//!
//! Every arrow is the same executable started again under another first argument, so that no process is ever forked
//! while threads run. [`dispatch`] recognises these starts and must therefore be the first thing that `main` does.
//! When the builder dies, the gate dies with it, and with the gate everything below: nothing stays mounted or running.

mod child;
mod command;
mod failure;
mod filter;
mod identity;
mod init;
mod kvm;
pub mod mount;
mod namespaces;
mod obstacle;
mod restrict;
mod root;
mod tools;
mod watch;
mod wire;
mod worker;

pub use child::{Child, Output, Status};
pub use command::{Access, Command, Stdin};
pub use kvm::{Kvm, kvm};
pub use obstacle::{Account, Obstacle};
#[cfg(test)]
pub(crate) use obstacle::{example_account, example_account_without_ids};
pub use tools::ToolRoot;
pub use watch::{Excess, Overrun};
pub use worker::{Job, Worker};

use std::ffi::OsStr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// First argument of the process that enters the namespaces and has its ids mapped.
const GATE: &str = "imgbuild: gate";
/// First argument of the process that runs a job, pid 1 behind the gate.
const WORKER: &str = "imgbuild: worker";
/// First argument of pid 1 of one command's root.
const INIT: &str = "imgbuild: init";

/// Whether `dispatch` was called: without it a process started again would not know what it is for.
static DISPATCHED: AtomicBool = AtomicBool::new(false);

/// Does the part of a process that the sandbox started, and gives its exit code; `None` in a process that a person started.
///
/// `jobs` names what a worker can do. Call it first in `main`, before any thread exists.
#[must_use]
pub fn dispatch(jobs: &[(&str, Job)]) -> Option<ExitCode> {
    DISPATCHED.store(true, Ordering::Relaxed);
    let role = std::env::args_os().next()?;
    let is = |name: &str| role == OsStr::new(name);
    if is(GATE) {
        Some(worker::gate())
    } else if is(WORKER) {
        Some(worker::work(jobs))
    } else if is(INIT) {
        Some(init::main())
    } else {
        None
    }
}

/// Starting this executable again, to be told what to do over its standard input.
#[expect(clippy::disallowed_methods, reason = "the sandbox is the other door to processes")]
fn again(role: &str, control: std::os::fd::OwnedFd) -> anyhow::Result<std::process::Command> {
    use std::os::unix::process::CommandExt as _;
    anyhow::ensure!(
        DISPATCHED.load(Ordering::Relaxed),
        "this program cannot start sandboxes: it does not dispatch them"
    );
    let mut command = std::process::Command::new("/proc/self/exe");
    command.arg0(role).stdin(control);
    Ok(command)
}
