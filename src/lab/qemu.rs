//! Which QEMU runs the machines: the host's when it is good enough, otherwise the tools root's.

use super::firmware;
use crate::base::firmware::Firmware;
use crate::base::process::{Run, find};
use crate::sandbox::ToolRoot;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Oldest QEMU that is used. 7.2 crashes guests under software emulation, as if their memory were bad.
pub const OLDEST: u32 = 8;
/// What a tools root must have for machines to run: QEMU, `qemu-img`, OVMF, SeaBIOS.
pub const PACKAGES: [&str; 4] = ["qemu-system-x86", "qemu-utils", "ovmf", "seabios"];

/// The emulator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Qemu {
    /// On the host's PATH.
    Host {
        /// Its major version.
        version: u32,
    },
    /// In this root, unpacked and never configured.
    Root(PathBuf),
}

impl Qemu {
    /// The host's QEMU when it is recent and has what the firmware needs; otherwise that of the root that `tools`
    /// provides (which may take a while: it is only called when needed).
    ///
    /// # Errors
    /// Those of `tools`.
    pub fn choose(firmware: Firmware, tools: impl FnOnce() -> Result<ToolRoot>) -> Result<Self> {
        match Self::of_host(firmware) {
            Some(host) => Ok(host),
            None => Ok(Self::Root(tools()?.root)),
        }
    }

    fn of_host(firmware: Firmware) -> Option<Self> {
        find("qemu-img")?;
        let said = Run::new(find(super::line::SYSTEM)?).arg("--version").run().ok()?;
        let version = major(&String::from_utf8_lossy(&said)).filter(|version| *version >= OLDEST)?;
        firmware::files(firmware, Path::new("/")).ok()?;
        Some(Self::Host { version })
    }

    /// The folder below which its data files lie.
    pub(super) fn root(&self) -> &Path {
        match self {
            Self::Host { .. } => Path::new("/"),
            Self::Root(root) => root,
        }
    }
}

/// The major version in `QEMU emulator version 10.0.2 (Debian ...)`.
fn major(said: &str) -> Option<u32> {
    let (_, rest) = said.lines().next()?.split_once(" version ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_line_of_qemu_gives_the_major_version() {
        assert_eq!(major("QEMU emulator version 10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)\nCopyright"), Some(10));
        assert_eq!(major("QEMU emulator version 7.2.22"), Some(7));
        assert_eq!(major("something else"), None);
        assert_eq!(major(""), None);
    }
}
