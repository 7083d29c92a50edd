//! The door to processes of the host: a failure carries the command, its exit status and the end of what it said.

use anyhow::{Context as _, Result, bail};
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How many bytes of a failed command's output its error repeats.
const TAIL: usize = 2000;
/// How often a command with a time limit is looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// A command line to run to its end, its output captured.
#[derive(Clone, Debug)]
pub struct Run {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    input: Vec<u8>,
}

impl Run {
    /// A command without arguments.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self { program: program.as_ref().to_owned(), arguments: Vec::new(), environment: Vec::new(), input: Vec::new() }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable beside the inherited ones.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// What the command reads from its standard input.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Runs it and gives its output whatever its exit status.
    ///
    /// # Errors
    /// When it cannot be started or fed.
    pub fn output(&self) -> Result<Output> {
        let line = self.line();
        let mut child = self
            .command()
            .stdin(if self.input.is_empty() { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting `{line}`"))?;
        let feeder = child.stdin.take().map(|mut pipe| {
            let bytes = self.input.clone();
            std::thread::spawn(move || pipe.write_all(&bytes))
        });
        let output = child.wait_with_output().with_context(|| format!("running `{line}`"))?;
        if let Some(feeder) = feeder {
            // A command that ends without reading its input says why itself.
            let _ = feeder.join();
        }
        Ok(output)
    }

    /// Runs it on the caller's own standard streams and ends it after `limit`; `None` when it had to be ended.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn attached(&self, limit: Option<Duration>) -> Result<Option<Output>> {
        self.limited(limit, [Stdio::inherit(), Stdio::inherit(), Stdio::inherit()])
    }

    /// Starts it as a process that goes on without this one: nothing to read, and what it says goes into `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn detached(&self, log: std::fs::File) -> Result<Detached> {
        let line = self.line();
        let starting = || format!("starting `{line}`");
        let second = log.try_clone().with_context(starting)?;
        let child = self.command().stdin(Stdio::null()).stdout(log).stderr(second).spawn().with_context(starting)?;
        Ok(Detached(child))
    }

    /// Runs it with its output captured and ends it after `limit`; `None` when it had to be ended.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn within(&self, limit: Option<Duration>) -> Result<Option<Output>> {
        self.limited(limit, [Stdio::null(), Stdio::piped(), Stdio::piped()])
    }

    fn limited(&self, limit: Option<Duration>, [stdin, stdout, stderr]: [Stdio; 3]) -> Result<Option<Output>> {
        let line = self.line();
        let mut child = self
            .command()
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .with_context(|| format!("starting `{line}`"))?;
        let (stdout, stderr) = (listen(child.stdout.take()), listen(child.stderr.take()));
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().with_context(|| format!("running `{line}`"))? {
                break Some(status);
            }
            if limit.is_some_and(|limit| began.elapsed() >= limit) {
                // It may have ended in between: either way it is gone afterwards.
                let _ = child.kill();
                child.wait().with_context(|| format!("ending `{line}`"))?;
                break None;
            }
            std::thread::sleep(GLANCE);
        };
        let (stdout, stderr) = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
        Ok(status.map(|status| Output { status, stdout, stderr }))
    }

    /// Runs it and gives what it wrote to standard output.
    ///
    /// # Errors
    /// When it cannot be run or exits other than 0; the message ends with what it said.
    pub fn run(&self) -> Result<Vec<u8>> {
        let output = self.output()?;
        if !output.status.success() {
            bail!("`{}` failed ({}){}", self.line(), output.status, tail(&output));
        }
        Ok(output.stdout)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The command line for messages.
    #[must_use]
    pub fn line(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.arguments);
        words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }
}

/// A process that goes on without this one.
#[derive(Debug)]
pub struct Detached(std::process::Child);

impl Detached {
    /// Whether it has ended.
    #[must_use]
    pub fn ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

/// Hears a stream to its end, so that the command never blocks.
fn listen(stream: Option<impl std::io::Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut heard = Vec::new();
        // What was heard before an error is all there is.
        let _ = stream.map(|mut stream| stream.read_to_end(&mut heard));
        heard
    })
}

/// The end of what a failed command said, ready to follow a message.
#[must_use]
pub fn tail(output: &Output) -> String {
    let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    let text = String::from_utf8_lossy(&said[said.len().saturating_sub(TAIL)..]);
    match text.trim() {
        "" => String::new(),
        text => format!(": {text}"),
    }
}

/// The first program of that name on PATH.
#[must_use]
pub fn find(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}
