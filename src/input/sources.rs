//! Where documents come from: a project folder before the embedded built-ins, name for name.

use super::builtin::BUILTIN as EMBEDDED;
use super::problem::{BUILTIN, Problems};
use crate::base::digest::Digest;
use crate::base::files::{self, ListedKind};
use crate::base::limits::{TREE_FILE_BYTES, TREE_FILES};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The remedy when the file system refuses.
const UNREADABLE: &str = "see to it that the project's files can be read";

/// The project folder and the built-ins.
#[derive(Clone, Debug)]
pub struct Sources {
    project: Option<PathBuf>,
    /// Notes what is read, when somebody asked for that.
    seen: Option<Arc<Mutex<Seen>>>,
}

/// What documents were made of: paths below the project folder (or among the built-ins), and what was there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The project's files, by digest.
    pub project: BTreeMap<String, Digest>,
    /// The project's symbolic links and what they say.
    pub links: BTreeMap<String, String>,
    /// Embedded files, by digest.
    pub builtin: BTreeMap<String, Digest>,
}

/// Where something that can be named lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// In the project folder.
    Project,
    /// Embedded in the program.
    Builtin,
}

/// A file below a folder of documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    File { content: Vec<u8>, executable: bool },
    Link(String),
}

impl Sources {
    /// The project in this folder (it may be empty or absent), and the built-ins.
    #[must_use]
    pub fn new(project: impl Into<PathBuf>) -> Self {
        Self { project: Some(project.into()), seen: None }
    }

    /// The built-ins alone.
    #[must_use]
    pub fn builtin() -> Self {
        Self { project: None, seen: None }
    }

    /// The same sources, which from now on note what is read.
    #[must_use]
    pub fn noting(self) -> Self {
        Self { seen: Some(Arc::default()), ..self }
    }

    /// What was read since [`Sources::noting`].
    #[must_use]
    pub fn seen(&self) -> Seen {
        let seen = self.seen.as_ref().map(|seen| seen.lock().unwrap_or_else(PoisonError::into_inner).clone());
        seen.unwrap_or_default()
    }

    fn note(&self, note: impl FnOnce(&mut Seen)) {
        if let Some(seen) = &self.seen {
            note(&mut seen.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// All recipes that can be named, sorted; the project's hide built-in ones of the same name.
    ///
    /// # Errors
    /// When the project's folder cannot be read.
    pub fn recipes(&self) -> Result<BTreeMap<String, Origin>, Problems> {
        self.names("recipes", 1, |path| path.strip_suffix(".yaml").filter(|name| !name.contains('/')))
    }

    /// All roles that can be named, sorted; the project's hide built-in ones of the same name.
    ///
    /// # Errors
    /// When the project's folder cannot be read.
    pub fn roles(&self) -> Result<BTreeMap<String, Origin>, Problems> {
        self.names("roles", 2, |path| path.strip_suffix("/role.yaml").filter(|name| !name.contains('/')))
    }

    /// All clusters that can be named, sorted; the project's hide built-in ones of the same name.
    ///
    /// # Errors
    /// When the project's folder cannot be read.
    pub fn clusters(&self) -> Result<BTreeMap<String, Origin>, Problems> {
        self.names("seeds", 2, |path| path.strip_suffix("/cluster.yaml").filter(|name| !name.contains('/')))
    }

    /// The templates of first-boot documents, each with how messages name its file; the project's hide built-in ones of
    /// the same name.
    ///
    /// # Errors
    /// When the project's folder cannot be read, or a template is no text.
    pub fn templates(&self) -> Result<BTreeMap<String, (String, String)>, Problems> {
        const FOLDER: &str = "seeds/templates";
        let mut found = BTreeMap::new();
        for (name, origin) in self.names(FOLDER, usize::MAX, |path| path.strip_suffix(".j2"))? {
            let path = format!("{FOLDER}/{name}.j2");
            let shown = display_name(origin, &path);
            let Some(content) = self.read(origin, &path, TREE_FILE_BYTES)? else { continue };
            let text = String::from_utf8(content).map_err(|_| {
                Problems::single(&shown, "the template is not UTF-8", Some("save it as UTF-8".to_owned()))
            })?;
            found.insert(name, (shown, text));
        }
        Ok(found)
    }

    /// What a folder's files name, no deeper than so many levels: below lie the trees of roles and the secrets of clusters,
    /// which are many, and the latter are nobody's inputs.
    fn names(
        &self,
        folder: &str,
        levels: usize,
        name: impl Fn(&str) -> Option<&str>,
    ) -> Result<BTreeMap<String, Origin>, Problems> {
        let mut found = BTreeMap::new();
        for (path, _) in EMBEDDED {
            let below = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
            if let Some(name) = below.and_then(&name) {
                found.insert(name.to_owned(), Origin::Builtin);
            }
        }
        if let Some(project) = &self.project {
            for listed in self.list_project(project, folder, levels)? {
                if let Some(name) = listed.0.to_str().and_then(&name) {
                    found.insert(name.to_owned(), Origin::Project);
                }
            }
        }
        Ok(found)
    }

    fn list_project(
        &self,
        project: &Path,
        folder: &str,
        levels: usize,
    ) -> Result<Vec<(PathBuf, ListedKind)>, Problems> {
        let listed = files::list_levels(&project.join(folder), levels, TREE_FILES)
            .map_err(|error| Problems::single(folder, format!("{error:#}"), Some(UNREADABLE.to_owned())))?;
        Ok(listed.into_iter().map(|listed| (listed.path, listed.kind)).collect())
    }

    /// A file by its path below the project (or below the built-ins), if it is there.
    pub(crate) fn read(&self, origin: Origin, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Problems> {
        match (origin, &self.project) {
            (Origin::Builtin, _) => {
                let found = EMBEDDED.iter().find(|(name, _)| *name == path).map(|(_, content)| content.to_vec());
                if let Some(content) = &found {
                    self.note(|seen| {
                        seen.builtin.insert(path.to_owned(), Digest::of(content));
                    });
                }
                Ok(found)
            }
            (Origin::Project, None) => Ok(None),
            (Origin::Project, Some(project)) => {
                let file = project.join(path);
                if !file.exists() {
                    return Ok(None);
                }
                let read = files::read(&file, limit);
                if let Ok(content) = &read {
                    self.note(|seen| {
                        seen.project.insert(path.to_owned(), Digest::of(content));
                    });
                }
                read.map(Some).map_err(|error| {
                    let message = format!("{:#}", error.root_cause());
                    let oversize = message.contains("is longer than");
                    let remedy = if oversize { oversize_remedy(limit) } else { UNREADABLE.to_owned() };
                    Problems::single(path, message, Some(remedy))
                })
            }
        }
    }

    /// Everything below a folder, sorted by path. `None` as content stands for a name that is no text.
    pub(crate) fn tree(&self, origin: Origin, folder: &str, limit: u64) -> Result<BTreeMap<String, Found>, Problems> {
        let mut found = BTreeMap::new();
        if origin == Origin::Builtin {
            for (path, content) in EMBEDDED {
                if let Some(below) = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')) {
                    let executable = content.starts_with(b"#!");
                    self.note(|seen| {
                        seen.builtin.insert((*path).to_owned(), Digest::of(content));
                    });
                    found.insert(below.to_owned(), Found::File { content: content.to_vec(), executable });
                }
            }
            return Ok(found);
        }
        let Some(project) = &self.project else { return Ok(found) };
        let mut problems = Problems::default();
        for (path, kind) in self.list_project(project, folder, usize::MAX)? {
            let shown = format!("{folder}/{}", path.display());
            let Some(name) = path.to_str().filter(|name| !name.chars().any(char::is_control)) else {
                problems.merge(Problems::single(
                    &shown,
                    "the file's name is not printable UTF-8",
                    Some("rename it".to_owned()),
                ));
                continue;
            };
            match kind {
                ListedKind::Folder => {}
                ListedKind::File { executable, .. } => match self.read(origin, &shown, limit) {
                    Ok(content) => {
                        let content = content.unwrap_or_default();
                        found.insert(name.to_owned(), Found::File { content, executable });
                    }
                    Err(error) => problems.merge(error),
                },
                ListedKind::Link(target) => match target.to_str() {
                    Some(target) => {
                        self.note(|seen| {
                            seen.links.insert(shown.clone(), target.to_owned());
                        });
                        found.insert(name.to_owned(), Found::Link(target.to_owned()));
                    }
                    None => problems.merge(Problems::single(
                        &shown,
                        "the link's target is not UTF-8",
                        Some("link it anew".to_owned()),
                    )),
                },
                ListedKind::Other => problems.merge(Problems::single(
                    &shown,
                    "it is neither a file, a folder nor a symbolic link",
                    Some("make devices, sockets and pipes at boot, with systemd-tmpfiles".to_owned()),
                )),
            }
        }
        if problems.problems.is_empty() { Ok(found) } else { Err(problems) }
    }

    /// Digest and absolute place of a file beside the documents, if it is there; it may be large.
    pub(crate) fn digest(&self, path: &str) -> Result<Option<(Digest, PathBuf)>, Problems> {
        let Some(project) = &self.project else { return Ok(None) };
        let file = project.join(path);
        if !file.is_file() {
            return Ok(None);
        }
        let refused = |error: String| Problems::single(path, error, Some(UNREADABLE.to_owned()));
        let opened = files::open(&file).map_err(|error| refused(format!("{error:#}")))?;
        let (digest, _) = Digest::of_reader(opened).map_err(|error| refused(format!("reading it: {error}")))?;
        self.note(|seen| {
            seen.project.insert(path.to_owned(), digest);
        });
        let absolute = std::path::absolute(&file).map_err(|error| refused(format!("resolving it: {error}")))?;
        Ok(Some((digest, absolute)))
    }
}

fn oversize_remedy(limit: u64) -> String {
    let limit = crate::base::size::Bytes(limit);
    format!("files above {limit} belong into a .deb or among the role's `downloads`, which are pinned by digest")
}

/// How messages name a document.
pub(crate) fn display_name(origin: Origin, path: &str) -> String {
    match origin {
        Origin::Project => path.to_owned(),
        Origin::Builtin => format!("{BUILTIN}{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn clusters_are_named_without_a_look_at_their_secrets() {
        let project = tempfile::tempdir().unwrap();
        let cluster = project.path().join("seeds/large");
        fs::create_dir_all(cluster.join("secrets/nodes")).unwrap();
        fs::write(cluster.join("cluster.yaml"), "version: 1\n").unwrap();
        // Looks like a cluster, and more files than a tree of inputs may have.
        fs::write(cluster.join("secrets/cluster.yaml"), "").unwrap();
        for number in 0..=TREE_FILES {
            fs::write(cluster.join(format!("secrets/nodes/{number}")), "").unwrap();
        }
        let sources = Sources::new(project.path()).noting();
        let clusters = sources.clusters().unwrap();
        assert_eq!(clusters.get("large"), Some(&Origin::Project));
        assert!(clusters.keys().all(|name| !name.contains('/')));
        assert!(!sources.templates().unwrap().is_empty());
        assert_eq!(sources.seen().project, BTreeMap::new());
        // The limit still holds where files are read.
        assert!(sources.tree(Origin::Project, "seeds", 1 << 20).is_err());
    }

    #[test]
    fn names_come_from_the_levels_that_hold_them() {
        let project = tempfile::tempdir().unwrap();
        for path in ["recipes/own.yaml", "recipes/deep/no.yaml", "roles/own/role.yaml", "roles/own/tree/role.yaml"] {
            let path = project.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let own = |names: BTreeMap<String, Origin>| -> Vec<String> {
            names.into_iter().filter(|(_, origin)| *origin == Origin::Project).map(|(name, _)| name).collect()
        };
        let sources = Sources::new(project.path());
        assert_eq!(own(sources.recipes().unwrap()), ["own"]);
        assert_eq!(own(sources.roles().unwrap()), ["own"]);
    }
}
