//! Reads groups and users.

use super::check;
use super::content::{UserEntry, key_checked};
use super::decode::{Fields, Located, Refusal, Report};
use super::yaml::Node;
use std::collections::BTreeMap;

/// Ids that documents may give: those below 100 belong to Debian's base-passwd, 65534 and 65535 to nobody.
const IDS: (i64, i64) = (100, 65_533);

pub(crate) fn groups(report: &Report, node: &Node) -> BTreeMap<String, Located<u32>> {
    let mut found = BTreeMap::new();
    for (key, node) in report.map(node) {
        let name = key_checked(report, key, check::account);
        let gid = report.integer(node, IDS.0, IDS.1);
        if let (Some(name), Some(gid)) = (name, gid) {
            found.insert(name.value, Located::new(key.place, u32::try_from(gid.value).unwrap_or_default()));
        }
    }
    found
}

pub(crate) fn users(report: &Report, node: &Node) -> BTreeMap<String, Located<UserEntry>> {
    let mut found = BTreeMap::new();
    for (key, node) in report.map(node) {
        let name = key_checked(report, key, check::account);
        let Some(mut fields) = Fields::open(report, node, "a user") else { continue };
        let uid = fields.require("uid").and_then(|node| report.integer(node, IDS.0, IDS.1));
        let group = fields.get("group").and_then(|node| report.checked(node, check::account));
        let groups = fields.get("groups").map(|node| report.texts(node, "group", check::account)).unwrap_or_default();
        let home = fields.get("home").and_then(|node| report.checked(node, check::path));
        let shell = fields.get("shell").and_then(|node| report.checked(node, check::path));
        let comment = fields.get("comment").and_then(|node| report.checked(node, passwd_text));
        fields.close();
        if let (Some(name), Some(uid)) = (name, uid) {
            let user = UserEntry {
                uid: u32::try_from(uid.value).unwrap_or_default(),
                group: group.map_or_else(|| name.value.clone(), |group| group.value),
                groups: groups.into_iter().map(|group| group.value).collect(),
                home: home.map_or_else(|| "/nonexistent".to_owned(), |home| home.value),
                shell: shell.map_or_else(|| "/usr/sbin/nologin".to_owned(), |shell| shell.value),
                comment: comment.map(|comment| comment.value).unwrap_or_default(),
            };
            found.insert(name.value, Located::new(key.place, user));
        }
    }
    found
}

fn passwd_text(text: &str) -> Result<String, Refusal> {
    let text = check::line(text)?;
    if text.contains(':') {
        let refusal = Refusal::new("the text has a `:`, which separates the fields of /etc/passwd");
        return Err(refusal.hint("leave it out"));
    }
    Ok(text)
}
