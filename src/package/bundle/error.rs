//! Why a bundle is refused: each reason with its own message.

use crate::base::digest::Digest;
use crate::base::limits::BUNDLE_FILES;
use crate::base::size::Bytes;
use std::io;

/// Why a bundle is refused.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file could not be read.
    #[error("reading it")]
    Read(#[from] io::Error),
    /// It is something else.
    #[error("it is no bundle: its first file is not bundle.json")]
    NoBundle,
    /// Of a version that is not known.
    #[error("the bundle has version {found}, and this imgbuild reads version {}", super::FORMAT_VERSION)]
    Version {
        /// What it says.
        found: u64,
    },
    /// The index is no such document.
    #[error("its index cannot be understood: {0}")]
    Index(String),
    /// The index names a path that no bundle has.
    #[error("its index names `{}`: {problem}", path.escape_debug())]
    Path {
        /// The name.
        path: String,
        /// Why it is refused.
        problem: &'static str,
    },
    /// The index is not sorted, or names something twice.
    #[error("its index names `{}` after `{}`: names are sorted, each once", path.escape_debug(), before.escape_debug())]
    Order {
        /// The name.
        path: String,
        /// The one before it.
        before: String,
    },
    /// Something is absurdly large.
    #[error("`{}` has {}, and at most {} are allowed for it", path.escape_debug(), Bytes(*size), Bytes(*limit))]
    Size {
        /// Its name.
        path: String,
        /// Bytes.
        size: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// More files than any bundle has.
    #[error("its index names {found} files, and at most {} are allowed", BUNDLE_FILES)]
    Count {
        /// How many.
        found: usize,
    },
    /// Another file than the index says follows.
    #[error("`{}` follows where its index says `{}`", found.escape_debug(), wanted.escape_debug())]
    Member {
        /// What the index says.
        wanted: String,
        /// What is there.
        found: String,
    },
    /// A file's header is damaged, or is that of something other than a plain file.
    #[error("at byte {offset}, where `{}` should begin, is no header of a plain file", wanted.escape_debug())]
    Header {
        /// Where.
        offset: u64,
        /// What the index says.
        wanted: String,
    },
    /// It is shorter than its index says.
    #[error("it is truncated: it ends at byte {length}, within or before `{}`", path.escape_debug())]
    Truncated {
        /// Bytes of the file.
        length: u64,
        /// What is not whole.
        path: String,
    },
    /// It goes on behind its last file.
    #[error("it goes on after the last file that its index names")]
    Surplus,
    /// A file is not what the index says.
    #[error("`{}` is damaged: its digest is {found}, not {wanted}", path.escape_debug())]
    Digest {
        /// Its name.
        path: String,
        /// What it is.
        found: Digest,
        /// What the index says.
        wanted: Digest,
    },
    /// An index does not unpack to what its name says.
    #[error("`{}` cannot be unpacked: {problem}", path.escape_debug())]
    Unpack {
        /// Its name.
        path: String,
        /// Why.
        problem: String,
    },
}

impl BundleError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Read(_) => "name a bundle that can be read: `imgbuild bundle NAME -o FILE` writes one",
            Self::NoBundle => "`imgbuild bundle NAME -o FILE` writes one",
            Self::Version { .. } => "use the imgbuild that wrote it",
            _ => "copy the bundle again, and compare its SHA-256 with the one that `imgbuild bundle` printed",
        }
    }
}
