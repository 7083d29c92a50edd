//! A command line in a root of its own: what to run, what it may see, how it is fed.

use super::child::{self, Child, Output};
use crate::base::limits::{COMMAND_TASKS, COMMAND_TIME};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where programs are looked for unless the command says otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a command may do with something of the host that it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Read it.
    ReadOnly,
    /// Change it.
    ReadWrite,
}

/// What a command reads from its standard input.
#[derive(Clone, Debug, Default)]
pub enum Stdin {
    /// Nothing.
    #[default]
    Null,
    /// These bytes.
    Bytes(Vec<u8>),
    /// What is written to [`Child::stdin`].
    Pipe,
    /// What the person at the terminal types; only for [`Command::interact`].
    Inherit,
}

/// Something of the host that is shown inside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Bind {
    pub(super) host: OsString,
    pub(super) guest: OsString,
    pub(super) access: Access,
}

/// What init is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Spec {
    pub(super) root: OsString,
    pub(super) root_access: Access,
    pub(super) program: OsString,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) folder: OsString,
    pub(super) binds: Vec<Bind>,
    pub(super) network: bool,
    pub(super) terminal: bool,
    pub(super) durable: bool,
    /// Longest time of it, or of a step of it.
    pub(super) seconds: Option<u64>,
    /// Most processes and threads at once.
    pub(super) tasks: u64,
}

/// A command to run in a root folder, cut off from the host. Only workers can run one.
///
/// Inside there is: the root, a /proc of its own processes, a minimal /dev, an empty /sys, /run and /tmp in memory, no
/// network, and nothing else. The environment is empty but for `PATH`, `HOME=/root`, `LC_ALL=C.UTF-8`, `TZ=UTC` and
/// `DEBIAN_FRONTEND=noninteractive`. Missing mount points are created in the root and stay.
#[derive(Clone, Debug)]
pub struct Command {
    spec: Spec,
    stdin: Stdin,
}

impl Command {
    /// A program (a path inside, or a name to look for) in this root (a plain folder or a mounted overlay).
    pub fn new(root: &Path, program: impl AsRef<OsStr>) -> Self {
        let environment = [
            ("PATH", PATH),
            ("HOME", "/root"),
            ("LC_ALL", "C.UTF-8"),
            ("TZ", "UTC"),
            ("DEBIAN_FRONTEND", "noninteractive"),
        ];
        Self {
            spec: Spec {
                root: root.as_os_str().to_owned(),
                root_access: Access::ReadWrite,
                program: program.as_ref().to_owned(),
                arguments: Vec::new(),
                environment: environment.map(|(name, value)| (name.into(), value.into())).to_vec(),
                folder: "/".into(),
                binds: Vec::new(),
                network: false,
                terminal: false,
                durable: false,
                seconds: Some(COMMAND_TIME.as_secs()),
                tasks: COMMAND_TASKS,
            },
            stdin: Stdin::Null,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.spec.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.spec.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.spec.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Shows a file or folder of the host inside. A missing mount point is created: below /run or /tmp it leaves no trace.
    #[must_use]
    pub fn bind(mut self, host: impl AsRef<Path>, guest: impl AsRef<Path>, access: Access) -> Self {
        let (host, guest) = (host.as_ref().as_os_str().to_owned(), guest.as_ref().as_os_str().to_owned());
        self.spec.binds.push(Bind { host, guest, access });
        self
    }

    /// What it may do with the root; everything unless said otherwise.
    #[must_use]
    pub fn root_access(mut self, access: Access) -> Self {
        self.spec.root_access = access;
        self
    }

    /// The folder inside in which it starts; `/` unless said otherwise.
    #[must_use]
    pub fn cwd(mut self, folder: impl AsRef<Path>) -> Self {
        self.spec.folder = folder.as_ref().as_os_str().to_owned();
        self
    }

    /// Grants the host's network.
    #[must_use]
    pub fn network(mut self, granted: bool) -> Self {
        self.spec.network = granted;
        self
    }

    /// Whether it waits for the disk when it means to (`fsync` and the like). It does not unless said otherwise: who
    /// publishes what it makes waits once, for all of it.
    #[must_use]
    pub fn durable(mut self, durable: bool) -> Self {
        self.spec.durable = durable;
        self
    }

    /// How long it may take, in whole seconds: with [`Command::run`] and [`Command::run_steps`] each step, otherwise all
    /// of it. 30 minutes unless said otherwise; with [`Command::interact`] any time.
    #[must_use]
    pub fn limit(mut self, limit: Option<Duration>) -> Self {
        self.spec.seconds = limit.map(|limit| limit.as_secs().max(1));
        self
    }

    /// How many processes and threads it may have at once: 4096 unless said otherwise.
    #[must_use]
    pub fn tasks(mut self, allowed: u64) -> Self {
        self.spec.tasks = allowed;
        self
    }

    /// What it reads.
    #[must_use]
    pub fn stdin(mut self, stdin: Stdin) -> Self {
        self.stdin = stdin;
        self
    }

    /// Runs it to its end and gives what it said, whatever its status.
    ///
    /// # Errors
    /// When it cannot be started, or says more than fits in memory.
    pub fn output(&self) -> Result<Output> {
        self.spawn()?.wait()
    }

    /// Runs it to its end and hands each line that it says, on either stream, to `log`.
    ///
    /// # Errors
    /// When it cannot be started or exits other than 0: with the command line, the status and the end of what it said.
    pub fn run(&self, mut log: impl FnMut(&str)) -> Result<()> {
        // Whoever speaks is at work.
        child::follow(self, |line| {
            log(line);
            true
        })
    }

    /// As [`Command::run`]; `log` says of each line whether the program has come to its next step with it.
    ///
    /// # Errors
    /// As [`Command::run`]; an [`super::Overrun`] in the chain when a step took too long.
    pub fn run_steps(&self, log: impl FnMut(&str) -> bool) -> Result<()> {
        child::follow(self, log)
    }

    /// Starts it; with [`Stdin::Pipe`], write to [`Child::stdin`] and drop that before [`Child::wait`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self) -> Result<Child> {
        child::capture(self)
    }

    /// Gives it the person's terminal and waits for its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn interact(&self) -> Result<super::Status> {
        child::interact(self)
    }

    /// The command line for messages.
    #[must_use]
    pub fn line(&self) -> String {
        let words = std::iter::once(&self.spec.program).chain(&self.spec.arguments);
        words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    /// The root in which it runs.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        PathBuf::from(&self.spec.root)
    }

    pub(super) fn spec(&self) -> Spec {
        self.spec.clone()
    }

    pub(super) fn feed(&self) -> Result<&Stdin> {
        if matches!(self.stdin, Stdin::Inherit) {
            bail!("`{}` can only have the terminal when it is run with it", self.line());
        }
        Ok(&self.stdin)
    }
}
