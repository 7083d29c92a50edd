//! `cache status` and `cache prune`.

use crate::base::progress::Progress;
use crate::base::size::Bytes;
use crate::cli::meant::Settings;
use crate::cli::outcome::{Failure, Outcome};
use crate::output;
use crate::package::archive;
use crate::sandbox::Worker;
use crate::store::{Keep, Pruned, Store};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;

/// The worker's job.
pub(super) const PRUNE: &str = "prune";
/// What stays: enough for a few recipes and for going back once.
const KEEP: Keep = Keep { bases: 6, tools: 3 };

/// What was removed.
#[derive(Serialize)]
struct Removed {
    cache: Pruned,
    results: Vec<PathBuf>,
}

/// Sizes by kind.
pub(super) fn status(settings: &Settings) -> Result<Outcome, Failure> {
    let usage = Store::open(&settings.cache)?.usage()?;
    let mut text = format!("{}\n", settings.cache.display());
    for (kind, usage) in &usage {
        let _ = writeln!(text, "  {kind:<10} {:>10}  {:>6} entries", Bytes(usage.bytes), usage.count);
    }
    Ok(Outcome::new(text, &usage))
}

/// Removes what was not used lately, and all but the newest results.
pub(super) fn prune(settings: &Settings, progress: &dyn Progress) -> Result<Outcome, Failure> {
    let results = output::prune(&settings.out, output::KEPT)?;
    // Tools roots and work folders hold files of other owners: only a worker can remove them.
    let answer = Worker::run(PRUNE, &serde_json::to_vec(&settings.cache)?, progress)?;
    let cache: Pruned = serde_json::from_slice(&answer)?;
    // Packages stay: other projects' locks may name what no mirror carries any more.
    let indices = archive::prune_indices(&settings.cache)?;
    let text = format!(
        "removed {} base layers, {} tools roots, {} work folders ({}) and {} results\n",
        cache.bases,
        cache.tools,
        cache.work,
        Bytes(cache.bytes + indices),
        results.len()
    );
    Ok(Outcome::new(text, &Removed { cache, results }))
}

/// The worker's part.
pub(super) fn prune_job(request: &[u8], _progress: &dyn Progress) -> anyhow::Result<Vec<u8>> {
    let cache: PathBuf = serde_json::from_slice(request)?;
    Ok(serde_json::to_vec(&Store::open(&cache)?.prune(KEEP)?)?)
}
