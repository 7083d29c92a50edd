//! From image plans to build plans: the lock, and the archives where the lock does not suffice.

use super::select::Selected;
use crate::base::digest::Digest;
use crate::base::files;
use crate::base::progress::Progress;
use crate::cli::meant::{Selection, Settings};
use crate::cli::outcome::{Failure, Status};
use crate::package::archive::{Client, ClientOptions, HostMirrors, wall_clock};
use crate::package::{BuildPlan, Index, Lock, LockMode, OutOfDate, Sources, build_plan, resolve};
use crate::plan::{PinnedFile, Repository};
use crate::rootfs::node;
use crate::store::Store;
use anyhow::Result;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The pins' file name, beside `recipes/` and `roles/`.
const LOCK: &str = "imgbuild.lock";

/// A client of the archives as the command line wants it.
pub(super) fn client(settings: &Settings, selection: &Selection) -> Client {
    Client::new(ClientOptions {
        cache: settings.cache.clone(),
        offline: selection.offline,
        jobs: settings.jobs.get(),
        mirrors: selection.repositories.clone(),
        host: HostMirrors::from_apt(Path::new("/")),
        now: wall_clock(),
        verify: false,
    })
}

/// Where the pins are kept.
pub(super) fn lock_path(settings: &Settings) -> PathBuf {
    settings.directory.join(LOCK)
}

/// What `pin` is asked to do with the lock.
pub(super) fn mode(selection: &Selection, update: bool) -> LockMode {
    match (selection.locked, update) {
        (true, _) => LockMode::Locked,
        (false, true) => LockMode::Update,
        (false, false) => LockMode::Extend,
    }
}

/// Pins every package of these images and writes the lock when that changed it.
pub(super) fn pin(
    settings: &Settings,
    selected: &[Selected],
    mode: LockMode,
    client: &Client,
    progress: &dyn Progress,
) -> Result<Vec<BuildPlan>, Failure> {
    let (_, _, plans) = change(settings, progress, |lock| resolve_all(lock, selected, mode, client, progress))?;
    Ok(plans.into_iter().map(|(plan, _)| plan).collect())
}

/// Changes the project's lock and writes it when it is another then. Gives the lock before and after, and what the
/// change gave. Where another command wrote the lock in the meantime, its pins count, and the change is made again.
pub(super) fn change<T>(
    settings: &Settings,
    progress: &dyn Progress,
    mut change: impl FnMut(&mut Lock) -> Result<T, Failure>,
) -> Result<(Lock, Lock, T), Failure> {
    let path = lock_path(settings);
    files::sweep(&settings.directory);
    loop {
        let before = Lock::load(&path)?;
        let mut after = before.clone();
        let given = change(&mut after)?;
        if after == before {
            return Ok((before, after, given));
        }
        let name = format!("pins-{}", Digest::of(path.as_os_str().as_encoded_bytes()).short());
        let waiting = || progress.note("another command writes imgbuild.lock");
        let _alone = Store::open(&settings.cache)?.lock(&name, waiting)?;
        if Lock::load(&path)? == before {
            after.save(&path)?;
            return Ok((before, after, given));
        }
    }
}

/// Pins every package of these images in a lock that is not written.
pub(super) fn resolve_all(
    lock: &mut Lock,
    selected: &[Selected],
    mode: LockMode,
    client: &Client,
    progress: &dyn Progress,
) -> Result<Vec<(BuildPlan, bool)>, Failure> {
    let mut sources = Archives { client, progress, fetched: BTreeMap::new(), local: local_files(selected) };
    let node = Digest::of(node::executable());
    let mut plans = Vec::new();
    for image in selected {
        let resolved = resolve(&image.plan, lock, mode, &mut sources).map_err(|error| {
            let status = if error.is::<OutOfDate>() { Status::LockOutOfDate } else { Status::Failed };
            Failure::new(status, error)
        })?;
        plans.push((build_plan(image.plan.clone(), &resolved, &node), resolved.changed));
    }
    Ok(plans)
}

/// Where the files beside the documents lie, by digest.
pub(super) fn local_files(selected: &[Selected]) -> BTreeMap<Digest, PathBuf> {
    let files = selected.iter().flat_map(|image| image.inputs.local_files());
    files.map(|file| (file.sha256, file.path.clone())).collect()
}

/// The archives, each index fetched once however many images ask for it.
struct Archives<'a> {
    client: &'a Client,
    progress: &'a dyn Progress,
    fetched: BTreeMap<String, Vec<Index>>,
    local: BTreeMap<Digest, PathBuf>,
}

impl Sources for Archives<'_> {
    fn indices(&mut self, repositories: &[Repository], architecture: &str) -> Result<Vec<Index>> {
        let mut indices = Vec::new();
        for repository in repositories {
            let key = Digest::of_value(&(repository, architecture)).to_string();
            if !self.fetched.contains_key(&key) {
                let found = self.client.indices(std::slice::from_ref(repository), architecture, self.progress)?;
                self.fetched.insert(key.clone(), found);
            }
            indices.extend(self.fetched[&key].iter().cloned());
        }
        Ok(indices)
    }

    fn deb(&mut self, file: &PinnedFile) -> Result<PathBuf> {
        match self.local.get(&file.sha256) {
            Some(path) => Ok(path.clone()),
            None => self.client.fetch_file(file, self.progress),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::epoch::Epoch;
    use crate::base::progress::Silent;
    use crate::package::lock::Section;
    use std::num::NonZeroUsize;

    #[test]
    fn pins_that_another_command_wrote_meanwhile_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (out, cache) = (folder.path().join("out"), folder.path().join("cache"));
        let settings = Settings { directory: folder.path().to_owned(), out, cache, jobs: NonZeroUsize::MIN };
        let path = lock_path(&settings);
        let mut turns = 0;
        let (before, after, _) = change(&settings, &Silent, |lock| {
            turns += 1;
            if turns == 1 {
                let mut other = Lock::default();
                other.sections.insert("other".to_owned(), Section::new(Epoch(1)));
                other.save(&path)?;
            }
            lock.sections.insert("own".to_owned(), Section::new(Epoch(2)));
            Ok(())
        })
        .unwrap();
        assert_eq!(turns, 2);
        assert_eq!(before.sections.keys().collect::<Vec<_>>(), ["other"]);
        assert_eq!(Lock::load(&path).unwrap(), after);
        assert_eq!(after.sections.keys().collect::<Vec<_>>(), ["other", "own"]);

        // What is there already is not written again.
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o444)).unwrap();
        let written = std::fs::metadata(&path).unwrap().modified().unwrap();
        change(&settings, &Silent, |_| Ok(())).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), written);
    }
}
