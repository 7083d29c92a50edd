//! Two roots, path by path: every difference is one line, `WHAT PATH`, with what either side has.

use crate::dump::{Dump, Entry, Kind};
use crate::forms;
use std::collections::{BTreeMap, BTreeSet};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Difference {
    /// `mode etc/shadow`: what the list of the explained ones speaks of.
    pub(crate) subject: String,
    /// What either side has.
    pub(crate) detail: String,
}

/// Everything in which ours is not theirs, sorted.
pub(crate) fn differences(ours: &Dump, theirs: &Dump) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut note = |what: &str, path: &str, detail: String| {
        found.push(Difference { subject: format!("{what} {path}"), detail });
    };
    let names = [Names::of(ours), Names::of(theirs)];
    let paths: BTreeSet<&String> = ours.0.keys().chain(theirs.0.keys()).collect();
    for path in paths {
        match (ours.0.get(path), theirs.0.get(path)) {
            (Some(one), Some(other)) => entry(path, one, other, &names, &mut note),
            (Some(one), None) => note("only-ours", path, one.kind.word().to_owned()),
            (None, Some(other)) => note("only-theirs", path, other.kind.word().to_owned()),
            (None, None) => {}
        }
    }
    found.sort();
    found
}

fn entry(path: &str, one: &Entry, other: &Entry, names: &[Names; 2], note: &mut dyn FnMut(&str, &str, String)) {
    if one.mode != other.mode {
        note("mode", path, format!("{:04o} here, {:04o} there", one.mode, other.mode));
    }
    // Accounts are compared by name: that a name has another number is a difference of its own, in /etc/passwd.
    let owners = [names[0].user(one.uid), names[1].user(other.uid)];
    if owners[0] != owners[1] {
        note("owner", path, format!("{} here, {} there", owners[0], owners[1]));
    }
    let groups = [names[0].group(one.gid), names[1].group(other.gid)];
    if groups[0] != groups[1] {
        note("group", path, format!("{} here, {} there", groups[0], groups[1]));
    }
    if one.attributes != other.attributes {
        note("attributes", path, format!("{:?} here, {:?} there", one.attributes, other.attributes));
    }
    match (&one.kind, &other.kind) {
        (one, other) if one == other => {}
        (Kind::File { bytes: Some(one), .. }, Kind::File { bytes: Some(other), .. }) => {
            let (one, other) = (named(path, one, &names[0]), named(path, other, &names[1]));
            for (subject, detail) in forms::differences(path, &one, &other) {
                note(&subject, path, detail);
            }
        }
        (Kind::File { digest: one, .. }, Kind::File { digest: other, .. }) => {
            note("content", path, format!("{one} here, {other} there"));
        }
        (Kind::Link(one), Kind::Link(other)) => note("target", path, format!("{one} here, {other} there")),
        (Kind::HardLink(one), Kind::HardLink(other)) => note("names", path, format!("{one} here, {other} there")),
        (Kind::Character(..), Kind::Character(..)) | (Kind::Block(..), Kind::Block(..)) => {
            note("device", path, format!("{:?} here, {:?} there", one.kind, other.kind));
        }
        (one, other) => note("kind", path, format!("{} here, {} there", one.word(), other.word())),
    }
}

/// In passwd(5), says the name of a user's group beside the comment, as its number may be another.
fn named(path: &str, bytes: &[u8], names: &Names) -> Vec<u8> {
    if path != "etc/passwd" {
        return bytes.to_vec();
    }
    let line = |line: &str| {
        let mut fields: Vec<String> = line.split(':').map(str::to_owned).collect();
        if let (7, Some(Ok(group))) = (fields.len(), fields.get(3).map(|group| group.parse())) {
            let group = names.group(group);
            fields[4].push_str(&format!(" of group {group}"));
        }
        fields.join(":") + "\n"
    };
    String::from_utf8_lossy(bytes).lines().map(line).collect::<String>().into_bytes()
}

/// Names of the accounts of one root.
struct Names {
    users: BTreeMap<u64, String>,
    groups: BTreeMap<u64, String>,
}

impl Names {
    fn of(dump: &Dump) -> Self {
        let read = |path: &str| {
            let text = dump.text(path);
            let lines = text.lines().filter_map(|line| {
                let fields: Vec<&str> = line.split(':').collect();
                Some((fields.get(2)?.parse().ok()?, fields[0].to_owned()))
            });
            lines.collect()
        };
        Self { users: read("etc/passwd"), groups: read("etc/group") }
    }

    fn user(&self, id: u64) -> String {
        self.users.get(&id).cloned().unwrap_or_else(|| format!("#{id}"))
    }

    fn group(&self, id: u64) -> String {
        self.groups.get(&id).cloned().unwrap_or_else(|| format!("#{id}"))
    }
}
