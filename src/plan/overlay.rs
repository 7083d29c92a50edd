//! Files laid over the root: a document's tree and its `files`, templates rendered.

use super::template::{Context, render};
use super::{Blob, OverlayFile, OverlayKind};
use crate::input::{Content, Fault, FileKind, Place, TreeKind};
use std::collections::BTreeMap;

/// A file with the usual owner and mode.
pub(super) fn plain(path: &str, text: String) -> OverlayFile {
    let kind = OverlayKind::File(Blob::Text(text));
    OverlayFile { path: path.to_owned(), kind, mode: 0o644, owner: "root".to_owned(), group: "root".to_owned() }
}

/// Tree and `files` of one document, sorted by path; `files` wins over the tree.
pub(super) fn overlay(content: &Content, context: &Context<'_>, faults: &mut Vec<Fault>) -> Vec<(Place, OverlayFile)> {
    let mut found: BTreeMap<String, (Place, OverlayFile)> = BTreeMap::new();
    for entry in &content.tree {
        let (kind, executable) = match &entry.kind {
            TreeKind::Link(target) => (OverlayKind::Link(target.clone()), true),
            TreeKind::File { content, executable } => (OverlayKind::File(Blob::new(content.clone())), *executable),
            TreeKind::Template { text, executable } => match render(text, context, entry.place, false) {
                Ok(text) => (OverlayKind::File(Blob::Text(text)), *executable),
                Err(fault) => {
                    faults.push(fault);
                    continue;
                }
            },
        };
        let mode = match (&kind, executable) {
            (OverlayKind::Link(_), _) => 0o777,
            (_, true) => 0o755,
            (_, false) => 0o644,
        };
        let file = OverlayFile { kind, mode, ..plain(&entry.path, String::new()) };
        found.insert(entry.path.clone(), (entry.place, file));
    }
    for entry in &content.files {
        let path = &entry.path.value;
        let (kind, mode) = match &entry.kind {
            FileKind::Content { text, template } => {
                let text = if *template {
                    match render(&text.value, context, text.place, true) {
                        Ok(text) => text,
                        Err(fault) => {
                            faults.push(fault);
                            continue;
                        }
                    }
                } else {
                    text.value.clone()
                };
                (OverlayKind::File(Blob::Text(text)), 0o644)
            }
            FileKind::Link(target) => (OverlayKind::Link(target.clone()), 0o777),
            FileKind::Folder => (OverlayKind::Folder, 0o755),
            FileKind::Absent => (OverlayKind::Absent, 0),
            FileKind::Attributes => match found.get(path) {
                Some((_, file)) => (file.kind.clone(), file.mode),
                None => {
                    let message = format!("{path} has neither `content`, `link`, `folder` nor `absent`");
                    let fault = Fault::new(entry.path.place, message);
                    faults.push(fault.hint(format!("say what it is, or put the file into the folder as tree{path}")));
                    continue;
                }
            },
        };
        let owner = |given: &Option<String>| given.clone().unwrap_or_else(|| "root".to_owned());
        let file = OverlayFile {
            path: path.clone(),
            kind,
            mode: entry.mode.unwrap_or(mode),
            owner: owner(&entry.owner),
            group: owner(&entry.group),
        };
        found.insert(path.clone(), (entry.path.place, file));
    }
    found.into_values().collect()
}

/// What lies below a file or a link cannot be laid over.
pub(super) fn nested(found: &BTreeMap<String, (Place, String, OverlayFile)>, faults: &mut Vec<Fault>) {
    for (path, (place, ..)) in found {
        let mut above = path.as_str();
        while let Some((parent, _)) = above.rsplit_once('/') {
            above = parent;
            if found.get(parent).is_some_and(|(_, _, file)| file.kind != OverlayKind::Folder) {
                let fault = Fault::new(*place, format!("{path} lies below {parent}, which is no folder here"));
                faults.push(fault.hint(format!("leave out one of the two, or make {parent} a folder")));
            }
        }
    }
}
