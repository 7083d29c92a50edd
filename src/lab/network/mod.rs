//! The lab's networks: a learning switch in this process, the sockets by which machines are plugged into it, and the
//! lab's own stations, which speak to the machines without any right on this host.
//!
//! ```text
//! QEMU --unix stream, u32 length + frame--> Sockets --> Switch --> Sockets --> QEMU
//!                                                         |
//!                                          Station (smoltcp): connections, who owns an address
//! ```
//!
//! `switch`, `faults`, `framing`, `station` and what stations are made of do no input or output and know no clock: they are handed frames and the
//! time since the lab began. `fabric` is the one thread that has sockets and a clock.

mod fabric;
mod faults;
mod framing;
mod lending;
mod names;
mod neighbours;
pub(super) mod outside;
mod stand_in;
mod station;
mod switch;
#[cfg(test)]
mod tests;
mod tunnel;

pub(super) use fabric::{Fabric, Visitor, Wiring, Words};
pub(super) use faults::Faults;
pub(super) use names::Question;
pub(super) use stand_in::identity;
pub(super) use station::{Lease, MIRROR, Site};
pub(super) use switch::{PortId, Way};
