//! What a lab is told to run: everything that its process needs to know, in one file.

use super::qemu::Qemu;
use crate::base::firmware::Firmware;
use crate::base::hint::hinted;
use crate::base::limits::LAB_ORDER_BYTES;
use crate::base::size::{Bytes, MIB};
use crate::base::{digest, files};
use crate::plan::ClusterPlan;
use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The order's file in the run folder.
const FILE: &str = "order.json";
/// What a machine takes beside its own memory: QEMU, its buffers, its share of the lab.
const OVERHEAD: Bytes = Bytes(96 * MIB);

/// A lab.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The cluster.
    pub cluster: ClusterPlan,
    /// Where disks and consoles' texts are kept.
    pub disks: PathBuf,
    /// The emulator.
    pub qemu: Qemu,
    /// Whether the processor's own virtualisation works.
    pub kvm: bool,
    /// What starts the machines.
    pub firmware: Firmware,
    /// Whether the lab stands in for the world outside, so that no machine reaches further than this process.
    pub closed: bool,
    /// Which frames a lossy line loses.
    pub random: u64,
    /// As many as the cluster has machines, in the same order.
    pub nodes: Vec<NodeOrder>,
}

/// One machine of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeOrder {
    /// Its image, when there is one.
    pub image: Option<PathBuf>,
    /// Its seed, when there is one: a volume, or a folder.
    pub seed: Option<PathBuf>,
    /// How many seconds its clock is ahead.
    pub clock: i64,
    /// Whether it is started at once.
    pub start: bool,
}

/// The folder of a lab's sockets: short, since the names of sockets are. One lab for a cluster of a project.
///
/// # Errors
/// When it cannot be made, or belongs to somebody else.
pub fn run_folder(directory: &Path, cluster: &str) -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute()) {
        Some(base) if base.is_dir() && base.as_os_str().len() <= 40 => base.join("imgbuild"),
        _ => Path::new("/tmp").join(format!("imgbuild-{}", rustix::process::getuid().as_raw())),
    };
    private(&base)?;
    let name = digest::Digest::of(format!("{}\n{cluster}", directory.display()).as_bytes()).short();
    Ok(base.join(name))
}

/// Makes a folder that nobody else may enter, or takes the one that is there if it is such a one.
pub(super) fn private(folder: &Path) -> Result<()> {
    let made = std::fs::DirBuilder::new().recursive(false).mode(0o700).create(folder);
    if let Err(error) = made
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err(error).with_context(|| format!("creating {}", folder.display()));
    }
    let about = std::fs::symlink_metadata(folder).with_context(|| format!("examining {}", folder.display()))?;
    let own =
        about.is_dir() && about.uid() == rustix::process::getuid().as_raw() && about.permissions().mode() & 0o077 == 0;
    if own {
        return Ok(());
    }
    Err(hinted(
        format!("{} is not a folder that only you may enter", folder.display()),
        "remove it, or set XDG_RUNTIME_DIR to a folder of your own",
    ))
}

impl Order {
    /// Writes the order into an empty run folder.
    ///
    /// # Errors
    /// When the folder cannot be made new or the file not written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        if folder.exists() {
            std::fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
        }
        private(folder)?;
        files::write_atomic(&folder.join(FILE), &serde_json::to_vec(self)?)
    }

    /// Reads the order of a run folder.
    ///
    /// # Errors
    /// When it cannot be read, or does not fit the cluster.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let reading = || format!("reading {}", path.display());
        let order: Self = serde_json::from_slice(&files::read(&path, LAB_ORDER_BYTES)?).with_context(reading)?;
        ensure!(order.nodes.len() == order.cluster.nodes.len(), "{} names other machines", path.display());
        Ok(order)
    }

    /// Memory that the machines which are started take.
    #[must_use]
    pub fn memory(&self) -> Bytes {
        let nodes = self.cluster.nodes.iter().zip(&self.nodes).filter(|(_, order)| order.start);
        Bytes(nodes.fold(0, |sum, (node, _)| sum.saturating_add(node.size.memory.0).saturating_add(OVERHEAD.0)))
    }

    /// Refuses a lab that this host has no room for.
    ///
    /// # Errors
    /// When more memory is needed than is free.
    pub fn fits(&self, free: Bytes) -> Result<()> {
        let needed = self.memory();
        if needed.0 <= free.0 {
            return Ok(());
        }
        let started = self.nodes.iter().filter(|node| node.start).count();
        Err(hinted(
            format!("the {started} machines need {needed} of memory, {free} are free"),
            "start some of them with `--only NODE,NODE`, or lower `size: {memory: ...}` in the cluster's document",
        ))
    }
}

/// Memory that is free on this host.
///
/// # Errors
/// When the kernel does not tell.
pub fn free_memory() -> Result<Bytes> {
    let text = files::read(Path::new("/proc/meminfo"), MIB)?;
    available(&String::from_utf8_lossy(&text)).context("reading how much memory is free")
}

fn available(text: &str) -> Option<Bytes> {
    let rest = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Bytes(kilobytes.checked_mul(1024)?))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::hint::hints;
    use crate::lab::layout::tests::example;

    pub(in crate::lab) fn order(name: &str, disks: &Path) -> Order {
        let cluster = example(name);
        let node = NodeOrder { image: None, seed: None, clock: 0, start: true };
        let nodes = vec![node; cluster.nodes.len()];
        let (qemu, disks) = (Qemu::Root("/tools".into()), disks.to_owned());
        Order { cluster, disks, qemu, kvm: false, firmware: Firmware::Bios, closed: false, random: 1, nodes }
    }

    #[test]
    fn a_lab_without_room_is_refused_with_both_numbers() {
        let mut order = order("balancers", Path::new("/x"));
        for node in &mut order.cluster.nodes {
            node.size.memory = Bytes(928 * MIB);
        }
        let error = order.fits(Bytes(3 << 30)).unwrap_err();
        assert_eq!(error.to_string(), "the 5 machines need 5 GiB of memory, 3 GiB are free");
        assert!(hints(&error)[0].starts_with("start some of them with `--only"));
        order.nodes[0].start = false;
        order.fits(Bytes(4 << 30)).unwrap();
    }

    #[test]
    fn an_order_is_read_as_it_was_written_and_others_may_not_look() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let order = order("balancers", Path::new("/x"));
        order.write(&run).unwrap();
        std::fs::write(run.join("0.mon"), "").unwrap();
        order.write(&run).unwrap();
        assert!(!run.join("0.mon").exists());
        assert_eq!(run.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(serde_json::to_value(Order::read(&run).unwrap()).unwrap(), serde_json::to_value(&order).unwrap());
        std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o755)).unwrap();
        let refused = private(&run).unwrap_err().to_string();
        assert_eq!(refused, format!("{} is not a folder that only you may enter", run.display()));
    }

    #[test]
    fn free_memory_is_what_the_kernel_says() {
        let text = "MemTotal:       24682840 kB\nMemFree:        19600000 kB\nMemAvailable:   23809000 kB\n";
        assert_eq!(available(text), Some(Bytes(23_809_000 * 1024)));
        assert_eq!(available("MemTotal: 1 kB"), None);
        assert!(free_memory().unwrap().0 > 0);
    }
}
