//! Release files: which suite this is, from when, and the digests of its indices.
//!
//! Fields: <https://wiki.debian.org/DebianRepository/Format#A.22Release.22_files>.

use super::date;
use super::values::ReleaseInfo;
use crate::base::digest::Digest;
use crate::base::epoch::Epoch;
use crate::base::limits::RELEASE_FILES;
use std::collections::BTreeMap;

/// How far an archive's clock may run ahead of ours, in seconds.
const CLOCK_SKEW_SECONDS: i64 = 24 * 3600;

/// A parsed Release file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Its header.
    pub info: ReleaseInfo,
    /// Architectures that the suite has.
    pub architectures: Vec<String>,
    /// Components that the suite has, without a folder in front of them.
    pub components: Vec<String>,
    /// Whether indices can also be had by digest.
    pub by_hash: bool,
    /// Whether `all` is merged into every architecture's index.
    pub all_is_merged: bool,
    /// Size and SHA-256 of every listed file, by path below the Release file.
    pub files: BTreeMap<String, Listed>,
}

/// What a Release file says of another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Bytes.
    pub size: u64,
    /// Digest.
    pub sha256: Digest,
}

/// Why a Release file is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// A line that is no field.
    #[error("line {line} is neither a field nor its continuation")]
    Line {
        /// From 1.
        line: usize,
    },
    /// A field stands there twice.
    #[error("field `{field}` stands there twice")]
    Twice {
        /// Its name.
        field: String,
    },
    /// A field is missing.
    #[error("field `{field}` is missing")]
    Missing {
        /// Its name.
        field: &'static str,
    },
    /// A date cannot be read.
    #[error("field `{field}` is `{value}`, which is not a date in UTC")]
    Date {
        /// Its name.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// A line of `SHA256` cannot be read.
    #[error("`{line}` is not a digest, a size and a path")]
    File {
        /// The line.
        line: String,
    },
    /// A path that leaves the suite's folder.
    #[error("path `{path}` is not a plain path below the Release file")]
    Path {
        /// The path.
        path: String,
    },
    /// More files than any archive has.
    #[error("it lists more than {limit} files")]
    TooMany {
        /// How many are allowed.
        limit: usize,
    },
    /// It is of another suite than asked for.
    #[error(
        "it is of suite `{}` with codename `{}`, not of `{wanted}`",
        suite.as_deref().unwrap_or("(none)"),
        codename.as_deref().unwrap_or("(none)")
    )]
    OtherSuite {
        /// What was asked for.
        wanted: String,
        /// `Suite`.
        suite: Option<String>,
        /// `Codename`.
        codename: Option<String>,
    },
    /// It is too old to be trusted as current.
    #[error("it was valid until {}, and now it is {}", until.rfc3339(), now.rfc3339())]
    Stale {
        /// `Valid-Until`.
        until: Epoch,
        /// The day.
        now: Epoch,
    },
    /// It is from a later time than now.
    #[error("it is dated {}, and now it is {}", date.rfc3339(), now.rfc3339())]
    FromFuture {
        /// `Date`.
        date: Epoch,
        /// The day.
        now: Epoch,
    },
    /// It is older than one that was seen before.
    #[error("it is dated {}, older than {}, which was seen before", date.rfc3339(), seen.rfc3339())]
    RolledBack {
        /// `Date`.
        date: Epoch,
        /// The newest date seen.
        seen: Epoch,
    },
}

impl ReleaseInfo {
    /// Refuses a release that is older than one seen before (the lock knows which): an old state served again
    /// would bring old faults back.
    ///
    /// # Errors
    /// When the date is earlier than `seen`.
    pub fn refuse_rollback(&self, seen: Epoch) -> Result<(), ReleaseError> {
        match self.date < seen {
            true => Err(ReleaseError::RolledBack { date: self.date, seen }),
            false => Ok(()),
        }
    }
}

impl Release {
    /// Reads the signed text of a Release file.
    ///
    /// # Errors
    /// When it does not follow the format.
    pub fn parse(text: &str) -> Result<Self, ReleaseError> {
        let mut fields = fields(text)?;
        let mut take = |name: &str| fields.remove(&name.to_ascii_lowercase());
        let words = |value: Option<String>| -> Vec<String> {
            value.iter().flat_map(|value| value.split_ascii_whitespace()).map(str::to_owned).collect()
        };
        let yes = |value: Option<String>| value.is_some_and(|value| value.trim().eq_ignore_ascii_case("yes"));
        let date = |field: &'static str, value: Option<String>| match value {
            None => Ok(None),
            Some(value) => date::parse(&value).map(Some).ok_or(ReleaseError::Date { field, value }),
        };
        let info = ReleaseInfo {
            origin: take("Origin"),
            label: take("Label"),
            codename: take("Codename"),
            suite: take("Suite"),
            date: date("Date", take("Date"))?.ok_or(ReleaseError::Missing { field: "Date" })?,
            valid_until: date("Valid-Until", take("Valid-Until"))?,
            sha256: Digest::of(text.as_bytes()),
            not_automatic: yes(take("NotAutomatic")),
            but_automatic_upgrades: yes(take("ButAutomaticUpgrades")),
        };
        // `Components: updates/main` is written by archives whose suites have a slash in their name.
        let components = words(take("Components"));
        let components = components.iter().map(|name| name.rsplit('/').next().unwrap_or(name).to_owned()).collect();
        Ok(Self {
            info,
            architectures: words(take("Architectures")),
            components,
            by_hash: yes(take("Acquire-By-Hash")),
            all_is_merged: words(take("No-Support-for-Architecture-all")).iter().any(|word| word == "Packages"),
            files: files(&take("SHA256").ok_or(ReleaseError::Missing { field: "SHA256" })?)?,
        })
    }

    /// Refuses the Release file of another suite: a mirror could otherwise serve an old or a foreign one,
    /// which the same key has signed.
    ///
    /// # Errors
    /// When neither codename nor suite is the wanted one.
    pub fn require_suite(&self, wanted: &str) -> Result<(), ReleaseError> {
        let wanted = wanted.trim_matches('/');
        let fits = |name: &Option<String>| {
            // Security suites of old: `buster/updates` is served with codename `buster`.
            name.as_deref().is_some_and(|name| name == wanted || wanted.strip_suffix("/updates") == Some(name))
        };
        // Some small archives name neither: there is nothing to compare with then.
        let unnamed = self.info.codename.is_none() && self.info.suite.is_none();
        if unnamed || fits(&self.info.codename) || fits(&self.info.suite) {
            return Ok(());
        }
        Err(ReleaseError::OtherSuite {
            wanted: wanted.to_owned(),
            suite: self.info.suite.clone(),
            codename: self.info.codename.clone(),
        })
    }

    /// Refuses a Release file past its `Valid-Until`, or from the future.
    ///
    /// # Errors
    /// When it is not of this time.
    pub fn require_fresh(&self, now: Epoch) -> Result<(), ReleaseError> {
        if let Some(until) = self.info.valid_until.filter(|until| *until < now) {
            return Err(ReleaseError::Stale { until, now });
        }
        let date = self.info.date;
        match date.0 > now.0.saturating_add(CLOCK_SKEW_SECONDS) {
            true => Err(ReleaseError::FromFuture { date, now }),
            false => Ok(()),
        }
    }
}

/// Fields by lower-case name; the lines of a multi-line value joined by `\n`.
fn fields(text: &str) -> Result<BTreeMap<String, String>, ReleaseError> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut current: Option<String> = None;
    for (index, line) in text.lines().enumerate() {
        let malformed = ReleaseError::Line { line: index + 1 };
        if line.trim().is_empty() {
            // One paragraph only: another one would be read by nobody.
            if text.lines().skip(index).any(|line| !line.trim().is_empty()) {
                return Err(malformed);
            }
            break;
        }
        if line.starts_with([' ', '\t']) {
            let value = current.as_ref().and_then(|name| found.get_mut(name)).ok_or(malformed)?;
            value.push('\n');
            value.push_str(line.trim());
            continue;
        }
        let (name, value) = line.split_once(':').ok_or(malformed.clone())?;
        if name.is_empty() || !name.bytes().all(|c| c.is_ascii_graphic()) {
            return Err(malformed);
        }
        let key = name.to_ascii_lowercase();
        if found.insert(key.clone(), value.trim().to_owned()).is_some() {
            return Err(ReleaseError::Twice { field: name.to_owned() });
        }
        current = Some(key);
    }
    Ok(found)
}

fn files(value: &str) -> Result<BTreeMap<String, Listed>, ReleaseError> {
    let mut found = BTreeMap::new();
    for line in value.lines().filter(|line| !line.trim().is_empty()) {
        let malformed = || ReleaseError::File { line: line.to_owned() };
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [digest, size, path] = words.as_slice() else { return Err(malformed()) };
        let sha256 = Digest::parse(&digest.to_ascii_lowercase()).ok_or_else(malformed)?;
        let size = size.parse().map_err(|_| malformed())?;
        let path = path.trim_start_matches("./");
        if !plain(path) {
            return Err(ReleaseError::Path { path: path.to_owned() });
        }
        found.insert(path.to_owned(), Listed { size, sha256 });
        if found.len() > RELEASE_FILES {
            return Err(ReleaseError::TooMany { limit: RELEASE_FILES });
        }
    }
    Ok(found)
}

/// Whether a path stays below where it starts.
pub(super) fn plain(path: &str) -> bool {
    !path.is_empty()
        && !path.starts_with('/')
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !path.bytes().any(|c| c.is_ascii_control())
}

#[cfg(test)]
#[path = "release_tests.rs"]
mod tests;
