//! A comparison for people: plain text, good without colour.

use super::{Comparison, Difference};
use std::fmt;

/// Differences of files that are shown; scripts get all.
const SHOWN: usize = 60;
/// Longest value that is shown.
const WIDTH: usize = 64;

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "- {}", self.a.display())?;
        writeln!(f, "+ {}", self.b.display())?;
        if self.same {
            return writeln!(f, "no difference");
        }
        let mut place: &[String] = &[];
        for difference in self.differences.iter().take(SHOWN) {
            for (depth, part) in difference.place.iter().enumerate() {
                if place.get(..=depth) != difference.place.get(..=depth) {
                    writeln!(f, "{:indent$}{}", "", plain(part), indent = depth * 2)?;
                }
            }
            place = &difference.place;
            one(f, difference)?;
        }
        let more = self.more + self.differences.len().saturating_sub(SHOWN);
        if more > 0 {
            writeln!(f, "and {more} more (--json lists them)")?;
        }
        if !self.causes.is_empty() {
            writeln!(f, "likely causes")?;
        }
        self.causes.iter().try_for_each(|cause| writeln!(f, "  {}", plain(cause)))
    }
}

fn one(f: &mut fmt::Formatter<'_>, difference: &Difference) -> fmt::Result {
    let indent = difference.place.len() * 2;
    write!(f, "{:indent$}", "")?;
    if let Some(file) = &difference.file {
        write!(f, "{}  ", plain(file))?;
    }
    let value = |text: &str| if text.is_empty() { "(nothing)".to_owned() } else { shortened(&plain(text)) };
    match (&difference.a, &difference.b) {
        (a, b) if a == b => writeln!(f, "{}", plain(&difference.what))?,
        (a, b) => writeln!(f, "{}: {} | {}", plain(&difference.what), value(a), value(b))?,
    }
    difference.lines.iter().try_for_each(|line| writeln!(f, "{:indent$}    {}", "", plain(line)))
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= WIDTH {
        return text.to_owned();
    }
    text.chars().take(WIDTH - 3).chain("...".chars()).collect()
}

/// A text of an image for the terminal, which obeys control characters.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
