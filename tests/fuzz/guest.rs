//! The guest's readers, compiled from its own files: its package has no library, as nobody else is to use it.
//!
//! Its files name each other from the root of their crate, so both programs that have this module take these names there.

#![allow(dead_code, unreachable_pub, unused_imports, reason = "the guest uses more of it")]

#[path = "../../node/src/digest.rs"]
pub(crate) mod digest;
#[path = "../../node/src/files.rs"]
pub(crate) mod files;
#[path = "../../src/format/seed/mod.rs"]
pub(crate) mod format;
#[path = "guest_seed.rs"]
pub(crate) mod seed;
