//! The finished root as a tree: times held to the epoch, nothing in it that an image would lose.

use crate::base::epoch::Epoch;
use crate::base::tree::{Kind, Tree};
use crate::store;
use anyhow::{Context as _, Result, bail};
use std::path::Path;

/// How many offending paths a message names.
const NAMED_LIMIT: usize = 10;

/// Walks a root. Files with POSIX ACLs are refused: the images' filesystems are made by a tool that drops them.
pub(super) fn collect(folder: &Path, epoch: Epoch) -> Result<Tree> {
    let mut tree = store::collect(folder).context("collecting the root")?;
    let mut lossy = Vec::new();
    for entry in &mut tree.entries {
        entry.mtime = epoch.clamp(entry.mtime);
        entry.xattrs.retain(|(name, _)| !name.starts_with("user.overlay.") && !name.starts_with("trusted.overlay."));
        if let Some((name, _)) = entry.xattrs.iter().find(|(name, _)| !name.starts_with("security.")) {
            lossy.push(format!("/{} ({name})", String::from_utf8_lossy(&entry.path)));
        }
        if matches!(entry.kind, Kind::CharacterDevice { .. } | Kind::BlockDevice { .. }) {
            bail!("/{} is a device node, which no package ships", String::from_utf8_lossy(&entry.path));
        }
    }
    if !lossy.is_empty() {
        let count = lossy.len();
        lossy.truncate(NAMED_LIMIT);
        bail!("{count} files have ACLs or attributes that the image cannot keep: {}", lossy.join(", "));
    }
    Ok(tree)
}
