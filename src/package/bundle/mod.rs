//! One file with everything that locked builds need, for machines without any mirror.
//!
//! A plain tar archive, so that any tar reads it; sorted, with fixed owners, modes and times:
//!
//! ```text
//! bundle.json                                 what it is for, and size and digest of everything that follows
//! imgbuild.lock                               the pins
//! indices/<repository>/<suite>/InRelease      what the pins were made from: signed, and
//! indices/<repository>/<suite>/<sha256>.zst   the indices that it vouches for, named by what they unpack to
//! packages/<sha256>.deb                       packages (the tools' too) and pinned downloads, as the mirror has them
//! project/recipes/..., project/roles/...      the project's documents that are used, and what lies beside them
//! ```
//!
//! Packages are compressed already: only indices are compressed again. Nothing of a bundle is believed before its digest
//! was compared: that of a file with the index, that of a package with the lock.

mod contents;
mod error;
mod read;
mod write;

pub use contents::{Contents, Entry, Image, Link};
pub use error::BundleError;
pub use read::Bundle;
pub use write::{Draft, Source, packed};

/// The version of the form.
pub const FORMAT_VERSION: u64 = 1;
/// The index's name, and the first file of every bundle.
pub const INDEX: &str = "bundle.json";
/// The pins' name.
pub const LOCK: &str = "imgbuild.lock";
/// What the names of the project's files begin with.
pub const PROJECT: &str = "project/";
/// What the names of indices begin with.
pub const INDICES: &str = "indices/";

/// The name of a package or a pinned download.
#[must_use]
pub fn package_path(sha256: &crate::base::digest::Digest) -> String {
    format!("packages/{sha256}.deb")
}

#[cfg(test)]
mod tests;
