//! Downloads that arrive whole or not at all: retried, resumed, bounded, hashed while they stream.
//!
//! `http`, `https`, `file` and plain paths. Servers may ignore ranges, cut connections, stall or answer with a web
//! page; each has its own message, and none leaves a file under its final name.

mod address;
mod error;
mod landing;
mod proxy;
mod transfer;

pub use address::{join, origin, shown};
pub use error::DownloadError;
pub use landing::Arrived;

use crate::base::digest::Digest;
use crate::base::limits::{
    DOWNLOAD_CONNECT_TIME, DOWNLOAD_FAILURES, DOWNLOAD_RATE_BYTES, DOWNLOAD_RATE_TIME, DOWNLOAD_SILENCE_TIME,
    DOWNLOAD_TIME, DOWNLOAD_WAIT_TIME,
};
use landing::Landing;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;
use transfer::Agents;

/// How long to wait and how often to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Attempts in a row without progress.
    pub attempts: u32,
    /// Wait before the second attempt; doubled each time, at most [`Patience::longest_wait`].
    pub wait: Duration,
    /// Wait between attempts, at most.
    pub longest_wait: Duration,
    /// Name resolution, connection and TLS handshake.
    pub connect: Duration,
    /// Silence of the server, before and within an answer.
    pub stall: Duration,
    /// Over how long the server's speed is judged.
    pub pace: Duration,
    /// Bytes per second over that time, at least.
    pub slowest: u64,
    /// One file in all, however often it is tried.
    pub whole: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: DOWNLOAD_FAILURES,
            wait: Duration::from_millis(300),
            longest_wait: DOWNLOAD_WAIT_TIME,
            connect: DOWNLOAD_CONNECT_TIME,
            stall: DOWNLOAD_SILENCE_TIME,
            pace: DOWNLOAD_RATE_TIME,
            slowest: DOWNLOAD_RATE_BYTES,
            whole: DOWNLOAD_TIME,
        }
    }
}

/// What to fetch, and what it must be.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// URL or plain path.
    pub url: &'a str,
    /// Its size in bytes, when known.
    pub size: Option<u64>,
    /// Bytes at most, when the size is not known.
    pub limit: u64,
    /// Its digest, when known.
    pub sha256: Option<Digest>,
    /// Whether caches on the way must ask the server again.
    pub fresh: bool,
}

/// Fetches; shared by threads. Opens no connection and reads no certificate before the first `http` request.
#[derive(Debug)]
pub struct Downloader {
    connections: usize,
    patience: Patience,
    proxies: BTreeMap<String, String>,
    agents: OnceLock<Agents>,
}

impl Downloader {
    /// A downloader that keeps at most this many connections to one server.
    #[must_use]
    pub fn new(connections: usize, patience: Patience) -> Self {
        Self { connections, patience, proxies: BTreeMap::new(), agents: OnceLock::new() }
    }

    /// The same with proxies for single servers, by [`origin`]. Where the environment names a proxy, that one counts.
    #[must_use]
    pub fn proxies(mut self, proxies: &BTreeMap<String, String>) -> Self {
        self.proxies.clone_from(proxies);
        self
    }

    /// Fetches a small file into memory.
    ///
    /// # Errors
    /// When it cannot be had or is not what was asked for.
    pub fn read(&self, request: &Request<'_>) -> Result<Vec<u8>, DownloadError> {
        let mut landing = Landing::memory();
        self.run(request, &mut landing, &|_| {})?;
        Ok(landing.into_bytes())
    }

    /// Fetches a file into `folder` and gives its path there, digest checked when it is known. `progress` is told of
    /// every further byte. A download that breaks off leaves its beginning there, and the next one goes on from it.
    ///
    /// # Errors
    /// When it cannot be had or is not what was asked for.
    pub fn fetch(
        &self,
        request: &Request<'_>,
        folder: &Path,
        progress: &dyn Fn(u64),
    ) -> Result<Arrived, DownloadError> {
        let mut landing = Landing::in_folder(folder, request.sha256.as_ref(), request.size)?;
        self.run(request, &mut landing, progress)?;
        landing.into_file()
    }

    fn run(&self, request: &Request<'_>, landing: &mut Landing, progress: &dyn Fn(u64)) -> Result<(), DownloadError> {
        if let Some(path) = address::local(request.url) {
            return copy(request, &path, landing, progress);
        }
        let agents = self.agents.get_or_init(|| Agents::new(self.connections, &self.patience, &self.proxies));
        agents.fetch(request, landing, &self.patience, progress)
    }
}

/// Copies a local file.
fn copy(
    request: &Request<'_>,
    path: &Path,
    landing: &mut Landing,
    progress: &dyn Fn(u64),
) -> Result<(), DownloadError> {
    let url = || shown(request.url);
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => DownloadError::NotFound { url: url() },
        _ => DownloadError::Failed { url: url(), reason: error.to_string() },
    };
    let file = File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(DownloadError::NotFound { url: url() });
    }
    landing.restart()?;
    transfer::receive(request, file, landing, &mut transfer::Watch::idle(), &mut 0, progress)
        .map_err(|stop| stop.into_error(request))?;
    landing.check(request)
}
