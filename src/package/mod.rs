//! A client of Debian-style archives: signatures, indices, versions, a solver with apt's semantics, the lock, `.deb` files.

pub mod archive;
pub mod control;
pub mod deb;
pub mod download;
pub mod lock;
pub mod openpgp;
pub mod relation;
pub mod resolve;
pub mod solver;
pub mod universe;
mod values;
pub mod version;

pub use archive::Index;
pub use lock::{Lock, LockDiff};
pub use resolve::{LockMode, OutOfDate, Resolved, Sources, build_plan, resolve};
pub use values::*;
pub use version::compare as compare_versions;
