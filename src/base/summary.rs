//! Where the time went: one row per phase, drawn on the common axis of time, so that what ran side by side shows, with
//! its share of the whole. Shares of what ran side by side add up to more than the whole.

use super::ledger::{Ledger, Phase, seconds};
use std::fmt::Write as _;
use std::time::Duration;

/// Cells of the axis.
const WIDTH: usize = 40;
/// Phases shorter than this are left out of the table.
const SHORTEST: Duration = Duration::from_millis(10);

/// The table; empty when no phase took long enough to speak of.
#[must_use]
pub fn table(ledger: &Ledger, now: Duration) -> String {
    let rows: Vec<_> = ledger.phases.iter().filter(|phase| phase.duration(now) >= SHORTEST).collect();
    let (Some(name), Some(count)) = (
        rows.iter().map(|phase| phase.name.chars().count()).max(),
        rows.iter().map(|phase| phase.count().chars().count()).max(),
    ) else {
        return String::new();
    };
    let mut out = format!("where the time went ({} in all)\n", seconds(now));
    for phase in rows {
        let axis = axis(&phase.intervals, now);
        let time = seconds(phase.duration(now));
        // Writing to a string cannot fail.
        let share = 100.0 * share(phase, now);
        let _ = writeln!(out, "  {:<name$}  {axis}  {time:>9}  {share:>3.0} %  {:<count$}", phase.name, phase.count());
    }
    out.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// How much of the time until now a phase ran: 1 is all of it.
#[must_use]
pub fn share(phase: &Phase, now: Duration) -> f64 {
    phase.duration(now).as_secs_f64() / now.as_secs_f64().max(f64::MIN_POSITIVE)
}

/// The axis with the cells marked in which the phase ran, wholly or in part.
fn axis(intervals: &[(Duration, Option<Duration>)], now: Duration) -> String {
    let mut cells = [b'.'; WIDTH];
    let nanoseconds = now.as_nanos().max(1);
    let cell = |at: Duration| usize::try_from(at.as_nanos() * WIDTH as u128 / nanoseconds).unwrap_or(WIDTH);
    for (from, to) in intervals {
        let first = cell(*from).min(WIDTH - 1);
        let last = cell(to.unwrap_or(now)).clamp(first, WIDTH - 1);
        cells[first..=last].fill(b'#');
    }
    cells.iter().map(|cell| char::from(*cell)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::progress::{Event, Unit};

    #[test]
    fn phases_side_by_side_are_drawn_on_one_axis() {
        let at = Duration::from_secs;
        let mut ledger = Ledger::default();
        for (name, from, to, done, unit) in [
            ("download", 0, 4, 3 << 20, Unit::Bytes),
            ("unpack", 2, 8, 301, Unit::Packages),
            ("write", 9, 10, 0, Unit::Bytes),
        ] {
            ledger.enter(&Event::Begin { phase: name.into(), total: 0, unit }, at(from));
            ledger.enter(&Event::Advance { phase: name.into(), by: done, item: None }, at(from));
            ledger.enter(&Event::End { phase: name.into() }, at(to));
        }
        let expected = "\
where the time went (10.0 s in all)
  download  #################.......................      4.0 s   40 %  3 MiB
  unpack    ........#########################.......      6.0 s   60 %  301 packages
  write     ....................................####      1.0 s   10 %
";
        assert_eq!(table(&ledger, at(10)), expected);
    }

    #[test]
    fn nothing_worth_mentioning_gives_no_table() {
        let mut ledger = Ledger::default();
        assert_eq!(table(&ledger, Duration::from_secs(1)), "");
        ledger.enter(&Event::Begin { phase: "plan".into(), total: 0, unit: Unit::Items }, Duration::ZERO);
        ledger.enter(&Event::End { phase: "plan".into() }, Duration::from_millis(3));
        assert_eq!(table(&ledger, Duration::from_secs(1)), "");
    }
}
