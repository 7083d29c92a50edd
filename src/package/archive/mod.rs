//! The client of Debian-style archives: verified indices and verified packages, from a mirror or from the cache.
//!
//! Signatures guard the indices: no signature by a pinned key, no index. A pinned digest suffices for a package.

mod apt_conf;
mod cache;
mod date;
mod decompress;
mod host;
mod indices;
mod kept;
mod location;
mod packages;
mod release;
mod values;

pub use cache::prune_indices;
pub use decompress::{Packing, UnpackError, unpack};
pub use host::HostMirrors;
pub use kept::{KeptSuite, SuitePlace};
pub use release::{Listed, Release, ReleaseError};
pub use values::{Index, ReleaseInfo};

use super::download::{Downloader, Patience};
use super::{PackageFile, Pin};
use crate::base::epoch::Epoch;
use crate::base::hint::hinted;
use crate::base::parallel;
use crate::base::progress::{Progress, Unit};
use crate::plan::{PinnedFile, Repository};
use crate::store::packages::PackageStore;
use anyhow::Result;
use indices::Suite;
use packages::Fetcher;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How the client works.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The cache's folder; the client uses `packages/` and `indices/` below it.
    pub cache: PathBuf,
    /// Whether the network is left alone.
    pub offline: bool,
    /// Downloads at a time.
    pub jobs: usize,
    /// `--repository NAME=URL`, by repository name or by distribution (`debian`, `debian-security`).
    pub mirrors: BTreeMap<String, String>,
    /// The mirrors of the host's own apt.
    pub host: HostMirrors,
    /// The time of day, for freshness only (`Valid-Until`, expired keys): see [`wall_clock`].
    pub now: Epoch,
    /// Whether cached files are read again and compared with their digests.
    pub verify: bool,
}

/// A client; cheap to make, shared by threads.
#[derive(Debug)]
pub struct Client {
    options: ClientOptions,
    downloader: Downloader,
    store: PackageStore,
}

impl Client {
    /// A client that has done nothing yet.
    #[must_use]
    pub fn new(options: ClientOptions) -> Self {
        let downloader = Downloader::new(options.jobs, Patience::default()).proxies(options.host.proxies());
        let store = PackageStore::new(&options.cache);
        Self { options, downloader, store }
    }

    /// The same client with other limits of time and attempts.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.downloader = Downloader::new(self.options.jobs, patience).proxies(self.options.host.proxies());
        self
    }

    /// Fetches and verifies the indices of these repositories, in their order: repository, suite, component.
    ///
    /// # Errors
    /// When one cannot be had or is not to be trusted; the message names URL and remedy.
    pub fn indices(
        &self,
        repositories: &[Repository],
        architecture: &str,
        progress: &dyn Progress,
    ) -> Result<Vec<Index>> {
        let mut suites = Vec::new();
        for repository in repositories {
            for suite in &repository.suites {
                suites.push(Suite::new(&self.options, &self.downloader, repository, suite, architecture));
            }
        }
        let phase = progress.phase("indices", 0, Unit::Bytes);
        let found = parallel::map_on(self.options.jobs, &suites, |suite| suite.indices(&phase))?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The suites of these repositories as they lie in the cache, verified; those that are not there whole are left out.
    #[must_use]
    pub fn kept(&self, repositories: &[Repository], architecture: &str) -> Vec<KeptSuite> {
        let options = ClientOptions { offline: true, ..self.options.clone() };
        let suites =
            repositories.iter().flat_map(|repository| repository.suites.iter().map(move |suite| (repository, suite)));
        let suites = suites
            .map(|(repository, suite)| Suite::new(&options, &self.downloader, repository, suite, architecture).kept());
        suites.filter_map(Result::ok).collect()
    }

    /// Fetches packages into the cache, in parallel, and gives them in the order of the pins.
    ///
    /// # Errors
    /// When one cannot be had; the message names the package, the URL and the ways out.
    pub fn fetch(
        &self,
        pins: &[Pin],
        repositories: &[Repository],
        progress: &dyn Progress,
    ) -> Result<Vec<PackageFile>> {
        self.fetcher().packages(pins, repositories, progress)
    }

    /// Reads the cached files of these pins, which are about to be used, and removes those that were damaged, so that
    /// [`Client::fetch`] gets them again. Says so.
    ///
    /// # Errors
    /// When one cannot be read or removed.
    pub fn remove_damaged(&self, pins: &[Pin], progress: &dyn Progress) -> Result<()> {
        let damaged = parallel::map_on(self.options.jobs, pins, |pin| {
            let there = self.store.path(&pin.sha256).exists();
            anyhow::Ok(there && self.store.verified(&pin.sha256, Some(pin.size))?.is_none())
        })?;
        for (pin, _) in pins.iter().zip(damaged).filter(|(_, damaged)| *damaged) {
            let (name, version) = (&pin.name, &pin.version);
            progress.warn(format!("package {name}={version} was damaged in the cache and is removed from it"));
        }
        Ok(())
    }

    /// Fetches one pinned file into the cache, where its name is its digest.
    ///
    /// # Errors
    /// When it cannot be had or is not the pinned one.
    pub fn fetch_file(&self, file: &PinnedFile, progress: &dyn Progress) -> Result<PathBuf> {
        self.fetcher().file(file, progress)
    }

    /// Takes a file that lies beside the documents into the cache, where `fetch` (repository `local`) and
    /// `fetch_file` then find it by its digest.
    ///
    /// # Errors
    /// When it cannot be read, or its digest is not the pinned one.
    pub fn adopt(&self, path: &Path, file: &PinnedFile) -> Result<PathBuf> {
        let kept = self.store.adopt(path, &file.sha256)?;
        kept.ok_or_else(|| {
            hinted(
                format!("{} is not the file whose digest is {}", path.display(), file.sha256),
                "if the file was changed on purpose, correct the digest or run `imgbuild lock --update`",
            )
        })
    }

    /// Where cached packages lie.
    #[must_use]
    pub fn store(&self) -> &PackageStore {
        &self.store
    }

    fn fetcher(&self) -> Fetcher<'_> {
        Fetcher { options: &self.options, downloader: &self.downloader, store: &self.store }
    }
}

/// The time of day. For freshness only: nothing that is written may depend on it.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "Valid-Until and expired keys are judged against the day, nothing else is"
)]
pub fn wall_clock() -> Epoch {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Epoch(since.map_or(0, |elapsed| i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)))
}
