//! `imgbuild lab` as it is typed.

use super::typed::{Firmware, Selection};
use clap::{Args, Subcommand, ValueEnum};
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// What to do with a cluster on this machine.
#[derive(Debug, Subcommand)]
pub enum Lab {
    /// Start a cluster's machines: one QEMU each, their networks switched in one process, no root
    Up(Up),
    /// Show how far each machine has come, and where one hangs
    Status {
        /// The cluster: its folder below seeds/, or a path
        cluster: String,
        /// Show it again and again, until Ctrl-C
        #[arg(long)]
        watch: bool,
    },
    /// A shell, or a command, on a machine
    Ssh {
        /// The cluster.
        cluster: String,
        /// The machine
        node: String,
        /// Whose account [default: the first of the cluster's users]
        #[arg(long, short = 'l', value_name = "NAME")]
        user: Option<String>,
        /// The key to log in with [default: one for an hour, signed by the cluster's authority]
        #[arg(long, short = 'i', value_name = "KEYFILE")]
        identity: Option<PathBuf>,
        /// What to run there
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// A machine's serial console, until Ctrl-]
    Console(Node),
    /// Join a machine's port with the standard streams (a ProxyCommand of ssh, for example)
    Connect {
        /// The machine.
        #[command(flatten)]
        node: Node,
        /// The port
        port: u16,
    },
    /// Show who answers for an address on the lab's networks
    Owner {
        /// The cluster
        cluster: String,
        /// The address
        address: Ipv4Addr,
    },
    /// Pull a machine's plug
    Kill {
        /// The machine.
        #[command(flatten)]
        node: Node,
        /// Press its power button instead: it shuts down in order
        #[arg(long)]
        power: bool,
    },
    /// Start a machine that is off
    Start {
        /// The machine.
        #[command(flatten)]
        node: Node,
        /// How far its clock is ahead, such as +1h, -30m or +45d [default: as before]
        #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
        clock: Option<i64>,
    },
    /// Give a machine a fresh disk, and start it again if it ran; data disks stay
    Wipe {
        /// The machine.
        #[command(flatten)]
        node: Node,
        /// Fresh data disks, too
        #[arg(long)]
        data: bool,
    },
    /// Cut a machine off from its networks, or from another machine
    Cut {
        /// The machine.
        #[command(flatten)]
        node: Node,
        /// The other machine
        other: Option<String>,
        /// One direction only: what comes to the machine, or what it sends
        #[arg(long, value_name = "in|out")]
        one_way: Option<Direction>,
        /// Take the carrier off its cards, as when the cables are pulled: the machine notices
        #[arg(long, conflicts_with_all = ["other", "one_way"])]
        carrier: bool,
        /// Lose nothing, but let everything arrive so many milliseconds later
        #[arg(long, value_name = "MILLISECONDS", conflicts_with_all = ["other", "carrier"])]
        delay: Option<u32>,
        /// Lose only so many of a hundred frames, the same ones each time
        #[arg(long, value_name = "PERCENT", conflicts_with_all = ["other", "carrier"], value_parser = clap::value_parser!(u16).range(0..=100))]
        loss: Option<u16>,
    },
    /// Mend all that was cut
    Heal {
        /// The cluster
        cluster: String,
    },
    /// Stop a machine's processors: it hangs, and is still plugged in
    Freeze(Node),
    /// Let a frozen machine go on
    Thaw(Node),
    /// Play scenarios with a cluster's balancers (killed, cut off, late, ...) and gateway (exit status 5 when one fails)
    Test(Test),
    /// End the machines and throw their disks away; secrets, seeds and images stay
    Down {
        /// The cluster
        cluster: String,
        /// Keep the disks: the next `up` goes on with them
        #[arg(long)]
        keep: bool,
    },
    /// The lab's own process
    #[command(hide = true)]
    Serve {
        /// Its run folder
        folder: PathBuf,
    },
}

/// `imgbuild lab test`.
#[derive(Args, Debug)]
pub struct Test {
    /// The cluster: its folder below seeds/, or a path
    pub cluster: String,
    /// Scenarios, in this order [default: all]
    pub scenarios: Vec<String>,
    /// How often the active one is killed
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub rounds: u16,
    /// How machines are made.
    #[command(flatten)]
    pub machines: Machines,
}

/// `imgbuild lab up`.
#[derive(Args, Debug)]
pub struct Up {
    /// The cluster: its folder below seeds/, or a path
    pub cluster: String,
    /// Start only these; the others can be started later
    #[arg(long, value_name = "NODE,NODE", value_delimiter = ',')]
    pub only: Vec<String>,
    /// How far a machine's clock is ahead, such as balancer2=+1h; may be repeated
    #[arg(long, value_name = "NODE=TIME", value_parser = node_time)]
    pub clock: Vec<(String, i64)>,
    /// How machines are made.
    #[command(flatten)]
    pub machines: Machines,
}

/// How machines are made.
#[derive(Args, Debug)]
pub struct Machines {
    /// Which firmware starts them
    #[arg(long, value_name = "FIRMWARE", default_value = "bios", env = "IMGBUILD_FIRMWARE", hide_env_values = true)]
    pub firmware: Firmware,
    /// Whether the processor's own virtualisation is used
    #[arg(long, value_name = "HOW", default_value = "auto", env = "IMGBUILD_ACCELERATE", hide_env_values = true)]
    pub accelerate: Accelerate,
    /// Where the seeds are [default: <out>/clusters/CLUSTER/seeds]
    #[arg(long, value_name = "DIR", env = "IMGBUILD_SEEDS", hide_env_values = true)]
    pub seeds: Option<PathBuf>,
    /// Which frames lossy lines lose: another number, other frames
    #[arg(long, value_name = "N", default_value = "1")]
    pub random: u64,
    /// Where the emulator's packages come from.
    #[command(flatten)]
    pub selection: Selection,
}

/// A machine of a cluster.
#[derive(Args, Debug)]
pub struct Node {
    /// The cluster
    pub cluster: String,
    /// The machine
    pub node: String,
}

/// Whether the processor's own virtualisation is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Accelerate {
    /// When it works
    Auto,
    /// Never: software emulation, as on machines without it
    Emulate,
}

/// A direction, as the machine sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Direction {
    /// What comes to it is lost: it is deaf
    In,
    /// What it sends is lost: it is mute
    Out,
}

/// Seconds of `+1h`, `-30m`, `45d`, `+10s`.
fn time(text: &str) -> Result<i64, String> {
    let refuse = || format!("`{text}` is no time such as +1h, -30m or +45d");
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let unit = rest.chars().last().ok_or_else(refuse)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(refuse()),
    };
    let number = rest.strip_suffix(unit).unwrap_or_default();
    let number: u32 =
        number.parse().ok().filter(|_| number.starts_with(|c: char| c.is_ascii_digit())).ok_or_else(refuse)?;
    // A hundred years: beyond that, not even the clocks of machines go.
    Some(i64::from(number) * factor).filter(|time| *time <= 3_155_760_000).map(|time| time * sign).ok_or_else(refuse)
}

fn node_time(text: &str) -> Result<(String, i64), String> {
    match text.split_once('=') {
        Some((node, text)) if !node.is_empty() => Ok((node.to_owned(), time(text)?)),
        _ => Err("write it as NODE=TIME, such as balancer2=+1h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_sign() {
        for (text, seconds) in [("+1h", 3600), ("-30m", -1800), ("45d", 3_888_000), ("+10s", 10), ("0s", 0)] {
            assert_eq!(time(text), Ok(seconds), "{text}");
        }
        for text in ["", "+", "h", "1", "+-1h", "1y", "1.5h", "4000000000d", "99999d"] {
            assert_eq!(time(text), Err(format!("`{text}` is no time such as +1h, -30m or +45d")));
        }
        assert_eq!(node_time("a=+1m"), Ok(("a".to_owned(), 60)));
        assert!(node_time("=+1m").is_err() && node_time("a").is_err());
    }
}
