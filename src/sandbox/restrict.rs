//! What a program in a root may not do although it is root there.

use anyhow::{Context as _, Result};
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::thread::CapabilitySet;

/// What maintainer scripts use: owners, modes, ids, file capabilities, chroot.
/// Not among them: SYS_ADMIN (mounts, hence escapes from the root) and SYS_PTRACE (reaching into init).
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT);

/// Open files of a program: some close every number below the limit one by one when they start.
const OPEN_FILES: (u64, u64) = (1024, 65_536);

/// Gives up what the program must not inherit. Init itself keeps its rights, which also keeps the program off it.
pub(super) fn give_up(terminal: bool) -> Result<()> {
    rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
    if !terminal {
        // Without a session of its own it could still type into the builder's terminal.
        rustix::process::setsid().context("leaving the terminal")?;
    }
    let limit = |resource, soft: u64, hard: u64| {
        let allowed = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let new = Rlimit { current: Some(soft.min(allowed)), maximum: Some(hard.min(allowed)) };
        rustix::process::setrlimit(resource, new).context("limiting resources")
    };
    limit(Resource::Core, 0, 0)?;
    limit(Resource::Nofile, OPEN_FILES.0, OPEN_FILES.1)?;
    for number in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if KEPT.contains(one) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            // Beyond the last one that this kernel knows.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error).context("giving up capabilities"),
        }
    }
    rustix::thread::clear_ambient_capability_set().context("giving up capabilities")?;
    rustix::thread::set_no_new_privs(true).context("giving up new privileges")?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).context("hiding init")
}
