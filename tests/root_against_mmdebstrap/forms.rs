//! What a file says beyond the order in which it says it, where order has no meaning for whoever reads the file.

use std::collections::BTreeMap;

/// How two files of this path differ, each difference with a word for it; nothing when they mean the same.
pub(crate) fn differences(path: &str, ours: &[u8], theirs: &[u8]) -> Vec<(String, String)> {
    let (one, other) = (String::from_utf8_lossy(ours), String::from_utf8_lossy(theirs));
    match path {
        // passwd(5), group(5): a line an account, the third field its number. Numbers are a difference of their own.
        "etc/passwd" | "etc/group" => {
            let mut found = keyed("account", &accounts(&one, true), &accounts(&other, true));
            found.extend(keyed("number", &numbers(&one), &numbers(&other)));
            found
        }
        "etc/shadow" | "etc/gshadow" | "etc/subuid" | "etc/subgid" => {
            keyed("account", &accounts(&one, false), &accounts(&other, false))
        }
        // dpkg reads it into a table: a stanza a package, the fields in dpkg's own order.
        "var/lib/dpkg/status" => keyed("status", &stanzas(&one), &stanzas(&other)),
        // Three lines a diversion, in any order.
        "var/lib/dpkg/diversions" => keyed("diversion", &triplets(&one), &triplets(&other)),
        // A line an override; a line an interest in a trigger.
        "var/lib/dpkg/statoverride" | "var/lib/dpkg/triggers/File" | "var/lib/dpkg/triggers/Unincorp" => {
            let lines = |text: &str| text.lines().map(|line| (line.to_owned(), line.to_owned())).collect();
            keyed("line", &lines(&one), &lines(&other))
        }
        _ => {
            let (ours, theirs) = (one.lines(), other.lines());
            let at = ours.zip(theirs).position(|(one, other)| one != other);
            let at = at.unwrap_or_else(|| one.lines().count().min(other.lines().count()));
            let line = |text: &str| text.lines().nth(at).unwrap_or("(end)").chars().take(100).collect::<String>();
            vec![("content".to_owned(), format!("line {}: {:?} here, {:?} there", at + 1, line(&one), line(&other)))]
        }
    }
}

fn keyed(word: &str, ours: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for key in ours.keys().chain(theirs.keys().filter(|key| !ours.contains_key(*key))) {
        let (one, other) = (ours.get(key), theirs.get(key));
        if one != other {
            found.push((format!("{word} {key}"), format!("{one:?} here, {other:?} there")));
        }
    }
    found
}

/// Accounts by name; without the numbers in the third field and, of users, the fourth: see [`numbers`].
fn accounts(text: &str, without_numbers: bool) -> BTreeMap<String, String> {
    let named = |line: &str| {
        let mut fields: Vec<&str> = line.split(':').collect();
        let name = fields[0].to_owned();
        if without_numbers && fields.len() > 3 {
            fields[2] = "";
            if fields.len() == 7 {
                fields[3] = "";
            }
        }
        (name, fields.join(":"))
    };
    text.lines().map(named).collect()
}

/// An account's number, and a user's primary group.
fn numbers(text: &str) -> BTreeMap<String, String> {
    let number = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let end = if fields.len() == 7 { 4 } else { 3 };
        Some((fields[0].to_owned(), fields.get(2..end)?.join(":")))
    };
    text.lines().filter_map(number).collect()
}

fn stanzas(text: &str) -> BTreeMap<String, String> {
    let named = |stanza: &str| {
        let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").to_owned();
        (format!("{}:{}", field("Package: "), field("Architecture: ")), stanza.trim_end().to_owned())
    };
    text.split("\n\n").filter(|stanza| !stanza.trim().is_empty()).map(named).collect()
}

fn triplets(text: &str) -> BTreeMap<String, String> {
    let lines: Vec<&str> = text.lines().collect();
    lines.chunks(3).map(|lines| (lines[0].to_owned(), lines.join(" "))).collect()
}
