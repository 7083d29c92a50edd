//! What this and later rooms need of the tools root: run a program fed by us, read one of its files.

use anyhow::Result;
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
