//! Runs machines in QEMU: one (`boot`), or a whole cluster (`serve`). No root, no device of the host but `/dev/kvm`.
//!
//! A machine's disk is a qcow2 overlay on the image, its seed an ISO made from a folder, its firmware's variables a
//! copy of its own: the image itself is only ever read. QEMU is the host's when that is recent enough, otherwise the
//! tools root's, run in the sandbox with the caller's own id.
//!
//! A cluster is one process with its networks (`network`) and its machines (`machines`), which does what it is asked over
//! a socket (`control`); the commands of a person are other processes, which ask.

mod call;
mod console;
mod control;
mod daemon;
mod disk;
mod firmware;
mod guest;
mod kvm;
mod layout;
mod line;
mod machine;
mod machines;
mod monitor;
mod network;
mod order;
mod qemu;
mod requests;
mod run;
mod scenario;
mod seed;
mod stage;
mod status;
#[cfg(test)]
mod tests;

pub use crate::base::firmware::Firmware;
pub use call::JOB;
pub use control::Lab;
pub use daemon::serve;
pub use kvm::{Accelerator, probe};
pub use machine::{Console, Ending, Machine};
pub use order::{NodeOrder, Order, free_memory, run_folder};
pub use qemu::{OLDEST, PACKAGES, Qemu};
pub use requests::{Damage, Direction};
pub use run::boot;
pub use scenario::{Scenario, Shell, Trial, Verdict, choose, machines};
pub use seed::volume as seed_volume;
pub use stage::Stage;
pub use status::{AddressStatus, NodeStatus, Power, Status};
