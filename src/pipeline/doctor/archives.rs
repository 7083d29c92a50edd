//! Whether the archives of the default recipe answer, with a signature that its keyring knows. Nothing is kept of it.

use super::facts::{Told, told};
use crate::base::limits::RELEASE_BYTES;
use crate::cli::meant::{Names, Selection, Settings};
use crate::package::archive::{HostMirrors, wall_clock};
use crate::package::download::{Downloader, Patience, Request, join, shown};
use crate::package::openpgp::{Certificates, verify_clear_signed};
use crate::pipeline::select::select;
use crate::plan::{Location, Repository};
use anyhow::Result;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// A mirror that does not answer within this time is as good as none to whoever waits for `doctor`.
const PATIENCE: Duration = Duration::from_secs(5);

/// What one repository of the recipe gave.
#[derive(Clone, Debug)]
pub(super) struct Archive {
    /// Its name.
    pub(super) name: String,
    /// Its URL and where that was found, without login.
    pub(super) place: Result<(String, &'static str), Told>,
    /// What fetching the signed list of its first suite gave.
    pub(super) answer: Result<(), Told>,
    /// What checking the signature gave.
    pub(super) signature: Result<(), String>,
    /// The keyring's name, and why it cannot be used if it cannot.
    pub(super) keyring: (String, Result<(), String>),
}

/// Asks the repositories of the default recipe, as `role base` would.
pub(super) fn archives(settings: &Settings, repositories: &BTreeMap<String, String>) -> Result<Vec<Archive>> {
    let selection = Selection {
        recipe: None,
        kernel: None,
        trust: Vec::new(),
        parameters: BTreeMap::new(),
        repositories: repositories.clone(),
        locked: false,
        offline: false,
    };
    let selected = select(settings, &Names::Given(vec!["base".to_owned()]), &selection)?;
    let patience = Patience { attempts: 1, connect: PATIENCE, stall: PATIENCE, ..Patience::default() };
    let host = HostMirrors::from_apt(Path::new("/"));
    let downloader = Downloader::new(1, patience).proxies(host.proxies());
    let found = selected.iter().flat_map(|image| &image.plan.repositories);
    Ok(found.map(|repository| ask(repository, repositories, &host, &downloader)).collect())
}

fn ask(
    repository: &Repository,
    given: &BTreeMap<String, String>,
    host: &HostMirrors,
    downloader: &Downloader,
) -> Archive {
    let read = Certificates::read(&repository.keyring.name, repository.keyring.content.bytes());
    let keyring = (repository.keyring.name.clone(), read.as_ref().map(drop).map_err(ToString::to_string));
    let place = place(repository, given, host);
    let mut archive = Archive {
        name: repository.name.clone(),
        place: place.as_ref().map(|(url, origin)| (shown(url), *origin)).map_err(Clone::clone),
        answer: Ok(()),
        signature: Ok(()),
        keyring,
    };
    let (Ok((url, _)), Some(suite)) = (place, repository.suites.first().filter(|_| !repository.flat)) else {
        return archive;
    };
    let url = join(&url, &format!("dists/{suite}/InRelease"));
    match downloader.read(&Request { url: &url, size: None, limit: RELEASE_BYTES, sha256: None, fresh: true }) {
        Err(error) => archive.answer = Err(told(error.into())),
        Ok(bytes) => {
            if let Ok(keyring) = read {
                let verified = verify_clear_signed(&bytes, &keyring, Some(wall_clock()));
                archive.signature = verified.map(drop).map_err(|refusal| refusal.to_string());
            }
        }
    }
    archive
}

fn place(
    repository: &Repository,
    given: &BTreeMap<String, String>,
    host: &HostMirrors,
) -> Result<(String, &'static str), Told> {
    if let Some(url) = given.get(&repository.name) {
        return Ok((url.clone(), "given"));
    }
    match &repository.location {
        Location::Url(url) => Ok((url.clone(), "as the recipe has it")),
        Location::Host(distribution) => match given.get(distribution) {
            Some(url) => Ok((url.clone(), "given")),
            None => Ok((host.resolve(distribution).map_err(told)?, "as this machine's apt has it")),
        },
    }
}
