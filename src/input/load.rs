//! From names to checked values: finds documents, extends them, reads what lies beside them.

use super::check;
use super::content::{Content, DebEntry, RepositoryEntry, TreeEntry, TreeKind, shebang};
use super::decode::{Located, Report};
use super::extend::extend;
use super::problem::{Documents, Fault, Place, Problem, Problems};
use super::recipe::{Recipe, extends, recipe};
use super::role::{Role, role};
use super::sources::{Found, Origin, Sources, display_name};
use super::suggest::nearest;
use super::yaml::{self, Node, Value};
use super::{Inputs, LocalFile};
use std::collections::BTreeMap;

/// Bytes of one file of a tree, of a build script, of a keyring.
const MAXIMUM_FILE: u64 = 4 << 20;
/// Bytes of all files of a tree together: they travel within the plan.
const MAXIMUM_TREE: usize = 16 << 20;
/// Documents that may extend one another.
const MAXIMUM_CHAIN: usize = 8;

/// What a document describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Recipe,
    Role,
}

impl Kind {
    fn noun(self) -> &'static str {
        match self {
            Self::Recipe => "recipe",
            Self::Role => "role",
        }
    }

    fn document(self, name: &str) -> String {
        match self {
            Self::Recipe => format!("recipes/{name}.yaml"),
            Self::Role => format!("roles/{name}/role.yaml"),
        }
    }

    fn folder(self, name: &str) -> String {
        match self {
            Self::Recipe => format!("recipes/{name}"),
            Self::Role => format!("roles/{name}"),
        }
    }
}

/// A document of a chain, and where the files beside it lie.
struct Level {
    origin: Origin,
    folder: String,
    node: Node,
}

/// Reads documents and gathers all that is wrong with them.
pub(super) struct Loader<'a> {
    sources: &'a Sources,
    documents: Documents,
    /// By number of the document: where files beside it lie.
    beside: Vec<(Origin, String)>,
    report: Report,
    others: Problems,
    debs: Vec<LocalFile>,
}

/// Loads a recipe and roles.
pub(super) fn load(sources: &Sources, recipe_name: &str, role_names: &[&str]) -> Result<Inputs, Problems> {
    let mut loader = Loader {
        sources,
        documents: Documents::default(),
        beside: Vec::new(),
        report: Report::default(),
        others: Problems::default(),
        debs: Vec::new(),
    };
    let names: Vec<&str> = role_names.iter().flat_map(|name| name.split('+')).collect();
    let recipe = loader.recipe(recipe_name);
    let mut roles = Vec::new();
    for (at, name) in names.iter().enumerate() {
        if names[..at].contains(name) {
            loader.command_line(format!("the role `{name}` is named twice"), None, "name it once".to_owned());
        } else {
            roles.extend(loader.role(name));
        }
    }
    if names.is_empty() {
        loader.command_line("no role is named".to_owned(), None, "the plain system is the role `base`".to_owned());
    }
    let Loader { documents, report, others, debs, .. } = loader;
    let mut problems = Problems::of(report.into_faults(), &documents);
    problems.merge(others);
    match recipe {
        Some(recipe) if problems.problems.is_empty() => Ok(Inputs { documents, recipe, roles, debs }),
        _ => Err(problems),
    }
}

impl Loader<'_> {
    fn command_line(&mut self, message: String, suggestion: Option<String>, remedy: String) {
        let problem = Problem::whole("command line", message, suggestion, Some(remedy));
        self.others.merge(Problems { problems: vec![problem] });
    }

    fn recipe(&mut self, name: &str) -> Option<Recipe> {
        let (node, levels) = self.chain(Kind::Recipe, name)?;
        let mut recipe = recipe(&self.report, name, &node)?;
        self.finish(&mut recipe.content, &levels);
        self.keyrings(&mut recipe.tools.repositories);
        Some(recipe)
    }

    fn role(&mut self, name: &str) -> Option<Role> {
        let (node, levels) = self.chain(Kind::Role, name)?;
        let mut role = role(&self.report, name, &node)?;
        self.finish(&mut role.content, &levels);
        Some(role)
    }

    /// A document with all that it extends and its drop-ins, laid over one another; bottom level first.
    fn chain(&mut self, kind: Kind, name: &str) -> Option<(Node, Vec<Level>)> {
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

    fn names(&mut self, kind: Kind) -> BTreeMap<String, Origin> {
        let names = match kind {
            Kind::Recipe => self.sources.recipes(),
            Kind::Role => self.sources.roles(),
        };
        names.unwrap_or_else(|problems| {
            self.others.merge(problems);
            BTreeMap::new()
        })
    }

    fn find(&mut self, kind: Kind, name: &str) -> Option<Origin> {
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
            let embedded = self.sources.read(Origin::Builtin, &kind.document(name), yaml::MAXIMUM_BYTES);
            return Err(if !builtin && next.1 == name && matches!(embedded, Ok(Some(_))) {
                fault.suggest(Some(format!("builtin/{name}")))
            } else {
                fault.hint("a chain of `extends` must end at one that extends nothing")
            });
        }
        if seen.len() >= MAXIMUM_CHAIN {
            let fault = Fault::new(base.place, format!("more than {MAXIMUM_CHAIN} documents extend one another"));
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
        match self.sources.tree(origin, &folder, yaml::MAXIMUM_BYTES) {
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

    fn document(&mut self, kind: Kind, origin: Origin, name: &str) -> Option<Node> {
        let path = kind.document(name);
        match self.sources.read(origin, &path, yaml::MAXIMUM_BYTES) {
            Ok(Some(bytes)) => self.parse(origin, &path, &kind.folder(name), bytes),
            Ok(None) => None,
            Err(problems) => {
                self.others.merge(problems);
                None
            }
        }
    }

    fn parse(&mut self, origin: Origin, path: &str, folder: &str, bytes: Vec<u8>) -> Option<Node> {
        let name = display_name(origin, path);
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let good = String::from_utf8_lossy(&error.as_bytes()[..at]).into_owned();
                let file = self.add(origin, &name, folder, &good);
                let line = u32::try_from(good.lines().count().max(1)).unwrap_or(u32::MAX);
                let column = good.lines().last().map_or(0, |last| last.chars().count());
                let column = u32::try_from(column).unwrap_or(u32::MAX - 1) + 1;
                let place = Place { file, line, column, width: 1 };
                self.report.add(Fault::new(place, "here the document ceases to be UTF-8").hint("save it as UTF-8"));
                return None;
            }
        };
        let file = self.add(origin, &name, folder, &text);
        let mut faults = Vec::new();
        let node = yaml::parse(file, &text, &mut faults);
        let sound = faults.is_empty();
        self.report.extend(faults);
        match node {
            Some(node) => self.version(&node).then_some(node),
            None => {
                if sound {
                    let fault = Fault::new(Place { file, line: 0, column: 0, width: 1 }, "the document is empty");
                    self.report.add(fault.hint("begin it with `version: 1`"));
                }
                None
            }
        }
    }

    fn add(&mut self, origin: Origin, name: &str, folder: &str, text: &str) -> u32 {
        self.beside.push((origin, folder.to_owned()));
        self.documents.add(name, text)
    }

    /// Whether the document says a version that this program knows; otherwise its keys mean nothing.
    fn version(&self, node: &Node) -> bool {
        let Value::Map(entries) = &node.value else {
            let message = format!("here stands {}, where a mapping is wanted", node.value.noun());
            self.report.add(Fault::new(node.place, message).hint("begin the document with `version: 1`"));
            return false;
        };
        let Some((_, version)) = entries.iter().find(|(key, _)| key.text == "version") else {
            let fault = Fault::new(node.place, "the document does not say its version");
            self.report.add(fault.hint("begin it with `version: 1`"));
            return false;
        };
        match &version.value {
            Value::Text { text, plain: true } if text == "1" => true,
            Value::Text { text, .. } if text == "1" => {
                let fault = Fault::new(version.place, "the version is quoted, which makes it a text");
                self.report.add(fault.hint("write `version: 1`"));
                false
            }
            _ => {
                let written = match &version.value {
                    Value::Text { text, .. } => format!("`{text}`"),
                    other => other.noun().to_owned(),
                };
                let fault =
                    Fault::new(version.place, format!("the version is {written}; this imgbuild reads version 1"));
                self.report.add(fault.hint("write `version: 1`, or use an imgbuild that knows the newer one"));
                false
            }
        }
    }

    /// Reads what lies beside the documents: trees, .debs, scripts, keyrings.
    fn finish(&mut self, content: &mut Content, levels: &[Level]) {
        self.keyrings(&mut content.repositories);
        self.debs(&mut content.debs);
        if let Some(build) = &mut content.build
            && let Some(file) = &build.file
        {
            let script = self.read_beside(file);
            if let Some(script) = &script
                && let Err(refusal) = shebang(script)
            {
                self.report.add(refusal.at(file.place));
            }
            build.script = script;
        }
        content.tree = self.tree(levels);
        for file in &content.files {
            if let super::content::FileKind::Content { text, .. } = &file.kind
                && is_secret(text.value.as_bytes())
            {
                self.report.add(secret(text.place));
            }
        }
    }

    fn read_beside(&mut self, file: &Located<String>) -> Option<Vec<u8>> {
        let (origin, folder) = self.beside(file.place);
        let path = format!("{folder}/{}", file.value);
        match self.sources.read(origin, &path, MAXIMUM_FILE) {
            Ok(Some(content)) => return Some(content),
            Ok(None) => self.report.add(no_file(file.place, &path)),
            Err(problems) => self.others.merge(problems),
        }
        None
    }

    fn beside(&self, place: Place) -> (Origin, String) {
        let at = usize::try_from(place.file).unwrap_or(usize::MAX);
        self.beside.get(at).cloned().unwrap_or((Origin::Builtin, String::new()))
    }

    fn debs(&mut self, debs: &mut [DebEntry]) {
        for deb in debs {
            let DebEntry::File { path, sha256 } = deb else { continue };
            let (_, folder) = self.beside(path.place);
            let below = format!("{folder}/{}", path.value);
            match self.sources.digest(&below) {
                Ok(Some((digest, absolute))) => {
                    *sha256 = Some(digest);
                    self.debs.push(LocalFile { sha256: digest, path: absolute });
                }
                Ok(None) => self.report.add(no_file(path.place, &below)),
                Err(problems) => self.others.merge(problems),
            }
        }
    }

    /// Keyrings lie in `keyrings/` beside the document, or among those of the recipes.
    fn keyrings(&mut self, repositories: &mut [RepositoryEntry]) {
        for repository in repositories {
            let Some(name) = repository.keyring_name.clone() else { continue };
            let (origin, folder) = self.beside(name.place);
            let folders = [
                (origin, format!("{folder}/keyrings")),
                (Origin::Project, "recipes/keyrings".to_owned()),
                (Origin::Builtin, "recipes/keyrings".to_owned()),
            ];
            let mut found = None;
            for (origin, folder) in &folders {
                for ending in ["asc", "gpg", "pgp"] {
                    let path = format!("{folder}/{}.{ending}", name.value);
                    match self.sources.read(*origin, &path, MAXIMUM_FILE) {
                        Ok(content) => found = found.or(content),
                        Err(problems) => self.others.merge(problems),
                    }
                }
            }
            match found {
                Some(content) if is_secret(&content) => {
                    let message = format!("the keyring `{}` holds a private key", name.value);
                    let hint = "a repository's public key is wanted here: `gpg --armor --export KEY`";
                    self.report.add(Fault::new(name.place, message).hint(hint));
                }
                Some(content) => repository.keyring = Some(content),
                None => {
                    let fault = Fault::new(name.place, format!("there is no keyring `{}`", name.value));
                    let wanted = format!("{folder}/keyrings/{}.asc", name.value);
                    self.report.add(fault.hint(format!("put the repository's public key (armoured) into {wanted}")));
                }
            }
        }
    }

    fn tree(&mut self, levels: &[Level]) -> Vec<TreeEntry> {
        let (mut entries, mut total): (BTreeMap<String, TreeEntry>, usize) = (BTreeMap::new(), 0);
        for level in levels {
            let folder = format!("{}/tree", level.folder);
            let files = match self.sources.tree(level.origin, &folder, MAXIMUM_FILE) {
                Ok(files) => files,
                Err(problems) => {
                    self.others.merge(problems);
                    continue;
                }
            };
            for (below, found) in &files {
                let shown = display_name(level.origin, &format!("{folder}/{below}"));
                let stem = below.strip_suffix(".j2").filter(|_| matches!(found, Found::File { .. }));
                let text = match (stem, found) {
                    (Some(_), Found::File { content, .. }) => String::from_utf8(content.clone()).ok(),
                    _ => Some(String::new()),
                };
                let file = self.add(level.origin, &shown, &level.folder, text.as_deref().unwrap_or(""));
                let place = Place { file, line: 0, column: 0, width: 1 };
                let path = match check::overlay_path(&format!("/{}", stem.unwrap_or(below))) {
                    Ok(path) => path,
                    Err(refusal) => {
                        self.report.add(refusal.at(place));
                        continue;
                    }
                };
                if stem.is_some_and(|stem| files.contains_key(stem)) {
                    let message = format!("{path} is there twice, as a file and as a template (`.j2`)");
                    self.report.add(Fault::new(place, message).hint("keep one of the two"));
                }
                let kind = match found {
                    Found::Link(target) => TreeKind::Link(target.clone()),
                    Found::File { content, .. } if is_secret(content) => {
                        self.report.add(secret(place));
                        continue;
                    }
                    Found::File { content, executable } => {
                        total += content.len();
                        match (stem, text) {
                            (None, _) => TreeKind::File { content: content.clone(), executable: *executable },
                            (Some(_), Some(text)) => TreeKind::Template { text, executable: *executable },
                            (Some(_), None) => {
                                self.report
                                    .add(Fault::new(place, "the template is not UTF-8").hint("save it as UTF-8"));
                                continue;
                            }
                        }
                    }
                };
                entries.insert(path.clone(), TreeEntry { place, path, kind });
            }
            if total > MAXIMUM_TREE {
                let limit = crate::base::size::Bytes(MAXIMUM_TREE as u64);
                let message = format!("its files exceed {limit} together");
                let remedy = "larger things belong into a .deb or among the role's `downloads`".to_owned();
                let problem = Problem::whole(&display_name(level.origin, &folder), message, None, Some(remedy));
                self.others.merge(Problems { problems: vec![problem] });
            }
        }
        entries.into_values().collect()
    }
}

fn no_file(place: Place, path: &str) -> Fault {
    Fault::new(place, format!("there is no file {path}")).hint("put it there, or correct the path")
}

/// Private keys have a shape that is known.
fn is_secret(content: &[u8]) -> bool {
    const MARK: &[u8] = b"PRIVATE KEY";
    content.windows(MARK.len() + 5).any(|part| part.starts_with(MARK) && part[MARK.len()..].starts_with(b"-----"))
        || content.windows(11).any(|part| part == b"KEY BLOCK--") && content.windows(7).any(|part| part == b"PRIVATE")
}

fn secret(place: Place) -> Fault {
    Fault::new(place, "this holds a private key, and images can be published")
        .hint("secrets live in seeds: have it written at first boot")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_keys_are_recognised() {
        assert!(is_secret(b"-----BEGIN OPENSSH PRIVATE KEY-----\nabc"));
        assert!(is_secret(b"-----BEGIN PGP PRIVATE KEY BLOCK-----\nabc"));
        assert!(!is_secret(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\nabc"));
        assert!(!is_secret(b"# put the PRIVATE KEY elsewhere"));
    }
}
