//! imgbuild: immutable role images and node seeds for highly available clusters.
//!
//! The rooms, in the order in which data flows; each takes finished values and hands on one new value:
//!
//! ```text
//! cli -> pipeline (the only wiring)
//!
//! input -> plan -> package -> rootfs -> boot -> disk -> output --+--> lab
//!                                                               +--> compare
//!            |
//!            +--> secret -> seed
//!
//! workshops underneath: format  sandbox  store  base
//! ```

pub mod base;
pub mod boot;
pub mod cli;
pub mod compare;
pub mod disk;
pub mod format;
pub mod input;
pub mod lab;
pub mod output;
pub mod package;
pub mod pipeline;
pub mod plan;
pub mod rootfs;
pub mod sandbox;
pub mod secret;
pub mod seed;
pub mod store;
