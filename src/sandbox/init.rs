//! Pid 1 of one command's root: arranges the root, gives up rights, starts the program, reaps, reports.

use super::child::Status;
use super::command::Spec;
use super::wire::{Kind, Wire};
use super::{namespaces, restrict, root, watch};
use anyhow::{Context as _, Result};
use rustix::process::{Pid, WaitOptions};
use rustix::thread::UnshareFlags;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn main() -> ExitCode {
    let Ok(wire) = Wire::inherited().map(Arc::new) else { return ExitCode::FAILURE };
    let sent = match serve(&wire) {
        Ok(status) => serde_json::to_vec(&status).map(|payload| wire.send(Kind::Reply, &payload, &[])),
        Err(error) => {
            wire.fail(&error);
            return ExitCode::FAILURE;
        }
    };
    if matches!(sent, Ok(Ok(()))) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn serve(wire: &Arc<Wire>) -> Result<Status> {
    let mut start = wire.expect(Kind::Start)?;
    let spec: Spec = serde_json::from_slice(&start.payload).context("reading what to run")?;
    let stdin = start.descriptors.pop().context("no standard input arrived")?;
    let mut spaces = UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    if !spec.network {
        spaces |= UnshareFlags::NEWNET;
    }
    namespaces::enter(spaces).context("entering new namespaces")?;
    rustix::system::sethostname(b"localhost").context("naming the sandbox")?;
    root::enter(&spec).with_context(|| format!("entering the root {}", spec.root.to_string_lossy()))?;
    restrict::give_up(spec.terminal, spec.durable)?;
    let program = start_program(&spec, stdin)?;
    let (wire, limit, tasks) = (wire.clone(), spec.seconds.map(Duration::from_secs), spec.tasks);
    std::thread::spawn(move || {
        match watch::watch(&wire, limit, tasks) {
            Ok(Some(excess)) => {
                let payload = serde_json::to_vec(&excess).unwrap_or_default();
                let _ = wire.send(Kind::Overrun, &payload, &[]);
            }
            Ok(None) => {}
            Err(error) => wire.fail(&error),
        }
        // Whoever is pid 1 takes all others along.
        std::process::exit(1);
    });
    reap(program)
}

#[expect(clippy::disallowed_methods, reason = "the sandbox is the other door to processes")]
fn start_program(spec: &Spec, stdin: OwnedFd) -> Result<Pid> {
    // The command is dropped here, and with it our end of its standard input.
    let child = std::process::Command::new(&spec.program)
        .args(&spec.arguments)
        .env_clear()
        .envs(spec.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(&spec.folder)
        .stdin(stdin)
        .spawn()
        .with_context(|| format!("starting {}", spec.program.to_string_lossy()))?;
    Ok(Pid::from_child(&child))
}

/// Collects every process that ends in here until the program itself does. All others die with us.
fn reap(program: Pid) -> Result<Status> {
    loop {
        let ended = rustix::io::retry_on_intr(|| rustix::process::wait(WaitOptions::empty()))
            .context("waiting for the program")?;
        let Some((process, status)) = ended else { continue };
        if process != program {
            continue;
        }
        if let Some(code) = status.exit_status() {
            return Ok(Status::Exited(code));
        }
        if let Some(signal) = status.terminating_signal() {
            return Ok(Status::Signalled(signal));
        }
    }
}
