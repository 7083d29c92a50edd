//! Finds a document by name and lays it over what it extends, and its drop-ins over it.

use super::check;
use super::extend::extend;
use super::load::{Kind, Loader};
use super::problem::{Fault, Problem, Problems};
use super::recipe::extends;
use super::sources::{Found, Origin, Sources, display_name};
use super::suggest::nearest;
use super::yaml::{Node, Value};
use crate::base::limits::{DOCUMENT_BYTES, DOCUMENT_CHAIN};
use std::collections::BTreeMap;

/// A document of a chain, and where the files beside it lie.
pub(super) struct Level {
    pub(super) origin: Origin,
    pub(super) folder: String,
    node: Node,
}

impl Loader<'_> {
    /// A document with all that it extends and its drop-ins, laid over one another; bottom level first.
    pub(super) fn chain(&mut self, kind: Kind, name: &str) -> Option<(Node, Vec<Level>)> {
        let mut origin = self.find(kind, name)?;
        let (mut name, mut levels, mut seen) = (name.to_owned(), Vec::new(), Vec::new());
        loop {
            seen.push((origin, name.clone()));
            let node = self.document(kind, origin, &name)?;
            let next = self.extended(kind, &node, &name, &seen);
            let node = self.drop_ins(kind, origin, &name, node);
            levels.push(Level { origin, folder: kind.folder(&name), node });
            match next {
                Ok(Some(next)) => (origin, name) = next,
                Ok(None) => break,
                Err(fault) => {
                    self.report.add(fault);
                    return None;
                }
            }
        }
        levels.reverse();
        let merged =
            levels.iter().map(|level| level.node.clone()).reduce(|base, over| extend(&self.report, base, over));
        merged.map(|node| (node, levels))
    }

    pub(super) fn names(&mut self, kind: Kind) -> BTreeMap<String, Origin> {
        let names = match kind {
            Kind::Recipe => self.sources.recipes(),
            Kind::Role => self.sources.roles(),
            Kind::Cluster => self.sources.clusters(),
        };
        names.unwrap_or_else(|problems| {
            self.others.merge(problems);
            BTreeMap::new()
        })
    }

    pub(super) fn find(&mut self, kind: Kind, name: &str) -> Option<Origin> {
        let names = self.names(kind);
        if let Some(origin) = names.get(name) {
            if check::name(name).is_ok() {
                return Some(*origin);
            }
            let hint = "begin it with a lower-case letter or digit and go on with letters, digits, `-`, `_` or `.`";
            self.command_line(format!("`{name}` is no name of a {}", kind.noun()), None, hint.to_owned());
            return None;
        }
        let meant = nearest(name, names.keys().map(String::as_str)).map(str::to_owned);
        let known: Vec<&str> = names.keys().map(String::as_str).collect();
        let remedy = format!("known here: {}; a new one goes into {}", known.join(", "), kind.document("NAME"));
        self.command_line(format!("there is no {} `{name}`", kind.noun()), meant, remedy);
        None
    }

    fn extended(
        &mut self,
        kind: Kind,
        node: &Node,
        name: &str,
        seen: &[(Origin, String)],
    ) -> Result<Option<(Origin, String)>, Fault> {
        let Value::Map(entries) = &node.value else { return Ok(None) };
        let Some((_, node)) = entries.iter().find(|(key, _)| key.text == "extends") else { return Ok(None) };
        let Some(base) = self.report.checked(node, extends) else { return Ok(None) };
        let (builtin, wanted) = base.value;
        let names = if builtin { Sources::builtin() } else { self.sources.clone() };
        let names = match kind {
            Kind::Recipe => names.recipes(),
            Kind::Role => names.roles(),
            Kind::Cluster => names.clusters(),
        };
        let names = names.unwrap_or_default();
        let Some(origin) = names.get(&wanted).copied() else {
            let meant = nearest(&wanted, names.keys().map(String::as_str));
            let meant = meant.map(|word| if builtin { format!("builtin/{word}") } else { word.to_owned() });
            let which = if builtin { "built-in " } else { "" };
            let known: Vec<&str> = names.keys().map(String::as_str).filter(|known| *known != name).collect();
            let fault = Fault::new(base.place, format!("there is no {which}{} `{wanted}`", kind.noun())).suggest(meant);
            return Err(fault.hint(format!("known here: {}", known.join(", "))));
        };
        let next = (origin, wanted);
        if seen.contains(&next) {
            let fault = Fault::new(base.place, format!("the {} `{name}` ends up extending itself", kind.noun()));
            let embedded = self.sources.read(Origin::Builtin, &kind.document(name), DOCUMENT_BYTES);
            return Err(if !builtin && next.1 == name && matches!(embedded, Ok(Some(_))) {
                fault.suggest(Some(format!("builtin/{name}")))
            } else {
                fault.hint("a chain of `extends` must end at one that extends nothing")
            });
        }
        if seen.len() >= DOCUMENT_CHAIN {
            let fault = Fault::new(base.place, format!("more than {DOCUMENT_CHAIN} documents extend one another"));
            return Err(fault.hint("let it extend one further down"));
        }
        Ok(Some(next))
    }

    /// Lays the drop-ins of a role over its document, in order of name.
    fn drop_ins(&mut self, kind: Kind, origin: Origin, name: &str, mut node: Node) -> Node {
        if kind != Kind::Role {
            return node;
        }
        let folder = format!("{}/role.d", kind.folder(name));
        match self.sources.tree(origin, &folder, DOCUMENT_BYTES) {
            Err(problems) => self.others.merge(problems),
            Ok(files) => {
                for (file, found) in files {
                    let shown = format!("{folder}/{file}");
                    match found {
                        Found::File { content, .. } if file.ends_with(".yaml") => {
                            if let Some(over) = self.parse(origin, &shown, &kind.folder(name), content) {
                                node = extend(&self.report, node, over);
                            }
                        }
                        _ => {
                            let message = "only files that end in `.yaml` belong into role.d".to_owned();
                            let remedy = Some("rename it, or move it elsewhere".to_owned());
                            let problem = Problem::whole(&display_name(origin, &shown), message, None, remedy);
                            self.others.merge(Problems { problems: vec![problem] });
                        }
                    }
                }
            }
        }
        node
    }
}
