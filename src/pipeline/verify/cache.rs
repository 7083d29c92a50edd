//! The packages of a result in the cache: read again, the damaged ones removed so that they are fetched again.

use super::Check;
use crate::base::digest::Digest;
use crate::base::parallel;
use crate::base::progress::{Progress, Unit};
use crate::cli::meant::Settings;
use crate::output::Published;
use crate::store::packages::PackageStore;
use anyhow::Result;
use std::collections::BTreeMap;

/// Reads what the cache has of a result's packages and tools.
pub(super) fn check(settings: &Settings, there: &Published, progress: &dyn Progress) -> Result<Vec<Check>> {
    let store = PackageStore::new(&settings.cache);
    let mut wanted: BTreeMap<Digest, (String, Option<u64>)> = BTreeMap::new();
    for package in &there.manifest.packages {
        wanted.insert(package.sha256, (format!("{} {}", package.name, package.version), Some(package.size)));
    }
    for tool in &there.manifest.inputs.tools {
        wanted.entry(tool.sha256).or_insert_with(|| (format!("{} {}", tool.name, tool.version), None));
    }
    let wanted: Vec<_> = wanted.into_iter().collect();
    let phase = progress.phase("verify cache", wanted.len() as u64, Unit::Packages);
    let found = parallel::map_on(settings.jobs.get(), &wanted, |(digest, (name, size))| {
        let was_there = store.find(digest, None).is_some();
        let sound = was_there && store.verified(digest, *size)?.is_some();
        phase.advance(1);
        anyhow::Ok((name.clone(), was_there, sound))
    })?;
    let sound = found.iter().filter(|(_, _, sound)| *sound).count();
    let missing = found.iter().filter(|(_, was_there, _)| !was_there).count();
    let damaged: Vec<&str> =
        found.iter().filter(|(_, there, ok)| *there && !ok).map(|(name, ..)| name.as_str()).collect();
    let mut checks = Vec::new();
    if !damaged.is_empty() {
        let found = format!("{} damaged: {}", damaged.len(), damaged.join(", "));
        let remedy =
            "they were removed, and the next build fetches them again; look after the disk or memory that did it";
        checks.push(Check::failed("cache", found, remedy));
    }
    let text = format!("{sound} of {} packages and tools read, {missing} not in the cache", wanted.len());
    checks.push(if missing == 0 { Check::ok("cache", text) } else { Check::note("cache", text) });
    Ok(checks)
}
