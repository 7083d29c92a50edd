//! The list of the differences that are meant to be: `PATTERN <- WHY`, one by one, below what has them: `[haproxy]` a role,
//! `[debian-bookworm]` a recipe, `[debian-bookworm haproxy]` one role of one recipe; `[base]` is for all. A pattern is
//! `WHAT PATH`, where `*` stands for anything but a slash and `**` for anything.

use crate::compare::Difference;
use std::collections::BTreeSet;

/// The list.
pub(crate) const LIST: &str = include_str!("explained.txt");

/// What is wrong: unexplained differences, and explanations that explain nothing (of those for this recipe and role).
pub(crate) fn unexplained(list: &str, of: &[&str], differences: &[Difference]) -> Vec<String> {
    let mut section = "base";
    let mut patterns = Vec::new();
    let mut wrong = Vec::new();
    for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        } else if let Some((pattern, why)) = line.split_once(" <- ").filter(|(_, why)| !why.trim().is_empty()) {
            let _ = why;
            if section.split(' ').all(|word| word == "base" || of.contains(&word)) {
                patterns.push(pattern.trim());
            }
        } else {
            wrong.push(format!("the list says no reason: {line}"));
        }
    }
    let mut used = BTreeSet::new();
    for difference in differences {
        let matching: Vec<&str> =
            patterns.iter().copied().filter(|pattern| matches(pattern, &difference.subject)).collect();
        if matching.is_empty() {
            wrong.push(format!("unexplained: {}: {}", difference.subject, difference.detail));
        }
        used.extend(matching);
    }
    wrong.extend(
        patterns
            .iter()
            .filter(|pattern| !used.contains(*pattern))
            .map(|pattern| format!("explains nothing: {pattern}")),
    );
    wrong
}

fn matches(pattern: &str, text: &str) -> bool {
    if let Some(rest) = pattern.strip_prefix("**") {
        return (0..=text.len()).any(|at| text.is_char_boundary(at) && matches(rest, &text[at..]));
    }
    if let Some(rest) = pattern.strip_prefix('*') {
        let end = text.find('/').unwrap_or(text.len());
        return (0..=end).any(|at| text.is_char_boundary(at) && matches(rest, &text[at..]));
    }
    match (pattern.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some(one), Some(other)) if one == other => matches(&pattern[one.len_utf8()..], &text[other.len_utf8()..]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(subject: &str) -> Difference {
        Difference { subject: subject.to_owned(), detail: "1 here, 2 there".to_owned() }
    }

    #[test]
    fn differences_need_a_reason_and_reasons_a_difference() {
        let list = "[base]\ncontent etc/* <- ours\nonly-ours usr/lib/x/** <- ours\n[haproxy]\nmode etc/y <- ours\n\
                    [old haproxy]\nmode etc/z <- ours\n";
        let found = [difference("content etc/a"), difference("content etc/a/b"), difference("only-ours usr/lib/x/a/b")];
        assert_eq!(unexplained(list, &["new", "base"], &found), ["unexplained: content etc/a/b: 1 here, 2 there"]);
        let nothing = |of: &[&str]| unexplained(list, of, &found[..1]);
        let both = ["explains nothing: only-ours usr/lib/x/**", "explains nothing: mode etc/y"];
        assert_eq!(nothing(&["new", "haproxy"]), both);
        assert_eq!(nothing(&["old", "base"]), both[..1]);
        assert_eq!(nothing(&["old", "haproxy"]), [&both[..], &["explains nothing: mode etc/z"]].concat());
        assert_eq!(unexplained("content a\n", &["new", "base"], &[]), ["the list says no reason: content a"]);
    }
}
