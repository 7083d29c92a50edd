//! Secrets: never printed, never in a message, forgotten when dropped as far as that can be.

use super::{files, limits};
use anyhow::{Context as _, Result};
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use zeroize::{Zeroize as _, Zeroizing};

/// A text that is secret: a password, a key in PEM. Shows itself as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// Bytes that are secret. Show themselves as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl Secret {
    /// Keeps a text as a secret.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Asks for a password on the terminal, without showing what is typed.
    ///
    /// # Errors
    /// When there is no terminal.
    pub fn ask(question: &str) -> Result<Self> {
        rpassword::prompt_password(format!("{question}: ")).map(Self::new).context("asking on the terminal")
    }

    /// The first line of a file that nobody else may read.
    ///
    /// # Errors
    /// When it cannot be read, others may read it, or it is not text.
    pub fn of_file(path: &Path) -> Result<Self> {
        private(path)?;
        let whole = SecretBytes::new(files::read(path, limits::SIGNATURE_BYTES)?);
        let text = whole.text().ok_or_else(|| anyhow::anyhow!("{} is not UTF-8", path.display()))?;
        Ok(Self::new(text.reveal().lines().next().unwrap_or_default().to_owned()))
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl SecretBytes {
    /// Keeps bytes as a secret.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// The same as text, if it is UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<Secret> {
        String::from_utf8(self.0.to_vec()).map(Secret::new).map_err(|error| error.into_bytes().zeroize()).ok()
    }
}

/// Refuses a file with a secret that others may read.
///
/// # Errors
/// When they may, or the file is not there.
pub fn private(path: &Path) -> Result<()> {
    let mode = files::open(path)?.metadata().with_context(|| format!("examining {}", path.display()))?.mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(super::hint::hinted(
        format!("{} can be read by others (mode {:04o})", path.display(), mode & 0o7777),
        format!("keep it to yourself: `chmod 600 {}`", path.display()),
    ))
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hint::hints;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn passwords_come_from_private_files_alone_and_are_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "open sesame\nsecond line\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = Secret::of_file(&path).unwrap_err();
        assert_eq!(error.to_string(), format!("{} can be read by others (mode 0640)", path.display()));
        assert_eq!(hints(&error), [format!("keep it to yourself: `chmod 600 {}`", path.display())]);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let secret = Secret::of_file(&path).unwrap();
        assert_eq!((secret.reveal(), format!("{secret:?}").as_str()), ("open sesame", "***"));
    }
}
