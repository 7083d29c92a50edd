//! What recipes and roles have in common: packages, files, accounts, units, settings.

use super::check;
use super::decode::{Fields, Located, Refusal, Report, one_of};
use super::problem::{Fault, Place};
use super::yaml::{Key, Node};
use crate::base::digest::Digest;
use std::collections::BTreeMap;

/// Ids that documents may give: those below 100 belong to Debian's base-passwd, 65534 and 65535 to nobody.
const IDS: (i64, i64) = (100, 65_533);

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
fn key_checked(report: &Report, key: &Key, check: impl Fn(&str) -> Result<String, Refusal>) -> Option<Located<String>> {
    match check(&key.text) {
        Ok(value) => Some(Located::new(key.place, value)),
        Err(refusal) => {
            report.add(refusal.at(key.place));
            None
        }
    }
}

pub(crate) fn repository(report: &Report, key: &Key, node: &Node) -> Option<RepositoryEntry> {
    let name = key_checked(report, key, check::name);
    let mut fields = Fields::open(report, node, "a repository")?;
    let url = fields.require("url").and_then(|node| {
        report.checked(node, |text| if text == "host" { Ok(None) } else { check::url(text).map(Some) })
    });
    let flat = fields.get("flat").and_then(|node| report.boolean(node)).unwrap_or(false);
    let words = |node: &Node, noun| -> Vec<String> {
        report.texts(node, noun, check::word).into_iter().map(|word| word.value).collect()
    };
    let suites: Vec<String> = fields.require("suites").map(|node| words(node, "suite")).unwrap_or_default();
    let components = if flat {
        if fields.has("components") {
            let fault = Fault::new(fields.key_place("components"), "a flat repository has no components");
            report.add(fault.hint("leave `components` out, or `flat: true`"));
        }
        fields.get("components");
        Vec::new()
    } else {
        fields.require("components").map(|node| words(node, "component")).unwrap_or_default()
    };
    let keyring_name = fields.require("keyring").and_then(|node| report.checked(node, check::name));
    let priority = fields.get("priority").and_then(|node| report.integer(node, -1, 10_000));
    let check_valid_until = fields.get("check_valid_until").and_then(|node| report.boolean(node)).unwrap_or(true);
    let snapshot = fields.get("snapshot").and_then(|node| report.checked(node, check::url)).map(|url| url.value);
    fields.close();
    Some(RepositoryEntry {
        name: name?,
        url: url?.value,
        suites,
        components,
        flat,
        keyring_name,
        keyring: None,
        priority: priority.and_then(|number| i32::try_from(number.value).ok()).unwrap_or(500),
        check_valid_until,
        snapshot,
    })
}

fn sha256(text: &str) -> Result<Digest, Refusal> {
    Digest::parse(text).ok_or_else(|| {
        let message = if text.len() == 64 {
            "the SHA-256 has characters that are no hexadecimal digits".to_owned()
        } else {
            format!("the SHA-256 has {} characters, 64 are wanted", text.chars().count())
        };
        Refusal::new(message).hint("`sha256sum FILE` prints it")
    })
}

fn deb(report: &Report, node: &Node) -> Option<DebEntry> {
    let file = |node: &Node| {
        let path = report.checked(node, |text| {
            let path = check::relative_path(text)?;
            if path.ends_with(".deb") {
                return Ok(path);
            }
            Err(Refusal::new(format!("`{path}` does not end in `.deb`")).hint("name the package's file"))
        })?;
        Some(DebEntry::File { path, sha256: None })
    };
    if !matches!(node.value, super::yaml::Value::Map(_)) {
        return file(node);
    }
    let mut fields = Fields::open(report, node, "a .deb")?;
    let entry = match (fields.get("file"), fields.get("url"), fields.get("sha256")) {
        (Some(path), None, None) => file(path),
        (None, Some(url), Some(digest)) => match (report.checked(url, check::url), report.checked(digest, sha256)) {
            (Some(url), Some(sha256)) => Some(DebEntry::Url { url, sha256: sha256.value }),
            _ => None,
        },
        _ => {
            let fault = Fault::new(node.place, "a .deb is given by `file`, or by `url` and `sha256`");
            report.add(fault.hint("a file beside role.yaml is pinned by its own digest, an address needs one"));
            None
        }
    };
    fields.close();
    entry
}

fn download(report: &Report, node: &Node) -> Option<DownloadEntry> {
    let mut fields = Fields::open(report, node, "a download")?;
    let url = fields.require("url").and_then(|node| report.checked(node, check::url));
    let sha256 = fields.require("sha256").and_then(|node| report.checked(node, sha256));
    let path = fields.require("path").and_then(|node| report.checked(node, check::overlay_path));
    let unpack = fields.get("unpack").and_then(|node| report.boolean(node)).unwrap_or(false);
    let member = |text: &str| {
        check::relative_path(text).map_err(|_| {
            Refusal::new(format!("`{text}` is no member's path")).hint("write it as `tar --list` shows it")
        })
    };
    let members = fields.get("members").map(|node| report.texts(node, "member", member)).unwrap_or_default();
    let strip = fields.get("strip").and_then(|node| report.integer(node, 0, 32));
    let mode = fields.get("mode").and_then(|node| report.mode(node));
    for (key, wrong) in [("members", !unpack), ("strip", !unpack), ("mode", unpack)] {
        if fields.has(key) && wrong {
            let (what, remedy) = if unpack {
                ("an archive's files keep their own modes", "leave `mode` out")
            } else {
                ("it concerns archives only", "add `unpack: true`, or leave it out")
            };
            report.add(Fault::new(fields.key_place(key), format!("`{key}` has no effect here: {what}")).hint(remedy));
        }
    }
    fields.close();
    Some(DownloadEntry {
        place: node.place,
        url: url?.value,
        sha256: sha256?.value,
        path: path?,
        unpack,
        members: members.into_iter().map(|member| member.value).collect(),
        strip: strip.and_then(|number| u32::try_from(number.value).ok()).unwrap_or(0),
        mode: mode.unwrap_or(0o644),
    })
}

fn debconf(report: &Report, node: &Node) -> Option<DebconfEntry> {
    const KINDS: &[(&str, &str)] = &[
        ("boolean", "boolean"),
        ("select", "select"),
        ("multiselect", "multiselect"),
        ("string", "string"),
        ("note", "note"),
        ("text", "text"),
        ("password", "password"),
    ];
    let mut fields = Fields::open(report, node, "a debconf answer")?;
    let package = fields.require("package").and_then(|node| report.checked(node, check::package));
    let question = fields.require("question").and_then(|node| report.checked(node, check::word));
    let kind = fields.require("type").and_then(|node| report.checked(node, |text| one_of(text, "debconf type", KINDS)));
    let value = fields.require("value").and_then(|node| report.checked(node, check::line));
    fields.close();
    if kind.as_ref().is_some_and(|kind| kind.value == "password") {
        let fault = Fault::new(node.place, "a debconf password would stand readable in the image");
        report.add(fault.hint("secrets live in seeds: leave it out here"));
        return None;
    }
    Some(DebconfEntry {
        place: node.place,
        package: package?.value,
        question: question?.value,
        kind: kind?.value.to_owned(),
        value: value?.value,
    })
}

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

fn file(report: &Report, key: &Key, node: &Node) -> Option<FileEntry> {
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

fn sysctls(report: &Report, node: &Node) -> BTreeMap<String, Located<String>> {
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

fn units(report: &Report, node: &Node, out: &mut Content) {
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

fn build(report: &Report, node: &Node) -> Option<BuildEntry> {
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
