//! What this and later rooms need of the tools root: run a program, read one of its files.

use crate::base::files;
use crate::base::limits::TOOLS_FILE_BYTES;
use crate::sandbox::{Access, ToolRoot};
use anyhow::Result;
use std::path::Path;

/// One program to run in the tools root.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Name within the tools root's PATH, such as `grub-mkimage`.
    pub program: &'a str,
    /// Arguments; file names are relative to `folder`.
    pub arguments: Vec<String>,
    /// Environment beside a minimal fixed one (PATH, `LC_ALL=C`, `TZ=UTC`).
    pub environment: Vec<(String, String)>,
    /// The folder that the program sees as its current one, and may write.
    pub folder: &'a Path,
}

/// The tools root.
pub trait Tools: Sync {
    /// Runs a program to its end and gives what it said on standard error.
    ///
    /// # Errors
    /// When it cannot be started or exits other than 0 (the message carries the command and the end of what it said).
    fn run(&self, call: &Call<'_>) -> Result<String>;

    /// Reads a file of the tools root by its absolute path there.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    fn read(&self, path: &str) -> Result<Vec<u8>>;
}

/// Where a tool sees the folder that it works in.
const GUEST_FOLDER: &str = "/run/work";

impl Tools for ToolRoot {
    fn run(&self, call: &Call<'_>) -> Result<String> {
        let mut command = self.command(call.program).args(&call.arguments);
        for (name, value) in &call.environment {
            command = command.env(name, value);
        }
        command = command.bind(call.folder, GUEST_FOLDER, Access::ReadWrite).cwd(GUEST_FOLDER);
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        output.success().map(|_| said)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>> {
        files::read(&self.root.join(path.trim_start_matches('/')), TOOLS_FILE_BYTES)
    }
}
