//! Fetching pinned packages and pinned files into the cache.

use super::indices::{advised, remedied};
use super::release::plain;
use super::{ClientOptions, location};
use crate::base::digest::Digest;
use crate::base::hint::hinted;
use crate::base::limits::DOWNLOAD_BYTES;
use crate::base::parallel;
use crate::base::progress::{Phase, Progress, Unit};
use crate::package::download::{DownloadError, Downloader, Request, join, shown};
use crate::package::{PackageFile, Pin};
use crate::plan::{PinnedFile, Repository};
use crate::store::packages::PackageStore;
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Names listed in one message.
const NAMES_SHOWN: usize = 10;

/// What both kinds of pinned things need.
pub(super) struct Fetcher<'a> {
    pub(super) options: &'a ClientOptions,
    pub(super) downloader: &'a Downloader,
    pub(super) store: &'a PackageStore,
}

impl Fetcher<'_> {
    /// All packages, in the order of the pins.
    pub(super) fn packages(
        &self,
        pins: &[Pin],
        repositories: &[Repository],
        progress: &dyn Progress,
    ) -> Result<Vec<PackageFile>> {
        // Several roles pin the same package; it is looked up and fetched once.
        let mut wanted: BTreeMap<Digest, &Pin> = BTreeMap::new();
        for pin in pins {
            wanted.entry(pin.sha256).or_insert(pin);
        }
        let wanted: Vec<(Digest, &Pin)> = wanted.into_iter().collect();
        let looked = parallel::map_on(self.options.jobs, &wanted, |(digest, pin)| self.cached(digest, Some(pin.size)))?;
        let mut files: BTreeMap<Digest, PathBuf> = BTreeMap::new();
        let mut missing = Vec::new();
        for ((digest, pin), found) in wanted.into_iter().zip(looked) {
            match found {
                Some(file) => {
                    files.insert(digest, file);
                }
                None => missing.push(pin),
            }
        }
        if !missing.is_empty() {
            files.extend(self.missing(missing, repositories, progress)?);
        }
        pins.iter()
            .map(|pin| {
                let file = files.get(&pin.sha256).with_context(|| format!("finding package {}", spoken(pin)))?;
                Ok(PackageFile { pin: pin.clone(), file: file.clone() })
            })
            .collect()
    }

    fn missing(
        &self,
        mut missing: Vec<&Pin>,
        repositories: &[Repository],
        progress: &dyn Progress,
    ) -> Result<Vec<(Digest, PathBuf)>> {
        if self.options.offline {
            let mut names: Vec<String> = missing.iter().map(|pin| spoken(pin)).collect();
            names.sort();
            return Err(hinted(
                format!(
                    "{} of the pinned packages are not in the cache, and the network is off: {}",
                    names.len(),
                    shortened(&names)
                ),
                "run once without `--offline`, or give a cache (`--cache DIR`) or a bundle (`--bundle FILE`) that has them",
            ));
        }
        let mut sources = BTreeMap::new();
        for pin in &missing {
            if sources.contains_key(pin.repository.as_str()) {
                continue;
            }
            let Some(repository) = repositories.iter().find(|repository| repository.name == pin.repository) else {
                return Err(hinted(
                    format!(
                        "package {} is pinned from `{}`, which is no repository of this build",
                        spoken(pin),
                        pin.repository
                    ),
                    "`imgbuild lock --update` pins it from a repository of the recipe or the role",
                ));
            };
            sources.insert(pin.repository.as_str(), (repository, location::base(self.options, repository)?));
        }
        // The largest first, so that no thread is left with a large one at the end.
        missing.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.cmp(b)));
        let total = missing.iter().fold(0_u64, |total, pin| total.saturating_add(pin.size));
        let phase = progress.phase("download", total, Unit::Bytes);
        parallel::map_on(self.options.jobs, &missing, |pin| {
            let Some((repository, base)) = sources.get(pin.repository.as_str()) else {
                bail!("package {} has no source", spoken(pin));
            };
            Ok((pin.sha256, self.package(pin, repository, base, &phase)?))
        })
    }

    /// One package, from the mirror or else from the snapshot archive.
    fn package(&self, pin: &Pin, repository: &Repository, base: &str, phase: &Phase<'_>) -> Result<PathBuf> {
        if !plain(&pin.path) {
            bail!("package {} has the path `{}`, which is no plain path below the repository", spoken(pin), pin.path);
        }
        let url = join(base, &pin.path);
        let get = |url: &str, repository: Option<&str>| {
            self.download(url, Some(pin.size), pin.size, &pin.sha256, repository, &|bytes| {
                phase.item(bytes, pin.name.clone());
            })
        };
        let failed = match get(&url, Some(&pin.repository)) {
            Ok(file) => return Ok(file),
            Err(error) => error,
        };
        let gone = crate::base::hint::find::<DownloadError>(&failed)
            .is_some_and(|error| error.is_not_found() || error.is_mismatch());
        if !gone {
            return Err(failed.context(format!("fetching package {}", spoken(pin))));
        }
        let Some(snapshot) = &repository.snapshot else {
            return Err(hinted(
                format!("package {} is no longer on the mirror of `{}` ({failed})", spoken(pin), repository.name,),
                "`imgbuild lock --update` pins what the mirror carries now; or name a `snapshot:` archive for the \
                 repository in the recipe; or give a cache (`--cache DIR`) or a bundle (`--bundle FILE`) that has the package",
            ));
        };
        get(&join(snapshot, &pin.path), None).with_context(|| {
            format!("fetching package {}, no longer at {}, from the snapshot archive", spoken(pin), shown(&url))
        })
    }

    /// One pinned file.
    pub(super) fn file(&self, file: &PinnedFile, progress: &dyn Progress) -> Result<PathBuf> {
        if let Some(path) = self.cached(&file.sha256, None)? {
            return Ok(path);
        }
        let Some(url) = &file.url else {
            bail!("{} (sha256 {}) is not in the cache, and it has no URL", file.name, file.sha256);
        };
        if self.options.offline {
            return Err(hinted(
                format!("{} is not in the cache, and the network is off", file.name),
                "run once without `--offline`, or name the cache that has it with `--cache DIR`",
            ));
        }
        let phase = progress.phase("download", 0, Unit::Bytes);
        let told = |bytes: u64| phase.item(bytes, file.name.clone());
        self.download(url, None, DOWNLOAD_BYTES, &file.sha256, None, &told).map_err(|error| {
            let other = crate::base::hint::find::<DownloadError>(&error)
                .is_some_and(|error| matches!(error, DownloadError::Digest { .. }));
            let error = error.context(format!("fetching {}", file.name));
            match other {
                true => advised(error, "if the new contents are wanted, correct the `sha256:` of the document"),
                false => error,
            }
        })
    }

    fn cached(&self, digest: &Digest, size: Option<u64>) -> Result<Option<PathBuf>> {
        match self.options.verify {
            true => self.store.verified(digest, size),
            false => Ok(self.store.find(digest, size)),
        }
    }

    fn download(
        &self,
        url: &str,
        size: Option<u64>,
        limit: u64,
        digest: &Digest,
        repository: Option<&str>,
        told: &dyn Fn(u64),
    ) -> Result<PathBuf> {
        let request = Request { url, size, limit, sha256: Some(*digest), fresh: false };
        let arrived = self
            .downloader
            .fetch(&request, &self.store.staging()?, told)
            .map_err(|error| remedied(error, repository))?;
        self.store.keep(&arrived.path, digest)
    }
}

fn spoken(pin: &Pin) -> String {
    format!("{}={}:{}", pin.name, pin.version, pin.architecture)
}

fn shortened(names: &[String]) -> String {
    match names.len() {
        0..=NAMES_SHOWN => names.join(", "),
        more => format!("{}, and {} more", names[..NAMES_SHOWN].join(", "), more - NAMES_SHOWN),
    }
}
