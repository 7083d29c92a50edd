//! Where the firmware's files are. Code and variables must come from the same package.

use crate::base::firmware::Firmware;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// OVMF's code, which is only read, and its empty variables, of which every machine gets a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) code: PathBuf,
    pub(super) variables: PathBuf,
}

/// The files of a firmware below a root; none for SeaBIOS, which QEMU finds by itself.
pub(super) fn files(firmware: Firmware, root: &Path) -> Result<Option<Files>> {
    let (code, variables) = match firmware {
        Firmware::Bios => return Ok(None),
        Firmware::Uefi => ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
        // The `.ms` variables hold Microsoft's keys, with which the distributions' shims are signed.
        Firmware::Secure => ("OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd"),
    };
    let folder = root.join("usr/share/OVMF");
    let files = Files { code: folder.join(code), variables: folder.join(variables) };
    for file in [&files.code, &files.variables] {
        anyhow::ensure!(file.is_file(), "{} does not exist (package ovmf)", file.display());
    }
    Ok(Some(files))
}
