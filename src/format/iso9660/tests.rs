//! What is written is read back, equal descriptions give equal bytes, and no bytes make the reader panic.

use super::*;
use proptest::prelude::*;

fn seed() -> Volume {
    let mut volume = Volume::new("cidata", Epoch(1_700_000_000));
    volume.file("meta-data", 0o600, "instance-id: i-1\n");
    volume.file("user-data", 0o600, "#cloud-config\n");
    volume.file("empty", 0o644, "");
    volume.file("imgbuild/files/etc/corosync/corosync.conf", 0o640, vec![7; 5000]);
    volume
}

#[test]
fn seed_written_is_read_back_with_its_folders() {
    let bytes = write(&seed()).unwrap();
    assert_eq!(bytes.len() % 2048, 0);
    let back = read(&bytes).unwrap();
    assert_eq!((back.label.as_str(), back.epoch), ("cidata", Epoch(1_700_000_000)));
    for (path, entry) in &seed().entries {
        assert_eq!(back.entries.get(path), Some(entry), "{path}");
    }
    let folders: Vec<_> =
        back.entries.iter().filter(|(_, e)| e.content == Content::Folder).map(|(p, _)| p.as_str()).collect();
    assert_eq!(folders, ["imgbuild", "imgbuild/files", "imgbuild/files/etc", "imgbuild/files/etc/corosync"]);
    assert_eq!(write(&back).unwrap(), bytes);
}

#[test]
fn seed_dump_shows_everything() {
    insta::assert_snapshot!(dump(&write(&seed()).unwrap()).unwrap(), @"
    volume cidata of 2023-11-14T22:13:20Z, 77824 bytes
    0644          0 e3b0c44298fc1c14 empty
    0755          - -                imgbuild/
    0755          - -                imgbuild/files/
    0755          - -                imgbuild/files/etc/
    0755          - -                imgbuild/files/etc/corosync/
    0640       5000 f302a3f85503eeb1 imgbuild/files/etc/corosync/corosync.conf
    0600         17 2fbd4ad8f5a54676 meta-data
    0600         14 88c95955b024402a user-data
    ");
}

#[test]
fn volumes_that_do_not_fit_are_refused() {
    let with = |path: &str| {
        let mut volume = seed();
        volume.file(path, 0o644, "");
        write(&volume).unwrap_err()
    };
    for path in ["", "/etc", "a//b", "a/../b", ".", "a/", &"n".repeat(129), &"d/".repeat(33)] {
        assert_eq!(with(path), WriteError::Path(path.to_owned()));
    }
    assert_eq!(with("user-data/x"), WriteError::BelowFile("user-data/x".to_owned()));
    for label in ["", "with blank", "seventeen-letters"] {
        assert_eq!(write(&Volume::new(label, Epoch(0))), Err(WriteError::Label(label.to_owned())));
    }
}

#[test]
fn damaged_volumes_are_refused_with_the_reason() {
    let good = write(&seed()).unwrap();
    let damaged = |at: usize, value: u8| {
        let mut bytes = good.clone();
        assert_ne!(bytes[at], value);
        bytes[at] = value;
        read(&bytes).unwrap_err().to_string()
    };
    let primary = 16 * 2048;
    assert_eq!(damaged(primary + 1, b'X'), "no ISO 9660 volume descriptor at byte 32768");
    assert_eq!(damaged(primary + 80, 1), "the volume descriptor is damaged: its size differs in both byte orders");
    assert_eq!(
        read(&good[..good.len() - 2048]).unwrap_err().to_string(),
        format!("the volume has {} sectors, the file {}", good.len() / 2048, good.len() / 2048 - 1)
    );
    // The first folder's first record: its SP entry.
    let root = u32::from_le_bytes(good[primary + 158..primary + 162].try_into().unwrap()) as usize * 2048;
    assert_eq!(damaged(root + 34, b'X'), "the volume has no Rock Ridge names");
    assert_eq!(damaged(root + 36, 200), "a record of folder `/` is damaged: its system use entries");
    assert_eq!(read(&[]), Err(ReadError::NoVolume));
    // One more file in the Joliet tree than in the other: its first child becomes a copy of the second.
    let joliet = primary + 2048;
    let folder = u32::from_le_bytes(good[joliet + 158..joliet + 162].try_into().unwrap()) as usize * 2048;
    let child = folder + 2 * 34;
    assert_eq!(damaged(child + 10, 1), "a record of folder `/` is damaged: its place differs in both byte orders");
    let mut other = good.clone();
    other[child + 10] ^= 1;
    other[child + 17] ^= 1;
    assert_eq!(read(&other), Err(ReadError::JolietDiffers));
}

fn any_volume() -> impl Strategy<Value = Volume> {
    let name = prop_oneof!["[a-c]{1,2}", "[A-Za-z0-9._-]{1,40}x", "[é系a:;*]{1,9}x"];
    let path = proptest::collection::vec(name, 1..5).prop_map(|parts| parts.join("/"));
    let entry = (path, 0_u32..0o10000, proptest::option::of(proptest::collection::vec(any::<u8>(), 0..3000)));
    (proptest::collection::vec(entry, 0..40), 0_i64..4_000_000_000).prop_map(|(entries, epoch)| {
        let mut volume = Volume::new("cidata", Epoch(epoch));
        for (path, mode, bytes) in entries {
            let content = bytes.map_or(Content::Folder, Content::File);
            volume.entries.insert(path, Entry { mode, content });
        }
        volume
    })
}

proptest! {
    #[test]
    fn volumes_written_are_read_back(volume in any_volume()) {
        match write(&volume) {
            Err(error) => prop_assert!(matches!(error, WriteError::BelowFile(_)), "{error}"),
            Ok(bytes) => {
                let back = read(&bytes).unwrap();
                for (path, entry) in &volume.entries {
                    prop_assert_eq!(back.entries.get(path), Some(entry));
                }
                prop_assert_eq!(back.epoch, volume.epoch);
                prop_assert_eq!(write(&back).unwrap(), bytes);
            }
        }
    }

    #[test]
    fn mutated_volumes_never_panic(changes in proptest::collection::vec((0_usize..60_000, any::<u8>()), 1..20)) {
        let mut bytes = write(&seed()).unwrap();
        for (at, value) in changes {
            // Descriptors, tables and folders come first: the contents are of no interest.
            let at = 32_768 + at % (bytes.len() - 32_768);
            bytes[at] = value;
        }
        let _ = read(&bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..9000)) {
        let mut image = vec![0; 16 * 2048];
        image.extend(b"\x01CD001\x01");
        image.extend(&bytes);
        let _ = read(&image);
        let _ = read(&bytes);
    }
}
