//! What this and later rooms need of the tools root: run a program fed by us, read one of its files.

use crate::base::files;
use crate::base::limits::TOOLS_FILE_BYTES;
use crate::sandbox::{Access, Stdin, ToolRoot};
use anyhow::{Result, bail};
use std::io::Write;
use std::path::Path;

/// One program to run in the tools root.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Name within the tools root's PATH, such as `mke2fs`.
    pub program: &'a str,
    /// Arguments; file names are relative to `folder`.
    pub arguments: Vec<String>,
    /// Environment beside a minimal fixed one (PATH, `LC_ALL=C`, `TZ=UTC`).
    pub environment: Vec<(String, String)>,
    /// The folder that the program sees as its current one, and may write.
    pub folder: &'a Path,
}

/// Writes a program's standard input. An error here fails the run, whatever the program made of what it got.
pub type Feed<'a> = Box<dyn FnOnce(&mut dyn Write) -> Result<()> + Send + 'a>;

/// The tools root.
pub trait Tools: Sync {
    /// Runs a program to its end and gives what it said on standard error.
    ///
    /// # Errors
    /// When it cannot be started, exits other than 0 (the message carries the command and the end of what it
    /// said), or the feed fails.
    fn run(&self, call: &Call<'_>, feed: Option<Feed<'_>>) -> Result<String>;

    /// Reads a file of the tools root by its absolute path there.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    fn read(&self, path: &str) -> Result<Vec<u8>>;
}

/// Where a tool sees the folder that it works in.
const GUEST_FOLDER: &str = "/run/work";

/// Whether a feed failed only because the tool stopped reading, and thus has something to say itself.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |cause: &std::io::Error| cause.kind() == std::io::ErrorKind::BrokenPipe;
    error.chain().filter_map(|cause| cause.downcast_ref()).any(broken)
}

impl Tools for ToolRoot {
    fn run(&self, call: &Call<'_>, feed: Option<Feed<'_>>) -> Result<String> {
        let mut command = self.command(call.program).args(&call.arguments);
        for (name, value) in &call.environment {
            command = command.env(name, value);
        }
        command = command.bind(call.folder, GUEST_FOLDER, Access::ReadWrite).cwd(GUEST_FOLDER);
        let Some(feed) = feed else {
            let output = command.output()?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return output.success().map(|_| said);
        };
        let mut child = command.stdin(Stdin::Pipe).spawn()?;
        let fed = match child.stdin.take() {
            Some(mut pipe) => feed(&mut pipe),
            None => bail!("`{}` has no standard input to feed", call.program),
        };
        let output = child.wait()?;
        // A feed that failed by itself leaves the tool with half a stream, about which it then complains.
        if fed.as_ref().is_err_and(|error| !is_broken_pipe(error)) {
            return fed.map(|()| String::new());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        output.success()?;
        fed.map(|()| said)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>> {
        files::read(&self.root.join(path.trim_start_matches('/')), TOOLS_FILE_BYTES)
    }
}
