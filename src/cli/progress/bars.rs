//! Bars on a terminal: one per running phase, gone when it ends.

use crate::base::progress::{Event, Unit};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::time::Duration;

/// How often a phase of unknown length shows that it lives.
const TICK: Duration = Duration::from_millis(120);

/// The bars of the running phases.
pub(super) struct Bars {
    all: MultiProgress,
    running: BTreeMap<String, (ProgressBar, usize)>,
    colour: bool,
}

impl Bars {
    /// None yet.
    pub(super) fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        // https://no-color.org: present and not empty.
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { all, running: BTreeMap::new(), colour }
    }

    /// Moves them.
    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::Begin { phase, total, unit } => {
                if let Some((bar, depth)) = self.running.get_mut(phase) {
                    bar.inc_length(*total);
                    *depth += 1;
                    return;
                }
                let bar = if *total == 0 { ProgressBar::new_spinner() } else { ProgressBar::new(*total) };
                let bar = self.all.add(bar.with_style(style(*total, *unit, self.colour)).with_prefix(phase.clone()));
                bar.enable_steady_tick(TICK);
                self.running.insert(phase.clone(), (bar, 1));
            }
            Event::Advance { phase, by, item } => {
                if let Some((bar, _)) = self.running.get(phase) {
                    bar.inc(*by);
                    if let Some(item) = item {
                        bar.set_message(item.clone());
                    }
                }
            }
            Event::End { phase } => {
                if let Some((bar, depth)) = self.running.get_mut(phase) {
                    *depth -= 1;
                    if *depth == 0 {
                        bar.finish_and_clear();
                        self.running.remove(phase);
                    }
                }
            }
            Event::Note { .. } | Event::Warning { .. } | Event::Log { .. } => {}
        }
    }

    /// Writes something above them.
    pub(super) fn suspend(&self, write: impl FnOnce()) {
        self.all.suspend(write);
    }

    /// Takes all away.
    pub(super) fn clear(&self) {
        for (bar, _) in self.running.values() {
            bar.finish_and_clear();
        }
        // A terminal that is gone needs no clearing.
        let _ = self.all.clear();
    }
}

fn style(total: u64, unit: Unit, colour: bool) -> ProgressStyle {
    let count = match (unit, total) {
        (Unit::Bytes, 0) => "{binary_bytes}",
        (Unit::Bytes, _) => "{binary_bytes}/{binary_total_bytes}",
        (Unit::Packages | Unit::Items, 0) => "{human_pos}",
        (Unit::Packages | Unit::Items, _) => "{human_pos}/{human_len}",
    };
    let bar = match (total, colour) {
        (0, _) => "{spinner}",
        (_, true) => "{bar:24.cyan/blue}",
        (_, false) => "{bar:24}",
    };
    let template = format!("{{prefix:>12}}  {bar}  {count}  {{elapsed}}  {{wide_msg}}");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ").tick_chars("-\\|/ ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_understood() {
        for total in [0, 1] {
            for unit in [Unit::Bytes, Unit::Packages, Unit::Items] {
                for colour in [true, false] {
                    let bar = ProgressBar::hidden().with_style(style(total, unit, colour));
                    bar.tick();
                }
            }
        }
    }
}
