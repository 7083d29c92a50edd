//! The mirrors that the host's own apt is set up with, by distribution.
//!
//! Only the address, and the proxy on the way there, is taken from the host. What may be trusted is decided by the pinned keyring alone.

use super::super::download;
use super::apt_conf::AptConf;
use crate::base::files;
use crate::base::hint::hinted;
use crate::base::limits::{HOST_LIST_BYTES, HOST_LISTS};
use anyhow::Result;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const DEBIAN_SUITES: [&str; 14] = [
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "stable",
    "testing",
    "unstable",
    "oldstable",
    "oldoldstable",
    "experimental",
    "rc-buggy",
];
const UBUNTU_SUITES: [&str; 10] =
    ["bionic", "focal", "jammy", "noble", "oracular", "plucky", "questing", "resolute", "devel", "xenial"];

/// Base URLs by distribution: `debian`, `debian-security`, `ubuntu`, `ubuntu-ports`, ...
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostMirrors {
    mirrors: BTreeMap<String, String>,
    proxies: BTreeMap<String, String>,
}

/// One source as apt would use it.
#[derive(Debug, Default)]
struct Source {
    url: String,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: String,
}

impl HostMirrors {
    /// Mirrors that are already known, by distribution.
    #[must_use]
    pub fn new(mirrors: BTreeMap<String, String>) -> Self {
        Self { mirrors, proxies: BTreeMap::new() }
    }

    /// The proxies through which apt reaches these mirrors, by scheme and server (`http://mirror.example`).
    #[must_use]
    pub fn proxies(&self) -> &BTreeMap<String, String> {
        &self.proxies
    }

    /// Reads `/etc/apt/sources.list`, `/etc/apt/sources.list.d/*.{list,sources}` and the proxies of
    /// `/etc/apt/apt.conf{,.d}` below `root`. What cannot be
    /// read is left out, as on a host without apt: the need for a mirror is told when there is one.
    #[must_use]
    pub fn from_apt(root: &Path) -> Self {
        let apt = root.join("etc/apt");
        let mut lists = vec![apt.join("sources.list")];
        let mut more: Vec<PathBuf> = std::fs::read_dir(apt.join("sources.list.d"))
            .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).take(HOST_LISTS).collect())
            .unwrap_or_default();
        more.sort();
        lists.extend(more);
        let mut mirrors = BTreeMap::new();
        for list in lists {
            let Ok(bytes) = files::read(&list, HOST_LIST_BYTES) else { continue };
            let text = String::from_utf8_lossy(&bytes);
            let deb822 = match list.extension().and_then(|extension| extension.to_str()) {
                Some("list") => false,
                Some("sources") => true,
                _ => continue,
            };
            for (distribution, url) in Self::read_list(&text, deb822) {
                if let Some(url) = follow(root, &url) {
                    mirrors.entry(distribution).or_insert(url);
                }
            }
        }
        let conf = AptConf::read(root);
        let proxy = |url: &String| Some((download::origin(url)?, conf.proxy(url)?));
        let proxies = mirrors.values().filter_map(proxy).collect();
        Self { mirrors, proxies }
    }

    /// What one list of sources has of distributions that are known: name and URL, as written. Lists are of one line each,
    /// or deb822 stanzas.
    #[must_use]
    pub fn read_list(text: &str, deb822: bool) -> Vec<(String, String)> {
        let sources = if deb822 { stanzas(text) } else { one_line(text) };
        sources.iter().flat_map(Source::recognise).collect()
    }

    /// The base URL of a distribution, also where it follows from another: `debian-security` lies beside `debian` on
    /// most mirrors, and Ubuntu's security suites are in its main archive.
    #[must_use]
    pub fn get(&self, distribution: &str) -> Option<String> {
        if let Some(url) = self.mirrors.get(distribution) {
            return Some(url.clone());
        }
        match distribution {
            "debian-security" => {
                let main = self.mirrors.get("debian")?.trim_end_matches('/');
                main.strip_suffix("/debian").map(|parent| format!("{parent}/debian-security"))
            }
            "ubuntu-security" => self.mirrors.get("ubuntu").cloned(),
            _ => None,
        }
    }

    /// As [`HostMirrors::get`], with a remedy.
    ///
    /// # Errors
    /// When this host's apt does not know the distribution.
    pub fn resolve(&self, distribution: &str) -> Result<String> {
        self.get(distribution).ok_or_else(|| {
            let known: Vec<&str> = self.mirrors.keys().map(String::as_str).collect();
            let known = match known.as_slice() {
                [] => "it is set up with none that is recognised".to_owned(),
                known => format!("it knows {}", known.join(", ")),
            };
            let variable = distribution.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
            hinted(
                format!("this host's apt has no mirror of `{distribution}`: {known}"),
                format!(
                    "name one with `--repository {distribution}=URL`, IMGBUILD_REPOSITORY_{variable} or in the recipe"
                ),
            )
        })
    }
}

impl Source {
    /// Which distributions' archives this is. Sources of others are left out: wrong component, foreign keyring.
    fn recognise(&self) -> Vec<(String, String)> {
        let keyring = self.signed_by.rsplit('/').next().unwrap_or("");
        let own_key = keyring.is_empty() || keyring.starts_with("debian-archive") || keyring.starts_with("ubuntu");
        if !own_key || !self.components.iter().any(|component| component == "main" || component == "updates/main") {
            return Vec::new();
        }
        let folder = self.url.trim_end_matches('/').rsplit('/').next().unwrap_or("");
        let mut found = Vec::new();
        for suite in &self.suites {
            let base = suite.split(['-', '/']).next().unwrap_or(suite);
            let security = suite.ends_with("-security") || suite.ends_with("/updates");
            let debian = DEBIAN_SUITES.contains(&base);
            let ubuntu = UBUNTU_SUITES.contains(&base);
            let known_rest = matches!(
                suite[base.len()..].trim_start_matches(['-', '/']),
                "" | "updates" | "security" | "backports" | "proposed" | "proposed-updates"
            );
            let name = match (debian, ubuntu, security) {
                _ if !known_rest => continue,
                (true, _, true) => "debian-security",
                (true, _, false) if folder == "debian-security" => "debian-security",
                (true, _, false) => "debian",
                (_, true, _) if folder == "ubuntu-ports" => "ubuntu-ports",
                (_, true, true) => "ubuntu-security",
                (_, true, false) => "ubuntu",
                _ => continue,
            };
            found.push((name.to_owned(), self.url.clone()));
        }
        found
    }
}

/// `deb [options] URL suite component...`, one source each line.
fn one_line(text: &str) -> Vec<Source> {
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or("").trim();
        let Some(rest) = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t'])) else { continue };
        let rest = rest.trim_start();
        let (options, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((options, rest)) => (options, rest),
            None => ("", rest),
        };
        let mut words = rest.split_ascii_whitespace().map(str::to_owned);
        let (Some(url), Some(suite)) = (words.next(), words.next()) else { continue };
        let signed_by = options.split_ascii_whitespace().find_map(|option| option.strip_prefix("signed-by="));
        found.push(Source {
            url,
            suites: vec![suite],
            components: words.collect(),
            signed_by: signed_by.unwrap_or("").to_owned(),
        });
    }
    found
}

/// Deb822 stanzas (`Types:`, `URIs:`, ...), which may name several URLs: the first is taken.
fn stanzas(text: &str) -> Vec<Source> {
    let mut found = Vec::new();
    for stanza in text.split("\n\n").flat_map(|part| part.split("\n \n")) {
        let mut fields: BTreeMap<String, String> = BTreeMap::new();
        let mut current = String::new();
        for line in stanza.lines().filter(|line| !line.starts_with('#')) {
            if line.starts_with([' ', '\t']) {
                let value = fields.entry(current.clone()).or_default();
                value.push(' ');
                value.push_str(line.trim());
            } else if let Some((name, value)) = line.split_once(':') {
                current = name.to_ascii_lowercase();
                fields.insert(current.clone(), value.trim().to_owned());
            }
        }
        let words = |name: &str| -> Vec<String> {
            fields.get(name).iter().flat_map(|value| value.split_ascii_whitespace()).map(str::to_owned).collect()
        };
        let off = fields.get("enabled").is_some_and(|value| matches!(value.as_str(), "no" | "false" | "0" | "off"));
        if off || !words("types").iter().any(|kind| kind == "deb") {
            continue;
        }
        let Some(url) = words("uris").into_iter().next() else { continue };
        let signed_by = fields.get("signed-by").cloned().unwrap_or_default();
        // A key may stand in the file itself; it is then nobody's file name, and not the distribution's either.
        found.push(Source { url, suites: words("suites"), components: words("components"), signed_by });
    }
    found
}

/// Resolves `mirror+file:/etc/apt/mirrors/debian.list` to the first mirror of that list; other methods of apt
/// (`cdrom:`, `tor+http:`) are nothing that we can follow.
fn follow(root: &Path, url: &str) -> Option<String> {
    let url = match url.strip_prefix("mirror+file:") {
        Some(list) => {
            let list = root.join(list.trim_start_matches('/'));
            let bytes = files::read(&list, HOST_LIST_BYTES).ok()?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim());
            lines.filter_map(|line| line.split_ascii_whitespace().next()).next()?.to_owned()
        }
        None => url.to_owned(),
    };
    let known = ["http://", "https://", "file:"].iter().any(|scheme| url.starts_with(scheme));
    known.then(|| url.trim_end_matches('/').to_owned())
}

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
