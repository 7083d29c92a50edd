//! Which firmware starts a machine: the command line's word and the laboratory's.

use serde::{Deserialize, Serialize};

/// Which firmware starts a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// SeaBIOS.
    Bios,
    /// OVMF.
    Uefi,
    /// OVMF with Microsoft's keys enrolled and Secure Boot enforced.
    Secure,
}
