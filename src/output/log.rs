//! build.log: every event with its time, beside whatever else listens; at the end where the time went.

use crate::base::ledger::Ledger;
use crate::base::progress::{Event, Progress, Unit};
use crate::base::size::Bytes;
use crate::base::summary;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Hands events on and writes them down. The log has times and is therefore no part of SHA256SUMS.
pub struct BuildLog<'a> {
    onward: &'a dyn Progress,
    start: Instant,
    state: Mutex<State>,
}

struct State {
    to: Box<dyn Write + Send>,
    done: BTreeMap<String, (u64, Unit)>,
    ledger: Ledger,
}

impl<'a> BuildLog<'a> {
    /// Writes to this file; events go on to `onward`.
    #[must_use]
    pub fn new(to: Box<dyn Write + Send>, onward: &'a dyn Progress) -> Self {
        Self {
            onward,
            start: Instant::now(),
            state: Mutex::new(State { to, done: BTreeMap::new(), ledger: Ledger::default() }),
        }
    }
}

impl Progress for BuildLog<'_> {
    fn event(&self, event: Event) {
        let now = self.start.elapsed();
        {
            let seconds = now.as_secs_f64();
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.ledger.enter(&event, now);
            if let Some(text) = state.line(&event) {
                // A full disk fails the build where it writes what matters.
                let _ = writeln!(state.to, "[{seconds:9.3}] {text}");
            }
        }
        self.onward.event(event);
    }
}

impl Drop for BuildLog<'_> {
    fn drop(&mut self) {
        let now = self.start.elapsed();
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let table = summary::table(&state.ledger, now);
        let _ = state.to.write_all(table.as_bytes());
    }
}

impl State {
    /// The event as a line; mere advances are summed up at the end of their phase.
    fn line(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::Begin { phase, total, unit } => {
                self.done.insert(phase.clone(), (0, *unit));
                Some(if *total == 0 {
                    format!("{phase}: begin")
                } else {
                    format!("{phase}: begin, {}", count(*total, *unit))
                })
            }
            Event::Advance { phase, by, item } => {
                if let Some((done, _)) = self.done.get_mut(phase) {
                    *done = done.saturating_add(*by);
                }
                item.as_ref().map(|item| format!("{phase}: {item}"))
            }
            Event::End { phase } => Some(match self.done.remove(phase) {
                Some((done, unit)) if done > 0 => format!("{phase}: end, {}", count(done, unit)),
                _ => format!("{phase}: end"),
            }),
            Event::Note { text } => Some(format!("note: {text}")),
            Event::Warning { text } => Some(format!("warning: {text}")),
            Event::Log { text } => Some(text.clone()),
        }
    }
}

fn count(number: u64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => Bytes(number).to_string(),
        Unit::Packages => format!("{number} packages"),
        Unit::Items => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::progress::Silent;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_log_ends_with_where_the_time_went() {
        let sink = Sink::default();
        let log = BuildLog::new(Box::new(sink.clone()), &Silent);
        let phase = (&log as &dyn Progress).phase("unpack", 2, Unit::Packages);
        std::thread::sleep(std::time::Duration::from_millis(20));
        drop(phase);
        drop(log);
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let table = text.split_once("where the time went (").unwrap().1;
        assert!(table.contains("\n  unpack  ") && table.contains(" %"), "{text}");
    }

    #[test]
    fn the_log_holds_every_event_with_its_time() {
        let sink = Sink::default();
        let log = BuildLog::new(Box::new(sink.clone()), &Silent);
        let log: &dyn Progress = &log;
        let phase = log.phase("unpack", 2, Unit::Packages);
        phase.item(1, "bash");
        phase.advance(1);
        drop(phase);
        log.log("Setting up bash (5.2) ...");
        log.warn("slow");
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| line.split_once("] ").unwrap().1).collect();
        let expected = [
            "unpack: begin, 2 packages",
            "unpack: bash",
            "unpack: end, 2 packages",
            "Setting up bash (5.2) ...",
            "warning: slow",
        ];
        assert_eq!(lines, expected);
        assert!(text.lines().all(|line| line.starts_with("[    0.")));
    }
}
