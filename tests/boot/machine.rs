//! Booting one machine and getting its report.

use crate::report::Report;
use crate::seed;
use anyhow::{Context as _, Result, anyhow, bail};
use imgbuild::base::process::Run;
use imgbuild::base::progress::Silent;
use imgbuild::base::size::{Bytes, GIB};
use imgbuild::lab::{Console, Ending, Firmware, Machine, Qemu, boot};
use imgbuild::sandbox::ToolRoot;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Seconds that one boot may take under software emulation, restarts included.
const TIMEOUT: u64 = 900;
/// How much of the console a failure shows.
const TAIL: usize = 3000;

/// What all tests share.
pub(crate) struct Lab {
    /// The image under test.
    pub(crate) image: PathBuf,
    /// Where consoles, reports and disks are.
    pub(crate) folder: PathBuf,
    /// Whether the test `secure` also compares files with what packages brought.
    pub(crate) verify: bool,
    keep: bool,
    timeout: Duration,
}

impl Lab {
    /// From the environment.
    pub(crate) fn new(image: PathBuf) -> Result<Self> {
        let kept = std::env::var_os("IMGBUILD_BOOT_KEEP").map(PathBuf::from);
        let folder = kept.clone().unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("boot"));
        std::fs::create_dir_all(&folder).context("creating the tests' folder")?;
        let seconds = std::env::var("IMGBUILD_BOOT_TIMEOUT").ok().and_then(|text| text.parse().ok()).unwrap_or(TIMEOUT);
        Ok(Self {
            image: image.canonicalize()?,
            folder,
            verify: std::env::var_os("IMGBUILD_BOOT_VERIFY").is_some(),
            keep: kept.is_some(),
            timeout: Duration::from_secs(seconds),
        })
    }

    /// A new machine with the seed and no disk yet.
    pub(crate) fn machine(&self, name: &str, firmware: Firmware) -> Result<Bench<'_>> {
        let folder = self.folder.join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).context("removing an earlier run")?;
        }
        seed::write(&folder.join("seed"), self.verify && firmware == Firmware::Secure);
        let mut machine = Machine::new(&self.image, firmware, &folder);
        // An emulated machine's second processor can lose its timer where the host is busy, and hang for ever.
        machine.processors = 1;
        machine.seed = Some(folder.join("seed"));
        machine.disk = Some(folder.join("disk.qcow2"));
        machine.mac = seed::MAC.to_owned();
        machine.memory = Bytes(2 * GIB);
        machine.isolated = true;
        machine.timeout = Some(self.timeout);
        Ok(Bench { lab: self, folder, machine, boots: 0 })
    }
}

/// One machine under test.
pub(crate) struct Bench<'a> {
    lab: &'a Lab,
    /// Its own folder.
    pub(crate) folder: PathBuf,
    /// What it is like.
    pub(crate) machine: Machine,
    boots: u32,
}

impl Bench<'_> {
    /// Boots it with a disk of this many bytes and gives its report.
    pub(crate) fn boot(&mut self, size: u64) -> Result<Report> {
        self.boots += 1;
        let console = self.folder.join(format!("console-{}", self.boots));
        let told = self.folder.join(format!("report-{}", self.boots));
        self.machine.size = Some(Bytes(size));
        self.machine.console = Console::File(console.clone());
        self.machine.second_serial = Some(told.clone());
        let qemu = Qemu::choose(self.machine.firmware, tools)?;
        let ending = boot(&self.machine, &qemu, &Silent)?;
        let text = String::from_utf8_lossy(&std::fs::read(&told)?).into_owned();
        let report = Report::parse(&text).map_err(|reason| {
            let said = std::fs::read(&console).unwrap_or_default();
            let end = String::from_utf8_lossy(&said[said.len().saturating_sub(TAIL)..]).into_owned();
            anyhow!("boot {}: {reason}; {ending}; the console ends with:\n{end}", self.boots)
        })?;
        if ending != Ending::PoweredOff {
            bail!("boot {}: {ending}", self.boots);
        }
        Ok(report)
    }
}

impl Bench<'_> {
    /// What the console said during the last boot.
    pub(crate) fn console(&self) -> String {
        let bytes = std::fs::read(self.folder.join(format!("console-{}", self.boots))).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        // Gigabytes; console and report are small and stay for whoever looks.
        if !self.lab.keep {
            let _ = std::fs::remove_file(self.folder.join("disk.qcow2"));
        }
    }
}

/// The tools root, for hosts without a QEMU that is recent enough.
pub(crate) fn tools() -> Result<ToolRoot> {
    if let Some(root) = std::env::var_os("IMGBUILD_BOOT_TOOLS") {
        return Ok(ToolRoot { root: root.into() });
    }
    let said = imgbuild().arg("machine-tools").run().context("providing QEMU")?;
    let path = String::from_utf8(said).context("reading where QEMU is")?;
    Ok(ToolRoot { root: path.trim_end().into() })
}

/// The image to test: a file that is named, or a role that is built first.
pub(crate) fn image() -> Result<Option<PathBuf>> {
    if let Some(image) = std::env::var_os("IMGBUILD_BOOT_IMAGE") {
        return Ok(Some(image.into()));
    }
    let Ok(role) = std::env::var("IMGBUILD_BOOT_ROLE") else { return Ok(None) };
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("boot-out");
    imgbuild().args(["role", &role, "--out"]).arg(&out).run().context("building the image")?;
    Ok(Some(out.join("images").join(&role).join("latest").join(format!("{role}.qcow2"))))
}

fn imgbuild() -> Run {
    Run::new(env!("CARGO_BIN_EXE_imgbuild")).args(["-C", env!("CARGO_MANIFEST_DIR")])
}
