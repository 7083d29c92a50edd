//! The content-addressed cache: packages, unpacked roots, locks between builds, pruning.
//!
//! ```text
//! <cache>/packages/<xx>/<sha256>.deb, <cache>/indices/   what the network gave: verified packages, files and indices
//! <cache>/tools/<id>/root/       an unpacked tools root
//! <cache>/bases/<id>/root/       an unpacked base layer, the lower layer of overlays
//! <cache>/work/<number>/         where a build works; its `.lock` beside it is held as long as the build lives
//! <cache>/locks/<name>           locks between builds
//! ```
//!
//! What is published appears whole, by a rename, or not at all. Work folders and unpacked roots hold files of many owners
//! and are written and deleted inside workers only.

mod collect;
mod housekeeping;
mod kept;
mod lock;
pub mod packages;
mod work;

pub use collect::collect;
pub use housekeeping::{Keep, Pruned, Usage};
pub use kept::{Base, Kept, Tools};
pub use lock::Lock;
pub use work::Work;

use crate::base::files;
use anyhow::{Context as _, Result, ensure};
use std::fs::DirBuilder;
use std::path::{Path, PathBuf};

/// The cache folder of one user.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// Opens the cache in this folder, creating what is missing.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub fn open(folder: &Path) -> Result<Self> {
        files::create_dir_all(folder)?;
        files::create_dir_all(&folder.join("locks"))?;
        for kind in [kept::TOOLS, kept::BASES, "work"] {
            let path = folder.join(kind);
            // Unpacked roots hold setuid programs, which are nobody else's to run out here.
            match std::os::unix::fs::DirBuilderExt::mode(&mut DirBuilder::new(), 0o700).create(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(error).with_context(|| format!("creating {}", path.display()));
                }
                _ => {}
            }
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// The cache folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where something of this kind and name lives.
    fn place(&self, kind: &str, name: &str) -> Result<PathBuf> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'+');
        let named = !name.is_empty() && name.len() <= 128 && name.bytes().all(plain) && !name.starts_with('.');
        ensure!(named, "`{name}` is no name for something in the cache");
        Ok(self.folder.join(kind).join(name))
    }
}
