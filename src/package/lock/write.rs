//! The lock as text: deterministic, one thing per line.

use super::FORMAT_VERSION;
use super::values::{Lock, Section, Set};
use serde::Serialize;

impl Lock {
    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{{\n  \"version\": {FORMAT_VERSION},\n  \"sections\": {{");
        let sections = self.sections.iter().map(|(name, section)| format!("{}: {}", json(name), written(section)));
        text.push_str(&block(sections, 4));
        text.push_str("}\n}\n");
        text
    }
}

fn written(section: &Section) -> String {
    let releases = block(section.releases.iter().map(json), 8);
    let packages = block(section.packages.iter().map(json), 8);
    let sets = block(section.sets.iter().map(|(name, set)| format!("{}: {}", json(name), written_set(set))), 8);
    format!(
        "{{\n      \"epoch\": {},\n      \"releases\": [{releases}],\n      \"packages\": [{packages}],\n      \"sets\": {{{sets}}}\n    }}",
        section.epoch.0
    )
}

fn written_set(set: &Set) -> String {
    let requests = block(set.requests.iter().map(json), 12);
    let packages = block(set.packages.iter().map(|(key, reason)| format!("{}: {}", json(key), json(reason))), 12);
    format!(
        "{{\n          \"requests\": [{requests}],\n          \"context\": {},\n          \"packages\": {{{packages}}}\n        }}",
        json(&set.context)
    )
}

/// Items on lines of their own, indented; nothing when there are none.
fn block(items: impl Iterator<Item = String>, indent: usize) -> String {
    let lines: Vec<String> = items.map(|item| format!("\n{:indent$}{item}", "")).collect();
    if lines.is_empty() {
        return String::new();
    }
    format!("{}\n{:outer$}", lines.join(","), "", outer = indent - 2)
}

fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("texts and numbers always serialise")
}
