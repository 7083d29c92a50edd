//! The tools root: unpacked once for each set of pins.

use crate::base::digest::Digest;
use crate::base::epoch::Epoch;
use crate::base::progress::Progress;
use crate::package::{PackageFile, Pin};
use crate::rootfs;
use crate::store::{self, Store};
use anyhow::{Context as _, Result};

/// What names a tools root: its pins, by digest.
pub(super) fn tools_id(pins: &[Pin]) -> String {
    Digest::of_value(&pins).short()
}

/// Gives the tools root of these pins, unpacking their packages the first time. To be run inside a worker.
pub(super) fn provide(
    store: &Store,
    pins: &[Pin],
    packages: &[PackageFile],
    epoch: Epoch,
    progress: &dyn Progress,
) -> Result<store::Tools> {
    let id = tools_id(pins);
    if let Some(tools) = store.tools(&id)? {
        return Ok(tools);
    }
    let _alone =
        store.lock(&format!("making-tools-{id}"), || progress.note("waiting for another build's tools root"))?;
    if let Some(tools) = store.tools(&id)? {
        return Ok(tools);
    }
    let work = store.work()?;
    let root = work.folder("root")?;
    rootfs::unpack_tools(packages, &root, epoch, progress).context("unpacking the tools root")?;
    store.publish_tools(&id, &work, &root)
}
