//! What machine is wanted, and how it ended.

use crate::base::firmware::Firmware;
use crate::base::size::{Bytes, GIB};
use std::path::PathBuf;
use std::time::Duration;

/// Where the first serial port goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Console {
    /// The caller's standard input and output; Ctrl-A x leaves.
    Terminal,
    /// A file; the machine runs by itself.
    File(PathBuf),
}

/// One machine to boot.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The image: raw or qcow2. Only read.
    pub image: PathBuf,
    /// What starts it.
    pub firmware: Firmware,
    /// A NoCloud seed: a folder, or a finished ISO or vfat file.
    pub seed: Option<PathBuf>,
    /// Size of its disk; the image's own when not given. Never smaller than that.
    pub size: Option<Bytes>,
    /// Main memory.
    pub memory: Bytes,
    /// Processors.
    pub processors: u32,
    /// Where its disk (the overlay) is kept, to be booted again; thrown away when not given.
    pub disk: Option<PathBuf>,
    /// Further disks, only read, in order: they follow disk and seed.
    pub further_disks: Vec<PathBuf>,
    /// MAC address of its network interface.
    pub mac: String,
    /// Serial number that the firmware's tables give (SMBIOS type 1).
    pub serial_number: Option<String>,
    /// Port of this host (127.0.0.1) that leads to the machine's port 22.
    pub ssh_port: Option<u16>,
    /// Whether the machine may reach anything beyond this host's user-mode network.
    pub isolated: bool,
    /// Where the first serial port goes.
    pub console: Console,
    /// A file that takes what the machine writes to its second serial port.
    pub second_serial: Option<PathBuf>,
    /// How long it may run; for ever when not given.
    pub timeout: Option<Duration>,
    /// A folder of the host for temporary files, such as the overlay.
    pub scratch: PathBuf,
}

impl Machine {
    /// A machine of 2 GiB and two processors that uses the caller's terminal.
    #[must_use]
    pub fn new(image: impl Into<PathBuf>, firmware: Firmware, scratch: impl Into<PathBuf>) -> Self {
        Self {
            image: image.into(),
            firmware,
            seed: None,
            size: None,
            memory: Bytes(2 * GIB),
            processors: 2,
            disk: None,
            further_disks: Vec::new(),
            mac: "52:54:00:12:34:56".to_owned(),
            serial_number: None,
            ssh_port: None,
            isolated: false,
            console: Console::Terminal,
            second_serial: None,
            timeout: None,
            scratch: scratch.into(),
        }
    }
}

/// How a machine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It powered itself off, or the person left.
    PoweredOff,
    /// It ran longer than it might.
    TimedOut(Duration),
    /// QEMU gave up, or the guest's kernel panicked: what QEMU said.
    Failed(String),
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PoweredOff => f.write_str("the machine powered off"),
            Self::TimedOut(limit) => write!(f, "the machine still ran after {} seconds", limit.as_secs()),
            Self::Failed(said) => write!(f, "the machine failed: {said}"),
        }
    }
}
