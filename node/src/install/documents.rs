//! Hands cloud-init the verified documents: the folder is exchanged as a whole, so that there always is one.

use crate::files::{self, failed};
use crate::format::DOCUMENTS;
use crate::places::Places;
use crate::seed::copy::Volume;
use rustix::fs::{CWD, RenameFlags};
use std::fs;

/// The longest document.
const DOCUMENT_BYTES: u64 = 1 << 20;

/// Whether cloud-init has these very documents, and no others.
pub(super) fn same(places: &Places, volume: &Volume) -> Result<bool, String> {
    let folder = places.documents();
    for name in DOCUMENTS {
        let wanted = match volume.has(name) {
            true => Some(files::read(&volume.path(name), DOCUMENT_BYTES)?),
            false => None,
        };
        if files::read_optional(&folder.join(name), DOCUMENT_BYTES)? != wanted {
            return Ok(false);
        }
    }
    let others = fs::read_dir(&folder).map_err(failed("reading", &folder))?;
    Ok(others.flatten().all(|entry| DOCUMENTS.iter().any(|name| entry.file_name() == *name)))
}

/// Puts the volume's documents into the only folder in which cloud-init looks.
pub(crate) fn hand_over(places: &Places, volume: &Volume) -> Result<(), String> {
    let folder = places.documents();
    let Some(parent) = folder.parent() else { return Err("cloud-init's folder has no parent".to_owned()) };
    files::make_public(parent)?;
    let staged = parent.join(".nocloud.imgbuild");
    files::remove_folder(&staged)?;
    files::make_private(&staged)?;
    for name in DOCUMENTS.iter().filter(|name| volume.has(name)) {
        files::replace(&staged.join(name), &files::read(&volume.path(name), DOCUMENT_BYTES)?, 0o600)?;
    }
    files::sync_folder(&staged)?;
    let flags = if folder.exists() { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
    rustix::fs::renameat_with(CWD, &staged, CWD, &folder, flags)
        .map_err(|error| failed("writing", &folder)(error.into()))?;
    files::sync_folder(parent)?;
    files::remove_folder(&staged)
}
