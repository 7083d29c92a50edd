//! The indices of one resolution: fetched once, when first needed, and compared with those seen before.

use super::Sources;
use crate::base::epoch::Epoch;
use crate::base::hint::hinted;
use crate::package::Index;
use crate::package::lock::{LockedRelease, Section};
use crate::package::universe::{Origin, Universe};
use crate::plan::Repository;
use anyhow::{Context as _, Result};

/// Indices with their texts.
pub(super) struct Archive<'p> {
    repositories: &'p [Repository],
    architecture: &'p str,
    fetched: Option<Vec<Loaded>>,
}

/// One index and its text.
pub(super) struct Loaded {
    pub(super) index: Index,
    pub(super) text: Vec<u8>,
}

impl<'p> Archive<'p> {
    pub(super) fn new(repositories: &'p [Repository], architecture: &'p str) -> Self {
        Self { repositories, architecture, fetched: None }
    }

    /// The indices, asking for them when this is the first time.
    pub(super) fn indices(&mut self, sources: &mut dyn Sources) -> Result<&[Loaded]> {
        if self.fetched.is_none() {
            let indices = sources.indices(self.repositories, self.architecture)?;
            let load = |index: Index| {
                let text = index.text()?;
                Ok(Loaded { index, text })
            };
            self.fetched = Some(indices.into_iter().map(load).collect::<Result<_>>()?);
        }
        Ok(self.fetched.as_deref().unwrap_or_default())
    }

    /// What was fetched so far.
    pub(super) fn loaded(&self) -> &[Loaded] {
        self.fetched.as_deref().unwrap_or_default()
    }
}

/// Adds the indices of these repositories to a universe.
pub(super) fn fill<'a>(universe: &mut Universe<'a>, loaded: &'a [Loaded], repositories: &[Repository]) -> Result<()> {
    for Loaded { index, text } in loaded {
        if repositories.iter().any(|repository| repository.name == index.repository) {
            let aliases = [index.release.codename.as_deref(), index.release.suite.as_deref()];
            let (repository, suite) = (index.repository.as_str(), index.suite.as_str());
            let origin = Origin { repository, suite, aliases, priority: index.priority };
            universe
                .add_index(origin, text)
                .with_context(|| format!("reading the index of {repository} {suite} {}", index.component))?;
        }
    }
    Ok(())
}

/// The newest `Date` of these repositories' Release files.
pub(super) fn newest(loaded: &[Loaded], repositories: &[Repository]) -> Option<Epoch> {
    let of = |loaded: &&Loaded| repositories.iter().any(|repository| repository.name == loaded.index.repository);
    loaded.iter().filter(of).map(|loaded| loaded.index.release.date).max()
}

/// Keeps the newest Release files in the section; an older one than that is refused.
pub(super) fn remember(section: &mut Section, loaded: &[Loaded]) -> Result<()> {
    for Loaded { index, .. } in loaded {
        let seen = LockedRelease {
            repository: index.repository.clone(),
            suite: index.suite.clone(),
            date: index.release.date,
            sha256: index.release.sha256,
        };
        let same = |known: &&mut LockedRelease| known.repository == seen.repository && known.suite == seen.suite;
        match section.releases.iter_mut().find(same) {
            Some(known) if seen.date < known.date => {
                return Err(hinted(
                    format!(
                        "the index of {} {} is of {}, but the lock was made from one of {}: the mirror went back in time",
                        seen.repository,
                        seen.suite,
                        seen.date.rfc3339(),
                        known.date.rfc3339()
                    ),
                    format!(
                        "take another mirror with `--repository {}=URL`, or remove the line from `releases` in imgbuild.lock if the older state is wanted",
                        seen.repository
                    ),
                ));
            }
            Some(known) => *known = seen,
            None => section.releases.push(seen),
        }
    }
    section.releases.sort();
    Ok(())
}
