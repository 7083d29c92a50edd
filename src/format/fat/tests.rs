//! Round trips, a snapshot, refusals, damage.

use super::*;
use proptest::prelude::*;

const SECTORS: u64 = 80 << 11;

fn volume() -> Volume {
    Volume { sectors: SECTORS, hidden: 4096, id: 0xcafe_1234, label: "ESP".to_owned(), epoch: Epoch(1_700_000_000) }
}

fn files() -> Vec<(String, Vec<u8>)> {
    let file = |path: &str, length: usize| (path.to_owned(), (0..length).map(|at| (at % 251) as u8).collect());
    let mut files = vec![
        file("EFI/BOOT/BOOTX64.EFI", 5000),
        file("EFI/BOOT/grubx64.efi", 1024),
        file("EFI/debian/grub.cfg", 1),
        file("EFI/debian/a name that is a good deal longer.configuration", 3),
        file("EFI/debian/été.txt", 0),
        file("empty", 0),
    ];
    files.extend((0..60).map(|number| file(&format!("many/some file of number {number}.text"), number)));
    files
}

fn image(volume: &Volume, files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![0; (volume.sectors * 512) as usize];
    for run in write(volume, files).unwrap() {
        bytes[run.offset as usize..][..run.bytes.len()].copy_from_slice(&run.bytes);
    }
    bytes
}

#[test]
fn files_written_and_read_are_the_same() {
    let (volume, files) = (volume(), files());
    let bytes = image(&volume, &files);
    let contents = read(&bytes).unwrap();
    assert_eq!((contents.id, contents.label.as_str(), contents.hidden), (0xcafe_1234, "ESP", 4096));
    assert_eq!(contents.entries.iter().filter(|entry| !entry.directory).count(), files.len());
    for (path, expected) in &files {
        assert_eq!(&read_file(&bytes, &contents, path, 1 << 20).unwrap(), expected, "{path}");
    }
    assert!(read_file(&bytes, &contents, "EFI/BOOT/BOOTX64.EFI", 4999).is_err());
}

#[test]
fn dump_of_a_small_volume_is_known() {
    let bytes = image(&volume(), &files()[..4]);
    insta::assert_snapshot!(read(&bytes).unwrap().to_string(), @r"
    fat32 cafe1234 ESP bytes 83886080 hidden 4096 cluster 1024 free 83202048
    EFI/
    EFI/BOOT/
    EFI/BOOT/BOOTX64.EFI 5000
    EFI/BOOT/grubx64.efi 1024
    EFI/debian/
    EFI/debian/a name that is a good deal longer.configuration 3
    EFI/debian/grub.cfg 1
    ");
}

#[test]
fn what_fat_cannot_hold_is_refused() {
    let file = |path: &str, length| vec![(path.to_owned(), vec![1; length])];
    let cases = [
        (file("EFI//x", 1), "`EFI//x` is no path for a FAT volume"),
        (file("a:b", 1), "`a:b` is no path for a FAT volume"),
        (
            [file("EFI/x", 1), file("EFI/X", 1)].concat(),
            "`EFI/X` is there twice (FAT does not tell capital letters from small ones)",
        ),
        (
            [file("EFI", 1), file("EFI/X", 1)].concat(),
            "`EFI/X` is there twice (FAT does not tell capital letters from small ones)",
        ),
    ];
    for (files, message) in cases {
        assert_eq!(write(&volume(), &files).unwrap_err().to_string(), message);
    }
    let small = Volume { sectors: 60_000, ..volume() };
    assert_eq!(write(&small, &[]), Err(WriteError::Size(60_000)));
    assert!(matches!(write(&volume(), &file("big", 84 << 20)), Err(WriteError::Full { .. })));
    let label = Volume { label: "a".to_owned(), ..volume() };
    assert_eq!(write(&label, &[]), Err(WriteError::Label("a".to_owned())));
}

#[test]
fn damaged_fats_and_backups_are_noticed() {
    let bytes = image(&volume(), &files());
    let geometry = layout::Geometry::choose(SECTORS).unwrap();
    let second = geometry.fat_offset(1) as usize;
    for at in [11, 512, 6 * 512 + 20, 32 * 512 + 9, second + 9, second + 100_000] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        assert!(read(&damaged).is_err(), "byte {at}");
    }
}

#[test]
fn folders_that_lead_into_themselves_are_refused_at_once() {
    let mut bytes = image(&volume(), &[("EFI/BOOT/x".to_owned(), vec![1])]);
    let geometry = layout::Geometry::choose(SECTORS).unwrap();
    let boot = geometry.cluster_offset(3) as usize + 2 * layout::ENTRY;
    assert_eq!(&bytes[boot..][..4], b"BOOT");
    // EFI's only folder becomes EFI itself.
    bytes[boot + 26..][..2].copy_from_slice(&3_u16.to_le_bytes());
    let error = read(&bytes).unwrap_err().to_string();
    assert_eq!(error, "folder `EFI/BOOT` has the clusters of another folder");
}

#[test]
fn short_names_that_no_name_has_are_refused() {
    let good = image(&volume(), &[("X".to_owned(), vec![1])]);
    let geometry = layout::Geometry::choose(SECTORS).unwrap();
    let entry = geometry.cluster_offset(2) as usize + layout::ENTRY;
    assert_eq!(read(&good).unwrap().entries[0].path, "X");
    for name in ["A/B        ", "\u{1b}[2J       ", "..         "] {
        let mut bytes = good.clone();
        bytes[entry..][..11].copy_from_slice(name.as_bytes());
        assert_eq!(read(&bytes).unwrap_err().to_string(), "folder `` has a malformed name", "{name:?}");
    }
}

/// A sparse source, so that each case of a property test need not copy 80 MiB.
struct Sparse(Vec<crate::format::Run>);

impl crate::format::ReadAt for Sparse {
    fn size(&self) -> u64 {
        SECTORS * 512
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        buffer.fill(0);
        let end = offset + buffer.len() as u64;
        for run in &self.0 {
            let (from, to) = (offset.max(run.offset), end.min(run.offset + run.bytes.len() as u64));
            if from < to {
                let bytes = &run.bytes[(from - run.offset) as usize..(to - run.offset) as usize];
                buffer[(from - offset) as usize..(to - offset) as usize].copy_from_slice(bytes);
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn mutated_volumes_never_panic(changes in proptest::collection::vec((0_usize..4, any::<u16>(), any::<u8>()), 1..20)) {
        let mut sparse = Sparse(write(&volume(), &files()).unwrap());
        for (run, at, value) in changes {
            let bytes = &mut sparse.0[run].bytes;
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
        }
        // Both FATs alike, so that damage gets beyond their comparison.
        sparse.0[2].bytes = sparse.0[1].bytes.clone();
        if let Ok(contents) = read(&sparse) {
            for entry in &contents.entries {
                let _ = read_file(&sparse, &contents, &entry.path, 1 << 20);
            }
        }
    }

    #[test]
    fn arbitrary_names_survive(names in proptest::collection::btree_set("[a-zA-Z0-9+é .~-]{1,40}", 1..20)) {
        let mut seen = std::collections::BTreeSet::new();
        let files: Vec<_> = names
            .into_iter()
            .filter(|name| name::is_legal(name) && seen.insert(name.to_uppercase()))
            .map(|name| (name.clone(), name.into_bytes()))
            .collect();
        let sparse = Sparse(write(&volume(), &files).unwrap());
        let contents = read(&sparse).unwrap();
        for (name, bytes) in &files {
            prop_assert!(contents.entries.iter().any(|entry| &entry.path == name), "{}", name);
            prop_assert_eq!(&read_file(&sparse, &contents, name, 100).unwrap(), bytes);
        }
    }
}
