//! Places everything: GPT, boot code, ESP, volume group, filesystems.

use super::DiskImage;
use super::filesystem::Filler;
use super::split::{Member, split};
use crate::base::epoch::Epoch;
use crate::base::progress::{Progress, Unit};
use crate::base::size::{EXTENT, SECTOR};
use crate::base::tree::{Kind, Tree};
use crate::boot::BootFiles;
use crate::format::{Run, fat, gpt, grub, lvm, swap};
use crate::plan::{Disk, Filesystem, Partition, PartitionRole, Volume};
use anyhow::{Context as _, Result, anyhow, bail, ensure};

/// Label of the ESP.
const ESP_LABEL: &str = "ESP";

/// Fills the plan's disk. The contents of files are read when the image is: the tree must outlive it.
///
/// # Errors
/// When a volume is too small for its part of the tree, a mount point is missing, or something would be lost.
pub fn compose(plan: &Disk, tree: &Tree, boot: &BootFiles, epoch: Epoch, progress: &dyn Progress) -> Result<DiskImage> {
    let members = split(tree, &plan.volume_group.volumes)?;
    let mut image = DiskImage { size: plan.size.0, extents: Vec::new() };
    let bios = optional(plan, PartitionRole::BiosBoot)?;
    let esp = only(plan, PartitionRole::Esp)?;
    let physical = only(plan, PartitionRole::Lvm)?;
    ensure!(
        plan.partitions.iter().all(|partition| partition.first <= physical.first),
        "the LVM partition is not the last one, so it could not grow"
    );
    for run in tables(plan, boot, bios).context("writing the partition table")? {
        image.add_bytes(run.offset, run.bytes);
    }
    if let Some(bios) = bios {
        let room = bios.length.bytes().0;
        image.add_bytes(bios.first.bytes().0, grub::core(&boot.core_img, bios.first.0, room)?);
    }
    for run in fat::write(&esp_volume(esp, epoch), &boot.esp).context("writing the EFI system partition")? {
        image.add_bytes(esp.first.bytes().0 + run.offset, run.bytes);
    }
    let start = physical.first.bytes().0;
    for run in lvm::write(&volume_group(plan, physical)).context("writing the volume group")? {
        image.add_bytes(start + run.offset, run.bytes);
    }
    let place = |volume: &Volume| start + lvm::DATA_START + volume.start.0 * EXTENT;
    for volume in plan.volume_group.volumes.iter().filter(|volume| volume.filesystem == Filesystem::Swap) {
        let area = swap::Swap { size: volume.extents.bytes().0, uuid: volume.uuid, label: volume.label.clone() };
        image.add_bytes(place(volume), swap::write(&area)?);
    }
    let total =
        members.iter().flatten().map(|member| if let Kind::File { size } = member.kind { size } else { 0 }).sum();
    let phase = progress.phase("filesystems", total, Unit::Bytes);
    let filler = Filler { contents: &tree.contents, epoch, phase: &phase };
    for (volume, filesystem) in fill_all(&filler, &plan.volume_group.volumes, &members)? {
        image.add_image(place(volume), filesystem);
    }
    let image = image.seal()?;
    // Our own readers see it first: cheap, and what they refuse would not boot.
    super::inspect::survey(&image).context("reading the composed disk back")?;
    Ok(image)
}

/// Fills all volumes at once; the first error in their order is the one that is told.
fn fill_all<'a>(
    filler: &Filler<'_>,
    volumes: &'a [Volume],
    members: &[Vec<Member<'_>>],
) -> Result<Vec<(&'a Volume, DiskImage)>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = volumes
            .iter()
            .zip(members)
            .filter(|(volume, _)| volume.filesystem == Filesystem::Ext4)
            .map(|(volume, members)| (volume, scope.spawn(move || filler.fill(volume, members))))
            .collect();
        let join = |(volume, thread): (&'a Volume, std::thread::ScopedJoinHandle<'_, Result<DiskImage>>)| {
            let filled =
                thread.join().map_err(|_| anyhow!("the thread that fills volume `{}` ended early", volume.name))?;
            Ok((volume, filled?))
        };
        // All are joined before any error is looked at.
        threads.into_iter().map(join).collect::<Vec<Result<_>>>().into_iter().collect()
    })
}

fn only(plan: &Disk, role: PartitionRole) -> Result<&Partition> {
    optional(plan, role)?.with_context(|| format!("the plan has no partitions of role {role:?}, one is wanted"))
}

fn optional(plan: &Disk, role: PartitionRole) -> Result<Option<&Partition>> {
    let mut found = plan.partitions.iter().filter(|partition| partition.role == role);
    match (found.next(), found.next()) {
        (first, None) => Ok(first),
        _ => bail!("the plan has several partitions of role {role:?}, one is wanted"),
    }
}

fn tables(plan: &Disk, boot: &BootFiles, bios: Option<&Partition>) -> Result<[Run; 2]> {
    let partition = |(number, partition): (u32, &Partition)| {
        ensure!(partition.number == number, "partition {} has place {number} in the table", partition.number);
        let kind = match partition.role {
            PartitionRole::BiosBoot => gpt::kind::BIOS_BOOT,
            PartitionRole::Esp => gpt::kind::ESP,
            PartitionRole::Lvm => gpt::kind::LVM,
        };
        let (first, last) = (partition.first.0, (partition.first.0 + partition.length.0).saturating_sub(1));
        Ok(gpt::Partition { kind, guid: partition.guid, first, last, attributes: 0, name: partition.name.clone() })
    };
    let partitions = (1..).zip(&plan.partitions).map(partition).collect::<Result<_>>()?;
    ensure!(plan.size.0.is_multiple_of(SECTOR), "the disk has {} bytes, which are no whole sectors", plan.size.0);
    let table = gpt::Table { guid: plan.guid, sectors: plan.size.0 / SECTOR, partitions };
    let mut runs = gpt::write(&table)?;
    if let Some(bios) = bios {
        let code = grub::code_area(&boot.boot_img, bios.first.0)?;
        runs[0].bytes[..grub::CODE_AREA].copy_from_slice(&code);
    }
    Ok(runs)
}

fn esp_volume(esp: &Partition, epoch: Epoch) -> fat::Volume {
    let [a, b, c, d, ..] = esp.guid.0;
    fat::Volume {
        sectors: esp.length.0,
        hidden: esp.first.0,
        // The serial number that mounts name it by derives from the partition's own identifier.
        id: u32::from_be_bytes([a, b, c, d]),
        label: ESP_LABEL.to_owned(),
        epoch,
    }
}

fn volume_group(plan: &Disk, physical: &Partition) -> lvm::VolumeGroup {
    let group = &plan.volume_group;
    let volume = |volume: &Volume| lvm::LogicalVolume {
        name: volume.name.clone(),
        id: volume.id.clone(),
        segments: vec![lvm::Segment { start: volume.start.0, extents: volume.extents.0 }],
    };
    lvm::VolumeGroup {
        name: group.name.clone(),
        id: group.id.clone(),
        sequence: 1,
        physical: lvm::PhysicalVolume {
            id: group.pv_id.clone(),
            size: physical.length.bytes().0,
            extents: group.extents.0,
        },
        volumes: group.volumes.iter().map(volume).collect(),
    }
}
