//! Which volumes might be the seed: every disk or partition with the label `cidata`, by its own first sectors.

use crate::places::Places;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

/// The label, in either of the two spellings that cloud-init knows.
const LABELS: [&str; 2] = ["cidata", "CIDATA"];
/// Devices that no hypervisor offers.
const NOT_DISKS: [&str; 5] = ["loop", "ram", "zram", "dm-", "md"];

/// A volume that might be the seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// `/dev/vdb`
    pub(crate) device: PathBuf,
    /// As `mount -t` calls it.
    pub(crate) filesystem: &'static str,
}

/// All of them, sorted by name.
pub(crate) fn candidates(places: &Places) -> Vec<Candidate> {
    let mut names: Vec<String> = fs::read_dir(places.at("sys/class/block"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !NOT_DISKS.iter().any(|kind| name.starts_with(kind)))
        .collect();
    names.sort();
    names.iter().filter_map(|name| candidate(&places.at("dev").join(name.replace('!', "/")))).collect()
}

/// This one, whatever its label.
pub(crate) fn candidate_at(device: &std::path::Path) -> Option<Candidate> {
    let (filesystem, _) = volume(&File::open(device).ok()?)?;
    Some(Candidate { device: device.to_owned(), filesystem })
}

fn candidate(device: &std::path::Path) -> Option<Candidate> {
    let (filesystem, label) = volume(&File::open(device).ok()?)?;
    LABELS.contains(&label.as_str()).then(|| Candidate { device: device.to_owned(), filesystem })
}

/// Kind and label of a volume.
fn volume(file: &File) -> Option<(&'static str, String)> {
    let mut sector = [0; 512];
    // ISO 9660: the primary volume descriptor is sector 16 of 2048 bytes; its identifier has 32 bytes from 40 on.
    if file.read_exact_at(&mut sector, 16 * 2048).is_ok() && sector.starts_with(b"\x01CD001\x01") {
        return Some(("iso9660", label(sector.get(40..72)?)));
    }
    file.read_exact_at(&mut sector, 0).ok()?;
    if sector.get(510..512)? != b"\x55\xaa" {
        return None;
    }
    // FAT: 11 bytes behind the extended boot signature, before the name of the kind.
    for (at, kind) in [(43, 54), (71, 82)] {
        if sector.get(kind..kind + 3)? == b"FAT" {
            return Some(("vfat", label(sector.get(at..at + 11)?)));
        }
    }
    None
}

fn label(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches([' ', '\0']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(write: impl Fn(&mut Vec<u8>)) -> Option<(&'static str, String)> {
        let mut bytes = vec![0; 17 * 2048];
        write(&mut bytes);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &bytes).unwrap();
        volume(&File::open(file.path()).unwrap())
    }

    #[test]
    fn labels_are_read_from_iso_and_fat() {
        let iso = |bytes: &mut Vec<u8>| {
            bytes[32768..32775].copy_from_slice(b"\x01CD001\x01");
            bytes[32808..32840].copy_from_slice(b"CIDATA                          ");
        };
        assert_eq!(found(iso), Some(("iso9660", "CIDATA".to_owned())));
        for (at, kind, name) in [(43, 54, b"FAT16   "), (71, 82, b"FAT32   ")] {
            let fat = |bytes: &mut Vec<u8>| {
                bytes[510..512].copy_from_slice(b"\x55\xaa");
                bytes[at..at + 11].copy_from_slice(b"cidata     ");
                bytes[kind..kind + 8].copy_from_slice(name);
            };
            assert_eq!(found(fat), Some(("vfat", "cidata".to_owned())));
        }
        assert_eq!(found(|_| ()), None);
    }

    proptest! {
        #[test]
        fn reader_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), &bytes).unwrap();
            let _ = volume(&File::open(file.path()).unwrap());
        }
    }
}
