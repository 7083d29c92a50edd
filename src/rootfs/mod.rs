//! Assembles the root filesystem: unpack, configure in the sandbox, overlay, deferred work, clean, collect.

mod tree;

pub use tree::*;
