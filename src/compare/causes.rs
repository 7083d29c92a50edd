//! The usual suspects: what makes two builds of the same differ.

use super::Difference;
use crate::base::limits;
use crate::format::ReadAt;
use crate::format::ext4::Filesystem;
use crate::package::control::Stanzas;
use std::collections::{BTreeMap, BTreeSet};

/// Folders of the root that are links into `usr`: packages may name their files through them.
const MERGED: [&str; 4] = ["/bin/", "/sbin/", "/lib/", "/lib64/"];

/// A package that is another on the other side, by dpkg's databases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Package {
    /// Name, with the architecture where dpkg says it.
    pub(super) name: String,
    /// Version on the first side; empty when it is not there.
    pub(super) a: String,
    /// Version on the second side.
    pub(super) b: String,
    /// All its files on both sides.
    pub(super) files: BTreeSet<String>,
}

/// The packages that differ, by the databases on two volumes mounted at `mount`; none when there are no databases.
pub(super) fn packages(a: &dyn ReadAt, b: &dyn ReadAt, mount: &str) -> Vec<Package> {
    let Some(folder) = "var/lib/dpkg".strip_prefix(mount).map(|rest| rest.trim_start_matches('/')) else {
        return Vec::new();
    };
    let (Ok(a), Ok(b)) = (Filesystem::open(a), Filesystem::open(b)) else { return Vec::new() };
    let (one, other) = (installed(&a, folder), installed(&b, folder));
    let mut found = Vec::new();
    for (name, architecture) in one.keys().chain(other.keys()).collect::<BTreeSet<_>>() {
        let key = (name.clone(), architecture.clone());
        let version = |map: &BTreeMap<_, String>| map.get(&key).cloned().unwrap_or_default();
        let (own, its) = (version(&one), version(&other));
        if own == its {
            continue;
        }
        let mut files = BTreeSet::new();
        for filesystem in [&a, &b] {
            let lists = [format!("{folder}/info/{name}.list"), format!("{folder}/info/{name}:{architecture}.list")];
            files.extend(
                lists
                    .iter()
                    .filter_map(|list| text(filesystem, list))
                    .flat_map(|text| text.lines().map(merged).collect::<Vec<_>>()),
            );
        }
        found.push(Package { name: name.clone(), a: own, b: its, files });
    }
    found
}

fn merged(path: &str) -> String {
    if MERGED.iter().any(|link| path.starts_with(link)) { format!("/usr{path}") } else { path.to_owned() }
}

fn text(filesystem: &Filesystem<'_>, path: &str) -> Option<String> {
    let inode = filesystem.find(path.as_bytes()).ok().filter(|inode| inode.size <= limits::DPKG_FILE_BYTES)?;
    let bytes = filesystem.contents(&inode).ok()?.read_vec(0, crate::format::usize_of(inode.size)).ok()?;
    String::from_utf8(bytes).ok()
}

/// Versions by name and architecture.
fn installed(filesystem: &Filesystem<'_>, folder: &str) -> BTreeMap<(String, String), String> {
    let status = text(filesystem, &format!("{folder}/status")).unwrap_or_default();
    let entry = |stanza: &crate::package::control::Stanza<'_>| {
        let field = |name| stanza.get(name).map(str::to_owned);
        Some(((field("Package")?, field("Architecture")?), field("Version")?))
    };
    Stanzas::new(status.as_bytes()).filter_map(Result::ok).filter_map(|stanza| entry(&stanza)).collect()
}

/// What each file's name, or what differs of it, tells: the words for it, and which differences they explain.
const SUSPECTS: &[(&str, fn(&Difference) -> bool)] = &[
    ("another image id, plan or lock: /usr/lib/imgbuild/release names them", |d| {
        file(d).starts_with("/usr/lib/imgbuild/release")
    }),
    ("another guest executable: the images were made by different versions of imgbuild", |d| {
        file(d).ends_with("/imgbuild-node")
    }),
    ("the machine's identity (/etc/machine-id): an image should have none; it was booted, or a script wrote it", |d| {
        matches!(file(d), "/etc/machine-id" | "/var/lib/dbus/machine-id")
    }),
    ("a random seed: an image should have none", |d| file(d).ends_with("/random-seed")),
    ("host keys of SSH: an image should have none", |d| file(d).starts_with("/etc/ssh/ssh_host_")),
    ("the initial RAM disk was built with other contents", |d| file(d).starts_with("/boot/initrd")),
    ("compiled Python (.pyc): it holds times, or its compiler ran in another order", |d| file(d).ends_with(".pyc")),
    ("the cache of shared libraries, which follows from the libraries", |d| {
        file(d) == "/etc/ld.so.cache" || file(d).starts_with("/var/cache/ldconfig/")
    }),
    ("logs, which hold times", |d| file(d).starts_with("/var/log/")),
    ("caches that programs wrote", |d| file(d).starts_with("/var/cache/")),
    ("dpkg's database, which follows from the packages", |d| file(d).starts_with("/var/lib/dpkg/")),
    (
        "other times: the builds had different clocks (the newest Date of the locked Release files), or something was written outside of the build",
        is_time,
    ),
    ("identifiers, which derive from the plan: the plans differ", |d| {
        ["UUID", "uuid", "GUID", "identifier", "serial number", "hash_seed", "physical volume"]
            .iter()
            .any(|word| d.what.contains(word))
    }),
    ("the filesystem was mounted or checked after it was built", |d| {
        ["s_mnt_count", "s_mtime", "s_last_mounted", "the journal"].iter().any(|word| d.what.contains(word))
    }),
    (
        "the order of files: folders were read as the host's filesystem gave them, or another version of imgbuild laid out the filesystem",
        |d| {
            ["place in the folder", "inode number", "blocks of", "order of the entries"]
                .iter()
                .any(|word| d.what.contains(word))
        },
    ),
    ("changes of the volume group after it was built", |d| d.what == "changes of the metadata"),
];

fn file(difference: &Difference) -> &str {
    difference.file.as_deref().unwrap_or_default()
}

fn is_time(difference: &Difference) -> bool {
    matches!(difference.what.as_str(), "mtime" | "atime" | "ctime" | "crtime")
        || ["s_mkfs_time", "s_wtime", "s_lastcheck"].iter().any(|word| difference.what.contains(word))
}

/// What differences may come from: packages first, then suspects by the number of differences that they explain.
pub(super) fn of(differences: &[Difference], packages: &[Package]) -> Vec<String> {
    let mut left: Vec<&Difference> = differences.iter().collect();
    let mut causes = Vec::new();
    for package in packages {
        let before = left.len();
        left.retain(|difference| is_time(difference) || !package.files.contains(file(difference)));
        causes.push((before - left.len(), said(package)));
    }
    causes.sort_by(|a, b| b.cmp(a));
    let mut suspects = Vec::new();
    for (words, explains) in SUSPECTS {
        let before = left.len();
        left.retain(|difference| !explains(difference));
        if before > left.len() {
            suspects.push((before - left.len(), (*words).to_owned()));
        }
    }
    suspects.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    causes.extend(suspects);
    let mut causes: Vec<String> =
        causes.into_iter().map(|(count, words)| format!("{words} ({})", counted(count))).collect();
    if !left.is_empty() && left.len() < differences.len() {
        causes.push(format!("not explained: {}", counted(left.len())));
    }
    causes
}

fn said(package: &Package) -> String {
    match (package.a.as_str(), package.b.as_str()) {
        (version, "") => format!("package {} {version} is only on the first side", package.name),
        ("", version) => format!("package {} {version} is only on the second side", package.name),
        (own, its) => format!("package {} {own} became {its}", package.name),
    }
}

fn counted(count: usize) -> String {
    if count == 1 { "1 difference".to_owned() } else { format!("{count} differences") }
}
