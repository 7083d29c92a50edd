//! Where a repository is, for this run: named on the command line, written in a document, or the host's mirror.

use super::ClientOptions;
use crate::plan::{Location, Repository};
use anyhow::Result;

/// The base URL of a repository, without a slash at its end.
pub(super) fn base(options: &ClientOptions, repository: &Repository) -> Result<String> {
    let given = |name: &str| options.mirrors.get(name).cloned();
    let url = match (given(&repository.name), &repository.location) {
        (Some(url), _) => url,
        (None, Location::Url(url)) => url.clone(),
        (None, Location::Host(distribution)) => match given(distribution) {
            Some(url) => url,
            None => options.host.resolve(distribution)?,
        },
    };
    Ok(url.trim_end_matches('/').to_owned())
}
