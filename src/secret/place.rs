//! Where a cluster's secrets are kept: in a folder, sealed in one file, or in Vault.

use super::seal;
use super::vault::Vault;
use crate::base::hint::{Remedy as _, hinted};
use crate::base::limits::SEALED_BYTES;
use crate::base::private::{self, PrivateFiles};
use crate::base::secret::{Secret, SecretBytes};
use crate::base::{files, limits};
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// Where secrets are kept.
#[derive(Debug)]
pub enum Place {
    /// One file for each, in this folder.
    Folder(PathBuf),
    /// All of them in this file, opened with the identity in the other.
    Sealed {
        /// The sealed file.
        file: PathBuf,
        /// age's identities.
        identity: PathBuf,
    },
    /// Below a path in Vault.
    Vault(Box<Vault>),
}

impl Place {
    /// All secrets that lie there; none if the place is empty.
    ///
    /// # Errors
    /// When they cannot be read, or others may read them.
    pub fn read(&self) -> Result<Option<PrivateFiles>> {
        match self {
            Self::Folder(folder) => Ok(private::read(folder)?.filter(|files| !files.is_empty())),
            Self::Sealed { file, .. } if !file.exists() => Ok(None),
            Self::Sealed { file, identity } => {
                let opened = seal::unseal(&files::read(file, SEALED_BYTES)?, &key(identity)?);
                opened.with_context(|| format!("opening {} with {}", file.display(), identity.display())).map(Some)
            }
            Self::Vault(vault) => vault.read(),
        }
    }

    /// Makes what lies there this, replacing only what is different. A sealed file is sealed to `recipients`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, secrets: &PrivateFiles, recipients: &[String]) -> Result<()> {
        match self {
            Self::Folder(folder) => {
                let there = private::read(folder)?.unwrap_or_default();
                let differs = |(path, bytes): &(&String, &SecretBytes)| there.get(*path) != Some(*bytes);
                let changes: PrivateFiles =
                    secrets.iter().filter(differs).map(|(path, bytes)| (path.clone(), bytes.clone())).collect();
                if changes.is_empty() { Ok(()) } else { private::write(folder, &changes, true) }
            }
            Self::Sealed { file, .. } => {
                let sealed = seal::seal(secrets, recipients).with_context(|| format!("sealing {}", file.display()))?;
                files::write_atomic(file, &sealed)
            }
            Self::Vault(vault) => vault.write(secrets),
        }
    }

    /// Where a secret lies, for messages.
    #[must_use]
    pub fn of(&self, path: &str) -> String {
        match self {
            Self::Folder(folder) => folder.join(path).display().to_string(),
            Self::Sealed { file, .. } => format!("{path} in {}", file.display()),
            Self::Vault(vault) => vault.of(path),
        }
    }

    /// Where all of them lie, for people.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Folder(path) | Self::Sealed { file: path, .. } => path.display().to_string(),
            Self::Vault(vault) => vault.shown(),
        }
    }
}

/// A file of age's identities, which nobody else may read.
///
/// # Errors
/// When it is not there, or others may read it.
pub fn key(file: &Path) -> Result<Secret> {
    if !file.exists() {
        return Err(hinted(
            format!("there is no identity {}", file.display()),
            "say where yours is: `--identity FILE` or IMGBUILD_IDENTITY; a new one is made by `age-keygen -o FILE`",
        ));
    }
    crate::base::secret::private(file)?;
    let text = SecretBytes::new(files::read(file, limits::SIGNATURE_BYTES)?).text();
    text.with_context(|| format!("{} is not UTF-8", file.display())).hint("give the file that `age-keygen` wrote")
}
