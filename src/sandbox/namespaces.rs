//! Leaving namespaces: the one system call of the sandbox that Rust calls unsafe.

use rustix::thread::UnshareFlags;

/// Moves this process (or, for [`UnshareFlags::NEWPID`], the children that this thread will have) into new namespaces.
///
/// `CLONE_FILES`, which would give one thread another table of descriptors than the others, is never among them.
#[allow(unsafe_code)]
pub(super) fn enter(namespaces: UnshareFlags) -> rustix::io::Result<()> {
    let namespaces = namespaces - UnshareFlags::FILES;
    // SAFETY: the only condition is that descriptors stay shared between threads, and FILES was taken out above.
    unsafe { rustix::thread::unshare_unsafe(namespaces) }
}
