//! Walks a list as a stream and keeps what concerns the wanted versions.

use super::guard::Guard;
use super::{Advisory, Found, State, TrackerError, Urgency, Wanted, older};
use crate::base::limits::{VULNERABILITIES, VULNERABILITY_LIST_BYTES, VULNERABILITY_SUITES};
use crate::package::deb::Compression;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{BufReader, Chain, Cursor, Read};

/// First bytes of what may be compressed.
const MAGICS: &[(&[u8], Compression)] = &[
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], Compression::Xz),
    (&[0x28, 0xb5, 0x2f, 0xfd], Compression::Zstd),
    (&[0x1f, 0x8b], Compression::Gzip),
];
/// What stops the walk when there are too many.
const TOO_MANY: &str = "too many vulnerabilities";

/// Reads a list, plain or compressed.
///
/// # Errors
/// When it cannot be read, has another form, or exceeds a limit.
pub fn read(list: impl Read + Send + 'static, wanted: &Wanted) -> Result<Found, TrackerError> {
    read_up_to(VULNERABILITY_LIST_BYTES, list, wanted)
}

/// As [`read`], with a limit for what the list unpacks to.
pub(super) fn read_up_to(limit: u64, list: impl Read + Send + 'static, wanted: &Wanted) -> Result<Found, TrackerError> {
    let (compression, list) = sniff(list)?;
    let plain = compression.decoder(list, limit)?;
    let mut parser = serde_json::Deserializer::from_reader(BufReader::with_capacity(64 << 10, Guard::new(plain)));
    let mut found = Found::default();
    let walked = List { wanted, found: &mut found }.deserialize(&mut parser).and_then(|()| parser.end());
    walked.map_err(explained)?;
    found.advisories.sort();
    Ok(found)
}

fn sniff<R: Read>(mut list: R) -> Result<(Compression, Chain<Cursor<Vec<u8>>, R>), TrackerError> {
    let mut first = Vec::new();
    list.by_ref().take(6).read_to_end(&mut first)?;
    let known = MAGICS.iter().find(|(magic, _)| first.starts_with(magic));
    let compression = known.map_or(Compression::None, |(_, compression)| *compression);
    Ok((compression, Cursor::new(first).chain(list)))
}

fn explained(error: serde_json::Error) -> TrackerError {
    if error.is_io() {
        return TrackerError::Read(error.into());
    }
    let text = error.to_string();
    if text.starts_with(TOO_MANY) {
        return TrackerError::TooMany;
    }
    let problem = text.rsplit_once(" at line ").map_or(text.as_str(), |(problem, _)| problem).to_owned();
    TrackerError::Form { line: error.line(), column: error.column(), problem }
}

/// The whole list.
struct List<'a> {
    wanted: &'a Wanted,
    found: &'a mut Found,
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("source packages by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(name) = access.next_key::<String>()? {
            self.found.listed += 1;
            let Some((source, versions)) = self.wanted.sources.get_key_value(&name) else {
                access.next_value::<IgnoredAny>()?;
                continue;
            };
            if !seen.insert(source) {
                return Err(A::Error::custom(format!("`{name}` is there twice")));
            }
            let release = &self.wanted.release;
            access.next_value_seed(Source { source, versions, release, found: &mut *self.found })?;
        }
        Ok(())
    }
}

/// One source package that is wanted.
struct Source<'a> {
    source: &'a str,
    versions: &'a BTreeSet<String>,
    release: &'a str,
    found: &'a mut Found,
}

impl<'de> DeserializeSeed<'de> for Source<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Source<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("vulnerabilities by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(name) = access.next_key::<String>()? {
            let entry = access.next_value_seed(Entry { release: self.release })?;
            if seen.len() >= VULNERABILITIES {
                return Err(A::Error::custom(TOO_MANY));
            }
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom(format!("`{name}` is there twice")));
            }
            let Some(status) = entry else { continue };
            self.found.known.insert(self.source.to_owned());
            for version in self.versions {
                if let Some(state) = state(&status, version) {
                    if self.found.advisories.len() >= VULNERABILITIES {
                        return Err(A::Error::custom(TOO_MANY));
                    }
                    self.found.advisories.push(Advisory {
                        source: self.source.to_owned(),
                        version: version.clone(),
                        name: name.clone(),
                        urgency: Urgency::of(&status.urgency),
                        state,
                        remark: status.nodsa.clone().filter(|remark| !remark.is_empty()),
                    });
                }
            }
        }
        Ok(())
    }
}

/// What a version has of it; `None` when it is not vulnerable.
fn state(status: &Status, version: &str) -> Option<State> {
    match (status.status.as_str(), &status.fixed_version) {
        ("resolved", Some(fixed)) => {
            let suite = status.repositories.0.iter().find(|(_, carried)| !older(carried, fixed));
            let suite = suite.map(|(suite, _)| suite.clone());
            older(version, fixed).then(|| State::Fixed { version: fixed.clone(), suite })
        }
        // The release never had it, or nobody says since when it is fixed: the tracker's word counts.
        ("resolved", None) => None,
        ("open", _) => Some(State::Open),
        _ => Some(State::Undetermined),
    }
}

/// One vulnerability: what it says of one release.
struct Entry<'a> {
    release: &'a str,
}

impl<'de> DeserializeSeed<'de> for Entry<'_> {
    type Value = Option<Status>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Entry<'_> {
    type Value = Option<Status>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a vulnerability")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = access.next_key::<String>()? {
            if key != "releases" {
                access.next_value::<IgnoredAny>()?;
            } else if found.is_some() {
                return Err(A::Error::custom("`releases` is there twice"));
            } else {
                found = Some(access.next_value_seed(Releases { release: self.release })?);
            }
        }
        Ok(found.flatten())
    }
}

/// The releases of one vulnerability.
struct Releases<'a> {
    release: &'a str,
}

impl<'de> DeserializeSeed<'de> for Releases<'_> {
    type Value = Option<Status>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Releases<'_> {
    type Value = Option<Status>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("releases by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = access.next_key::<String>()? {
            if key != self.release {
                access.next_value::<IgnoredAny>()?;
            } else if found.is_some() {
                return Err(A::Error::custom(format!("`{key}` is there twice")));
            } else {
                found = Some(access.next_value::<Status>()?);
            }
        }
        Ok(found)
    }
}

/// What is said of one release.
#[derive(Deserialize)]
struct Status {
    status: String,
    #[serde(default)]
    fixed_version: Option<String>,
    #[serde(default)]
    urgency: String,
    #[serde(default)]
    repositories: Suites,
    #[serde(default)]
    nodsa: Option<String>,
}

/// Versions by suite.
#[derive(Default)]
struct Suites(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Suites {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Walk;
        impl<'de> Visitor<'de> for Walk {
            type Value = Suites;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("versions by suite")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Suites, A::Error> {
                let mut suites = BTreeMap::new();
                while let Some((suite, version)) = access.next_entry::<String, String>()? {
                    suites.insert(suite, version);
                    if suites.len() > VULNERABILITY_SUITES {
                        return Err(A::Error::custom(format!("more than {VULNERABILITY_SUITES} suites")));
                    }
                }
                Ok(Suites(suites))
            }
        }
        deserializer.deserialize_map(Walk)
    }
}
