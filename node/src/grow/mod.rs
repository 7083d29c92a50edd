//! Brings partition, physical volume, volumes and filesystems to the size of the disk.
//!
//! Runs at every boot, when the filesystems that the machine needs are mounted and before those that are formatted
//! here. Each step looks at the disk anew and does what is missing, so that it may be cut off anywhere and repeated;
//! when nothing is missing it only reads a few sectors.

mod config;
mod devices;
mod filesystem;
mod lvm;
mod steps;
mod targets;

use config::Config;
use devices::Devices;
use lvm::Group;
use std::fs::File;
use std::path::Path;

/// Written by the builder.
const CONFIG: &str = "/usr/lib/imgbuild/grow.json";

/// A physical volume of the group: kernel name of its device, and its LVM id.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Physical {
    device: String,
    id: String,
}

/// The group as it is on disk now.
#[derive(Debug)]
struct Layout {
    group: Group,
    physical: Vec<Physical>,
}

/// Grows all that can be grown; with `dry` it only says what it would do.
pub(crate) fn run(dry: bool) -> Result<(), String> {
    let config = read_config()?;
    let devices = Devices::new();
    let Some(layout) = find(&devices, &config.volume_group)? else {
        log(&format!("no volume group {} here: nothing to grow", config.volume_group));
        return Ok(());
    };
    let mut steps = steps::Steps::new(dry);
    steps.partitions(&devices, &layout);
    let layout = steps.again(&devices, &config, layout)?;
    steps.volumes(&layout.group, &wanted(&config, &layout.group));
    let layout = steps.again(&devices, &config, layout)?;
    steps.filesystems(&devices, &config, &layout.group);
    steps.finish(&layout.group)
}

/// What `status` shows: one line per volume.
pub(crate) fn describe() -> Result<Vec<String>, String> {
    let config = read_config()?;
    let Some(layout) = find(&Devices::new(), &config.volume_group)? else {
        return Ok(vec![format!("volume group {}: not found (only root may look at disks)", config.volume_group)]);
    };
    let group = &layout.group;
    let (total, used) = (total(group), group.logical.iter().map(|volume| volume.extents).sum::<u64>());
    let mib = |extents: u64| extents.saturating_mul(group.extent_size) >> 20;
    let mut lines = vec![format!("volume group {}: {} MiB, {} MiB free", group.name, mib(total), mib(total - used))];
    for (name, current, target) in wanted(&config, group) {
        lines.push(format!("volume {}/{name}: {} MiB of {} MiB", group.name, mib(current), mib(target)));
    }
    Ok(lines)
}

fn read_config() -> Result<Config, String> {
    let text = std::fs::read_to_string(CONFIG).map_err(|error| format!("reading {CONFIG}: {error}"))?;
    config::parse(&text).map_err(|error| format!("reading {CONFIG}: {error}"))
}

/// Looks for the group on every block device; the newest metadata counts when several devices hold it.
fn find(devices: &Devices, name: &str) -> Result<Option<Layout>, String> {
    let mut found: Option<Layout> = None;
    let mut physical = Vec::new();
    for device in devices.names()? {
        let Some((id, group)) = open(&devices.node(&device)).and_then(|file| lvm::read(&file)) else { continue };
        if group.name != name {
            continue;
        }
        physical.push(Physical { device, id });
        if found.as_ref().is_none_or(|old| old.group.seqno < group.seqno) {
            found = Some(Layout { group, physical: Vec::new() });
        }
    }
    Ok(found.map(|layout| {
        let known = |found: &Physical| layout.group.physical.iter().any(|pv| pv.id == found.id);
        let physical = physical.into_iter().filter(known).collect();
        Layout { physical, ..layout }
    }))
}

fn open(node: &Path) -> Option<File> {
    File::open(node).ok()
}

fn total(group: &Group) -> u64 {
    group.physical.iter().map(|volume| volume.extents).sum()
}

/// Name, present extents and target of every volume that the plan names, that exists and that is plain.
fn wanted(config: &Config, group: &Group) -> Vec<(String, u64, u64)> {
    let size = group.extent_size;
    let find = |name: &str| group.logical.iter().find(|volume| volume.plain && volume.name == name);
    let managed: Vec<_> = config.volumes.iter().filter_map(|v| Some((v, find(&v.name)?.extents))).collect();
    let used: u64 = group.logical.iter().map(|volume| volume.extents).sum();
    let foreign = used - managed.iter().map(|(_, extents)| extents).sum::<u64>().min(used);
    let volumes: Vec<_> = managed
        .iter()
        .map(|(volume, current)| targets::Volume {
            size: volume.size.div_ceil(size),
            weight: volume.weight,
            maximum: volume.maximum.map(|bytes| bytes / size),
            current: *current,
        })
        .collect();
    let set_aside = foreign.saturating_add(config.reserve.div_ceil(size));
    let found = targets::targets(total(group), set_aside, &volumes);
    managed.iter().zip(found).map(|((volume, current), target)| (volume.name.clone(), *current, target)).collect()
}

fn log(text: &str) {
    println!("imgbuild-grow: {text}");
}
