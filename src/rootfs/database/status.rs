//! `status`: one stanza for each package; those just unpacked say so and carry their conffiles' digests.

use super::FOLDER;
use crate::base::limits::DPKG_FILE_BYTES;
use crate::package::BuiltFrom;
use crate::package::control::Stanzas;
use crate::rootfs::incoming::{Conffile, Incoming};
use crate::rootfs::root::Root;
use crate::rootfs::unpack::Listing;
use anyhow::{Context as _, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Fields of archive indices and of dpkg's own, which a control file has no business to set.
const FOREIGN: [&str; 3] = ["Status", "Conffiles", "Config-Version"];

/// Every package's name as dpkg names its files, with what it provides.
pub(super) fn provides(text: &str) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut packages = BTreeMap::new();
    for stanza in Stanzas::new(text.as_bytes()) {
        let stanza = stanza.context("reading dpkg's status")?;
        let Some(name) = stanza.get("Package") else { continue };
        let same = stanza.get("Multi-Arch").is_some_and(|value| value == "same");
        let name = match stanza.get("Architecture").filter(|_| same) {
            Some(architecture) => format!("{name}:{architecture}"),
            None => name.to_owned(),
        };
        let provided = stanza.get("Provides").unwrap_or_default().split(',').map(|one| {
            let one = one.trim();
            one[..one.find([' ', '(', ':']).unwrap_or(one.len())].to_owned()
        });
        packages.insert(name, provided.filter(|name| !name.is_empty()).collect());
    }
    Ok(packages)
}

/// What every package of this status was built from, sorted.
pub(super) fn built_from(text: &[u8]) -> Result<Vec<BuiltFrom>> {
    let mut found = Vec::new();
    for stanza in Stanzas::new(text) {
        found.extend(BuiltFrom::of(&stanza.context("reading dpkg's status")?));
    }
    found.sort();
    Ok(found)
}

pub(super) fn add(root: &Root, unpacked: &[(&Incoming, &Listing)]) -> Result<()> {
    let path = format!("{FOLDER}/status");
    let mut text = root.read_text(&path, DPKG_FILE_BYTES)?;
    if !text.is_empty() && !text.ends_with("\n\n") {
        text.push('\n');
    }
    for (package, listing) in unpacked {
        stanza(&mut text, package, listing)?;
    }
    root.write(&path, text.as_bytes(), 0o644, (0, 0))?;
    for empty in ["diversions", "statoverride"] {
        let path = format!("{FOLDER}/{empty}");
        if root.find(path.as_bytes())?.is_none() {
            root.write(&path, b"", 0o644, (0, 0))?;
        }
    }
    Ok(())
}

fn stanza(text: &mut String, package: &Incoming, listing: &Listing) -> Result<()> {
    let control =
        package.control.stanza().with_context(|| format!("reading the control file of {}", package.pin.name))?;
    for (name, value) in control.fields().filter(|(name, _)| !FOREIGN.iter().any(|own| name.eq_ignore_ascii_case(own)))
    {
        writeln!(text, "{name}: {value}")?;
        if name.eq_ignore_ascii_case("Package") {
            text.push_str("Status: install ok unpacked\n");
        }
    }
    let line = |file: &Conffile| match listing.conffiles.get(&file.path) {
        // What is to be removed on upgrades is not shipped; dpkg notes it as a conffile not handled yet.
        _ if file.obsolete => Some(format!(" /{} newconffile remove-on-upgrade\n", file.path)),
        Some(digest) => Some(format!(" /{} {digest}\n", file.path)),
        None => None,
    };
    let lines: String = package.conffiles.iter().filter_map(line).collect();
    if !lines.is_empty() {
        write!(text, "Conffiles:\n{lines}")?;
    }
    text.push('\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_as_dpkg_names_their_files() {
        let text = "Package: a\nArchitecture: amd64\nProvides: awk, b (= 1)\n\n\
                    Package: libc6\nArchitecture: amd64\nMulti-Arch: same\n\n";
        let found = provides(text).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "libc6:amd64"]);
        assert_eq!(found["a"].iter().collect::<Vec<_>>(), ["awk", "b"]);
    }
}
