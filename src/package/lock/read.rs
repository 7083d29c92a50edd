//! The lock read back: strict, with line and column, and a word of advice.

use super::FORMAT_VERSION;
use super::values::{Lock, Locked, LockedRelease, Section, Set};
use crate::base::epoch::Epoch;
use crate::package::relation;
use crate::package::version::Version;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// The last second of the year 9999: no Release file can name a later one.
const LAST_MOMENT: i64 = 253_402_300_799;

/// Why a lock file was refused.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Bytes that are not UTF-8.
    #[error("the lock is not UTF-8 text")]
    NotText,
    /// Marks that a merge left behind.
    #[error("line {line}: `{marker}` was left behind by a merge")]
    Conflict {
        /// Where.
        line: usize,
        /// What is there.
        marker: String,
    },
    /// Written by another version of imgbuild.
    #[error("the lock's format version is {found}, this imgbuild reads version {FORMAT_VERSION}")]
    Format {
        /// What the file says.
        found: u64,
    },
    /// Not of the form that is written.
    #[error("line {line}, column {column}: {problem}")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong.
        problem: String,
    },
    /// Well formed, but not consistent.
    #[error("line {line}: {problem}")]
    Inconsistent {
        /// From 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
}

impl LockError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => {
                "take one side whole (`git checkout --ours imgbuild.lock`), then run `imgbuild lock` to add what is missing"
            }
            Self::Format { .. } => "use the imgbuild that wrote it, or delete it and run `imgbuild lock`",
            _ => "restore it from version control, or delete it and run `imgbuild lock` to resolve everything afresh",
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u64,
    #[serde(deserialize_with = "unique_map")]
    sections: BTreeMap<String, RawSection>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSection {
    epoch: Epoch,
    releases: Vec<LockedRelease>,
    packages: Vec<Locked>,
    #[serde(deserialize_with = "unique_map")]
    sets: BTreeMap<String, Set>,
}

#[derive(serde::Deserialize)]
struct Head {
    version: u64,
}

impl Lock {
    /// Reads the file's text.
    ///
    /// # Errors
    /// When it is malformed or contradicts itself.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        let document: Document = match serde_json::from_str(text) {
            Ok(document) => document,
            Err(error) => return Err(explained(text, &error)),
        };
        if document.version != FORMAT_VERSION {
            return Err(LockError::Format { found: document.version });
        }
        let mut lock = Self::default();
        for (name, raw) in document.sections {
            let RawSection { epoch, releases, packages, sets } = raw;
            let section = Section { epoch, releases, packages, sets };
            check(text, &section)?;
            lock.sections.insert(name, section);
        }
        Ok(lock)
    }
}

/// The likeliest reason why the text is no lock.
fn explained(text: &str, error: &serde_json::Error) -> LockError {
    let marks = ["<<<<<<<", "|||||||", "=======", ">>>>>>>"];
    let marker = text.lines().enumerate().find(|(_, line)| marks.iter().any(|mark| line.starts_with(mark)));
    if let Some((at, line)) = marker {
        return LockError::Conflict { line: at + 1, marker: line.chars().take(40).collect() };
    }
    if let Ok(Head { version }) = serde_json::from_str(text)
        && version != FORMAT_VERSION
    {
        return LockError::Format { found: version };
    }
    let whole = error.to_string();
    let problem = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(problem, _)| problem).to_owned();
    LockError::Syntax { line: error.line(), column: error.column(), problem }
}

fn check(text: &str, section: &Section) -> Result<(), LockError> {
    // Where it is said last is good enough: contradictions are rare, and both places are near each other.
    let line = |needle: &str| {
        let quoted = serde_json::to_string(needle).unwrap_or_default();
        text.rfind(&quoted).map_or(1, |at| 1 + text[..at].bytes().filter(|byte| *byte == b'\n').count())
    };
    let refuse = |needle: &str, problem: String| Err(LockError::Inconsistent { line: line(needle), problem });
    let moments = section.releases.iter().map(|release| release.date).chain([section.epoch]);
    for moment in moments {
        if !(0..=LAST_MOMENT).contains(&moment.0) {
            let at = text.find(&moment.0.to_string()).unwrap_or(0);
            let line = 1 + text[..at].bytes().filter(|byte| *byte == b'\n').count();
            let problem = format!("{} is no time in seconds since 1970: 0 to {LAST_MOMENT} are", moment.0);
            return Err(LockError::Inconsistent { line, problem });
        }
    }
    for pair in section.packages.windows(2) {
        let (left, right) = (&pair[0], &pair[1]);
        if left.order() >= right.order() {
            return refuse(
                &right.path,
                format!("{} comes after {}: packages are sorted, each once", right.key(), left.key()),
            );
        }
    }
    for package in &section.packages {
        if !relation::is_name(&package.name) || !relation::is_architecture(&package.architecture) {
            return refuse(&package.path, format!("{}:{} is no package", package.name, package.architecture));
        }
        if let Err(error) = Version::parse(&package.version) {
            return refuse(&package.path, error.to_string());
        }
        if !is_relative(&package.path) {
            return refuse(&package.path, format!("`{}` is no path below a repository", package.path));
        }
    }
    for (name, set) in &section.sets {
        for key in set.packages.keys() {
            if section.find(key).is_none() {
                return refuse(key, format!("`{name}` names {key}, which is not among the packages"));
            }
        }
    }
    Ok(())
}

/// Whether a path stays below the folder that it is relative to.
pub(in crate::package) fn is_relative(path: &str) -> bool {
    let sane = |part: &str| !part.is_empty() && part != ".." && !part.contains(['\\', '\0', '\n']);
    let path = path.strip_prefix("./").unwrap_or(path);
    !path.is_empty() && path.len() <= 1024 && path.split('/').all(sane)
}

/// A map that refuses a key given twice, which serde would let pass.
pub(super) fn unique_map<'de, D: Deserializer<'de>, V: Deserialize<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, V>, D::Error> {
    struct Unique<V>(PhantomData<V>);
    impl<'de, V: Deserialize<'de>> Visitor<'de> for Unique<V> {
        type Value = BTreeMap<String, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, value)) = access.next_entry::<String, V>()? {
                if map.contains_key(&key) {
                    return Err(A::Error::custom(format!("`{key}` is there twice")));
                }
                map.insert(key, value);
            }
            Ok(map)
        }
    }
    deserializer.deserialize_map(Unique(PhantomData))
}
