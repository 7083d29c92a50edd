//! A client of Debian-style archives: signatures, indices, versions, a solver with apt's semantics, the lock, `.deb` files.

pub mod archive;
pub mod bundle;
pub mod control;
pub mod deb;
pub mod download;
pub mod lock;
pub mod openpgp;
pub mod relation;
pub mod resolve;
pub mod solver;
mod source;
pub mod tracker;
pub mod universe;
mod values;
pub mod version;

pub use archive::Index;
pub use lock::{Lock, LockDiff};
pub use resolve::{LockMode, OutOfDate, Resolved, Sources, build_plan, resolve};
pub use source::{BuiltFrom, SourceVersion, without_rebuild};
pub use values::*;
pub use version::compare as compare_versions;
