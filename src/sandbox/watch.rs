//! Watches a program from beside it: neither may it take too long, nor become too many.

use super::wire::{Kind, Wire};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

/// How often is looked.
const GLANCE: Duration = Duration::from_millis(250);

/// What a command had too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Excess {
    /// It, or a step of it, took longer than it may.
    #[error("it was ended after {}", minutes(.0.as_secs()))]
    Time(Duration),
    /// It had more processes and threads than it may.
    #[error("it was ended with {found} processes and threads, and {allowed} are allowed")]
    Tasks {
        /// How many there were.
        found: u64,
        /// How many there may be.
        allowed: u64,
    },
    /// It said more than it may.
    #[error("it was ended when it had said more than the {0} bytes allowed")]
    Output(u64),
}

/// A command that was ended, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{excess}{}", last(.said))]
pub struct Overrun {
    /// What it had too much of.
    pub excess: Excess,
    /// The end of what it had said, as far as that was heard.
    pub said: String,
}

impl From<Excess> for Overrun {
    fn from(excess: Excess) -> Self {
        Self { excess, said: String::new() }
    }
}

fn last(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!("; the last that it said: {said}") }
}

fn minutes(seconds: u64) -> String {
    match seconds {
        60 => "1 minute".to_owned(),
        _ if seconds != 0 && seconds.is_multiple_of(60) => format!("{} minutes", seconds / 60),
        1 => "1 second".to_owned(),
        _ => format!("{seconds} seconds"),
    }
}

/// Returns when the program must be ended: with the reason, or without when nobody is there any more who waits for it.
pub(super) fn watch(wire: &Wire, limit: Option<Duration>, allowed: u64) -> Result<Option<Excess>> {
    let mut step = Instant::now();
    loop {
        if wire.wait(GLANCE)? {
            match wire.receive() {
                Ok(Some(frame)) if frame.kind == Kind::Go => step = Instant::now(),
                _ => return Ok(None),
            }
        }
        if let Some(limit) = limit.filter(|limit| step.elapsed() >= *limit) {
            return Ok(Some(Excess::Time(limit)));
        }
        let found = tasks()?;
        if found > allowed {
            return Ok(Some(Excess::Tasks { found, allowed }));
        }
    }
}

/// Processes and threads in this namespace of processes.
fn tasks() -> Result<u64> {
    let mut sum: u64 = 0;
    for item in std::fs::read_dir("/proc").context("counting processes")? {
        let item = item.context("counting processes")?;
        if !item.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit) {
            continue;
        }
        // Beside its threads, the folder has itself and its parent. What has ended by now has none.
        let links = std::fs::metadata(item.path().join("task")).map_or(0, |about| about.nlink());
        sum = sum.saturating_add(links.saturating_sub(2));
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_say_how_much_is_allowed() {
        let time = |seconds| Excess::Time(Duration::from_secs(seconds)).to_string();
        assert_eq!(time(1800), "it was ended after 30 minutes");
        assert_eq!(time(60), "it was ended after 1 minute");
        assert_eq!(time(90), "it was ended after 90 seconds");
        assert_eq!(
            Excess::Tasks { found: 5000, allowed: 4096 }.to_string(),
            "it was ended with 5000 processes and threads, and 4096 are allowed"
        );
        let mut overrun = Overrun::from(Excess::Output(100));
        assert_eq!(overrun.to_string(), "it was ended when it had said more than the 100 bytes allowed");
        overrun.said = "a\nb".to_owned();
        assert_eq!(
            overrun.to_string(),
            "it was ended when it had said more than the 100 bytes allowed; the last that it said: a\nb"
        );
    }

    #[test]
    fn threads_are_counted() {
        let before = tasks().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let receiver = std::sync::Arc::new(std::sync::Mutex::new(receiver));
        for _ in 0..50 {
            let receiver = receiver.clone();
            std::thread::spawn(move || receiver.lock().unwrap().recv());
        }
        // Other programs of this machine come and go in between.
        let there = (0..100).any(|_| tasks().unwrap() >= before + 25);
        drop(sender);
        assert!(there, "{before} before, {} with 50 more", tasks().unwrap());
    }
}
