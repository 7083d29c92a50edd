//! The ext4 reader before filesystems that e2fsprogs made: everything in them is found, every damage is noticed.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::panic,
    reason = "tests fail by panicking and say what they skip"
)]

mod disk_support;

use disk_support::{have, said};
use imgbuild::format::ReadAt;
use imgbuild::format::ext4::{Extent, Filesystem, Kind};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

/// A folder with all that makes a filesystem hard to read.
fn hard_to_read(folder: &Path) {
    fs::create_dir_all(folder.join("deep/er")).unwrap();
    fs::create_dir(folder.join("many")).unwrap();
    for number in 0..3000 {
        fs::write(folder.join(format!("many/{number:04}-{}", "n".repeat(number % 60))), format!("{number}")).unwrap();
    }
    let noise: Vec<u8> = (0..3_000_001_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(folder.join("deep/er/large"), &noise).unwrap();
    // 2000 pieces with holes between them: an extent tree two levels deep.
    let pieces = File::create(folder.join("pieces")).unwrap();
    for piece in 0..2000 {
        pieces.write_all_at(&noise[piece..piece + 1000], piece as u64 * 8192 + 17).unwrap();
    }
    pieces.set_len(20 << 20).unwrap();
    fs::write(folder.join("empty"), "").unwrap();
    fs::hard_link(folder.join("empty"), folder.join("deep/second name")).unwrap();
    symlink("deep/er/large", folder.join("fast")).unwrap();
    symlink("x".repeat(59), folder.join("fast-59")).unwrap();
    symlink("../".repeat(60) + "pieces", folder.join("deep/slow")).unwrap();
    symlink("/deep/slow", folder.join("absolute")).unwrap();
    fs::set_permissions(folder.join("pieces"), fs::Permissions::from_mode(0o4751)).unwrap();
    for (name, length) in [("user.small", 5), ("user.large", 900)] {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(folder.join("pieces"), name, &vec![b'v'; length], flags).unwrap();
    }
}

/// Such a folder as a filesystem with blocks of this many bytes; with an index over its large folders.
fn made(folder: &Path, block: u32) -> Vec<u8> {
    let tree = folder.join("tree");
    if !tree.exists() {
        fs::create_dir(&tree).unwrap();
        hard_to_read(&tree);
    }
    let image = folder.join(format!("{block}.ext4")).display().to_string();
    let _ = fs::remove_file(&image);
    let (tree, block) = (tree.display().to_string(), block.to_string());
    let (text, good) = said("mke2fs", &["-q", "-t", "ext4", "-b", &block, "-I", "256", "-d", &tree, &image, "40M"]);
    assert!(good, "{text}");
    let (text, _) = said("e2fsck", &["-fyD", &image]);
    assert!(text.contains("Optimizing directories"), "{text}");
    let (text, _) = said("debugfs", &["-w", "-R", "mknod null c 1 3", &image]);
    assert!(!text.contains("rror"), "{text}");
    let (text, _) = said("debugfs", &["-w", "-R", "mknod disk b 8 17", &image]);
    assert!(!text.contains("rror"), "{text}");
    fs::read(&image).unwrap()
}

fn listed(root: &Path, below: &Path, found: &mut BTreeMap<Vec<u8>, fs::Metadata>) {
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let path = below.join(entry.unwrap().file_name());
        let data = fs::symlink_metadata(root.join(&path)).unwrap();
        if data.is_dir() {
            listed(root, &path, found);
        }
        found.insert(path.as_os_str().as_bytes().to_vec(), data);
    }
}

#[test]
fn filesystems_made_of_a_folder_read_back_as_the_folder() {
    const TEST: &str = "filesystems_made_of_a_folder_read_back_as_the_folder";
    if !have(TEST, &["mke2fs", "e2fsck", "debugfs"]) {
        return;
    }
    let folder = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for block in [1024, 4096] {
        let bytes = made(folder.path(), block);
        let filesystem = Filesystem::open(&bytes).unwrap();
        filesystem.check_groups().unwrap();
        let mut expected = BTreeMap::new();
        listed(&folder.path().join("tree"), Path::new(""), &mut expected);
        let mut found = 0;
        for node in filesystem.walk().unwrap() {
            let inode = &node.inode;
            let Some(data) = expected.get(&node.path) else { continue };
            found += 1;
            let path = folder.path().join("tree").join(String::from_utf8(node.path.clone()).unwrap());
            assert_eq!((inode.mode, inode.uid, inode.gid), (data.mode() & 0o7777, data.uid(), data.gid()), "{path:?}");
            assert_eq!(inode.times[2].seconds, data.mtime(), "{path:?}");
            match inode.kind {
                Kind::File => {
                    assert_eq!((inode.size, u64::from(inode.links)), (data.len(), data.nlink()), "{path:?}");
                    let contents = filesystem.contents(inode).unwrap();
                    let bytes = contents.read_vec(0, inode.size as usize).unwrap();
                    assert!(bytes == fs::read(&path).unwrap(), "{path:?}");
                }
                Kind::Directory => assert!(data.is_dir()),
                Kind::SymbolicLink => {
                    let target = fs::read_link(&path).unwrap();
                    assert_eq!(filesystem.target(inode).unwrap(), target.as_os_str().as_bytes());
                }
                other => panic!("{path:?} is {other:?}"),
            }
        }
        assert_eq!(found, expected.len());

        let find = |path: &str| filesystem.find(path.as_bytes()).unwrap();
        assert_eq!(find("/null").kind, Kind::CharacterDevice(1, 3));
        assert_eq!(find("disk").kind, Kind::BlockDevice(8, 17));
        assert!(find("many").is_indexed());
        assert!(filesystem.extents(&find("pieces")).unwrap().len() >= 2000);
        assert_eq!(find("/absolute").number, find("pieces").number, "links are followed");
        assert_eq!(find("deep/er/../second name").number, find("empty").number);
        let error = filesystem.find(b"deep/nothing").unwrap_err();
        assert_eq!(error.to_string(), "there is no `deep/nothing` in the filesystem");
        let attributes = filesystem.attributes(&find("pieces")).unwrap();
        let shown: Vec<_> = attributes.iter().map(|(name, value)| (name.as_str(), value.len())).collect();
        assert_eq!(shown, [("user.large", 900), ("user.small", 5)]);
        assert_eq!(filesystem.attributes(&find("empty")).unwrap(), []);

        // The same by debugfs's eyes.
        let image = folder.path().join(format!("{block}.ext4")).display().to_string();
        let (text, _) = said("debugfs", &["-R", "stat /pieces", &image]);
        let own = find("pieces");
        for part in [format!("Inode: {}", own.number), "Mode:  04751".to_owned(), "user.large (900)".to_owned()] {
            assert!(text.contains(&part), "{part}: {text}");
        }
        let dump = filesystem.dump().unwrap();
        assert!(
            dump.lines().any(|line| line.starts_with("l0777") && line.contains("/fast -> deep/er/large")),
            "{dump}"
        );
    }
}

/// Bytes of the structures, one of each kind: offset and what the reader says of its damage.
fn structures(filesystem: &Filesystem<'_>, bytes: &[u8]) -> Vec<(u64, String)> {
    let block = filesystem.block_size();
    let pieces = filesystem.find(b"pieces").unwrap();
    let many = filesystem.find(b"many").unwrap();
    let deep = filesystem.find(b"deep").unwrap();
    let place = |inode, logical: u64| {
        let extents = filesystem.extents(inode).unwrap();
        let holds = |extent: &&Extent| (extent.logical..extent.logical + extent.blocks).contains(&logical);
        let extent = extents.iter().find(holds).unwrap();
        (extent.physical + logical - extent.logical) * block
    };
    let first = |inode| place(inode, 0);
    let large = bytes.windows(900).position(|window| window.iter().all(|byte| *byte == b'v')).unwrap() as u64;
    vec![
        (1024 + 0x10, "the ext4 superblock has a wrong checksum".to_owned()),
        (4096 + 12, "wrong checksum over the descriptor of group 0".to_owned()),
        (first(&many) + 40, format!("wrong checksum over the index of folder {}", many.number)),
        (place(&many, 1) + 20, format!("wrong checksum over folder {}", many.number)),
        (first(&deep) + 30, format!("wrong checksum over folder {}", deep.number)),
        (large, format!("wrong checksum over the attributes of inode {}", pieces.number)),
    ]
}

fn everything(bytes: &dyn ReadAt) -> Result<(), imgbuild::format::ext4::Ext4Error> {
    let filesystem = Filesystem::open(bytes)?;
    filesystem.check_groups()?;
    filesystem.dump().map(|_| ())
}

#[test]
fn damage_to_any_structure_is_noticed_by_name() {
    const TEST: &str = "damage_to_any_structure_is_noticed_by_name";
    if !have(TEST, &["mke2fs", "e2fsck", "debugfs"]) {
        return;
    }
    let folder = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut bytes = made(folder.path(), 4096);
    let cases = structures(&Filesystem::open(&bytes).unwrap(), &bytes);
    everything(&bytes).unwrap();
    for (offset, expected) in cases {
        bytes[offset as usize] ^= 0x55;
        let error = everything(&bytes).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(&expected), "byte {offset}: {error}, not: {expected}");
        bytes[offset as usize] ^= 0x55;
    }
    // Bitmaps, inode tables and extent trees, wherever they lie: no byte of them may change unseen.
    let filesystem = Filesystem::open(&bytes).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let places: Vec<u64> =
        (0..bytes.len() as u64).step_by(4096).filter(|at| filesystem.structure_at(*at).is_some()).collect();
    for at in places {
        seen.insert(Filesystem::open(&bytes).unwrap().structure_at(at).unwrap());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["a bitmap", "an inode table", "the group descriptors"]);
    everything(&bytes).unwrap();
}

#[test]
fn random_damage_never_panics_and_wrong_metadata_is_never_believed() {
    const TEST: &str = "random_damage_never_panics_and_wrong_metadata_is_never_believed";
    if !have(TEST, &["mke2fs"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    fs::create_dir_all(tree.join("a/b")).unwrap();
    for number in 0..50 {
        fs::write(tree.join(format!("a/file-{number}")), vec![7; number * 100]).unwrap();
    }
    symlink("target".repeat(20), tree.join("a/b/link")).unwrap();
    let (tree, image) = (tree.display().to_string(), folder.path().join("image").display().to_string());
    for checked in [true, false] {
        let features = if checked { "metadata_csum" } else { "^metadata_csum" };
        let features = format!("{features},^has_journal,^resize_inode");
        let (text, good) =
            said("mke2fs", &["-q", "-F", "-t", "ext4", "-N", "80", "-O", &features, "-d", &tree, &image, "1M"]);
        assert!(good, "{text}");
        let bytes = fs::read(&image).unwrap();
        let filesystem = Filesystem::open(&bytes).unwrap();
        let whole = filesystem.dump().unwrap();
        let metadata: Vec<usize> =
            (0..bytes.len()).filter(|at| bytes[*at] != 0 || filesystem.structure_at(*at as u64).is_some()).collect();
        let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
        proptest!(config, |(picks in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4))| {
            let mut damaged = bytes.clone();
            for (pick, value) in picks {
                damaged[*pick.get(&metadata)] = value;
            }
            let filesystem = Filesystem::open(&damaged);
            if let Ok(text) = filesystem.and_then(|filesystem| filesystem.dump()) && checked {
                // Contents have no checksums: digests may differ, nothing else.
                let plain = |text: &str| text.lines().map(|line| line.split(' ').take(6).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
                prop_assert_eq!(plain(&text), plain(&whole));
            }
        });
    }
}
