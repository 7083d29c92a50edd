//! A running command: feeding it, hearing it, learning how it ended.

use super::command::{Command, Spec, Stdin};
use super::wire::{Kind, Wire};
use super::{Excess, Overrun, Worker, failure, namespaces};
use crate::base::limits::{CAPTURE_BYTES, OUTPUT_BYTES, OUTPUT_LINE_BYTES};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Stdio;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How many of its last lines a failure repeats.
const TAIL_LINES: usize = 20;
/// How often init is told of steps at most, where every line is one.
const STEP_PAUSE: Duration = Duration::from_millis(500);

/// How much of a stream waits in its pipe: what every user may ask for.
const STREAM_BYTES: usize = 1 << 20;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// By itself, with this exit status.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
}

impl Status {
    /// Whether it exited with 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Exited(0)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit status {code}"),
            Self::Signalled(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// What a command said and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: Status,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    line: String,
}

impl Output {
    /// The standard output, if it exited with 0.
    ///
    /// # Errors
    /// When it did not: with the command line, the status and the end of what it said.
    pub fn success(self) -> Result<Vec<u8>> {
        if self.status.success() {
            return Ok(self.stdout);
        }
        let said = if self.stderr.is_empty() { &self.stdout } else { &self.stderr };
        let text = String::from_utf8_lossy(said);
        let lines: Vec<&str> = text.lines().collect();
        Err(failed(&self.line, self.status, &lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")))
    }
}

fn failed(line: &str, status: Status, said: &str) -> anyhow::Error {
    match said.trim() {
        "" => anyhow!("`{line}` failed ({status})"),
        said => anyhow!("`{line}` failed ({status}): {said}"),
    }
}

/// The process that is pid 1 of the command's root, and the line to it.
struct Init {
    process: std::process::Child,
    wire: Wire,
}

impl Init {
    fn start(spec: &Spec, stdin: &OwnedFd, stdout: Stdio, stderr: Stdio) -> Result<Self> {
        ensure!(Worker::is_inside(), "commands run in roots only inside a worker");
        let (wire, theirs) = Wire::pair()?;
        let mut command = super::again(super::INIT, theirs)?;
        command.env_clear().stdout(stdout).stderr(stderr);
        // Only the children of the thread that asks for a pid namespace get into it: so a thread of its own asks.
        let process = std::thread::spawn(move || -> Result<std::process::Child> {
            namespaces::enter(UnshareFlags::NEWPID).context("entering a pid namespace")?;
            command.spawn().context("starting the root's init")
        })
        .join()
        .map_err(|_| anyhow!("the thread that starts a root's init ended early"))??;
        let init = Self { process, wire };
        init.wire.send(Kind::Start, &serde_json::to_vec(spec)?, &[stdin.as_fd()])?;
        Ok(init)
    }

    /// The program has come to its next step: its time begins anew. That it may have ended changes nothing.
    fn step(&self) {
        let _ = self.wire.send(Kind::Go, &[], &[]);
    }

    fn wait(mut self) -> Result<Status> {
        let frame = self.wire.receive();
        self.process.wait().context("waiting for a root's init")?;
        match frame? {
            Some(frame) if frame.kind == Kind::Reply => Ok(serde_json::from_slice(&frame.payload)?),
            Some(frame) if frame.kind == Kind::Failure => Err(failure::read(&frame.payload)),
            Some(frame) if frame.kind == Kind::Overrun => {
                Err(Overrun::from(serde_json::from_slice::<Excess>(&frame.payload)?).into())
            }
            Some(frame) => bail!("expected an exit status from a root's init, got {:?}", frame.kind),
            None => bail!("the root's init was killed"),
        }
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        // After `wait` the process is known to be gone, and killing it does nothing.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command that runs; dropping it ends it.
pub struct Child {
    /// Its standard input, with [`Stdin::Pipe`]. Drop it to end the stream.
    pub stdin: Option<File>,
    init: Init,
    feeder: Option<JoinHandle<()>>,
    stdout: JoinHandle<Result<Vec<u8>>>,
    stderr: JoinHandle<Result<Vec<u8>>>,
    line: String,
}

impl Child {
    /// Waits for its end.
    ///
    /// # Errors
    /// When it could not be started, or said more than fits in memory.
    pub fn wait(mut self) -> Result<Output> {
        drop(self.stdin.take());
        let running = || format!("running `{}`", self.line);
        let status = self.init.wait().with_context(running)?;
        let gathered = |thread: JoinHandle<Result<Vec<u8>>>| {
            thread.join().map_err(|_| anyhow!("the thread that listens ended early"))?.with_context(running)
        };
        let (stdout, stderr) = (gathered(self.stdout)?, gathered(self.stderr)?);
        if let Some(feeder) = self.feeder {
            let _ = feeder.join();
        }
        Ok(Output { status, stdout, stderr, line: self.line })
    }
}

/// What the command reads, what we may write to it, and who writes bytes that are known.
fn input(stdin: &Stdin) -> Result<(OwnedFd, Option<File>, Option<JoinHandle<()>>)> {
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("making a pipe");
    match stdin {
        Stdin::Null => Ok((File::open("/dev/null").context("opening /dev/null")?.into(), None, None)),
        Stdin::Pipe => {
            let (read, write) = pipe()?;
            // Streams are long: fewer turns between the two sides. Users have a limit on all their pipes together.
            let _ = rustix::pipe::fcntl_setpipe_size(&write, STREAM_BYTES);
            Ok((read, Some(File::from(write)), None))
        }
        Stdin::Bytes(bytes) => {
            let (read, write) = pipe()?;
            let (mut write, bytes) = (File::from(write), bytes.clone());
            // A command that ends without reading everything says why itself.
            let feeder = std::thread::spawn(move || drop(write.write_all(&bytes)));
            Ok((read, None, Some(feeder)))
        }
        Stdin::Inherit => {
            let shared = Worker::standard_input().context("the builder has no standard input")?;
            Ok((shared.try_clone().context("duplicating the standard input")?, None, None))
        }
    }
}

pub(super) fn capture(command: &Command) -> Result<Child> {
    let (read, stdin, feeder) = input(command.feed()?)?;
    let mut init = Init::start(&command.spec(), &read, Stdio::piped(), Stdio::piped())
        .with_context(|| format!("starting `{}`", command.line()))?;
    let stdout = listen(init.process.stdout.take());
    let stderr = listen(init.process.stderr.take());
    Ok(Child { stdin, init, feeder, stdout, stderr, line: command.line() })
}

/// Hears a stream to its end, so that the command never blocks, and keeps as much as is allowed.
fn listen(stream: Option<impl std::io::Read + Send + 'static>) -> JoinHandle<Result<Vec<u8>>> {
    std::thread::spawn(move || {
        let mut heard = Vec::new();
        let Some(mut stream) = stream else { return Ok(heard) };
        stream.by_ref().take(CAPTURE_BYTES).read_to_end(&mut heard).context("hearing a command")?;
        // Who is no longer heard is told so by a broken pipe.
        let more = stream.read(&mut [0]).context("hearing a command")?;
        ensure!(more == 0, Overrun::from(Excess::Output(CAPTURE_BYTES)));
        Ok(heard)
    })
}

pub(super) fn follow(command: &Command, mut log: impl FnMut(&str) -> bool) -> Result<()> {
    let line = command.line();
    let running = || format!("running `{line}`");
    let (read, _stdin, feeder) = input(command.feed()?)?;
    let (ears, mouth) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("making a pipe").with_context(running)?;
    let second = mouth.try_clone().context("duplicating a pipe").with_context(running)?;
    let init = Init::start(&command.spec(), &read, mouth.into(), second.into()).with_context(running)?;
    drop(read);
    let (mut said, mut told) = (0_u64, Instant::now());
    let mut tail = VecDeque::new();
    let mut ears = BufReader::new(File::from(ears));
    let mut bytes = Vec::new();
    while ears.by_ref().take(OUTPUT_LINE_BYTES).read_until(b'\n', &mut bytes).with_context(running)? > 0 {
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end_matches(['\n', '\r']);
        let step = log(text);
        said = said.saturating_add(bytes.len() as u64);
        if said > OUTPUT_BYTES {
            return Err(Overrun::from(Excess::Output(OUTPUT_BYTES))).with_context(running);
        }
        if step && told.elapsed() > STEP_PAUSE {
            told = Instant::now();
            init.step();
        }
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(text.to_owned());
        bytes.clear();
    }
    let status = match init.wait() {
        Ok(status) => status,
        Err(mut error) => {
            if let Some(overrun) = error.downcast_mut::<Overrun>() {
                overrun.said = Vec::from(tail).join("\n");
            }
            return Err(error).with_context(running);
        }
    };
    if let Some(feeder) = feeder {
        let _ = feeder.join();
    }
    if status.success() {
        return Ok(());
    }
    Err(failed(&line, status, &Vec::from(tail).join("\n")))
}

pub(super) fn interact(command: &Command) -> Result<Status> {
    let running = || format!("running `{}`", command.line());
    let (read, ..) = input(&Stdin::Inherit).with_context(running)?;
    // From a folder of the host that is open inside, a program could walk on into all others.
    let (out, error) = (std::io::stdout(), std::io::stderr());
    for (name, stream) in [("input", read.as_fd()), ("output", out.as_fd()), ("error", error.as_fd())] {
        let about = rustix::fs::fstat(stream).context("looking at a standard stream").with_context(running)?;
        let folder = rustix::fs::FileType::from_raw_mode(about.st_mode).is_dir();
        ensure!(!folder, "the standard {name} is a folder, and a sandbox with one would be open");
    }
    let mut spec = command.spec();
    (spec.terminal, spec.seconds) = (true, None);
    Init::start(&spec, &read, Stdio::inherit(), Stdio::inherit()).and_then(Init::wait).with_context(running)
}
