//! The door to processes: a failure carries the command and the end of what it said.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// The machine's own tools, wherever the unit's environment points.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// How many characters of a failed command's output its error repeats.
const TAIL: usize = 600;

/// Runs a command to its end, feeding it `input`; any exit status is a result.
pub(crate) fn output(words: &[&str], input: &str) -> Result<Output, String> {
    let Some((program, arguments)) = words.split_first() else {
        return Err("an empty command".to_owned());
    };
    let failed = |error: std::io::Error| format!("running `{}`: {error}", words.join(" "));
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    let mut child = Command::new(program)
        .args(arguments)
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut pipe) = child.stdin.take() {
        // A command that ends without reading says why itself.
        let _ = pipe.write_all(input.as_bytes());
    }
    child.wait_with_output().map_err(failed)
}

/// Runs a command that must succeed.
pub(crate) fn run(words: &[&str], input: &str) -> Result<(), String> {
    let output = output(words, input)?;
    if output.status.success() {
        return Ok(());
    }
    let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    let text = String::from_utf8_lossy(&said[said.len().saturating_sub(TAIL)..]);
    let text = text.trim().replace('\n', "; ");
    Err(format!("`{}` failed ({}): {text}", words.join(" "), output.status))
}
