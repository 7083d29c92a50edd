//! Builds of a small system that are disturbed: ended, starved, doubled, damaged. Whatever happens, the older result stays
//! whole, the next build succeeds and gives the same bytes, nothing stays mounted and no process is left.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

#[path = "support/archive/mod.rs"]
mod archive;
#[path = "faults_cases/mod.rs"]
mod faults_cases;
#[path = "support/small/mod.rs"]
mod small;
