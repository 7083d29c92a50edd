//! One version of one package, as an index, the lock or a `.deb` describes it.

use crate::package::control::Stanza;
use serde::{Deserialize, Serialize};

/// How important the archive holds a package, most important first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// `required`
    Required,
    /// `important`
    Important,
    /// `standard`
    Standard,
    /// `optional`
    Optional,
    /// `extra`, and whatever else is said or not said
    #[default]
    Extra,
}

impl Priority {
    fn read(text: &str) -> Self {
        match text {
            "required" => Self::Required,
            "important" => Self::Important,
            "standard" => Self::Standard,
            "optional" => Self::Optional,
            _ => Self::Extra,
        }
    }
}

/// How a package stands to those of other architectures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MultiArch {
    /// `no`
    #[default]
    No,
    /// `same`
    Same,
    /// `foreign`
    Foreign,
    /// `allowed`: only such packages meet `name:any`
    Allowed,
}

/// One version of a package. Relationship fields are texts as [`crate::package::relation::parse`] reads them, empty when absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry<'a> {
    /// `Package`
    pub name: &'a str,
    /// `Version`
    pub version: &'a str,
    /// `Architecture`
    pub architecture: &'a str,
    /// `Filename`: path below the repository's root.
    pub path: &'a str,
    /// `Size`, decimal.
    pub size: &'a str,
    /// `SHA256`, hexadecimal.
    pub sha256: &'a str,
    /// `Pre-Depends`
    pub pre_depends: &'a str,
    /// `Depends`
    pub depends: &'a str,
    /// `Recommends`
    pub recommends: &'a str,
    /// `Conflicts`
    pub conflicts: &'a str,
    /// `Breaks`
    pub breaks: &'a str,
    /// `Provides`
    pub provides: &'a str,
    /// `Suggests`; never followed
    pub suggests: &'a str,
    /// `Replaces`; the unpacker's affair
    pub replaces: &'a str,
    /// `Enhances`; never followed
    pub enhances: &'a str,
    /// `Essential: yes`
    pub essential: bool,
    /// `Important: yes` or `Protected: yes`
    pub protected: bool,
    /// `Priority`
    pub priority: Priority,
    /// `Multi-Arch`
    pub multi_arch: MultiArch,
    /// `Phased-Update-Percentage` below 100: not yet meant for everybody
    pub phased: bool,
    pub(in crate::package) origin: usize,
}

impl<'a> Entry<'a> {
    /// Takes what matters out of a stanza; the error is the field that is missing.
    pub(in crate::package) fn read(stanza: &Stanza<'a>) -> Result<Self, &'static str> {
        let mut entry = Self::default();
        for (name, value) in stanza.fields() {
            // By length first: this loop runs two million times for one index.
            match name.len() {
                4 if name == "Size" => entry.size = value,
                6 if name == "SHA256" => entry.sha256 = value,
                6 if name == "Breaks" => entry.breaks = value,
                7 if name == "Package" => entry.name = value,
                7 if name == "Version" => entry.version = value,
                7 if name == "Depends" => entry.depends = value,
                8 if name == "Filename" => entry.path = value,
                8 if name == "Provides" => entry.provides = value,
                8 if name == "Suggests" => entry.suggests = value,
                8 if name == "Replaces" => entry.replaces = value,
                8 if name == "Enhances" => entry.enhances = value,
                8 if name == "Priority" => entry.priority = Priority::read(value),
                9 if name == "Conflicts" => entry.conflicts = value,
                9 if name == "Essential" => entry.essential = value == "yes",
                9 if name == "Important" || name == "Protected" => entry.protected |= value == "yes",
                10 if name == "Recommends" => entry.recommends = value,
                10 if name == "Multi-Arch" => {
                    entry.multi_arch = match value {
                        "same" => MultiArch::Same,
                        "foreign" => MultiArch::Foreign,
                        "allowed" => MultiArch::Allowed,
                        _ => MultiArch::No,
                    }
                }
                11 if name == "Pre-Depends" => entry.pre_depends = value,
                12 if name == "Architecture" => entry.architecture = value,
                // As apt: what is no percentage counts as 100.
                24 if name == "Phased-Update-Percentage" => entry.phased = value.parse::<u32>().is_ok_and(|n| n < 100),
                _ => {}
            }
        }
        let needed = [("Package", entry.name), ("Version", entry.version), ("Architecture", entry.architecture)];
        match needed.into_iter().find(|(_, value)| value.is_empty()) {
            Some((field, _)) => Err(field),
            None => Ok(entry),
        }
    }
}
