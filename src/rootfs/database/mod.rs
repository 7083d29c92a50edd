//! dpkg's database (`/var/lib/dpkg`), written so that the target's own dpkg finds what its own unpacking would have left.
//!
//! Conffiles lie at their final names and `status` has their digests: dpkg installs a conffile only when it finds the
//! `.dpkg-new` beside it and otherwise takes it for handled, so `dpkg --configure` neither asks nor touches them.

mod info;
mod status;
mod triggers;

use super::incoming::Incoming;
use super::root::Root;
use super::unpack::{Installed, Listing};
use crate::base::limits::DPKG_FILE_BYTES;
use crate::package::BuiltFrom;
use anyhow::{Context as _, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Where the database is.
pub(super) const FOLDER: &str = "var/lib/dpkg";

/// Folders of the database, which the package dpkg ships; made here for roots in which it comes late.
const FOLDERS: [&str; 4] = ["alternatives", "info", "triggers", "updates"];

/// What packages installed before own and provide.
pub(super) fn installed(root: &Root) -> Result<Installed> {
    let text = root.read_text(&format!("{FOLDER}/status"), DPKG_FILE_BYTES)?;
    let mut installed = Installed::default();
    for (name, provides) in status::provides(&text)? {
        let list = root.read(&format!("{FOLDER}/info/{name}.list"), DPKG_FILE_BYTES)?.unwrap_or_default();
        for line in list.split(|byte| *byte == b'\n').filter(|line| line.len() > 1) {
            installed.owners.insert(super::root::trimmed(line).to_owned(), name.clone());
        }
        installed.provides.insert(name, provides);
    }
    Ok(installed)
}

/// What every installed package was built from, sorted.
pub(super) fn built_from(root: &Root) -> Result<Vec<BuiltFrom>> {
    status::built_from(root.read_text(&format!("{FOLDER}/status"), DPKG_FILE_BYTES)?.as_bytes())
}

/// Adds unpacked packages to the database. `configured` says whether packages of an earlier step are configured
/// already, whose file triggers are then to be activated by what was unpacked.
pub(super) fn add(root: &Root, unpacked: &[(&Incoming, &Listing)], configured: bool) -> Result<()> {
    let adding = "writing dpkg's database";
    for folder in FOLDERS {
        root.make_directory(&format!("{FOLDER}/{folder}"), 0o755, (0, 0)).context(adding)?;
    }
    info::write(root, unpacked).context(adding)?;
    let interests = triggers::write_interests(root, unpacked).context(adding)?;
    if configured {
        let paths: BTreeSet<&[u8]> =
            unpacked.iter().flat_map(|(_, listing)| listing.paths.iter().map(Vec::as_slice)).collect();
        triggers::activate(root, &interests, &paths).context(adding)?;
    }
    status::add(root, unpacked).context(adding)
}

/// Removes paths from the lists of packages whose files others took over.
pub(super) fn drop_paths(root: &Root, taken: &BTreeMap<Vec<u8>, String>) -> Result<()> {
    let mut by_package: BTreeMap<&str, BTreeSet<&[u8]>> = BTreeMap::new();
    for (path, package) in taken {
        by_package.entry(package).or_default().insert(path);
    }
    for (package, paths) in by_package {
        info::drop_paths(root, package, &paths)?;
    }
    Ok(())
}
