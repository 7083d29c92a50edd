//! Whether the kernel makes a virtual machine: a device node that opens does not say so on nested or locked-down hosts.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// `KVM_GET_API_VERSION`, `KVM_CREATE_VM`, `KVM_CREATE_VCPU` of <linux/kvm.h>: numbers without a size.
const GET_API_VERSION: u64 = 0xae00;
const CREATE_VM: u64 = 0xae01;
const CREATE_VCPU: u64 = 0xae41;
/// The only one that there ever was.
const API_VERSION: i32 = 12;

/// What using KVM gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kvm {
    /// A machine with a processor was made.
    Works,
    /// There is no device node.
    Missing,
    /// It may not be opened.
    Forbidden,
    /// It is there, and no machine can be made.
    Broken(io::ErrorKind),
}

/// Makes a machine that never runs.
#[must_use]
pub fn kvm() -> Kvm {
    match machine() {
        Ok(()) => Kvm::Works,
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => Kvm::Missing,
            io::ErrorKind::PermissionDenied => Kvm::Forbidden,
            kind => Kvm::Broken(kind),
        },
    }
}

fn machine() -> io::Result<()> {
    let device = std::fs::File::options().read(true).write(true).open("/dev/kvm")?;
    let broken = |error: io::Error| io::Error::new(io::ErrorKind::Unsupported, error);
    let version = ask(device.as_raw_fd(), GET_API_VERSION).map_err(broken)?;
    if version != API_VERSION {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let machine = owned(ask(device.as_raw_fd(), CREATE_VM).map_err(broken)?);
    owned(ask(machine.as_raw_fd(), CREATE_VCPU).map_err(broken)?);
    Ok(())
}

#[allow(unsafe_code)]
fn ask(descriptor: i32, request: u64) -> io::Result<i32> {
    // SAFETY: these requests take a number, here 0, and no memory of ours.
    let given = unsafe { libc::ioctl(descriptor, request as _, 0) };
    if given < 0 { Err(io::Error::last_os_error()) } else { Ok(given) }
}

#[allow(unsafe_code)]
fn owned(descriptor: i32) -> OwnedFd {
    // SAFETY: the kernel has just given it to us, and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}
