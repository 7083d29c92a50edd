//! Ground floor: values and doors that every room may use.
//!
//! Sizes that refuse to overflow, digests, deterministic identifiers, the one clock of a build,
//! progress events, hints for people, and the only doors to files and processes.

pub mod byte_text;
pub mod digest;
pub mod durable;
pub mod epoch;
pub mod files;
pub mod firmware;
pub mod hint;
pub mod ids;
pub mod interrupt;
pub mod ledger;
pub mod limits;
pub mod network;
pub mod parallel;
pub mod private;
pub mod process;
pub mod progress;
pub mod secret;
pub mod size;
pub mod summary;
pub mod tree;
