//! The worker: this executable again, in namespaces of its own, doing one job for the builder.

use super::identity::{self, Identity};
use super::wire::{Kind, Wire};
use super::{failure, namespaces};
use crate::base::hint::hinted;
use crate::base::interrupt::{self, Hold, Interrupted};
use crate::base::progress::{Event, Progress};
use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal};
use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd as _, OwnedFd};
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

/// Something that a worker can do: takes a request (JSON), reports, gives an answer (JSON).
pub type Job = fn(&[u8], &dyn Progress) -> Result<Vec<u8>>;

/// How often it is looked whether a signal came.
const GLANCE: Duration = Duration::from_millis(50);

/// The builder's standard input, for commands that a person talks to; set in workers only.
static INSIDE: OnceLock<Option<OwnedFd>> = OnceLock::new();

#[derive(Serialize, Deserialize)]
struct Start {
    builder: u32,
}

/// Runs jobs in namespaces of their own.
#[derive(Clone, Copy, Debug)]
pub struct Worker;

impl Worker {
    /// Runs the job with all ids: every file may have its true owner.
    ///
    /// Blocks until the job is done; its events go to `progress` on this thread. The network stays the host's:
    /// only a [`super::Command`] without a grant has none.
    ///
    /// # Errors
    /// The job's own, with its chain and hints; a missing right to namespaces or subordinate ids, with the remedy.
    pub fn run(job: &str, request: &[u8], progress: &dyn Progress) -> Result<Vec<u8>> {
        start(&Identity::all()?, job, request, progress, true)
    }

    /// As [`Worker::run`], but a signal that came does not end it: for clearing up after one.
    ///
    /// # Errors
    /// As [`Worker::run`].
    pub fn run_regardless(job: &str, request: &[u8], progress: &dyn Progress) -> Result<Vec<u8>> {
        start(&Identity::all()?, job, request, progress, false)
    }

    /// Runs the job with the caller's own ids alone (as 0): needs no subordinate ids, cannot give files away.
    ///
    /// # Errors
    /// As [`Worker::run`].
    pub fn run_single(job: &str, request: &[u8], progress: &dyn Progress) -> Result<Vec<u8>> {
        start(&Identity::single(), job, request, progress, true)
    }

    /// Whether this process is a worker.
    #[must_use]
    pub fn is_inside() -> bool {
        INSIDE.get().is_some()
    }

    /// The builder's standard input.
    pub(super) fn standard_input() -> Option<&'static OwnedFd> {
        INSIDE.get()?.as_ref()
    }
}

/// Ends the gate, and with it everything below, when the builder gives up early.
struct Gate(std::process::Child);

impl Gate {
    /// Ends the worker, and waits through the gate until everything below is gone.
    fn end(&mut self) {
        let gate = self.0.id();
        let children = std::fs::read_to_string(format!("/proc/{gate}/task/{gate}/children")).unwrap_or_default();
        let worker = children.split_ascii_whitespace().next().and_then(|id| Pid::from_raw(id.parse().ok()?));
        if worker.is_none_or(|worker| rustix::process::kill_process(worker, Signal::KILL).is_err()) {
            let _ = self.0.kill();
        }
        let _ = self.0.wait();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(
    identity: &Identity,
    job: &str,
    request: &[u8],
    progress: &dyn Progress,
    interruptible: bool,
) -> Result<Vec<u8>> {
    let _hold = Hold::to_the_end();
    let (wire, theirs) = Wire::pair()?;
    let mut gate = Gate(super::again(super::GATE, theirs)?.spawn().context("starting the sandbox")?);
    let talk = || -> Result<Vec<u8>> {
        wire.send(Kind::Start, &serde_json::to_vec(&Start { builder: std::process::id() })?, &[])?;
        wire.expect(Kind::Ready)?;
        identity.write(gate.0.id()).context("mapping the sandbox's ids")?;
        wire.send(Kind::Go, &[], &[])?;
        wire.send(Kind::Job, job.as_bytes(), &[std::io::stdin().as_fd()])?;
        wire.send(Kind::Request, request, &[])?;
        loop {
            // Before every frame, too: a worker that talks without a pause is to be ended like a silent one.
            if interruptible {
                interrupt::check()?;
                while !wire.wait(GLANCE)? {
                    interrupt::check()?;
                }
            }
            let Some(frame) = wire.receive()? else {
                interrupt::check_late()?;
                bail!("the sandbox ended without an answer")
            };
            match frame.kind {
                Kind::Event => progress.event(serde_json::from_slice(&frame.payload).context("reading an event")?),
                Kind::Reply => return Ok(frame.payload),
                Kind::Failure => return Err(failure::read(&frame.payload)),
                kind => bail!("expected an event or an answer from the sandbox, got {kind:?}"),
            }
        }
    };
    match talk() {
        Ok(reply) => {
            gate.0.wait().context("waiting for the sandbox")?;
            Ok(reply)
        }
        // What the sandbox said before it ended is worth more than that writing to it failed. It is ended first: when
        // the failure is ours (no `newuidmap`), it still waits for us, and both would wait for ever.
        Err(error) if error.is::<Interrupted>() => {
            // Nobody reads what is under way: with the wire open, a gate with more to say would wait for that for ever.
            drop(wire);
            gate.end();
            Err(error)
        }
        Err(error) => {
            drop(gate);
            match wire.receive() {
                Ok(Some(frame)) if frame.kind == Kind::Failure => Err(failure::read(&frame.payload)),
                _ => Err(error),
            }
        }
    }
}

/// The gate's `main`: enters the namespaces, gets its ids, starts the worker as pid 1 and waits for it.
pub(super) fn gate() -> ExitCode {
    let Ok(wire) = Wire::inherited() else { return ExitCode::FAILURE };
    match enter(&wire) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            wire.fail(&error);
            ExitCode::FAILURE
        }
    }
}

fn enter(wire: &Wire) -> Result<bool> {
    let start: Start = serde_json::from_slice(&wire.expect(Kind::Start)?.payload)?;
    namespaces::enter(
        UnshareFlags::NEWUSER
            | UnshareFlags::NEWNS
            | UnshareFlags::NEWPID
            | UnshareFlags::NEWIPC
            | UnshareFlags::NEWUTS,
    )
    .context("entering new namespaces")
    .map_err(identity::explain)?;
    wire.send(Kind::Ready, &[], &[])?;
    wire.expect(Kind::Go)?;
    // With a single id the kernel forbids this, and the caller's groups stay: they then show as `nogroup`.
    let _ = rustix::thread::set_thread_groups(&[]);
    let (user, group) = (rustix::process::Uid::ROOT, rustix::process::Gid::ROOT);
    rustix::thread::set_thread_res_gid(group, group, group).context("becoming group 0").map_err(identity::explain)?;
    rustix::thread::set_thread_res_uid(user, user, user).context("becoming user 0").map_err(identity::explain)?;
    die_with_parent()?;
    let builder = rustix::process::getppid().map(|parent| parent.as_raw_nonzero().get().unsigned_abs());
    if builder != Some(start.builder) {
        bail!("the builder is gone");
    }
    let mut worker = super::again(super::WORKER, wire.hand_on()?)?.spawn().context("starting the worker")?;
    let status = worker.wait().context("waiting for the worker")?;
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return Err(hinted(
            format!("the sandbox was ended by signal {signal}"),
            "when nobody else ended it, memory was short: try fewer `--jobs`, or see `dmesg`",
        ));
    }
    Ok(status.success())
}

fn die_with_parent() -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).context("tying the sandbox to its parent")
}

/// The worker's `main`: pid 1 of its namespace, so that nothing that it started survives it.
pub(super) fn work(jobs: &[(&str, Job)]) -> ExitCode {
    let Ok(wire) = Wire::inherited() else { return ExitCode::FAILURE };
    match prepare(&wire).and_then(|(job, request)| perform(jobs, &job, &request, &wire)) {
        Ok(reply) => match wire.send(Kind::Reply, &reply, &[]) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                wire.fail(&error);
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            wire.fail(&error);
            ExitCode::FAILURE
        }
    }
}

fn prepare(wire: &Wire) -> Result<(String, Vec<u8>)> {
    die_with_parent()?;
    rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
    super::mount::isolate().map_err(identity::explain)?;
    let mut job = wire.expect(Kind::Job)?;
    let request = wire.expect(Kind::Request)?.payload;
    let _ = INSIDE.set(job.descriptors.pop());
    Ok((String::from_utf8(job.payload).context("reading the job's name")?, request))
}

fn perform(jobs: &[(&str, Job)], name: &str, request: &[u8], wire: &Wire) -> Result<Vec<u8>> {
    let (_, job) = jobs.iter().find(|(known, _)| *known == name).ok_or_else(|| anyhow!("no job `{name}`"))?;
    // The hook has already said where on standard error; here the builder learns it too.
    std::panic::catch_unwind(AssertUnwindSafe(|| job(request, &Reporter(wire)))).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        bail!("a defect of imgbuild ended the job: {}", said.unwrap_or_default())
    })
}

/// Events on their way to the builder.
struct Reporter<'a>(&'a Wire);

impl Progress for Reporter<'_> {
    fn event(&self, event: Event) {
        // When the builder is gone, so are we in a moment.
        if let Ok(payload) = serde_json::to_vec(&event) {
            let _ = self.0.send(Kind::Event, &payload, &[]);
        }
    }
}
