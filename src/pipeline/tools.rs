//! The tools root: unpacked once for each set of pins.

use crate::base::digest::Digest;
use crate::base::epoch::Epoch;
use crate::base::progress::Progress;
use crate::package::{PackageFile, Pin};
use crate::rootfs;
use crate::store::{self, Store};
use anyhow::{Context as _, Result, ensure};

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
    // Packages are only fetched when the root is not there; pruning may have come in between.
    ensure!(packages.len() == pins.len(), "the tools root {id} has just been removed from the cache: build again");
    let work = store.work()?;
    let root = work.folder("root")?;
    rootfs::unpack_tools(packages, &root, epoch, progress).context("unpacking the tools root")?;
    store.publish_tools(&id, &work, &root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::progress::Silent;

    #[test]
    fn a_root_pruned_since_packages_were_counted_is_not_replaced_by_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let pin = Pin {
            name: "e2fsprogs".to_owned(),
            version: "1".to_owned(),
            architecture: "amd64".to_owned(),
            repository: "debian".to_owned(),
            path: "pool/e.deb".to_owned(),
            size: 1,
            sha256: Digest::of(b"e"),
        };
        let pins = [pin];
        let error = provide(&store, &pins, &[], Epoch(0), &Silent).unwrap_err().to_string();
        let id = tools_id(&pins);
        assert_eq!(error, format!("the tools root {id} has just been removed from the cache: build again"));
        assert!(store.tools(&id).unwrap().is_none());
    }
}
