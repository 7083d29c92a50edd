//! `imgbuild lab` as it is meant.

use super::meant::{Firmware, Selection};
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// An order about a cluster on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lab {
    /// The cluster: a name or a path.
    pub cluster: String,
    /// What to do.
    pub verb: LabVerb,
}

/// What to do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabVerb {
    /// Start it.
    Up(LabUp),
    /// Play scenarios with it.
    Test {
        /// Their names; all when empty.
        scenarios: Vec<String>,
        /// How often the active one is killed.
        rounds: usize,
        /// How the lab is started.
        up: LabUp,
    },
    /// Show how it is.
    Status {
        /// Again and again.
        watch: bool,
        /// As JSON.
        json: bool,
    },
    /// Log in on a machine.
    Ssh(LabSsh),
    /// A machine's console on the terminal.
    Console(String),
    /// A machine's port on the standard streams.
    Connect {
        /// The machine.
        node: String,
        /// The port.
        port: u16,
    },
    /// Who answers for an address.
    Owner(Ipv4Addr),
    /// End a machine.
    Kill {
        /// The machine.
        node: String,
        /// By its power button.
        button: bool,
    },
    /// Start a machine.
    Start {
        /// The machine.
        node: String,
        /// How many seconds its clock is ahead.
        clock: Option<i64>,
    },
    /// A fresh disk.
    Wipe {
        /// The machine.
        node: String,
        /// Data disks, too.
        data: bool,
    },
    /// Break lines.
    Cut {
        /// The machine.
        node: String,
        /// How.
        cut: LabCut,
    },
    /// Mend them.
    Heal,
    /// Stop a machine's processors, or let them go on.
    Freeze {
        /// The machine.
        node: String,
        /// Stop them.
        frozen: bool,
    },
    /// End it.
    Down {
        /// Keep the disks.
        keep: bool,
    },
}

/// Starting a lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabUp {
    /// Start only these; all when empty.
    pub only: Vec<String>,
    /// What starts the machines.
    pub firmware: Firmware,
    /// Never use the processor's own virtualisation.
    pub emulate: bool,
    /// Seconds by which clocks are ahead.
    pub clocks: Vec<(String, i64)>,
    /// Where the seeds are.
    pub seeds: Option<PathBuf>,
    /// Which frames lossy lines lose.
    pub random: u64,
    /// Where the emulator's packages come from.
    pub selection: Selection,
}

/// Logging in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabSsh {
    /// The machine.
    pub node: String,
    /// Whose account; the first of the cluster's when not given.
    pub user: Option<String>,
    /// The key; the person's own when not given.
    pub identity: Option<PathBuf>,
    /// What to run; a shell when empty.
    pub command: Vec<String>,
}

/// How lines are broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabCut {
    /// Nothing passes.
    Off {
        /// Between it and this machine only.
        other: Option<String>,
        /// In this direction only.
        direction: Option<LabDirection>,
    },
    /// The carrier is gone.
    Carrier,
    /// Frames are late or lost.
    Worse {
        /// In this direction only.
        direction: Option<LabDirection>,
        /// Milliseconds.
        delay: u32,
        /// Of a hundred.
        loss: u16,
    },
}

/// A direction, as the machine sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabDirection {
    /// What comes to it.
    In,
    /// What it sends.
    Out,
}
