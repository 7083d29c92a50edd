//! Draws the map of a disk for people: plain text, aligned, good without colour.

use super::inspect::{Content, DiskReport, PartitionReport, Report};
use crate::base::size::Bytes;
use std::fmt;

/// Characters of the bar.
const WIDTH: usize = 72;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {} on the host", self.format, Bytes(self.stored))?;
        write!(f, "{}", self.disk)
    }
}

impl fmt::Display for DiskReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "disk of {}, GPT {}\n", Bytes(self.size), self.guid)?;
        bar(f, self)?;
        for partition in &self.partitions {
            describe(f, partition)?;
        }
        Ok(())
    }
}

/// One line to scale: each volume's letter, used extents and free ones.
fn bar(f: &mut fmt::Formatter<'_>, disk: &DiskReport) -> fmt::Result {
    let mut cells = vec!['.'; WIDTH];
    let scale = |offset: u64| {
        let cell = u128::from(offset) * WIDTH as u128 / u128::from(disk.size.max(1));
        usize::try_from(cell).unwrap_or(WIDTH).min(WIDTH)
    };
    let mut paint = |offset: u64, size: u64, letter: char| {
        let from = scale(offset).min(WIDTH - 1);
        let to = scale(offset.saturating_add(size)).clamp(from + 1, WIDTH);
        cells[from..to].fill(letter);
    };
    for partition in &disk.partitions {
        match &partition.content {
            Content::Lvm { volumes, .. } => {
                for volume in volumes {
                    paint(volume.offset, volume.size, initial(&volume.name));
                }
            }
            _ => paint(partition.offset, partition.size, digit(partition.number)),
        }
    }
    writeln!(f, "  [{}]\n", cells.iter().collect::<String>())
}

fn initial(name: &str) -> char {
    name.chars().next().map_or('?', |c| c.to_ascii_lowercase())
}

/// A text of the image for the terminal, which obeys control characters: an image may come from anyone.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn digit(number: u32) -> char {
    char::from_digit(number, 10).unwrap_or('+')
}

fn describe(f: &mut fmt::Formatter<'_>, partition: &PartitionReport) -> fmt::Result {
    let (offset, size) = (Bytes(partition.offset).to_string(), Bytes(partition.size).to_string());
    write!(f, "{:>3}  {:<12} {size:>10} at {offset:>10}  ", partition.number, shown(&partition.name))?;
    match &partition.content {
        Content::BiosBoot => writeln!(f, "BIOS boot (GRUB)")?,
        Content::Fat { label, id, free, files } => {
            writeln!(f, "FAT32 `{}` {id}, {} free", shown(label), Bytes(*free))?;
            for file in files {
                writeln!(f, "       {:<38} {:>10}", shown(&file.path), Bytes(file.size).to_string())?;
            }
        }
        Content::Lvm { group, volumes, free, .. } => {
            writeln!(f, "LVM2 group `{group}`, {} free", Bytes(*free))?;
            for volume in volumes {
                let (offset, size) = (Bytes(volume.offset).to_string(), Bytes(volume.size).to_string());
                write!(f, "       {:<10} {size:>10} at {offset:>10}  ", volume.name)?;
                plain(f, &volume.content)?;
            }
        }
        content => plain(f, content)?,
    }
    Ok(())
}

fn plain(f: &mut fmt::Formatter<'_>, content: &Content) -> fmt::Result {
    match content {
        Content::Ext4 { label, uuid, free } => writeln!(f, "ext4 `{}` {uuid}, {} free", shown(label), Bytes(*free)),
        Content::Swap { uuid, .. } => writeln!(f, "swap {uuid}"),
        _ => writeln!(f, "empty"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::inspect::{FileReport, VolumeReport};
    use super::*;
    use crate::base::size::MIB;

    #[test]
    fn names_cannot_command_the_terminal() {
        let hostile = || "a\u{1b}]0;b\u{7}\u{9b}1m".to_owned();
        let files = vec![FileReport { path: hostile(), size: 1 }];
        let contents = [
            Content::Fat { label: hostile(), id: String::new(), free: 0, files },
            Content::Ext4 { label: hostile(), uuid: String::new(), free: 0 },
        ];
        for content in contents {
            let (guid, offset, size) = (String::new(), 0, 1);
            let partition = PartitionReport { number: 1, name: hostile(), guid, offset, size, content };
            let disk = DiskReport { size: 512, guid: String::new(), partitions: vec![partition] };
            let text = disk.to_string();
            assert!(text.contains("a\u{fffd}]0;b\u{fffd}\u{fffd}1m"), "{text}");
            assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        }
    }

    #[test]
    fn map_of_a_disk_is_drawn_to_scale() {
        let ext4 = Content::Ext4 { label: "root".into(), uuid: "0-1".into(), free: 700 << 20 };
        let volume = |name: &str, offset: u64, size: u64, content| VolumeReport {
            name: name.into(),
            offset: offset * MIB,
            size: size * MIB,
            id: String::new(),
            content,
        };
        let volumes = vec![
            volume("root", 131, 2048, ext4),
            volume("swap", 2179, 256, Content::Swap { label: "swap".into(), uuid: "0-2".into() }),
            volume("data", 2435, 512, Content::Empty),
        ];
        let partition = |number, name: &str, offset: u64, size: u64, content| PartitionReport {
            number,
            name: name.into(),
            guid: String::new(),
            offset: offset * MIB,
            size: size * MIB,
            content,
        };
        let files = vec![FileReport { path: "EFI/BOOT/BOOTX64.EFI".into(), size: 950_000 }];
        let esp = Content::Fat { label: "ESP".into(), id: "cafe1234".into(), free: 120 << 20, files };
        let group =
            Content::Lvm { group: "vg0".into(), id: String::new(), physical: String::new(), free: 1 << 30, volumes };
        let partitions = vec![
            partition(1, "bios", 1, 1, Content::BiosBoot),
            partition(2, "esp", 2, 128, esp),
            partition(3, "lvm", 130, 3965, group),
        ];
        let disk = DiskReport { size: 4 << 30, guid: "0-0".into(), partitions };
        let report = Report { format: "qcow2", stored: 300 << 20, disk };
        insta::assert_snapshot!(report.to_string(), @r"
        qcow2, 300 MiB on the host
        disk of 4 GiB, GPT 0-0

          [22rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrssssddddddddd.....................]

          1  bios              1 MiB at      1 MiB  BIOS boot (GRUB)
          2  esp             128 MiB at      2 MiB  FAT32 `ESP` cafe1234, 120 MiB free
               EFI/BOOT/BOOTX64.EFI                    927.7 KiB
          3  lvm             3.9 GiB at    130 MiB  LVM2 group `vg0`, 1 GiB free
               root            2 GiB at    131 MiB  ext4 `root` 0-1, 700 MiB free
               swap          256 MiB at    2.1 GiB  swap 0-2
               data          512 MiB at    2.4 GiB  empty
        ");
    }
}
