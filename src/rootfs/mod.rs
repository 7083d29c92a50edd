//! Assembles the root filesystem: unpack, configure in the sandbox, overlay, deferred work, clean, collect.

mod accounts;
mod ahead;
mod archive;
mod assemble;
mod boot_files;
mod clean;
mod collect;
mod database;
mod deferred;
mod elf;
mod incoming;
mod inputs;
mod install;
mod layers;
mod md5;
mod modules;
pub mod node;
mod overlay;
mod root;
mod scripts;
mod services;
mod tools;
mod tree;
mod unpack;
mod updates;

pub use assemble::*;
pub use tools::unpack_tools;
pub use tree::*;
