//! What is going on, as events: bars on a terminal, lines in a log or JSON for a machine are made of them.
//!
//! Rooms report; they never print. Events cross the sandbox's pipe unchanged.

use serde::{Deserialize, Serialize};

/// What a phase counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Packages.
    Packages,
    /// Files or other things.
    Items,
}

/// One event. `phase` is a short verb that names the bar: `download`, `unpack`, `configure`, `write`, ...
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A phase began; `total` is 0 when unknown.
    Begin {
        /// Which bar.
        phase: String,
        /// How much there is to do; 0 when unknown.
        total: u64,
        /// What is counted.
        unit: Unit,
    },
    /// A phase moved on by so much; `item` says what is being done.
    Advance {
        /// Which bar.
        phase: String,
        /// How much was done since.
        by: u64,
        /// What is being done.
        item: Option<String>,
    },
    /// A phase ended.
    End {
        /// Which bar.
        phase: String,
    },
    /// Something worth knowing that needs no action.
    Note {
        /// The sentence.
        text: String,
    },
    /// Something that a person should look at.
    Warning {
        /// The sentence.
        text: String,
    },
    /// A line for build.log only (what maintainer scripts said, for example).
    Log {
        /// The sentence.
        text: String,
    },
}

/// Takes events; shared by all threads of a build.
pub trait Progress: Send + Sync {
    /// Takes one event. Must not block for long.
    fn event(&self, event: Event);
}

/// Discards everything; for tests and quiet runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _event: Event) {}
}

impl dyn Progress + '_ {
    /// Begins a phase and gives the guard that ends it.
    pub fn phase<'a>(&'a self, phase: &str, total: u64, unit: Unit) -> Phase<'a> {
        self.event(Event::Begin { phase: phase.to_owned(), total, unit });
        Phase { progress: self, phase: phase.to_owned() }
    }

    /// Something worth knowing.
    pub fn note(&self, text: impl Into<String>) {
        self.event(Event::Note { text: text.into() });
    }

    /// Something that a person should look at.
    pub fn warn(&self, text: impl Into<String>) {
        self.event(Event::Warning { text: text.into() });
    }

    /// A line for build.log.
    pub fn log(&self, text: impl Into<String>) {
        self.event(Event::Log { text: text.into() });
    }
}

/// A running phase; dropping it ends it.
pub struct Phase<'a> {
    progress: &'a dyn Progress,
    phase: String,
}

impl Phase<'_> {
    /// Moves on by so much.
    pub fn advance(&self, by: u64) {
        self.progress.event(Event::Advance { phase: self.phase.clone(), by, item: None });
    }

    /// Something that a person should look at.
    pub fn warn(&self, text: impl Into<String>) {
        self.progress.warn(text);
    }

    /// Moves on by so much and says what is being done.
    pub fn item(&self, by: u64, item: impl Into<String>) {
        self.progress.event(Event::Advance { phase: self.phase.clone(), by, item: Some(item.into()) });
    }
}

impl Drop for Phase<'_> {
    fn drop(&mut self) {
        self.progress.event(Event::End { phase: self.phase.clone() });
    }
}
