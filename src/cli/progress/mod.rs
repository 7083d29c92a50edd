//! Draws progress on standard error: bars on a terminal, one line per phase elsewhere, JSON for scripts, or nothing.

mod bars;

use super::typed::{Common, ProgressStyle};
use crate::base::ledger::{Ledger, seconds};
use crate::base::progress::{Event, Progress};
use crate::base::summary;
use bars::Bars;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Mere advances of one phase are reported to scripts no more often than this.
const ADVANCE_INTERVAL: Duration = Duration::from_millis(200);

/// How to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// The kind of drawing.
    pub kind: Kind,
    /// 0: phases; 1: also each item; 2: also what the target's programs say.
    pub verbosity: u8,
}

/// The kind of drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bars that move.
    Bars,
    /// One line per phase.
    Plain,
    /// One JSON object per line.
    Json,
    /// Only warnings; as JSON when the flag is set.
    Quiet {
        /// As JSON.
        json: bool,
    },
}

impl Style {
    /// What the flags ask for.
    #[must_use]
    pub fn chosen(common: &Common) -> Self {
        let kind = match common.progress {
            _ if common.quiet => Kind::Quiet { json: common.json },
            ProgressStyle::None => Kind::Quiet { json: common.json },
            ProgressStyle::Json => Kind::Json,
            ProgressStyle::Plain => Kind::Plain,
            ProgressStyle::Auto if common.json => Kind::Json,
            ProgressStyle::Auto if std::io::stderr().is_terminal() => Kind::Bars,
            ProgressStyle::Auto => Kind::Plain,
        };
        Self { kind, verbosity: common.verbose }
    }
}

/// Takes the events of all threads and draws them.
pub struct Reporter {
    style: Style,
    start: Instant,
    state: Mutex<State>,
}

struct State {
    ledger: Ledger,
    bars: Option<Bars>,
    last_advance: BTreeMap<String, (Duration, u64)>,
    to: Box<dyn Write + Send>,
    /// Nothing more is shown: threads that are still at work must not write behind the error.
    finished: bool,
}

#[derive(Serialize)]
struct Timed<'a> {
    seconds: f64,
    #[serde(flatten)]
    event: &'a Event,
}

impl Reporter {
    /// Draws on standard error.
    #[must_use]
    pub fn new(style: Style) -> Self {
        let bars = (style.kind == Kind::Bars).then(Bars::new);
        Self::to(style, bars, Box::new(std::io::stderr()))
    }

    fn to(style: Style, bars: Option<Bars>, to: Box<dyn Write + Send>) -> Self {
        let state = State { ledger: Ledger::default(), bars, last_advance: BTreeMap::new(), to, finished: false };
        Self { style, start: Instant::now(), state: Mutex::new(state) }
    }

    /// Takes the bars away and, after success, says where the time went.
    pub fn finish(&self, success: bool) {
        let now = self.start.elapsed();
        // A thread that died while drawing leaves at worst a half-drawn bar.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.finished = true;
        if let Some(bars) = state.bars.take() {
            bars.clear();
        }
        let summary = match self.style.kind {
            Kind::Quiet { .. } => String::new(),
            Kind::Json => format!("{}\n", summary_json(&state.ledger, now)),
            Kind::Bars | Kind::Plain if success => summary::table(&state.ledger, now),
            Kind::Bars | Kind::Plain => String::new(),
        };
        let _ = state.to.write_all(summary.as_bytes());
    }

    fn take(&self, event: &Event, now: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.finished {
            return;
        }
        let changed = state.ledger.enter(event, now);
        if let Some(bars) = &mut state.bars {
            bars.event(event);
        }
        let line = match self.style.kind {
            Kind::Json => state.json_line(event, now),
            Kind::Quiet { json } => match event {
                Event::Warning { .. } if json => state.json_line(event, now),
                Event::Warning { text } => Some(format!("warning: {text}")),
                _ => None,
            },
            Kind::Bars | Kind::Plain => plain_line(&state.ledger, event, changed, self.style.verbosity),
        };
        if let Some(line) = line {
            state.write_line(&line);
        }
    }
}

impl Progress for Reporter {
    fn event(&self, event: Event) {
        self.take(&event, self.start.elapsed());
    }
}

impl State {
    fn write_line(&mut self, line: &str) {
        let to = &mut self.to;
        // Where standard error is gone, nobody is left to be told.
        let mut write = || {
            let _ = to.write_all(format!("{}\n", super::show::harmless(line)).as_bytes());
        };
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    /// The event as JSON. Mere advances are gathered, so that a phase of many small steps does not flood the reader.
    fn json_line(&mut self, event: &Event, now: Duration) -> Option<String> {
        let seconds = (now.as_secs_f64() * 1000.0).round() / 1000.0;
        let show = |event: &Event| serde_json::to_string(&Timed { seconds, event }).ok();
        match event {
            Event::Advance { phase, by, item: None } => {
                let (last, gathered) = self.last_advance.entry(phase.clone()).or_insert((Duration::ZERO, 0));
                *gathered = gathered.saturating_add(*by);
                if now.saturating_sub(*last) < ADVANCE_INTERVAL {
                    return None;
                }
                *last = now;
                let by = std::mem::take(gathered);
                show(&Event::Advance { phase: phase.clone(), by, item: None })
            }
            Event::End { phase } => {
                let rest = self.last_advance.remove(phase).map_or(0, |(_, gathered)| gathered);
                let ended = show(event)?;
                if rest == 0 {
                    return Some(ended);
                }
                let advance = show(&Event::Advance { phase: phase.clone(), by: rest, item: None })?;
                Some(format!("{advance}\n{ended}"))
            }
            _ => show(event),
        }
    }
}

fn plain_line(ledger: &Ledger, event: &Event, changed: Option<usize>, verbosity: u8) -> Option<String> {
    match event {
        Event::End { .. } => {
            let phase = &ledger.phases[changed?];
            let (from, to) = phase.intervals.last()?;
            let time = seconds((*to)?.saturating_sub(*from));
            let count = phase.count();
            let text = if count.is_empty() { time } else { format!("{time}, {count}") };
            Some(format!("{:>12}  {text}", phase.name))
        }
        Event::Advance { phase, item: Some(item), .. } if verbosity >= 1 => Some(format!("{phase:>12}  {item}")),
        Event::Note { text } => Some(format!("{:>12}  {text}", "note")),
        Event::Warning { text } => Some(format!("warning: {text}")),
        Event::Log { text } if verbosity >= 2 => Some(format!("{:>12}  {text}", "log")),
        Event::Begin { .. } | Event::Advance { .. } | Event::Log { .. } => None,
    }
}

fn summary_json(ledger: &Ledger, now: Duration) -> serde_json::Value {
    let phases: Vec<_> = ledger
        .phases
        .iter()
        .map(|phase| {
            let (seconds, share) = (phase.duration(now).as_secs_f64(), summary::share(phase, now));
            json!({"phase": phase.name, "seconds": seconds, "share": share, "done": phase.done, "unit": phase.unit})
        })
        .collect();
    json!({"event": "summary", "seconds": now.as_secs_f64(), "phases": phases})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::progress::Unit;
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

    /// What a short build looks like.
    fn drawn(kind: Kind, verbosity: u8) -> String {
        let sink = Sink::default();
        let reporter = Reporter::to(Style { kind, verbosity }, None, Box::new(sink.clone()));
        let advance =
            |by, item: Option<&str>| Event::Advance { phase: "download".into(), by, item: item.map(str::to_owned) };
        let events = [
            Event::Begin { phase: "download".into(), total: 30, unit: Unit::Packages },
            advance(1, Some("bash")),
            advance(4, None),
            advance(5, None),
            Event::Warning { text: "slow mirror".into() },
            Event::Note { text: "resumed".into() },
            Event::Log { text: "Setting up \u{1b}[1mbash".into() },
            Event::End { phase: "download".into() },
        ];
        for (at, event) in events.iter().enumerate() {
            reporter.take(event, Duration::from_millis(100 * at as u64));
        }
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn nothing_is_shown_behind_the_end() {
        let sink = Sink::default();
        let reporter = Reporter::to(Style { kind: Kind::Plain, verbosity: 2 }, None, Box::new(sink.clone()));
        reporter.finish(false);
        reporter.event(Event::Warning { text: "late".to_owned() });
        assert_eq!(sink.0.lock().unwrap().as_slice(), b"");
    }

    #[test]
    fn plain_progress_is_one_line_per_phase() {
        let expected = "\
warning: slow mirror
        note  resumed
    download  0.70 s, 10 packages
";
        assert_eq!(drawn(Kind::Plain, 0), expected);
    }

    #[test]
    fn verbose_progress_shows_items_and_then_what_programs_say() {
        assert!(drawn(Kind::Plain, 1).contains("    download  bash\n"));
        assert!(!drawn(Kind::Plain, 1).contains("Setting up"));
        assert!(drawn(Kind::Plain, 2).contains("         log  Setting up \u{fffd}[1mbash\n"));
    }

    #[test]
    fn quiet_progress_is_warnings_only() {
        assert_eq!(drawn(Kind::Quiet { json: false }, 0), "warning: slow mirror\n");
        let json = drawn(Kind::Quiet { json: true }, 0);
        assert_eq!(json, "{\"seconds\":0.4,\"event\":\"warning\",\"text\":\"slow mirror\"}\n");
    }

    #[test]
    fn json_progress_loses_no_count_though_advances_are_gathered() {
        let text = drawn(Kind::Json, 0);
        let events: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let advanced: u64 = events.iter().filter_map(|event| event["by"].as_u64()).sum();
        assert_eq!(advanced, 10);
        assert_eq!(events.first().unwrap()["event"], "begin");
        assert_eq!(events.last().unwrap()["event"], "end");
    }
}
