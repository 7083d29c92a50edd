//! The builder's own tools: packages unpacked into a plain folder, never configured.

use super::accounts::Owners;
use super::incoming::Order;
use super::install::prepare;
use super::root::Root;
use super::unpack::{Installed, Unpacker};
use crate::base::epoch::Epoch;
use crate::base::progress::{Progress, Unit};
use crate::package::PackageFile;
use anyhow::{Context as _, Result};
use std::path::Path;

/// Unpacks packages into an empty folder, with the links of a merged /usr; no script runs and no database is written.
/// Only a sandbox worker can do it, because files keep their owners.
///
/// # Errors
/// When a package is damaged, two ship the same file, or the folder cannot be written.
pub fn unpack_tools(packages: &[PackageFile], target: &Path, epoch: Epoch, progress: &dyn Progress) -> Result<()> {
    let root = Root::open(target)?;
    let order = Order::open(packages)?;
    let installed = Installed::default();
    let mut unpacker = Unpacker::new(&root, &order, &installed, epoch);
    let phase = progress.phase("tools", packages.len() as u64, Unit::Packages);
    prepare(&root)?;
    let first = order.leaders();
    unpacker.wave(&first, Owners::default(), &phase).context("unpacking the tools")?;
    let rest: Vec<usize> = (0..order.packages.len()).filter(|at| !first.contains(at)).collect();
    unpacker.wave(&rest, Owners::read(&root)?, &phase).context("unpacking the tools")
}
