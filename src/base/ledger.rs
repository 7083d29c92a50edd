//! Books kept of phases: what was counted and when each one ran. Pure: the time of an event is given with it.

use crate::base::progress::{Event, Unit};
use crate::base::size::Bytes;
use std::time::Duration;

/// One phase's account.
#[derive(Clone, Debug)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// What is counted.
    pub unit: Unit,
    /// How much there is to do; 0 when unknown.
    pub total: u64,
    /// How much was done.
    pub done: u64,
    /// When it ran: from, to; the last one open while it runs.
    pub intervals: Vec<(Duration, Option<Duration>)>,
    /// How many times it was begun and not ended (several images at once).
    depth: usize,
}

impl Phase {
    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.depth > 0
    }

    /// How long it ran, up to now.
    #[must_use]
    pub fn duration(&self, now: Duration) -> Duration {
        self.intervals.iter().map(|(from, to)| to.unwrap_or(now).saturating_sub(*from)).sum()
    }

    /// What was counted, for people; empty when nothing was.
    #[must_use]
    pub fn count(&self) -> String {
        match (self.unit, self.done) {
            (_, 0) => String::new(),
            (Unit::Bytes, done) => Bytes(done).to_string(),
            (Unit::Packages, 1) => "1 package".to_owned(),
            (Unit::Packages, done) => format!("{done} packages"),
            (Unit::Items, done) => done.to_string(),
        }
    }
}

/// The accounts of all phases, in the order in which they first began.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// The phases.
    pub phases: Vec<Phase>,
}

impl Ledger {
    /// Enters an event; gives the phase's place when this event began or ended one.
    pub fn enter(&mut self, event: &Event, now: Duration) -> Option<usize> {
        match event {
            Event::Begin { phase, total, unit } => {
                let at = self.find(phase).unwrap_or_else(|| {
                    self.phases.push(Phase {
                        name: phase.clone(),
                        unit: *unit,
                        total: 0,
                        done: 0,
                        intervals: Vec::new(),
                        depth: 0,
                    });
                    self.phases.len() - 1
                });
                let entry = &mut self.phases[at];
                entry.total = entry.total.saturating_add(*total);
                entry.depth += 1;
                if entry.depth == 1 {
                    entry.intervals.push((now, None));
                }
                Some(at)
            }
            Event::Advance { phase, by, .. } => {
                let at = self.find(phase)?;
                self.phases[at].done = self.phases[at].done.saturating_add(*by);
                None
            }
            Event::End { phase } => {
                let at = self.find(phase)?;
                let entry = &mut self.phases[at];
                entry.depth = entry.depth.saturating_sub(1);
                if entry.depth > 0 {
                    return None;
                }
                if let Some((_, to @ None)) = entry.intervals.last_mut() {
                    *to = Some(now);
                }
                Some(at)
            }
            Event::Note { .. } | Event::Warning { .. } | Event::Log { .. } => None,
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.phases.iter().position(|phase| phase.name == name)
    }
}

/// Seconds for people: `0.04 s`, `3.2 s`, `2 min 05 s`.
#[must_use]
pub fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1.0 {
        format!("{seconds:.2} s")
    } else if seconds < 120.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{} min {:02} s", duration.as_secs() / 60, duration.as_secs() % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(phase: &str, total: u64) -> Event {
        Event::Begin { phase: phase.into(), total, unit: Unit::Packages }
    }

    fn end(phase: &str) -> Event {
        Event::End { phase: phase.into() }
    }

    #[test]
    fn phases_begun_twice_are_one_account() {
        let at = Duration::from_secs;
        let mut ledger = Ledger::default();
        assert_eq!(ledger.enter(&begin("unpack", 3), at(1)), Some(0));
        assert_eq!(ledger.enter(&begin("unpack", 2), at(2)), Some(0));
        ledger.enter(&Event::Advance { phase: "unpack".into(), by: 5, item: None }, at(2));
        assert_eq!(ledger.enter(&end("unpack"), at(3)), None);
        assert!(ledger.phases[0].is_running());
        assert_eq!(ledger.enter(&end("unpack"), at(4)), Some(0));
        ledger.enter(&begin("unpack", 1), at(6));
        ledger.enter(&end("unpack"), at(7));
        let phase = &ledger.phases[0];
        assert_eq!((phase.total, phase.count().as_str(), phase.duration(at(9))), (6, "5 packages", at(4)));
    }

    #[test]
    fn events_of_unknown_phases_change_nothing() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.enter(&end("x"), Duration::ZERO), None);
        assert_eq!(ledger.enter(&Event::Advance { phase: "x".into(), by: 1, item: None }, Duration::ZERO), None);
        assert!(ledger.phases.is_empty());
    }

    #[test]
    fn durations_are_shown_with_fitting_precision() {
        let cases = [(40, "0.04 s"), (3_210, "3.2 s"), (125_000, "2 min 05 s")];
        for (milliseconds, text) in cases {
            assert_eq!(seconds(Duration::from_millis(milliseconds)), text);
        }
    }
}
