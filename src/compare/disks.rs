//! Two disks: partition tables, then each partition, then what lies outside of them.

use super::bytes::{first_difference, hex_lines};
use super::{Difference, Findings, causes, ext4, fat};
use crate::base::size::SECTOR;
use crate::disk::{Volume, VolumeKind, volumes};
use crate::format::{Cached, ReadAt, Window, gpt, lvm};
use anyhow::{Context as _, Result};

/// Pieces of 64 KiB of each disk that stay in memory.
const KEPT: usize = 256;
/// Sectors of GRUB's boot.img before the partition records.
const BOOT_CODE: usize = 440;

/// What differs between two disks, and what that may come from. Nothing when every byte is the same.
///
/// # Errors
/// When one cannot be read, or a structure on it is damaged.
pub fn disks(a: &dyn ReadAt, b: &dyn ReadAt) -> Result<super::Comparison> {
    let mut found = Findings::default();
    let mut causes = Vec::new();
    if let Some(offset) = first_difference(a, b, 0).context("comparing the disks")? {
        let (a, b) = (Cached::new(a, KEPT), Cached::new(b, KEPT));
        let packages = levels(&a, &b, &mut found)?;
        if found.count() == 0 {
            found.push(bytes_at("a byte that belongs to nothing known", &a, &b, offset)?);
        }
        causes = causes::of(&found.differences, &packages);
    }
    let same = found.count() == 0;
    Ok(super::Comparison { same, differences: found.differences, more: found.more, causes, ..Default::default() })
}

/// A difference of bytes by their offset.
pub(super) fn bytes_at(what: &str, a: &dyn ReadAt, b: &dyn ReadAt, offset: u64) -> Result<Difference> {
    let (what, place) = (what.to_owned(), format!("byte {offset}"));
    Ok(Difference { what, a: place.clone(), b: place, lines: hex_lines(a, b, offset)?, ..Difference::default() })
}

fn levels(a: &dyn ReadAt, b: &dyn ReadAt, found: &mut Findings) -> Result<Vec<causes::Package>> {
    let (one, other) =
        (gpt::read(a).context("reading the first disk")?, gpt::read(b).context("reading the second disk")?);
    found.within("partition table", |found| {
        table(&one, &other, found);
        let (code_a, code_b) = (a.read_vec(0, BOOT_CODE)?, b.read_vec(0, BOOT_CODE)?);
        if let Some(offset) = first_difference(&code_a, &code_b, 0)? {
            found.push(bytes_at("boot code", a, b, offset)?);
        }
        anyhow::Ok(())
    })?;
    for (number, (one, other)) in (1_u32..).zip(one.partitions.iter().zip(&other.partitions)) {
        let window = |disk, partition: &gpt::Partition| {
            Window::new(disk, partition.first * SECTOR, (partition.last + 1 - partition.first) * SECTOR)
        };
        let (own, its) = (window(a, one)?, window(b, other)?);
        let Some(offset) = first_difference(&own, &its, 0)? else { continue };
        found.within(format!("partition {number} ({})", one.name), |found| {
            let before = found.count();
            match one.kind {
                kind if kind != other.kind => {}
                gpt::kind::ESP => fat::volumes(&own, &its, "/boot/efi", found)?,
                gpt::kind::LVM => group(&own, &its, found)?,
                _ => {}
            }
            if found.count() == before && (one.kind != gpt::kind::LVM || one.kind != other.kind) {
                found.push(bytes_at("contents", &own, &its, offset)?);
            }
            anyhow::Ok(())
        })?;
    }
    let (first, second) = (volumes(a)?, volumes(b)?);
    let mut packages = Vec::new();
    for own in &first {
        let its = second.iter().find(|its| (its.partition, &its.name) == (own.partition, &own.name));
        let partition = one.partitions.get(own.partition as usize - 1);
        if let (Some(its), Some(partition)) = (its, partition.filter(|partition| partition.kind == gpt::kind::LVM)) {
            let place = format!("partition {} ({})", own.partition, partition.name);
            found.within(place, |found| volume(own, its, found, &mut packages))?;
        }
    }
    if found.count() == 0 {
        outside(a, b, &one, found)?;
    }
    Ok(packages)
}

fn table(a: &gpt::Table, b: &gpt::Table, found: &mut Findings) {
    found.value("disk GUID", a.guid.to_string(), b.guid.to_string());
    found.value("sectors", a.sectors.to_string(), b.sectors.to_string());
    found.value("number of partitions", a.partitions.len().to_string(), b.partitions.len().to_string());
    for (number, (a, b)) in (1_u32..).zip(a.partitions.iter().zip(&b.partitions)) {
        let mut value = |what: &str, a: String, b: String| found.value(&format!("partition {number}: {what}"), a, b);
        value("name", a.name.clone(), b.name.clone());
        value("type", a.kind.to_string(), b.kind.to_string());
        value("GUID", a.guid.to_string(), b.guid.to_string());
        value("sectors", format!("{}..={}", a.first, a.last), format!("{}..={}", b.first, b.last));
        value("attributes", format!("{:#x}", a.attributes), format!("{:#x}", b.attributes));
    }
}

/// Volume groups without their volumes: names, identifiers, sizes, and the bytes of label and metadata.
fn group(a: &dyn ReadAt, b: &dyn ReadAt, found: &mut Findings) -> Result<()> {
    let (one, other) = (lvm::read(a)?, lvm::read(b)?);
    let before = found.count();
    found.value("group", one.name.clone(), other.name.clone());
    found.value("group's identifier", one.id.dashed(), other.id.dashed());
    found.value("physical volume", one.physical.id.dashed(), other.physical.id.dashed());
    found.value("changes of the metadata", one.sequence.to_string(), other.sequence.to_string());
    found.value("extents", one.physical.extents.to_string(), other.physical.extents.to_string());
    let text = |volume: &lvm::LogicalVolume| {
        let parts = volume.segments.iter().map(|part| format!("{}+{}", part.start, part.extents)).collect::<Vec<_>>();
        format!("{} at extents {}", volume.id.dashed(), parts.join(", "))
    };
    let by_name =
        |group: &lvm::VolumeGroup, name: &str| group.volumes.iter().find(|volume| volume.name == name).map(text);
    let names: std::collections::BTreeSet<&str> =
        one.volumes.iter().chain(&other.volumes).map(|volume| volume.name.as_str()).collect();
    for name in names {
        let (a, b) = (by_name(&one, name).unwrap_or_default(), by_name(&other, name).unwrap_or_default());
        found.value(&format!("volume {name}"), a, b);
    }
    let head = |source| Window::new(source, 0, lvm::DATA_START);
    let (head_a, head_b) = (head(a)?, head(b)?);
    if let Some(offset) = first_difference(&head_a, &head_b, 0)?
        && found.count() == before
    {
        found.push(bytes_at("label and metadata", &head_a, &head_b, offset)?);
    }
    Ok(())
}

fn volume(a: &Volume<'_>, b: &Volume<'_>, found: &mut Findings, packages: &mut Vec<causes::Package>) -> Result<()> {
    let Some(offset) = first_difference(&a.bytes, &b.bytes, 0)? else { return Ok(()) };
    found.within(format!("volume {}", a.name), |found| {
        let before = found.count();
        if a.kind == VolumeKind::Ext4 && b.kind == VolumeKind::Ext4 {
            // Without a table of mounts, paths count from the volume's own root.
            let mount = a.mount.clone().unwrap_or_default();
            ext4::volumes(&a.bytes, &b.bytes, &mount, found)?;
            packages.extend(causes::packages(&a.bytes, &b.bytes, &mount));
        }
        if found.count() == before {
            found.push(bytes_at("contents", &a.bytes, &b.bytes, offset)?);
        }
        Ok(())
    })
}

/// What belongs to no partition and to no volume: between them, and behind them.
fn outside(a: &dyn ReadAt, b: &dyn ReadAt, table: &gpt::Table, found: &mut Findings) -> Result<()> {
    let Some(offset) = first_difference(a, b, 0)? else { return Ok(()) };
    let inside =
        |partition: &&gpt::Partition| (partition.first * SECTOR..(partition.last + 1) * SECTOR).contains(&offset);
    let what = match table.partitions.iter().find(inside) {
        Some(_) => "a byte of the volume group that belongs to no volume",
        None => "a byte outside of all partitions",
    };
    found.push(bytes_at(what, a, b, offset)?);
    Ok(())
}
