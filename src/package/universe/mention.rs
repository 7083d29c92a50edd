//! In which order names first appear in the indices.
//!
//! apt numbers packages as it meets their names, in whatever field, and takes the highest number when nothing else
//! tells two providers apart. People rely on the outcome without knowing the rule, so it is kept.

use super::{Entry, Universe};
use std::collections::HashMap;

impl<'a> Universe<'a> {
    /// The number of a package's name: the later it is first mentioned, the higher.
    #[must_use]
    pub fn mention(&self, name: &str) -> u32 {
        let mentions = self.mentions.get_or_init(|| {
            let mut mentions = HashMap::new();
            let mut count = 0_u32;
            for entry in &self.entries {
                for name in names(entry) {
                    count = count.saturating_add(1);
                    mentions.entry(name).or_insert(count);
                }
            }
            mentions
        });
        mentions.get(name).copied().unwrap_or(0)
    }
}

/// All names of an entry in apt's order of reading.
fn names<'a>(entry: &Entry<'a>) -> impl Iterator<Item = &'a str> + use<'a> {
    let fields = [
        entry.pre_depends,
        entry.depends,
        entry.conflicts,
        entry.breaks,
        entry.recommends,
        entry.suggests,
        entry.replaces,
        entry.enhances,
        entry.provides,
    ];
    let parts = fields.into_iter().flat_map(|field| field.split([',', '|']));
    // `name:any` is a package of its own in apt's eyes.
    let named = parts.filter_map(|part| {
        let part = part.trim_start();
        let end = part.find([' ', '(', ':', '\n', '\t']).unwrap_or(part.len());
        (end > 0 && !part[end..].starts_with(":any")).then_some(&part[..end])
    });
    std::iter::once(entry.name).chain(named)
}
