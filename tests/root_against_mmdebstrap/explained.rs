//! The list of the differences that are meant to be: `PATTERN <- WHY`, one by one, below the name of the role that has
//! them; `[base]` is for all roles. A pattern is `WHAT PATH`, where `*` stands for anything but a slash and `**` for anything.

use crate::compare::Difference;
use std::collections::BTreeSet;

/// The list.
pub(crate) const LIST: &str = include_str!("explained.txt");

/// What is wrong: unexplained differences, and explanations that explain nothing (of those for this role).
pub(crate) fn unexplained(list: &str, role: &str, differences: &[Difference]) -> Vec<String> {
    let mut section = "base";
    let mut patterns = Vec::new();
    let mut wrong = Vec::new();
    for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        } else if let Some((pattern, why)) = line.split_once(" <- ").filter(|(_, why)| !why.trim().is_empty()) {
            let _ = why;
            if section == "base" || section == role {
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
        let list = "[base]\ncontent etc/* <- ours\nonly-ours usr/lib/x/** <- ours\n[haproxy]\nmode etc/y <- ours\n";
        let found = [difference("content etc/a"), difference("content etc/a/b"), difference("only-ours usr/lib/x/a/b")];
        assert_eq!(unexplained(list, "base", &found), ["unexplained: content etc/a/b: 1 here, 2 there"]);
        let found = unexplained(list, "haproxy", &found[..1]);
        assert_eq!(found, ["explains nothing: only-ours usr/lib/x/**", "explains nothing: mode etc/y"]);
        assert_eq!(unexplained("content a\n", "base", &[]), ["the list says no reason: content a"]);
    }
}
