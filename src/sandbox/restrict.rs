//! What a program in a root may not do although it is root there.

use crate::base::limits::USER_PROCESSES;
use anyhow::{Context as _, Result};
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::thread::CapabilitySet;

/// What maintainer scripts use: owners, modes, ids, file capabilities, chroot.
/// Not among them: SYS_ADMIN (mounts, hence escapes from the root), SYS_PTRACE (reaching into init) and
/// DAC_READ_SEARCH (files by handle; DAC_OVERRIDE reads all that has a name).
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SYS_CHROOT);

/// Open files of a program: some close every number below the limit one by one when they start.
const OPEN_FILES: (u64, u64) = (1024, 65_536);

/// Gives up what the program must not inherit. Init itself keeps its rights, which also keeps the program off it.
pub(super) fn give_up(terminal: bool, durable: bool) -> Result<()> {
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
    limit(Resource::Nproc, USER_PROCESSES, USER_PROCESSES)?;
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
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).context("hiding init")?;
    close_inherited()?;
    // Last, because it forbids some of the above.
    super::filter::install(durable).context("filtering system calls")
}

/// Keeps whatever the builder's own parent left open from the program: a folder of the host would be a way out.
#[allow(unsafe_code)]
fn close_inherited() -> Result<()> {
    // SAFETY: this marks descriptors to be closed by the next `execve` and closes none in this process.
    let status = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if status != 0 {
        return Err(std::io::Error::last_os_error()).context("closing what was left open");
    }
    Ok(())
}
