//! From names to checked values: finds documents, extends them, reads what lies beside them.

use super::cluster::{Cluster, cluster as cluster_of};
use super::decode::Report;
use super::problem::{Documents, Fault, Place, Problem, Problems};
use super::recipe::{Recipe, recipe};
use super::role::{Role, role};
use super::sources::{Origin, Sources, display_name};
use super::yaml::{self, Node, Value};
use super::{ClusterInputs, Inputs, LocalFile};
use crate::base::files;
use crate::base::limits::DOCUMENT_BYTES;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What a document describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Recipe,
    Role,
    Cluster,
}

impl Kind {
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Recipe => "recipe",
            Self::Role => "role",
            Self::Cluster => "cluster",
        }
    }

    pub(super) fn document(self, name: &str) -> String {
        match self {
            Self::Recipe => format!("recipes/{name}.yaml"),
            Self::Role => format!("roles/{name}/role.yaml"),
            Self::Cluster => format!("seeds/{name}/cluster.yaml"),
        }
    }

    pub(super) fn folder(self, name: &str) -> String {
        match self {
            Self::Recipe => format!("recipes/{name}"),
            Self::Role => format!("roles/{name}"),
            Self::Cluster => format!("seeds/{name}"),
        }
    }
}

/// Reads documents and gathers all that is wrong with them.
pub(super) struct Loader<'a> {
    pub(super) sources: &'a Sources,
    pub(super) documents: Documents,
    /// By number of the document: where files beside it lie.
    pub(super) beside: Vec<(Origin, String)>,
    pub(super) report: Report,
    pub(super) others: Problems,
    pub(super) debs: Vec<LocalFile>,
}

/// Loads a recipe and roles.
pub(super) fn load(sources: &Sources, recipe_name: &str, role_names: &[&str]) -> Result<Inputs, Problems> {
    let mut loader = Loader::new(sources);
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

/// Loads a cluster by name, or from a file.
pub(super) fn cluster(sources: &Sources, name: &str, file: Option<&Path>) -> Result<ClusterInputs, Problems> {
    let mut loader = Loader::new(sources);
    let found = match file {
        Some(file) => loader.cluster_file(file),
        None => loader.cluster(name),
    };
    let known = loader.names(Kind::Role);
    let mut disks = BTreeMap::new();
    if let Some(found) = &found {
        let named: BTreeSet<&str> =
            found.nodes.iter().flat_map(|node| &node.roles).map(|role| role.value.as_str()).collect();
        for name in named.into_iter().filter(|name| known.contains_key(*name)) {
            let size = loader.role(name).and_then(|role| role.minimum_size);
            disks.extend(size.map(|size| (name.to_owned(), size.value)));
        }
    }
    let Loader { documents, report, others, .. } = loader;
    let mut problems = Problems::of(report.into_faults(), &documents);
    problems.merge(others);
    match found {
        Some(cluster) if problems.problems.is_empty() => {
            Ok(ClusterInputs { documents, cluster, roles: known.into_keys().collect(), disks })
        }
        _ => Err(problems),
    }
}

impl<'a> Loader<'a> {
    pub(super) fn new(sources: &'a Sources) -> Self {
        Self {
            sources,
            documents: Documents::default(),
            beside: Vec::new(),
            report: Report::default(),
            others: Problems::default(),
            debs: Vec::new(),
        }
    }

    /// All that is wrong.
    pub(super) fn into_problems(self) -> Problems {
        let mut problems = Problems::of(self.report.into_faults(), &self.documents);
        problems.merge(self.others);
        problems
    }
}

impl Loader<'_> {
    fn cluster(&mut self, name: &str) -> Option<Cluster> {
        let origin = self.find(Kind::Cluster, name)?;
        let node = self.document(Kind::Cluster, origin, name)?;
        let found = cluster_of(&self.report, &node)?;
        if found.name.value != name {
            let message = format!("the cluster calls itself `{}`, and its folder `{name}`", found.name.value);
            let hint = "its secrets lie in the folder: give both the same name";
            self.report.add(Fault::new(found.name.place, message).hint(hint));
        }
        Some(found)
    }

    fn cluster_file(&mut self, file: &Path) -> Option<Cluster> {
        let shown = file.display().to_string();
        match files::read(file, DOCUMENT_BYTES) {
            Ok(bytes) => {
                let node = self.parse(Origin::Project, &shown, "", bytes)?;
                cluster_of(&self.report, &node)
            }
            Err(error) => {
                let remedy = Some("name a cluster by its folder below seeds/, or a file that can be read".to_owned());
                let message = format!("{:#}", error.root_cause());
                self.others.merge(Problems::single(&shown, message, remedy));
                None
            }
        }
    }

    pub(super) fn command_line(&mut self, message: String, suggestion: Option<String>, remedy: String) {
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

    pub(super) fn document(&mut self, kind: Kind, origin: Origin, name: &str) -> Option<Node> {
        let path = kind.document(name);
        match self.sources.read(origin, &path, DOCUMENT_BYTES) {
            Ok(Some(bytes)) => self.parse(origin, &path, &kind.folder(name), bytes),
            Ok(None) => None,
            Err(problems) => {
                self.others.merge(problems);
                None
            }
        }
    }

    pub(super) fn parse(&mut self, origin: Origin, path: &str, folder: &str, bytes: Vec<u8>) -> Option<Node> {
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

    pub(super) fn add(&mut self, origin: Origin, name: &str, folder: &str, text: &str) -> u32 {
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
}
