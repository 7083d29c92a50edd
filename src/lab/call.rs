//! One call of QEMU or one of its tools: on the host directly, in a tools root through a sandbox worker.

use super::qemu::Qemu;
use crate::base::process::Run;
use crate::base::progress::{Progress, Silent};
use crate::sandbox::{Access, Job, Status, Stdin, ToolRoot, Worker};
use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

/// What `sandbox::dispatch` must know for machines to run from a tools root.
pub const JOB: (&str, Job) = ("lab", inside);

/// Below this folder of a tools root lies what a call is shown of the host.
const SHOWN: &str = "/run/lab";

/// A command line, with the files of the host that it names.
#[derive(Clone, Debug)]
pub(super) struct Call<'a> {
    qemu: &'a Qemu,
    program: String,
    arguments: Vec<String>,
    shown: Vec<Shown>,
    /// Longest time in milliseconds.
    timeout: Option<Duration>,
    network: bool,
    /// Whether it ends with this process whatever becomes of it, also when it is the host's.
    bound: bool,
}

/// A file or folder of the host in a call's view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Shown {
    host: PathBuf,
    inside: PathBuf,
    writable: bool,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ended {
    /// With this exit status and these last words.
    Exited(i32, String),
    /// By a signal, with these last words.
    Killed(String),
    /// It took too long and was ended.
    TimedOut,
}

/// What a worker is asked to do.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    /// The root in which it runs; the host's own when not given.
    root: Option<PathBuf>,
    program: String,
    arguments: Vec<String>,
    shown: Vec<Shown>,
    milliseconds: Option<u64>,
    network: bool,
    terminal: bool,
}

impl<'a> Call<'a> {
    /// A call of `program`, such as `qemu-img`.
    pub(super) fn new(qemu: &'a Qemu, program: &str) -> Self {
        Self {
            qemu,
            program: program.to_owned(),
            arguments: Vec::new(),
            shown: Vec::new(),
            timeout: None,
            network: false,
            bound: false,
        }
    }

    /// Adds arguments.
    pub(super) fn args<S: Into<String>>(&mut self, words: impl IntoIterator<Item = S>) -> &mut Self {
        self.arguments.extend(words.into_iter().map(Into::into));
        self
    }

    /// Ends the call after this time.
    pub(super) fn timeout(&mut self, limit: Option<Duration>) -> &mut Self {
        self.timeout = limit;
        self
    }

    /// Grants the host's network.
    pub(super) fn network(&mut self) -> &mut Self {
        self.network = true;
        self
    }

    /// Ends it with this process, however that ends. In a tools root everything does; so this is for the host's QEMU.
    pub(super) fn bound(&mut self) -> &mut Self {
        self.bound = true;
        self
    }

    /// The name by which the call may read a file (or folder) of the host.
    pub(super) fn reads(&mut self, path: &Path) -> Result<String> {
        self.show(path, false)
    }

    /// The name by which the call may write an existing file (or folder) of the host.
    pub(super) fn writes(&mut self, path: &Path) -> Result<String> {
        self.show(path, true)
    }

    /// The name of a device node, the same everywhere.
    pub(super) fn device(&mut self, path: &str) {
        self.shown.push(Shown { host: path.into(), inside: path.into(), writable: true });
    }

    fn show(&mut self, path: &Path, writable: bool) -> Result<String> {
        let host = path.canonicalize().with_context(|| format!("opening {}", path.display()))?;
        let inside = match self.qemu {
            Qemu::Host { .. } => host.clone(),
            // Numbers keep files of the same name apart.
            Qemu::Root(_) => Path::new(SHOWN).join(self.shown.len().to_string()),
        };
        self.shown.push(Shown { host, inside: inside.clone(), writable });
        let name = inside.into_os_string().into_string();
        name.map_err(|name| anyhow::anyhow!("{} is not UTF-8, which QEMU's options must be", name.display()))
    }

    /// The command line for messages.
    pub(super) fn text(&self) -> String {
        format!("{} {}", self.program, self.arguments.join(" "))
    }

    /// Runs it with its output captured.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn captured(&self) -> Result<Ended> {
        self.start(false, &Silent)
    }

    /// Runs it on the caller's terminal.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn on_terminal(&self) -> Result<Ended> {
        self.start(true, &Silent)
    }

    /// Runs it; it must exit with 0.
    ///
    /// # Errors
    /// When it does not, with what it said.
    pub(super) fn must(&self) -> Result<()> {
        match self.captured()? {
            Ended::Exited(0, _) => Ok(()),
            Ended::Exited(code, said) => bail!("`{}` failed (exit status {code}): {said}", self.text()),
            Ended::Killed(said) => bail!("`{}` was killed: {said}", self.text()),
            Ended::TimedOut => bail!("`{}` took too long", self.text()),
        }
    }

    fn start(&self, terminal: bool, progress: &dyn Progress) -> Result<Ended> {
        let root = match self.qemu {
            Qemu::Host { .. } if !self.bound => {
                let run = Run::new(&self.program).args(&self.arguments);
                return Ok(ended(if terminal { run.attached(self.timeout)? } else { run.within(self.timeout)? }));
            }
            Qemu::Host { .. } => None,
            Qemu::Root(root) => Some(root.clone()),
        };
        let request = Request {
            root,
            program: self.program.clone(),
            arguments: self.arguments.clone(),
            shown: self.shown.clone(),
            milliseconds: self.timeout.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
            network: self.network,
            terminal,
        };
        let reply = Worker::run_single(JOB.0, &serde_json::to_vec(&request)?, progress)?;
        serde_json::from_slice(&reply).context("reading how a call ended")
    }
}

fn ended(output: Option<std::process::Output>) -> Ended {
    output.map_or(Ended::TimedOut, |output| {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        output.status.code().map_or(Ended::Killed(said.clone()), |code| Ended::Exited(code, said))
    })
}

/// A worker's part: runs the call in the tools root.
fn inside(request: &[u8], _progress: &dyn Progress) -> Result<Vec<u8>> {
    let request: Request = serde_json::from_slice(request).context("reading what to call")?;
    let Some(root) = request.root else {
        // Whatever runs in the worker's namespace of processes ends with the worker.
        let run = Run::new(&request.program).args(&request.arguments);
        let output = run.within(request.milliseconds.map(Duration::from_millis))?;
        return Ok(serde_json::to_vec(&ended(output))?);
    };
    let mut command = ToolRoot { root }.command(&request.program).args(&request.arguments);
    for shown in &request.shown {
        let access = if shown.writable { Access::ReadWrite } else { Access::ReadOnly };
        command = command.bind(&shown.host, &shown.inside, access);
    }
    command = command.network(request.network).stdin(Stdin::Null).durable(true).limit(None);
    let (sender, receiver) = mpsc::channel();
    // Whoever runs too long dies with this worker, which is pid 1 of its namespace.
    std::thread::spawn(move || {
        let ended = if request.terminal {
            command.interact().map(|status| (status, String::new()))
        } else {
            command.output().map(|output| (output.status, String::from_utf8_lossy(&output.stderr).trim().to_owned()))
        };
        let _ = sender.send(ended);
    });
    let ended = match request.milliseconds {
        None => receiver.recv().context("waiting for a call")?,
        Some(limit) => match receiver.recv_timeout(Duration::from_millis(limit)) {
            Ok(ended) => ended,
            Err(_) => return Ok(serde_json::to_vec(&Ended::TimedOut)?),
        },
    };
    let ended = match ended? {
        (Status::Exited(code), said) => Ended::Exited(code, said),
        (Status::Signalled(_), said) => Ended::Killed(said),
    };
    Ok(serde_json::to_vec(&ended)?)
}
