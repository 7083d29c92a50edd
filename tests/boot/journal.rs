//! Which messages of priority `err` are known, each with its reason.

/// A line is `BEGINNING <- REASON`; `\\t` stands for a tab.
pub(crate) const EXPLAINED: &str = include_str!("journal-explained.txt");

/// Lines of the journal (`short-monotonic`, without host name) that no known reason explains: behind its time, a message
/// must begin with a known text. Further lines of a message are indented, and go with its first.
pub(crate) fn unexplained<'a>(journal: &'a str, explained: &str) -> Vec<&'a str> {
    let known: Vec<String> = explained
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| line.split_once(" <- ").map(|(text, _)| text.replace("\\t", "\t")))
        .collect();
    let mut left = Vec::new();
    let mut excused = false;
    for line in journal.lines() {
        if line.is_empty() || line.starts_with("-- ") {
            continue;
        }
        if !line.starts_with([' ', '\t']) {
            let message = line.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map_or(line, |(_, text)| text);
            excused = known.iter().any(|text| message.starts_with(text));
        }
        if !excused {
            left.push(line);
        }
    }
    left
}
