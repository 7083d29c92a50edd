//! Assembles the root filesystem: unpack, configure in the sandbox, overlay, deferred work, clean, collect.

mod accounts;
mod assemble;
mod database;
mod deferred;
mod incoming;
mod install;
mod md5;
pub mod node;
mod parallel;
mod root;
mod scripts;
mod tree;
mod unpack;

pub use assemble::*;
pub use tree::*;
