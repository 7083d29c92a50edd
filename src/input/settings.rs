//! Reads files of the document and settings: sysctls, units, the build script.

use super::check;
use super::content::{BuildEntry, Content, FileEntry, FileKind, key_checked};
use super::decode::{Fields, Located, Refusal, Report};
use super::problem::Fault;
use super::yaml::{Key, Node};
use std::collections::BTreeMap;

pub(super) fn file(report: &Report, key: &Key, node: &Node) -> Option<FileEntry> {
    let path = key_checked(report, key, check::overlay_path);
    let mut fields = Fields::open(report, node, "a file")?;
    let text = fields.get("content").and_then(|node| report.text(node));
    let template = fields.get("template").and_then(|node| report.boolean(node)).unwrap_or(false);
    let link = fields.get("link").and_then(|node| report.checked(node, check::word));
    let mut flag = |key: &'static str| fields.get(key).and_then(|node| report.boolean(node)).unwrap_or(false);
    let (folder, absent) = (flag("folder"), flag("absent"));
    let mode = fields.get("mode").and_then(|node| report.mode(node));
    let owner = fields.get("owner").and_then(|node| report.checked(node, check::owner)).map(|owner| owner.value);
    let group = fields.get("group").and_then(|node| report.checked(node, check::owner)).map(|group| group.value);
    let kinds: Vec<&str> = ["content", "link", "folder", "absent"].into_iter().filter(|key| fields.has(key)).collect();
    if kinds.len() > 1 {
        let message = format!("`{}` and `{}` exclude each other", kinds[0], kinds[1]);
        report.add(Fault::new(fields.key_place(kinds[1]), message).hint("a path is one thing: keep one of the two"));
    }
    if fields.has("template") && !fields.has("content") {
        let fault = Fault::new(fields.key_place("template"), "`template` has no effect without `content`");
        report.add(fault.hint("templates of the tree/ folder end in `.j2`"));
    }
    if (fields.has("link") || fields.has("absent")) && fields.has("mode") {
        let fault = Fault::new(fields.key_place("mode"), "`mode` has no effect on a link or on something absent");
        report.add(fault.hint("leave `mode` out"));
    }
    let wanted = fields.has("content") || fields.has("link");
    fields.close();
    let kind = match (text, link) {
        (Some(text), _) => FileKind::Content { text, template },
        (None, Some(link)) => FileKind::Link(link.value),
        (None, None) if wanted => return None,
        (None, None) if folder => FileKind::Folder,
        (None, None) if absent => FileKind::Absent,
        (None, None) => FileKind::Attributes,
    };
    Some(FileEntry { path: path?, kind, mode, owner, group })
}

pub(super) fn sysctls(report: &Report, node: &Node) -> BTreeMap<String, Located<String>> {
    let mut found = BTreeMap::new();
    for (key, node) in report.map(node) {
        let name = key_checked(report, key, check::sysctl);
        let value = report.checked(node, check::line);
        if let (Some(name), Some(value)) = (name, value) {
            found.insert(name.value, Located::new(key.place, value.value));
        }
    }
    found
}

pub(super) fn units(report: &Report, node: &Node, out: &mut Content) {
    let Some(mut fields) = Fields::open(report, node, "units") else { return };
    let mut list = |key: &'static str| -> Vec<Located<String>> {
        fields.get(key).map(|node| report.texts(node, "unit", check::unit)).unwrap_or_default()
    };
    out.enable = list("enable");
    out.disable = list("disable");
    out.mask = list("mask");
    fields.close();
    let states = [("enabled", &out.enable), ("disabled", &out.disable), ("masked", &out.mask)];
    for (at, (state, units)) in states.iter().enumerate() {
        for unit in *units {
            let earlier = states[..at].iter().find(|(_, others)| others.iter().any(|other| other.value == unit.value));
            if let Some((other, _)) = earlier {
                let fault = Fault::new(unit.place, format!("the unit `{}` is both {other} and {state}", unit.value));
                report.add(fault.hint("keep it in one list"));
            }
        }
    }
}

pub(super) fn build(report: &Report, node: &Node) -> Option<BuildEntry> {
    let mut fields = Fields::open(report, node, "a build script")?;
    let (script, file) = (fields.get("script"), fields.get("file"));
    let entry = match (script, file) {
        (Some(node), None) => report
            .checked(node, |text| shebang(text.as_bytes()).map(|()| text.to_owned()))
            .map(|text| BuildEntry { script: Some(text.value.into_bytes()), file: None }),
        (None, Some(node)) => {
            report.checked(node, check::relative_path).map(|path| BuildEntry { script: None, file: Some(path) })
        }
        _ => {
            let fault =
                Fault::new(node.place, "a build script is given by `script` (its text) or by `file` (its path)");
            report.add(fault.hint("keep one of the two"));
            None
        }
    };
    fields.close();
    entry
}

/// A script says which interpreter runs it.
pub(crate) fn shebang(script: &[u8]) -> Result<(), Refusal> {
    if script.starts_with(b"#!/") {
        return Ok(());
    }
    Err(Refusal::new("the build script does not begin with `#!` and its interpreter")
        .hint("begin with a line such as `#!/bin/sh -e`; it runs in the image's root, without network"))
}
