//! Signs results: SHA256SUMS by a key of minisign or OpenSSH, in a file beside it that is no artifact itself.

use crate::base::hint::{Remedy as _, hinted};
use crate::base::progress::Progress;
use crate::base::secret::{Secret, private};
use crate::base::{files, limits};
use crate::cli::meant::Sign;
use crate::format::signature::{self, Kind, SecretKey};
use crate::output::{CHECKSUMS, Published};
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// Reads the key, asking for its password where it has one: before anything is built.
pub(super) fn key(sign: &Sign) -> Result<SecretKey> {
    let failed = || format!("reading the secret key {}", sign.key.display());
    private(&sign.key)?;
    let text = String::from_utf8(files::read(&sign.key, limits::SIGNATURE_BYTES)?).unwrap_or_default();
    let password = match (signature::is_protected(&text), &sign.password) {
        (Some(true), Some(file)) => Some(Secret::of_file(file)?),
        (Some(true), None) => {
            let asked = Secret::ask(&format!("Password of {}", sign.key.display()));
            Some(asked.hint("without a terminal: `--sign-password FILE`, a file that only you can read")?)
        }
        _ => None,
    };
    let key = SecretKey::read(&text, password.as_ref().map(Secret::reveal)).with_context(failed);
    key.hint("a key is made by `minisign -G` or by `ssh-keygen -t ed25519`")
}

/// Signs a result, unless it has a signature of this key that fits. Signatures of the other kind stay when they fit.
pub(super) fn sign(key: &SecretKey, there: &Published, progress: &dyn Progress) -> Result<PathBuf> {
    let sums = files::read(&there.folder.join(CHECKSUMS), limits::MANIFEST_BYTES)?;
    let path = path(&there.folder, key.kind());
    if let Some(text) = read(&path)?
        && signature::claimed(key.kind(), &text, &sums).is_ok_and(|name| name == key.name())
        && fits(key, &text, &sums)
    {
        return Ok(path);
    }
    let comment = format!("{CHECKSUMS} of {} {}", there.manifest.name, there.manifest.image_id);
    let text = key.sign(&sums, &comment).with_context(|| format!("signing {}", there.folder.display()))?;
    files::write_atomic(&path, text.as_bytes())?;
    progress.note(format!("signed {} by {}", there.manifest.name, key.name()));
    Ok(path)
}

/// OpenSSH's signatures carry their key; minisign's cannot be verified without the public one, and are made again.
fn fits(key: &SecretKey, text: &str, sums: &[u8]) -> bool {
    key.kind() == Kind::Ssh && signature::claimed(Kind::Ssh, text, sums).is_ok()
}

/// Where a result's signature of this kind lies.
pub(super) fn path(folder: &Path, kind: Kind) -> PathBuf {
    folder.join(format!("{CHECKSUMS}.{}", kind.extension()))
}

/// A signature's text, when it is there.
pub(super) fn read(path: &Path) -> Result<Option<String>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = String::from_utf8(files::read(path, limits::SIGNATURE_BYTES)?);
    text.map(Some).map_err(|_| hinted(format!("{} is not text", path.display()), "remove it and sign again"))
}
