//! What this machine is like: everything that `doctor` judges, gathered without changing anything.

use super::PROBE;
use super::archives::{Archive, archives};
use crate::base::progress::{Progress, Silent};
use crate::base::{files, hint, process};
use crate::cli::meant::Settings;
use crate::sandbox::{Account, Kvm, Worker, kvm, mount};
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What this machine is like.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// The caller, unless it is root.
    pub(super) account: Option<Account>,
    /// What trying a worker with all ids gave: nothing, or the error and its hints.
    pub(super) worker: Result<(), Told>,
    /// The same with the caller's own id alone.
    pub(super) single: Result<(), Told>,
    /// Where cache and results go.
    pub(super) room: Vec<Room>,
    /// QEMU's version line.
    pub(super) qemu: Option<String>,
    /// What using KVM gave.
    pub(super) kvm: Kvm,
    /// What fetching from the mirrors gave.
    pub(super) archives: Result<Vec<Archive>, Told>,
}

/// An error and its hints.
pub(super) type Told = (String, Vec<String>);

/// A place that a build fills.
#[derive(Clone, Debug)]
pub(super) struct Room {
    /// `cache` or `results`.
    pub(super) what: &'static str,
    /// Where.
    pub(super) path: PathBuf,
    /// Free bytes, as far as that can be told.
    pub(super) bytes: Option<u64>,
    /// Free inodes; filesystems without a fixed number say none.
    pub(super) inodes: Option<u64>,
}

impl Facts {
    /// Looks.
    pub(super) fn gather(settings: &Settings, repositories: &BTreeMap<String, String>) -> Self {
        let root = rustix::process::geteuid().is_root();
        Self {
            account: (!root).then(Account::here),
            worker: Worker::run(PROBE, b"", &Silent).map(drop).map_err(told),
            single: Worker::run_single(PROBE, b"", &Silent).map(drop).map_err(told),
            room: vec![room("cache", &settings.cache), room("results", &settings.out)],
            qemu: process::find("qemu-system-x86_64")
                .and_then(|program| process::Run::new(program).arg("--version").run().ok())
                .and_then(|said| String::from_utf8_lossy(&said).lines().next().map(str::to_owned)),
            kvm: kvm(),
            archives: archives(settings, repositories).map_err(told),
        }
    }
}

pub(super) fn told(error: anyhow::Error) -> Told {
    (format!("{error:#}"), hint::hints(&error))
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

/// What is free where this path is or will be.
fn room(what: &'static str, path: &Path) -> Room {
    let about = path.ancestors().find(|ancestor| ancestor.exists()).and_then(|path| rustix::fs::statvfs(path).ok());
    Room {
        what,
        path: path.to_owned(),
        bytes: about.as_ref().map(|about| about.f_bavail.saturating_mul(about.f_frsize)),
        inodes: about.filter(|about| about.f_files > 0).map(|about| about.f_favail),
    }
}
