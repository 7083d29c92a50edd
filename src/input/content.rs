//! What recipes and roles have in common: packages, files, accounts, units, settings.

use super::accounts::{groups, users};
use super::check;
use super::decode::{Fields, Located, Refusal, Report};
use super::packages::{deb, debconf, download, repository};
use super::problem::Place;
use super::settings::{build, file, sysctls, units};
use super::yaml::Key;
use crate::base::digest::Digest;
use std::collections::BTreeMap;

/// What a document adds to the root filesystem.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    pub(crate) packages: Vec<Located<String>>,
    pub(crate) repositories: Vec<RepositoryEntry>,
    pub(crate) debs: Vec<DebEntry>,
    pub(crate) downloads: Vec<DownloadEntry>,
    pub(crate) debconf: Vec<DebconfEntry>,
    pub(crate) accounts: Accounts,
    pub(crate) files: Vec<FileEntry>,
    pub(crate) tree: Vec<TreeEntry>,
    pub(crate) sysctls: BTreeMap<String, Located<String>>,
    pub(crate) modules: Vec<Located<String>>,
    pub(crate) kernel_arguments: Vec<Located<String>>,
    pub(crate) enable: Vec<Located<String>>,
    pub(crate) disable: Vec<Located<String>>,
    pub(crate) mask: Vec<Located<String>>,
    pub(crate) build: Option<BuildEntry>,
}

/// A package repository; its keyring is read by the loader.
#[derive(Clone, Debug)]
pub(crate) struct RepositoryEntry {
    pub(crate) name: Located<String>,
    /// `None` stands for the host's mirror of the distribution with the repository's name.
    pub(crate) url: Option<String>,
    pub(crate) suites: Vec<String>,
    pub(crate) components: Vec<String>,
    pub(crate) flat: bool,
    pub(crate) keyring_name: Option<Located<String>>,
    /// The certificates, as they stand in the file.
    pub(crate) keyring: Option<Vec<u8>>,
    pub(crate) priority: i32,
    pub(crate) check_valid_until: bool,
    pub(crate) snapshot: Option<String>,
}

/// A `.deb` of one's own.
#[derive(Clone, Debug)]
pub(crate) enum DebEntry {
    /// Beside the document; the digest is read by the loader.
    File { path: Located<String>, sha256: Option<Digest> },
    /// Fetched.
    Url { url: Located<String>, sha256: Digest },
}

/// A pinned download.
#[derive(Clone, Debug)]
pub(crate) struct DownloadEntry {
    pub(crate) place: Place,
    pub(crate) url: String,
    pub(crate) sha256: Digest,
    pub(crate) path: Located<String>,
    pub(crate) unpack: bool,
    pub(crate) members: Vec<String>,
    pub(crate) strip: u32,
    pub(crate) mode: u32,
}

/// A debconf answer.
#[derive(Clone, Debug)]
pub(crate) struct DebconfEntry {
    pub(crate) place: Place,
    pub(crate) package: String,
    pub(crate) question: String,
    pub(crate) kind: String,
    pub(crate) value: String,
}

/// Accounts: defined here (`users`, `groups`) or taken from the recipe's catalogue (`accounts`).
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts {
    pub(crate) groups: BTreeMap<String, Located<u32>>,
    pub(crate) users: BTreeMap<String, Located<UserEntry>>,
    pub(crate) taken: Vec<Located<String>>,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UserEntry {
    pub(crate) uid: u32,
    pub(crate) group: String,
    pub(crate) groups: Vec<String>,
    pub(crate) home: String,
    pub(crate) shell: String,
    pub(crate) comment: String,
}

/// A file given in the document.
#[derive(Clone, Debug)]
pub(crate) struct FileEntry {
    pub(crate) path: Located<String>,
    pub(crate) kind: FileKind,
    pub(crate) mode: Option<u32>,
    pub(crate) owner: Option<String>,
    pub(crate) group: Option<String>,
}

/// What a file given in the document is.
#[derive(Clone, Debug)]
pub(crate) enum FileKind {
    Content {
        text: Located<String>,
        template: bool,
    },
    Link(String),
    Folder,
    Absent,
    /// Mode and owner of a file of the tree.
    Attributes,
}

/// A file of the tree, read by the loader.
#[derive(Clone, Debug)]
pub(crate) struct TreeEntry {
    /// Where messages point to.
    pub(crate) place: Place,
    /// Absolute path in the root, without `.j2`.
    pub(crate) path: String,
    pub(crate) kind: TreeKind,
}

/// What a tree's entry is.
#[derive(Clone, Debug)]
pub(crate) enum TreeKind {
    File { content: Vec<u8>, executable: bool },
    Template { text: String, executable: bool },
    Link(String),
}

/// A build script: inline, or a file read by the loader.
#[derive(Clone, Debug)]
pub(crate) struct BuildEntry {
    pub(crate) script: Option<Vec<u8>>,
    pub(crate) file: Option<Located<String>>,
}

/// Reads the keys that recipes and roles share.
pub(crate) fn content(report: &Report, fields: &mut Fields<'_>) -> Content {
    let mut out = Content::default();
    if let Some(node) = fields.get("packages") {
        out.packages = report.texts(node, "package", check::package);
    }
    if let Some(node) = fields.get("repositories") {
        out.repositories = report.map(node).iter().filter_map(|(key, node)| repository(report, key, node)).collect();
    }
    if let Some(node) = fields.get("debs") {
        out.debs = report.list(node).iter().filter_map(|node| deb(report, node)).collect();
    }
    if let Some(node) = fields.get("downloads") {
        out.downloads = report.list(node).iter().filter_map(|node| download(report, node)).collect();
    }
    if let Some(node) = fields.get("debconf") {
        out.debconf = report.list(node).iter().filter_map(|node| debconf(report, node)).collect();
    }
    if let Some(node) = fields.get("groups") {
        out.accounts.groups = groups(report, node);
    }
    if let Some(node) = fields.get("users") {
        out.accounts.users = users(report, node);
    }
    if let Some(node) = fields.get("files") {
        out.files = report.map(node).iter().filter_map(|(key, node)| file(report, key, node)).collect();
    }
    if let Some(node) = fields.get("sysctls") {
        out.sysctls = sysctls(report, node);
    }
    if let Some(node) = fields.get("modules") {
        out.modules = report.texts(node, "module", check::module);
    }
    if let Some(node) = fields.get("kernel_arguments") {
        out.kernel_arguments = report.texts(node, "argument", check::kernel_argument);
    }
    if let Some(node) = fields.get("units") {
        units(report, node, &mut out);
    }
    if let Some(node) = fields.get("build") {
        out.build = build(report, node);
    }
    out
}

/// A key that a check accepts as a name.
pub(super) fn key_checked(
    report: &Report,
    key: &Key,
    check: impl Fn(&str) -> Result<String, Refusal>,
) -> Option<Located<String>> {
    match check(&key.text) {
        Ok(value) => Some(Located::new(key.place, value)),
        Err(refusal) => {
            report.add(refusal.at(key.place));
            None
        }
    }
}
