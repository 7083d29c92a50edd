//! How an order ended: the result for standard output and the exit status.

use crate::base::interrupt::Interrupted;
use serde::Serialize;
use std::fmt::Display;

/// Exit statuses (2, usage, is the parser's own).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 0.
    Done,
    /// 1.
    Failed,
    /// 2.
    Usage,
    /// 3: `--locked`, and the lock lacks something.
    LockOutOfDate,
    /// 4: two builds differ.
    NotReproducible,
    /// 5: a machine did not boot.
    BootFailed,
    /// 128 and the signal's number: 130 for SIGINT, 143 for SIGTERM.
    Interrupted(Interrupted),
}

impl Status {
    /// What the process exits with.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::LockOutOfDate => 3,
            Self::NotReproducible => 4,
            Self::BootFailed => 5,
            Self::Interrupted(by) => 128_u8.wrapping_add(u8::try_from(by.signal).unwrap_or_default()),
        }
    }
}

/// A result: shown as text, or as JSON when asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// For people; empty when there is nothing to show.
    pub text: String,
    /// The same for scripts.
    pub json: serde_json::Value,
    /// Usually [`Status::Done`]; `doctor` that found a fault says [`Status::Failed`] and still has a result.
    pub status: Status,
}

impl Outcome {
    /// A value that shows itself in both ways.
    ///
    /// # Panics
    /// Never for values whose maps have string keys, which is all that is given here.
    #[must_use]
    pub fn of(value: &(impl Serialize + Display)) -> Self {
        Self::new(value.to_string(), value)
    }

    /// Text, and the value behind it.
    ///
    /// # Panics
    /// Never for values whose maps have string keys, which is all that is given here.
    #[must_use]
    pub fn new(text: impl Into<String>, value: &impl Serialize) -> Self {
        let json = serde_json::to_value(value).expect("plain values always serialise");
        Self { text: text.into(), json, status: Status::Done }
    }

    /// Nothing to show (the command had the terminal to itself).
    #[must_use]
    pub fn nothing() -> Self {
        Self { text: String::new(), json: serde_json::Value::Null, status: Status::Done }
    }

    /// The same result with another exit status.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }
}

/// A failure with its exit status; any error becomes one with status 1.
#[derive(Debug)]
pub struct Failure {
    /// What the process exits with.
    pub status: Status,
    /// What went wrong.
    pub error: anyhow::Error,
    /// The problems of documents, one by one, for scripts; `Null` when it was something else.
    pub problems: serde_json::Value,
}

impl Failure {
    /// A failure with an exit status of its own.
    #[must_use]
    pub fn new(status: Status, error: impl Into<anyhow::Error>) -> Self {
        Self { status, error: error.into(), problems: serde_json::Value::Null }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(Status::Failed, error)
    }
}
