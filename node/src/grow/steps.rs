//! What is done to the disk, one idempotent step after the other, by the machine's own tools.
//!
//! A step that fails is told and the next one is tried all the same: a data volume that cannot grow must not keep
//! the root small. The exit status tells in the end.

use super::config::{Config, Filesystem, Volume};
use super::devices::{Devices, Partition, mapper_name};
use super::filesystem::{self, Content};
use super::lvm::Group;
use super::{Layout, find, log};
use crate::process;

/// Room behind a partition below this is left alone: it would not give an extent beside the backup table.
const WORTH_GROWING: u64 = 8 << 20;
/// How much smaller than its volume an ext4 may stay: a last group too small for its own tables is left out.
const EXT4_SLACK: u64 = 4 << 20;
/// How much smaller than its volume an XFS may stay: its size is whole blocks and allocation groups.
const XFS_SLACK: u64 = 1 << 20;
/// Where a filesystem is mounted for growing when nobody else has mounted it yet.
const OWN_MOUNT: &str = "/run/imgbuild-grow";

/// Does, or with `dry` only tells.
pub(super) struct Steps {
    dry: bool,
    changed: bool,
    failures: Vec<String>,
}

impl Steps {
    pub(super) fn new(dry: bool) -> Self {
        Self { dry, changed: false, failures: Vec::new() }
    }

    /// Grows every partition that holds a part of the group and is the last of its disk, then the physical volumes.
    pub(super) fn partitions(&mut self, devices: &Devices, layout: &Layout) {
        for physical in &layout.physical {
            let name = &physical.device;
            if let Some(partition) = devices.partition(name) {
                let room = partition.disk_size.saturating_sub(partition.end);
                if partition.last && room > WORTH_GROWING {
                    self.grow_partition(name, &partition, room);
                }
            }
            let Some(known) = layout.group.physical.iter().find(|volume| volume.id == physical.id) else { continue };
            let Some(size) = devices.size(name) else { continue };
            let possible = size.saturating_sub(known.start).checked_div(layout.group.extent_size).unwrap_or(0);
            if possible > known.extents {
                log(&format!("physical volume /dev/{name}: {} -> {possible} extents", known.extents));
                self.attempt(&["pvresize", "--quiet", &format!("/dev/{name}")], "");
            }
        }
    }

    fn grow_partition(&mut self, name: &str, partition: &Partition, room: u64) {
        let (disk, number) = (format!("/dev/{}", partition.disk), partition.number.to_string());
        log(&format!("partition /dev/{name}: {} MiB behind it, growing", room >> 20));
        // The backup table moves to the end first: a cut between the two leaves a valid table either way.
        let moved = self
            .attempt(&["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--relocate", "gpt-bak-std", &disk], "");
        let grown = moved
            && self.attempt(&["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "-N", &number, &disk], ",+\n");
        if grown {
            self.attempt(&["partx", "--update", "--nr", &number, &disk], "");
        }
    }

    /// Extends every volume that is below its target.
    pub(super) fn volumes(&mut self, group: &Group, wanted: &[(String, u64, u64)]) {
        for (name, current, target) in wanted {
            if target <= current {
                continue;
            }
            let path = format!("{}/{name}", group.name);
            let mib = |extents: u64| extents.saturating_mul(group.extent_size) >> 20;
            log(&format!("volume {path}: {} -> {} MiB", mib(*current), mib(*target)));
            self.attempt(&["lvextend", "--quiet", "-l", &target.to_string(), &path], "");
        }
    }

    /// Formats what the plan leaves to the first boot and lets all filesystems fill their volumes.
    pub(super) fn filesystems(&mut self, devices: &Devices, config: &Config, group: &Group) {
        for volume in &config.volumes {
            if volume.filesystem == Filesystem::Swap || !group.logical.iter().any(|found| found.name == volume.name) {
                continue;
            }
            let Some(device) = self.activated(devices, group, volume) else { continue };
            let Some(size) = devices.size(&device) else { continue };
            let node = devices.node(&device);
            let read = std::fs::File::open(&node).and_then(|file| filesystem::read(&file));
            let path = format!("/dev/mapper/{}", mapper_name(&group.name, &volume.name));
            match read {
                Err(error) => self.fail(format!("reading {path}: {error}")),
                Ok(Content::Other) => self.format(&path, volume),
                Ok(Content::Ext4(length)) if length.saturating_add(EXT4_SLACK) <= size => {
                    self.fill(devices, &device, &path, "ext4", [length, size]);
                }
                Ok(Content::Xfs(length)) if length.saturating_add(XFS_SLACK) <= size => {
                    self.fill(devices, &device, &path, "xfs", [length, size]);
                }
                Ok(_) => {}
            }
        }
    }

    /// The volume's device, activated when udev has not yet done so.
    fn activated(&mut self, devices: &Devices, group: &Group, volume: &Volume) -> Option<String> {
        if let Some(device) = devices.logical(&group.name, &volume.name) {
            return Some(device);
        }
        self.attempt(&["lvchange", "--quiet", "-ay", &format!("{}/{}", group.name, volume.name)], "");
        let device = devices.logical(&group.name, &volume.name);
        if device.is_none() && !self.dry {
            self.fail(format!("volume {}/{} is not active", group.name, volume.name));
        }
        device
    }

    fn format(&mut self, path: &str, volume: &Volume) {
        let (program, uuid) = match volume.filesystem {
            Filesystem::Ext4AtFirstBoot => ("mkfs.ext4", "-U"),
            Filesystem::XfsAtFirstBoot => ("mkfs.xfs", "-m"),
            Filesystem::Ext4 | Filesystem::Swap => {
                return self.fail(format!("{path} ({}) holds no filesystem that could be grown", volume.mount));
            }
        };
        // Exit status 2 is blkid's word for "nothing found"; anything else might be somebody's data.
        match process::output(&["blkid", "--probe", "--output", "export", path], "") {
            Ok(output) if output.status.code() == Some(2) => {}
            Ok(_) => return self.fail(format!("{path} holds something else than {program} would make: left alone")),
            Err(error) => return self.fail(error),
        }
        let identity = volume.uuid.as_ref().map(|id| if uuid == "-m" { format!("uuid={id}") } else { id.clone() });
        let mut command = vec![program, "-q"];
        if let Some(identity) = &identity {
            command.extend([uuid, identity]);
        }
        if let Some(label) = &volume.label {
            command.extend(["-L", label]);
        }
        command.push(path);
        log(&format!("{path} is empty: formatting it for {}", volume.mount));
        self.attempt(&command, "");
    }

    /// Grows a filesystem where it is mounted, or, when its mount waits for this run, on a mount of our own.
    fn fill(&mut self, devices: &Devices, device: &str, path: &str, kind: &str, [from, to]: [u64; 2]) {
        let (from, to) = (from >> 20, to >> 20);
        let mounted = devices.mounted_at(device);
        let place = mounted.as_deref().unwrap_or(OWN_MOUNT);
        log(&format!("filesystem on {path}: {from} -> {to} MiB"));
        if mounted.is_none() {
            if !self.dry
                && let Err(error) = std::fs::create_dir_all(OWN_MOUNT)
            {
                return self.fail(format!("creating {OWN_MOUNT}: {error}"));
            }
            if !self.attempt(&["mount", "-t", kind, path, OWN_MOUNT], "") {
                return;
            }
        }
        let command = if kind == "xfs" { ["xfs_growfs", place] } else { ["resize2fs", path] };
        self.attempt(&command, "");
        if mounted.is_none() {
            self.attempt(&["umount", OWN_MOUNT], "");
        }
    }

    /// The layout on disk after what was done so far.
    pub(super) fn again(&self, devices: &Devices, config: &Config, layout: Layout) -> Result<Layout, String> {
        if !self.changed {
            return Ok(layout);
        }
        Ok(find(devices, &config.volume_group)?.unwrap_or(layout))
    }

    /// Says how it ended.
    pub(super) fn finish(self, group: &Group) -> Result<(), String> {
        if !self.failures.is_empty() {
            return Err(format!("growing is incomplete and will be tried again: {}", self.failures.join("; ")));
        }
        let extents = super::total(group);
        let what = if self.changed { "done" } else { "nothing to do" };
        log(&format!("{what} ({}: {extents} extents)", group.name));
        Ok(())
    }

    fn attempt(&mut self, command: &[&str], input: &str) -> bool {
        self.changed = true;
        if self.dry {
            log(&format!("would run `{}`", command.join(" ")));
            return true;
        }
        match process::run(command, input) {
            Ok(()) => true,
            Err(error) => {
                self.fail(error);
                false
            }
        }
    }

    fn fail(&mut self, message: String) {
        log(&format!("error: {message}"));
        self.failures.push(message);
    }
}
