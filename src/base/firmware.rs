//! Which firmware starts a machine: the command line's word and the laboratory's.

/// Which firmware starts a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS.
    Bios,
    /// OVMF.
    Uefi,
    /// OVMF with Microsoft's keys enrolled and Secure Boot enforced.
    Secure,
}
