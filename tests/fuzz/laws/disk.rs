//! Laws of disks, volumes and filesystems.
//!
//! Where the smallest valid bytes are too many to be mutated, an input is a list of changes to bytes that our own writer
//! made: place (four bytes, counted in what the format structures), length (one byte), the new bytes.

use imgbuild::base::epoch::Epoch;
use imgbuild::base::ids::{LvmId, Uuid};
use imgbuild::base::limits::{FAT_DEPTH, FAT_ENTRIES, ISO_DEPTH, ISO_ENTRIES};
use imgbuild::base::size::MIB;
use imgbuild::format::{ReadAt, Run, ext4 as ext4_format, fat as fat_format, gpt as gpt_format};
use imgbuild::format::{iso9660 as iso_format, lvm as lvm_format, qcow2 as qcow2_format, swap as swap_format};
use std::collections::BTreeMap;
use std::io;
use std::sync::LazyLock;

/// Bytes of a page.
const PAGE: u64 = 4096;

/// Sparse bytes: pages over zeros. Found by their number, as laws read small pieces by the thousand.
pub struct Sparse {
    size: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Sparse {
    /// Changes what is there; all of it lies within the size.
    fn put(&mut self, mut offset: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let at = (offset % PAGE) as usize;
            let (now, rest) = bytes.split_at(bytes.len().min(PAGE as usize - at));
            let page = self.pages.entry(offset / PAGE).or_insert_with(|| vec![0; PAGE as usize]);
            page[at..at + now.len()].copy_from_slice(now);
            offset += now.len() as u64;
            bytes = rest;
        }
    }
}

impl ReadAt for Sparse {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.size);
        end.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let mut left = buffer;
        while !left.is_empty() {
            let at = (offset % PAGE) as usize;
            let (now, rest) = left.split_at_mut(left.len().min(PAGE as usize - at));
            match self.pages.get(&(offset / PAGE)) {
                Some(page) => now.copy_from_slice(&page[at..at + now.len()]),
                None => now.fill(0),
            }
            offset += now.len() as u64;
            left = rest;
        }
        Ok(())
    }
}

/// The base with the input's changes. A change's place counts through the base's runs, so that each hits something.
pub fn changed(size: u64, base: &[Run], mut input: &[u8]) -> Sparse {
    let mut found = Sparse { size, pages: BTreeMap::new() };
    base.iter().for_each(|run| found.put(run.offset, &run.bytes));
    let total: u64 = base.iter().map(|run| run.bytes.len() as u64).sum();
    while let [a, b, c, d, length, rest @ ..] = input {
        let length = usize::from(*length).min(rest.len());
        let mut at = u64::from(u32::from_le_bytes([*a, *b, *c, *d])) % total.max(1);
        for run in base {
            let here = run.bytes.len() as u64;
            if at < here {
                let fits = length.min((here - at) as usize);
                found.put(run.offset + at, &rest[..fits]);
                break;
            }
            at -= here;
        }
        input = &rest[length..];
    }
    found
}

/// Without the zeros at the ends of long runs, so that changes hit structures.
fn dense(runs: Vec<Run>) -> Vec<Run> {
    let mut found = Vec::new();
    for run in runs {
        for (at, block) in (0..).zip(run.bytes.chunks(512)) {
            if block.iter().any(|byte| *byte != 0) {
                found.push(Run { offset: run.offset + at * 512, bytes: block.to_vec() });
            }
        }
    }
    found
}

/// What the changes of `gpt` are made to.
pub static GPT: LazyLock<(u64, Vec<Run>)> = LazyLock::new(|| {
    let partition = |kind, first, last, name: &str| gpt_format::Partition {
        kind,
        guid: Uuid::derive("fuzz", name),
        first,
        last,
        attributes: 0,
        name: name.to_owned(),
    };
    let partitions = vec![
        partition(gpt_format::kind::BIOS_BOOT, 2048, 4095, "bios"),
        partition(gpt_format::kind::ESP, 4096, 8191, "EFI"),
        partition(gpt_format::kind::LVM, 8192, 16350, "lvm"),
    ];
    let table = gpt_format::Table { guid: Uuid::derive("fuzz", "disk"), sectors: 16384, partitions };
    (16384 * 512, dense(gpt_format::write(&table).unwrap().to_vec()))
});

pub fn gpt(input: &[u8]) {
    let mut disk = changed(GPT.0, &GPT.1, input);
    if input.len().is_multiple_of(2) {
        repair(&mut disk);
    }
    if let Ok(table) = gpt_format::read(&disk) {
        table.validate().expect("what was read is sound");
        assert!(table.partitions.iter().all(|partition| partition.last < table.sectors));
        let _ = table.to_string();
    }
    if let Ok(table) = gpt_format::read(&input.to_vec()) {
        table.validate().expect("what was read is sound");
    }
}

/// Makes the checksums fit again, so that what they guard is looked at.
fn repair(disk: &mut Sparse) {
    let last = disk.size / 512 - 1;
    for (sector, entries) in [(1, 2), (last, last - 32)] {
        let table = disk.read_vec(entries * 512, 128 * 128).unwrap();
        let mut header = disk.read_vec(sector * 512, 512).unwrap();
        header[88..92].copy_from_slice(&crc32fast::hash(&table).to_le_bytes());
        header[16..20].fill(0);
        let sum = crc32fast::hash(&header[..92]);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        disk.put(sector * 512, &header);
    }
}

/// What the changes of `lvm` are made to.
pub static LVM: LazyLock<(u64, Vec<Run>)> = LazyLock::new(|| {
    let volume = |name: &str, start, extents| lvm_format::LogicalVolume {
        name: name.to_owned(),
        id: LvmId::derive("fuzz", name),
        segments: vec![lvm_format::Segment { start, extents }],
    };
    let group = lvm_format::VolumeGroup {
        name: "vg0".to_owned(),
        id: LvmId::derive("fuzz", "group"),
        sequence: 1,
        physical: lvm_format::PhysicalVolume { id: LvmId::derive("fuzz", "pv"), size: 65 * MIB, extents: 16 },
        volumes: vec![volume("root", 0, 10), volume("swap", 10, 2)],
    };
    (65 * MIB, dense(lvm_format::write(&group).unwrap().to_vec()))
});

pub fn lvm(input: &[u8]) {
    let volume = changed(LVM.0, &LVM.1, input);
    if let Ok(group) = lvm_format::read(&volume) {
        group.validate().expect("what was read is sound");
        for segment in group.volumes.iter().flat_map(|volume| &volume.segments) {
            assert!(segment.offset() + segment.size() <= LVM.0);
        }
        let _ = group.to_string();
    }
    // The text by itself: no checksum stands before its parser.
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(group) = lvm_format::read_text(text)
    {
        group.validate().expect("what was read is sound");
        let _ = group.to_string();
    }
}

/// What the changes of `fat` are made to.
pub static FAT: LazyLock<(u64, Vec<Run>)> = LazyLock::new(|| {
    let sectors = 80 << 11;
    let volume =
        fat_format::Volume { sectors, hidden: 4096, id: 1, label: "ESP".to_owned(), epoch: Epoch(1_700_000_000) };
    let file = |path: &str, length: usize| (path.to_owned(), vec![7; length]);
    let files = [
        file("EFI/BOOT/BOOTX64.EFI", 1100),
        file("EFI/debian/a name that is a good deal longer.configuration", 3),
        file("empty", 0),
    ];
    (sectors * 512, dense(fat_format::write(&volume, &files).unwrap()))
});

pub fn fat(input: &[u8]) {
    let volume = changed(FAT.0, &FAT.1, input);
    let Ok(contents) = fat_format::read(&volume) else { return };
    assert!(contents.size <= FAT.0 && contents.free <= contents.size);
    assert!(contents.entries.len() <= FAT_ENTRIES);
    for entry in &contents.entries {
        assert!(entry.path.split('/').count() <= FAT_DEPTH + 1);
        if !entry.directory
            && let Ok(bytes) = fat_format::read_file(&volume, &contents, &entry.path, 1 << 20)
        {
            assert!(bytes.len() <= 1 << 20);
        }
    }
    let _ = contents.to_string();
}

pub fn ext4(input: &[u8]) {
    let mut bytes = vec![0; 1024];
    bytes.extend_from_slice(input);
    bytes.resize(bytes.len().max(2048), 0);
    if let Ok(summary) = ext4_format::read(&bytes) {
        assert!(summary.size <= bytes.len() as u64 && summary.free <= summary.size);
        assert!(summary.free_inodes <= summary.inodes);
    }
}

pub fn iso9660(input: &[u8]) {
    if let Ok(volume) = iso_format::read(input) {
        assert!(volume.entries.len() <= ISO_ENTRIES);
        for path in volume.entries.keys() {
            assert!(path.split('/').count() <= ISO_DEPTH);
            assert!(path.split('/').all(|part| !matches!(part, "" | "." | "..")), "{path:?}");
        }
        // Names and labels that other writers use may be refused by ours.
        if let Ok(bytes) = iso_format::write(&volume) {
            assert_eq!(iso_format::read(&bytes).expect("what was written is read").entries, volume.entries);
        }
    }
    let _ = iso_format::dump(input);
}

/// What the changes of `qcow2` are made to: a zstd and a zlib image.
pub static QCOW2: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    [qcow2_format::Compression::Zstd, qcow2_format::Compression::Zlib].map(|compression| {
        let cluster = qcow2_format::CLUSTER;
        let sink = io::Cursor::new(Vec::new());
        let mut writer = qcow2_format::Writer::new(sink, 6 * cluster, compression).unwrap();
        let mut encoder = qcow2_format::Encoder::new(compression).unwrap();
        for number in [0_u64, 2, 3, 5] {
            let bytes: Vec<u8> = (0..cluster).map(|at| ((at * at) >> (number * 2)) as u8).collect();
            writer.push(number, &encoder.encode(&bytes).unwrap()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    })
});

/// The same without zeros.
static QCOW2_RUNS: LazyLock<[(u64, Vec<Run>); 2]> = LazyLock::new(|| {
    QCOW2.each_ref().map(|image| (image.len() as u64, dense(vec![Run { offset: 0, bytes: image.clone() }])))
});

pub fn qcow2(input: &[u8]) {
    let Some((first, changes)) = input.split_first() else { return };
    let (size, runs) = &QCOW2_RUNS[usize::from(*first % 2)];
    let Ok(reader) = qcow2_format::Reader::open(changed(*size, runs, changes)) else { return };
    let size = reader.size();
    let cluster = qcow2_format::CLUSTER as usize;
    for offset in [0, 2 * cluster as u64, size.saturating_sub(cluster as u64)] {
        if let Ok(bytes) = reader.read_vec(offset, cluster.min(size as usize)) {
            assert_eq!(bytes.len(), cluster.min(size as usize));
        }
    }
    if let Ok(count) = reader.count() {
        assert_eq!(count.compressed + count.plain + count.absent, size.div_ceil(cluster as u64));
    }
}

pub fn swap(input: &[u8]) {
    let mut bytes = input.to_vec();
    bytes.resize(bytes.len().max(64 << 10), 0);
    let _ = swap_format::read(&bytes);
}
