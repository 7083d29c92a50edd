//! The door to processes of the host: a failure carries the command, its exit status and the end of what it said.

use anyhow::{Context as _, Result, bail};
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// How many bytes of a failed command's output its error repeats.
const TAIL: usize = 2000;

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
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
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

    /// The command line for messages.
    #[must_use]
    pub fn line(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.arguments);
        words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }
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
