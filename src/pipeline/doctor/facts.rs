//! What this machine is like: everything that `doctor` judges, gathered without changing anything.

use super::PROBE;
use crate::base::limits::SMALL_FILE_BYTES;
use crate::base::progress::{Progress, Silent};
use crate::base::{files, hint, process};
use crate::cli::meant::Settings;
use crate::package::archive::HostMirrors;
use crate::sandbox::{Worker, mount};
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What this machine is like.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// The caller.
    pub(super) user: User,
    /// What trying a worker with all ids gave: nothing, or the error and its hints.
    pub(super) worker: Result<(), (String, Vec<String>)>,
    /// Whether a worker with the caller's own id alone starts.
    pub(super) single_worker: bool,
    /// Kernel switches that forbid user namespaces, by name, where they exist.
    pub(super) switches: BTreeMap<&'static str, u64>,
    /// Subordinate ids of the caller: users, groups.
    pub(super) subordinate: (u64, u64),
    /// Whether `newuidmap` and `newgidmap` are there.
    pub(super) id_helpers: bool,
    /// Free bytes where cache and results go: what, where, how many.
    pub(super) room: Vec<(&'static str, PathBuf, Option<u64>)>,
    /// QEMU's version line.
    pub(super) qemu: Option<String>,
    /// What opening /dev/kvm gave.
    pub(super) kvm: Result<(), std::io::ErrorKind>,
    /// Mirror URL and where it was found.
    pub(super) mirror: Option<(String, &'static str)>,
}

/// The caller.
#[derive(Clone, Debug)]
pub(super) struct User {
    /// Effective user id.
    pub(super) id: u32,
    /// Account name, or the id in digits.
    pub(super) name: String,
}

/// Kernel switches that can forbid user namespaces (Debian's, Ubuntu's, everybody's).
const SWITCHES: &[(&str, &str)] = &[
    ("kernel.unprivileged_userns_clone", "/proc/sys/kernel/unprivileged_userns_clone"),
    ("kernel.apparmor_restrict_unprivileged_userns", "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
    ("user.max_user_namespaces", "/proc/sys/user/max_user_namespaces"),
];

impl Facts {
    /// Looks.
    pub(super) fn gather(settings: &Settings, repositories: &BTreeMap<String, String>) -> Self {
        let id = rustix::process::geteuid().as_raw();
        let name = account_name(id).unwrap_or_else(|| id.to_string());
        let number = |path: &str| text(path)?.trim().parse::<u64>().ok();
        let told = |error: anyhow::Error| (format!("{error:#}"), hint::hints(&error));
        let found = |program: &str| process::find(program).is_some();
        Self {
            worker: Worker::run(PROBE, b"", &Silent).map(drop).map_err(told),
            single_worker: Worker::run_single(PROBE, b"", &Silent).is_ok(),
            switches: SWITCHES.iter().filter_map(|(name, path)| Some((*name, number(path)?))).collect(),
            subordinate: (ids("/etc/subuid", &name, id), ids("/etc/subgid", &name, id)),
            id_helpers: found("newuidmap") && found("newgidmap"),
            room: vec![
                ("cache", settings.cache.clone(), room(&settings.cache)),
                ("results", settings.out.clone(), room(&settings.out)),
            ],
            qemu: process::find("qemu-system-x86_64")
                .and_then(|program| process::Run::new(program).arg("--version").run().ok())
                .and_then(|said| String::from_utf8_lossy(&said).lines().next().map(str::to_owned)),
            kvm: std::fs::File::options().read(true).write(true).open("/dev/kvm").map(drop).map_err(|e| e.kind()),
            mirror: mirror(repositories),
            user: User { id, name },
        }
    }
}

/// The worker's part: what every build does, a tmpfs and an overlay over it.
pub(super) fn probe(_request: &[u8], _progress: &dyn Progress) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir().context("making a folder to try mounts in")?;
    let top = mount::tmpfs(folder.path(), 0o755)?;
    let [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map(|name| folder.path().join(name));
    for path in [&lower, &upper, &work, &merged] {
        files::create_dir_all(path)?;
    }
    let overlay = mount::overlay(&[&lower], &upper, &work, &merged).context("mounting an overlay")?;
    overlay.unmount()?;
    top.unmount()?;
    Ok(Vec::new())
}

fn text(path: impl AsRef<Path>) -> Option<String> {
    String::from_utf8(files::read(path.as_ref(), SMALL_FILE_BYTES).ok()?).ok()
}

fn account_name(id: u32) -> Option<String> {
    let id = id.to_string();
    text("/etc/passwd")?.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, found) = (fields.next()?, fields.next()?, fields.next()?);
        (found == id).then(|| name.to_owned())
    })
}

/// The most subordinate ids in one range of this account.
fn ids(file: &str, name: &str, id: u32) -> u64 {
    let id = id.to_string();
    let counts = text(file).unwrap_or_default();
    let counts = counts.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (owner, _, count) = (fields.next()?, fields.next()?, fields.next()?);
        if owner == name || owner == id { count.trim().parse().ok() } else { None }
    });
    counts.max().unwrap_or(0)
}

/// Free bytes where this path is or will be.
fn room(path: &Path) -> Option<u64> {
    let existing = path.ancestors().find(|ancestor| ancestor.exists())?;
    let about = rustix::fs::statvfs(existing).ok()?;
    Some(about.f_bavail.saturating_mul(about.f_frsize))
}

fn mirror(repositories: &BTreeMap<String, String>) -> Option<(String, &'static str)> {
    if let Some(url) = repositories.get("debian") {
        return Some((url.clone(), "given"));
    }
    let host = HostMirrors::from_apt(Path::new("/"));
    host.get("debian").map(|url| (url.to_owned(), "as this machine's apt has it"))
}
