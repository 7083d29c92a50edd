//! Shows results on standard output and errors on standard error, for people or as JSON.

use super::outcome::{Failure, Outcome};
use crate::base::hint::hints;
use serde_json::json;
use std::io::{self, Write};

/// Writes a result: its text, or one JSON document.
///
/// # Errors
/// When writing fails.
pub fn outcome(outcome: &Outcome, json: bool, to: &mut dyn Write) -> io::Result<()> {
    if json {
        serde_json::to_writer_pretty(&mut *to, &outcome.json)?;
        writeln!(to)?;
    } else if !outcome.text.is_empty() {
        to.write_all(outcome.text.as_bytes())?;
        if !outcome.text.ends_with('\n') {
            writeln!(to)?;
        }
    }
    to.flush()
}

/// Writes an error as one sentence (its chain, outermost first), then its hints; as JSON also the problems of documents,
/// one by one. Where even that fails, nobody is left to be told.
pub fn failure(failure: &Failure, json: bool, to: &mut dyn Write) {
    let hints = hints(&failure.error);
    let message = format!("{:#}", failure.error);
    let _ = if json {
        let mut document = json!({"error": message, "hints": hints, "status": failure.status.code()});
        if !failure.problems.is_null() {
            document["problems"] = failure.problems.clone();
        }
        writeln!(to, "{document}")
    } else {
        writeln!(to, "error: {}", harmless(message.trim_end()))
            .and_then(|()| hints.iter().try_for_each(|hint| writeln!(to, "hint: {}", harmless(hint))))
    };
}

/// A text without what a terminal obeys: errors quote servers, images and programs.
pub(super) fn harmless(text: &str) -> String {
    let kept = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    let shown = |c: char| if kept(c) { c } else { char::REPLACEMENT_CHARACTER };
    text.chars().filter(|c| *c != '\r').map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::super::outcome::Status;
    use super::*;
    use crate::base::hint::Remedy as _;
    use anyhow::Context as _;

    fn shown(failure_: &Failure, json: bool) -> String {
        let mut out = Vec::new();
        failure(failure_, json, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn example() -> Failure {
        let error = Err::<(), _>(io::Error::from(io::ErrorKind::NotFound))
            .hint("write one with `imgbuild init`")
            .context("opening roles/web/role.yaml")
            .unwrap_err();
        Failure::new(Status::LockOutOfDate, error)
    }

    #[test]
    fn errors_read_as_one_sentence_followed_by_hints() {
        let expected = "error: opening roles/web/role.yaml: entity not found\nhint: write one with `imgbuild init`\n";
        assert_eq!(shown(&example(), false), expected);
    }

    #[test]
    fn errors_cannot_command_the_terminal() {
        let error = crate::base::hint::hinted("bad \u{1b}]0;x\u{7}\r\n\tname", "not\u{9b}2J");
        let text = shown(&Failure::new(Status::Failed, error), false);
        assert_eq!(text, "error: bad \u{fffd}]0;x\u{fffd}\n\tname\nhint: not\u{fffd}2J\n");
    }

    #[test]
    fn errors_as_json_carry_hints_and_status() {
        let expected = r#"{"error":"opening roles/web/role.yaml: entity not found","hints":["write one with `imgbuild init`"],"status":3}"#;
        assert_eq!(shown(&example(), true).trim_end(), expected);
    }

    #[test]
    fn results_end_with_exactly_one_line_feed() {
        for text in ["done", "done\n"] {
            let mut out = Vec::new();
            outcome(&Outcome::new(text, &1), false, &mut out).unwrap();
            assert_eq!(out, b"done\n");
        }
        let mut out = Vec::new();
        outcome(&Outcome::nothing(), false, &mut out).unwrap();
        assert!(out.is_empty());
    }
}
