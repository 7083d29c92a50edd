//! Fetching and verifying the Release file of a suite, then the `Packages` files that it vouches for.

use super::cache::{Found, SuiteCache};
use super::decompress::{PREFERRED, Packing, unpack};
use super::kept::{self, KeptSuite};
use super::release::{Listed, Release};
use super::values::Index;
use super::{ClientOptions, location};
use crate::base::digest::Digest;
use crate::base::files;
use crate::base::hint::{Remedy as _, hinted};
use crate::base::limits::{INDEX_BYTES, RELEASE_BYTES, RELEASE_SIGNATURE_BYTES};
use crate::base::progress::Phase;
use crate::package::download::{Arrived, DownloadError, Downloader, Request, join, shown};
use crate::package::openpgp::{Certificates, Verified, verify_clear_signed, verify_detached};
use crate::plan::Repository;
use anyhow::{Context as _, Result, bail};
use std::path::PathBuf;

/// apt's pin priority where nobody chose one.
const DEFAULT_PRIORITY: i32 = 500;
/// apt's pin priority of a suite that says `NotAutomatic: yes`.
const NOT_AUTOMATIC_PRIORITY: i32 = 1;
/// apt's pin priority of such a suite that also says `ButAutomaticUpgrades: yes`.
const AUTOMATIC_UPGRADES_PRIORITY: i32 = 100;

/// One suite of one repository, about to be fetched.
pub(super) struct Suite<'a> {
    pub(super) options: &'a ClientOptions,
    pub(super) downloader: &'a Downloader,
    pub(super) repository: &'a Repository,
    pub(super) suite: &'a str,
    pub(super) architecture: &'a str,
    cache: SuiteCache,
}

/// A file of a Release file as it came: its name and its bytes.
type Fetched = (&'static str, Vec<u8>);

/// A `Packages` file that is wanted: its component and its path below the Release file.
struct Wanted {
    component: String,
    path: String,
}

impl<'a> Suite<'a> {
    pub(super) fn new(
        options: &'a ClientOptions,
        downloader: &'a Downloader,
        repository: &'a Repository,
        suite: &'a str,
        architecture: &'a str,
    ) -> Self {
        let cache = SuiteCache::new(&options.cache, &repository.name, suite);
        Self { options, downloader, repository, suite, architecture, cache }
    }

    /// The indices of this suite, verified.
    pub(super) fn indices(&self, phase: &Phase<'_>) -> Result<Vec<Index>> {
        let result = match self.attempt(phase) {
            // A mirror that is just being updated serves a new Release with old indices, or the other way round.
            Err(error) if !self.options.offline && is_mismatch(&error) => self.attempt(phase),
            other => other,
        };
        result.with_context(|| format!("reading {} of repository `{}`", self.spoken(), self.repository.name))
    }

    /// What the cache has of this suite, verified.
    pub(super) fn kept(&self) -> Result<KeptSuite> {
        let repository = self.repository;
        let keyring = Certificates::read(&repository.keyring.name, repository.keyring.content.bytes())?;
        let release = Release::parse(&self.cached_release(&keyring)?.text)?;
        let mut indices = Vec::new();
        for wanted in self.wanted(&release)? {
            let plain = release.files.get(&wanted.path).copied();
            let Some(found) = plain.or_else(|| listed(&release, &wanted.path).map(|(_, packed)| packed)) else {
                bail!("it lists no `{}`", wanted.path);
            };
            let Found::Whole(file) = self.cache.find(&found.sha256, found.size) else {
                bail!("`{}` is not in the cache", wanted.path);
            };
            indices.push((found.sha256, file));
        }
        let names: &[&str] =
            if self.cache.release("InRelease").exists() { &["InRelease"] } else { &["Release", "Release.gpg"] };
        Ok(KeptSuite {
            repository: repository.name.clone(),
            suite: self.suite.to_owned(),
            release: release.info.sha256,
            folder: kept::folder(&repository.name, self.suite),
            signed: names.iter().map(|name| self.cache.release(name)).collect(),
            indices,
        })
    }

    fn spoken(&self) -> String {
        if self.repository.flat { "the index".to_owned() } else { format!("suite `{}`", self.suite) }
    }

    fn attempt(&self, phase: &Phase<'_>) -> Result<Vec<Index>> {
        let repository = self.repository;
        let base = match self.options.offline {
            true => String::new(),
            false => self.folder_url(&location::base(self.options, repository)?),
        };
        let keyring = Certificates::read(&repository.keyring.name, repository.keyring.content.bytes())
            .hint("a repository's `keyring:` holds OpenPGP certificates, armoured or binary")?;
        let (verified, fetched) = match self.options.offline {
            true => (self.cached_release(&keyring)?, Vec::new()),
            false => self.fetch_release(&base, &keyring, phase)?,
        };
        let release = Release::parse(&verified.text).context("reading its Release file")?;
        if !repository.flat {
            release.require_suite(self.suite).hint("check the mirror's URL and the suite's name in the recipe")?;
        }
        if repository.check_valid_until && !self.options.offline {
            release.require_fresh(self.options.now).hint(
                "the mirror is no longer updated, or this machine's clock is wrong; for a snapshot archive say \
                 `check_valid_until: false`",
            )?;
        }
        let mut found = Vec::new();
        for wanted in self.wanted(&release)? {
            let (file, listed) = self.contents(&base, &release, &wanted.path, phase)?;
            found.push(Index {
                repository: repository.name.clone(),
                suite: self.suite.to_owned(),
                component: wanted.component,
                priority: priority(repository.priority, &release),
                release: release.info.clone(),
                file,
                size: listed.size,
                sha256: listed.sha256,
            });
        }
        // Last, so that what the cache offers without a network is complete.
        self.keep_release(&release, &fetched, &keyring)?;
        Ok(found)
    }

    /// Keeps a Release file and what belongs to it, unless the cache has a newer one: a mirror that lags behind, or goes
    /// back in time, takes nothing away.
    fn keep_release(&self, release: &Release, fetched: &[Fetched], keyring: &Certificates) -> Result<()> {
        let cached = self.cached_release(keyring).ok().and_then(|verified| Release::parse(&verified.text).ok());
        if cached.is_some_and(|cached| cached.info.date > release.info.date) {
            return Ok(());
        }
        for (name, bytes) in fetched {
            files::write_atomic(&self.cache.release(name), bytes)?;
        }
        if fetched.iter().any(|(name, _)| *name == "Release") {
            // An older clear-signed one would win offline.
            let _ = std::fs::remove_file(self.cache.release("InRelease"));
        }
        Ok(())
    }

    /// Where the Release file lies.
    fn folder_url(&self, base: &str) -> String {
        let suite = self.suite.trim_start_matches("./").trim_matches('/');
        match (self.repository.flat, suite) {
            (true, "" | ".") => base.to_owned(),
            (true, folder) => join(base, folder),
            (false, suite) => join(base, &format!("dists/{suite}")),
        }
    }

    fn now(&self) -> Option<crate::base::epoch::Epoch> {
        (!self.options.offline).then_some(self.options.now)
    }

    /// The Release file of the mirror: clear-signed, or with its signature beside it.
    fn fetch_release(
        &self,
        folder: &str,
        keyring: &Certificates,
        phase: &Phase<'_>,
    ) -> Result<(Verified, Vec<Fetched>)> {
        let read = |name: &str, limit: u64| -> Result<Option<Vec<u8>>, DownloadError> {
            let url = join(folder, name);
            match self.downloader.read(&Request { url: &url, size: None, limit, sha256: None, fresh: true }) {
                Ok(bytes) => {
                    phase.item(bytes.len() as u64, format!("{} {name}", self.suite));
                    Ok(Some(bytes))
                }
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(error),
            }
        };
        let name = &self.repository.name;
        let fetch = |file: &str, limit: u64| read(file, limit).map_err(|error| remedied(error, Some(name)));
        self.cache.staging()?;
        if let Some(bytes) = fetch("InRelease", RELEASE_BYTES)? {
            let url = join(folder, "InRelease");
            let verified = verify_clear_signed(&bytes, keyring, self.now());
            let verified = distrust(&bytes, &url, verified)?;
            return Ok((verified, vec![("InRelease", bytes)]));
        }
        let url = join(folder, "Release");
        let Some(bytes) = fetch("Release", RELEASE_BYTES)? else {
            return Err(hinted(
                format!("{} has neither InRelease nor Release", shown(folder)),
                format!(
                    "check the suite's name and the mirror's URL; another mirror can be named with `--repository {name}=URL`"
                ),
            ));
        };
        let signatures = fetch("Release.gpg", RELEASE_SIGNATURE_BYTES)?.unwrap_or_default();
        let verified = distrust(&bytes, &url, verify_detached(&bytes, &signatures, keyring, self.now()))?;
        Ok((verified, vec![("Release.gpg", signatures), ("Release", bytes)]))
    }

    fn cached_release(&self, keyring: &Certificates) -> Result<Verified> {
        let path = self.cache.release("InRelease");
        if path.exists() {
            let bytes = files::read(&path, RELEASE_BYTES)?;
            return distrust(&bytes, &path.display().to_string(), verify_clear_signed(&bytes, keyring, None));
        }
        let path = self.cache.release("Release");
        if !path.exists() {
            return Err(hinted(
                format!("the Release file of {} is not in the cache, and the network is off", self.spoken()),
                "run once without `--offline`",
            ));
        }
        let bytes = files::read(&path, RELEASE_BYTES)?;
        let signatures = files::read(&self.cache.release("Release.gpg"), RELEASE_SIGNATURE_BYTES)?;
        distrust(&bytes, &path.display().to_string(), verify_detached(&bytes, &signatures, keyring, None))
    }

    /// Which `Packages` files are wanted of this release.
    fn wanted(&self, release: &Release) -> Result<Vec<Wanted>> {
        if self.repository.flat {
            return Ok(vec![Wanted { component: String::new(), path: "Packages".to_owned() }]);
        }
        let known = &release.architectures;
        if !known.is_empty() && !known.iter().any(|name| name == self.architecture || name == "all") {
            bail!("it has no packages for {}: it has {}", self.architecture, known.join(", "));
        }
        let mut wanted = Vec::new();
        for component in &self.repository.components {
            if !release.components.is_empty() && !release.components.contains(component) {
                bail!("it has no component `{component}`: it has {}", release.components.join(", "));
            }
            let path = |architecture: &str| format!("{component}/binary-{architecture}/Packages");
            let own = path(self.architecture);
            let shared = path("all");
            let has_own = listed(release, &own).is_some();
            let has_shared = known.iter().any(|name| name == "all") && listed(release, &shared).is_some();
            if !has_own && !has_shared {
                bail!("it lists no `{own}`");
            }
            if has_own {
                wanted.push(Wanted { component: component.clone(), path: own });
            }
            if has_shared && !(has_own && release.all_is_merged) {
                wanted.push(Wanted { component: component.clone(), path: shared });
            }
        }
        Ok(wanted)
    }

    /// The unpacked contents of a listed file, from the cache or from the mirror.
    fn contents(&self, folder: &str, release: &Release, path: &str, phase: &Phase<'_>) -> Result<(PathBuf, Listed)> {
        let plain = release.files.get(path).copied();
        if let Some(plain) = plain
            && let Some(file) = self.cached(&plain, path, phase)?
        {
            return Ok((file, plain));
        }
        let Some((packing, packed)) = listed(release, path) else { bail!("it lists no `{path}`") };
        let name = format!("{path}{}", packing.suffix());
        // What was just fetched stays locked until it is in its place.
        let mut arrived = None;
        let (packed_file, kept) = match self.cached(&packed, &name, phase)? {
            Some(file) => (file, true),
            None if self.options.offline => {
                return Err(hinted(
                    format!("`{name}` is not in the cache, and the network is off"),
                    "run once without `--offline`",
                ));
            }
            None => {
                let fetched = self.fetch_listed(folder, release, &name, packed, phase)?;
                (arrived.insert(fetched).path.clone(), false)
            }
        };
        if packing == Packing::Plain {
            let place = self.cache.contents(&packed.sha256);
            std::fs::rename(&packed_file, &place).with_context(|| format!("keeping {}", place.display()))?;
            return Ok((place, packed));
        }
        let promised = plain.map(|plain| (plain.size, plain.sha256));
        let (file, (size, sha256)) = self.cache.fill(|out| {
            let unpacked = unpack(packing, files::open(&packed_file)?, out, promised, INDEX_BYTES);
            let (size, sha256) = unpacked.with_context(|| format!("unpacking `{name}`"))?;
            Ok((sha256, (size, sha256)))
        })?;
        // Where the plain file's digest is not listed, the packed one stays: it alone can be compared later.
        if plain.is_some() {
            let _ = std::fs::remove_file(&packed_file);
        } else if !kept {
            let place = self.cache.contents(&packed.sha256);
            std::fs::rename(&packed_file, &place).with_context(|| format!("keeping {}", place.display()))?;
        }
        Ok((file, Listed { size, sha256 }))
    }

    /// A listed file that is in the cache. A damaged one is removed, so that it is fetched again.
    fn cached(&self, listed: &Listed, name: &str, phase: &Phase<'_>) -> Result<Option<PathBuf>> {
        match self.cache.find(&listed.sha256, listed.size) {
            Found::Whole(file) => Ok(Some(file)),
            Found::Nothing => Ok(None),
            Found::Damaged(file) if self.options.offline => Err(hinted(
                format!("{} was damaged, and the network is off", file.display()),
                "run once without `--offline`",
            )),
            Found::Damaged(file) => {
                phase.warn(format!("`{name}` of {} was damaged in the cache: it is fetched again", self.spoken()));
                std::fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
                Ok(None)
            }
        }
    }

    /// Fetches a listed file by its digest where the archive offers that, else by its name.
    fn fetch_listed(
        &self,
        folder: &str,
        release: &Release,
        name: &str,
        listed: Listed,
        phase: &Phase<'_>,
    ) -> Result<Arrived> {
        let fetch = |url: &str| {
            let request = Request {
                url,
                size: Some(listed.size),
                limit: listed.size,
                sha256: Some(listed.sha256),
                fresh: !release.by_hash,
            };
            let staging = self.cache.release("");
            self.downloader.fetch(&request, &staging, &|bytes| phase.item(bytes, format!("{} {name}", self.suite)))
        };
        self.cache.staging()?;
        if listed.size > INDEX_BYTES {
            bail!("`{name}` has {} bytes, at most {INDEX_BYTES} are read", listed.size);
        }
        if release.by_hash {
            let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent);
            let by_hash = join(folder, &format!("{parent}/by-hash/SHA256/{}", listed.sha256));
            match fetch(&by_hash) {
                Ok(arrived) => return Ok(arrived),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(remedied(error, Some(&self.repository.name))),
            }
        }
        fetch(&join(folder, name)).map_err(|error| remedied(error, Some(&self.repository.name)))
    }
}

impl Index {
    /// Reads the text and compares it with its digest.
    ///
    /// # Errors
    /// When it cannot be read or is no longer what was verified.
    pub fn text(&self) -> Result<Vec<u8>> {
        let bytes = files::read(&self.file, self.size)?;
        let found = Digest::of(&bytes);
        if found != self.sha256 {
            return Err(hinted(
                format!("{} was changed: its digest is {found}, not {}", self.file.display(), self.sha256),
                "remove the file; it is then fetched again",
            ));
        }
        Ok(bytes)
    }
}

/// The preferred packing of a listed file.
fn listed(release: &Release, path: &str) -> Option<(Packing, Listed)> {
    PREFERRED.into_iter().find_map(|packing| {
        let listed = release.files.get(&format!("{path}{}", packing.suffix()))?;
        Some((packing, *listed))
    })
}

fn priority(wanted: i32, release: &Release) -> i32 {
    match (release.info.not_automatic, release.info.but_automatic_upgrades) {
        (true, true) if wanted == DEFAULT_PRIORITY => AUTOMATIC_UPGRADES_PRIORITY,
        (true, false) if wanted == DEFAULT_PRIORITY => NOT_AUTOMATIC_PRIORITY,
        _ => wanted,
    }
}

/// Says which file is not trusted, and what a person may do.
fn distrust<E: std::error::Error + Send + Sync + 'static>(
    bytes: &[u8],
    url: &str,
    verified: Result<Verified, E>,
) -> Result<Verified> {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(512)]).trim_start().to_ascii_lowercase();
    if start.starts_with("<!doctype html") || start.starts_with("<html") {
        return Err(remedied(DownloadError::WebPage { url: shown(url) }, None));
    }
    verified
        .hint("nothing of this archive is used: check the mirror, and the repository's `keyring:` in the recipe")
        .with_context(|| format!("verifying {}", shown(url)))
}

/// A download's failure with its remedy; another mirror can be named for a repository.
pub(super) fn remedied(error: DownloadError, repository: Option<&str>) -> anyhow::Error {
    let other = repository.map(|name| format!("--repository {name}=URL"));
    let remedy = error.remedy(other.as_deref());
    advised(error.into(), &remedy)
}

/// An error with one more hint.
pub(super) fn advised(error: anyhow::Error, hint: &str) -> anyhow::Error {
    match Err::<std::convert::Infallible, _>(error).hint(hint) {
        Err(error) => error,
        Ok(never) => match never {},
    }
}

fn is_mismatch(error: &anyhow::Error) -> bool {
    crate::base::hint::find::<DownloadError>(error).is_some_and(DownloadError::is_mismatch)
}
