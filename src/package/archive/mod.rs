//! The client of Debian-style archives: verified indices and verified packages, from a mirror or from the cache.
//!
//! Signatures guard the indices: no signature by a pinned key, no index. A pinned digest suffices for a package.

mod host;
mod values;

pub use host::HostMirrors;
pub use values::{Index, ReleaseInfo};

use super::{PackageFile, Pin};
use crate::base::epoch::Epoch;
use crate::base::progress::Progress;
use crate::plan::{PinnedFile, Repository};
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::path::PathBuf;

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
}

impl Client {
    /// A client that has done nothing yet.
    #[must_use]
    pub fn new(options: ClientOptions) -> Self {
        Self { options }
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
        let _ = (repositories, architecture, progress, &self.options);
        bail!("fetching indices is not built yet")
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
        let _ = (pins, repositories, progress);
        bail!("fetching packages is not built yet")
    }

    /// Fetches one pinned file into the cache.
    ///
    /// # Errors
    /// When it cannot be had or is not the pinned one.
    pub fn fetch_file(&self, file: &PinnedFile, progress: &dyn Progress) -> Result<PathBuf> {
        let _ = (file, progress);
        bail!("fetching files is not built yet")
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
