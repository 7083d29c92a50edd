//! Runs machines in QEMU: one now (`boot`), a whole cluster later. No root, no device of the host but `/dev/kvm`.
//!
//! A machine's disk is a qcow2 overlay on the image, its seed an ISO made from a folder, its firmware's variables a
//! copy of its own: the image itself is only ever read. QEMU is the host's when that is recent enough, otherwise the
//! tools root's, run in the sandbox with the caller's own id.

mod call;
mod disk;
mod firmware;
mod kvm;
mod line;
mod machine;
mod qemu;
mod run;
mod seed;

pub use crate::base::firmware::Firmware;
pub use call::JOB;
pub use kvm::{Accelerator, probe};
pub use machine::{Console, Ending, Machine};
pub use qemu::{OLDEST, PACKAGES, Qemu};
pub use run::boot;
pub use seed::volume as seed_volume;
