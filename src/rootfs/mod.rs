//! Assembles the root filesystem: unpack, configure in the sandbox, overlay, deferred work, clean, collect.

pub mod node;
mod tree;

pub use tree::*;
