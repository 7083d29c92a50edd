//! What the cache keeps of a suite: the signed Release file and the indices that it vouches for, to be carried elsewhere.

use super::cache::{SuiteCache, one_name};
use crate::base::digest::Digest;
use anyhow::Result;
use std::io::Write;
use std::path::{Path, PathBuf};

/// One suite as it lies in the cache, its signature verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSuite {
    /// The repository's name.
    pub repository: String,
    /// The suite.
    pub suite: String,
    /// Digest of the signed text of the Release file.
    pub release: Digest,
    /// `<repository>/<suite>`, as folders are named.
    pub folder: String,
    /// The Release file, and its signature where that lies beside it.
    pub signed: Vec<PathBuf>,
    /// Indices as the cache names them: by digest.
    pub indices: Vec<(Digest, PathBuf)>,
}

/// What folders of a suite are called.
pub(super) fn folder(repository: &str, suite: &str) -> String {
    format!("{}/{}", one_name(repository), one_name(suite))
}

/// A suite's place in a cache, for one that was carried here.
#[derive(Debug)]
pub struct SuitePlace(SuiteCache);

impl SuitePlace {
    /// The place of `<repository>/<suite>`, unless the cache has a Release file of this suite already: what is there is
    /// never replaced by what was carried here.
    #[must_use]
    pub fn vacant(cache: &Path, folder: &str) -> Option<Self> {
        let (repository, suite) = folder.split_once('/')?;
        let place = SuiteCache::new(cache, repository, suite);
        let there = ["InRelease", "Release"].iter().any(|name| place.release(name).exists());
        (!there).then_some(Self(place))
    }

    /// Lets `write` fill an index, which gets the name of the digest that it gives.
    ///
    /// # Errors
    /// When `write` fails or the file cannot be kept.
    pub fn index(&self, write: impl FnOnce(&mut dyn Write) -> Result<Digest>) -> Result<PathBuf> {
        let (path, ()) = self.0.fill(|out| Ok((write(out)?, ())))?;
        Ok(path)
    }

    /// Where `InRelease`, `Release` or `Release.gpg` belongs: to be written last, so that a suite that has one is whole.
    /// The signature is verified whenever it is used.
    #[must_use]
    pub fn release(&self, name: &str) -> PathBuf {
        self.0.release(name)
    }
}
