//! Filesystems of ours before those who must understand them: the strict reader, e2fsck, debugfs, GRUB, the kernel.
//! Each with a twin: damage is noticed.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::panic,
    reason = "tests fail by panicking and say what they skip"
)]

mod disk_support;

use disk_support::{have, said};
use imgbuild::base::epoch::Epoch;
use imgbuild::base::ids::Uuid;
use imgbuild::base::tree::{Entry, Kind};
use imgbuild::format::ext4::write::{BLOCK_BYTES, Member, Options, WriteError, write};
use imgbuild::format::ext4::{self, Filesystem};
use imgbuild::format::{FileSource, ReadAt as _};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

const MIB: u64 = 1 << 20;
const EPOCH: Epoch = Epoch(1_700_000_000);

/// Names with what they are, and the contents of files.
#[derive(Clone, Debug, Default)]
struct Tree {
    entries: BTreeMap<Vec<Vec<u8>>, Entry>,
    contents: BTreeMap<Vec<u8>, Vec<u8>>,
    holes: BTreeMap<Vec<u8>, Vec<Range<u64>>>,
}

impl Tree {
    fn new() -> Self {
        let mut tree = Self::default();
        tree.add("", Kind::Directory);
        tree
    }

    fn add(&mut self, path: impl AsRef<[u8]>, kind: Kind) -> &mut Entry {
        let path = path.as_ref().to_vec();
        let mode = if kind == Kind::Directory { 0o755 } else { 0o644 };
        let entry = Entry { path: path.clone(), kind, mode, uid: 0, gid: 0, mtime: 1_600_000_000, xattrs: Vec::new() };
        let key = if path.is_empty() { Vec::new() } else { path.split(|c| *c == b'/').map(<[u8]>::to_vec).collect() };
        self.entries.entry(key).or_insert(entry)
    }

    fn file(&mut self, path: impl AsRef<[u8]>, bytes: &[u8]) -> &mut Entry {
        self.contents.insert(path.as_ref().to_vec(), bytes.to_vec());
        self.add(path, Kind::File { size: bytes.len() as u64 })
    }

    /// A file whose blocks of zeros are told as holes.
    fn sparse(&mut self, path: &str, bytes: &[u8]) {
        let zero = |(_, block): &(u64, &[u8])| block.iter().all(|byte| *byte == 0);
        let blocks = (0..).zip(bytes.chunks(BLOCK_BYTES as usize)).filter(zero);
        self.holes.insert(path.into(), blocks.map(|(at, _)| at..at + 1).collect());
        self.file(path, bytes);
    }

    /// Writes it as a filesystem into a new file.
    fn write(&self, image: &Path, size: u64, inodes: u64) -> Result<(), WriteError> {
        let entries: Vec<&Entry> = self.entries.values().collect();
        let members: Vec<Member<'_>> = entries
            .iter()
            .map(|entry| Member {
                path: &entry.path,
                kind: &entry.kind,
                mode: entry.mode,
                uid: entry.uid,
                gid: entry.gid,
                mtime: entry.mtime,
                xattrs: &entry.xattrs,
                holes: self.holes.get(&entry.path).cloned().unwrap_or_default(),
            })
            .collect();
        let options = Options { size, inodes, uuid: Uuid::derive("test", "ext4"), label: "test", epoch: EPOCH };
        let written = write(&options, &members)?;
        let file = File::options().read(true).write(true).create(true).truncate(true).open(image).unwrap();
        file.set_len(size).unwrap();
        let mut taken: Vec<Range<u64>> = Vec::new();
        for run in &written.runs {
            taken.push(run.offset..run.offset + run.bytes.len() as u64);
            file.write_all_at(&run.bytes, run.offset).unwrap();
        }
        for part in &written.contents {
            taken.push(part.offset..part.offset + part.length);
            let bytes = &self.contents[&entries[part.member].path];
            file.write_all_at(&bytes[part.from as usize..(part.from + part.length) as usize], part.offset).unwrap();
        }
        taken.sort_by_key(|run| run.start);
        assert!(taken.windows(2).all(|pair| pair[0].end <= pair[1].start), "two structures share a byte");
        Ok(())
    }

    /// What the reader should say: the lines of its dump without the first.
    fn expected(&self) -> Vec<String> {
        let mut names: BTreeMap<&[u8], u32> = BTreeMap::new();
        let mut folders: BTreeMap<&[u8], u32> = BTreeMap::new();
        let above = |path: &'_ [u8]| path.iter().rposition(|c| *c == b'/').unwrap_or(0);
        for entry in self.entries.values() {
            let target = if let Kind::HardLink { target } = &entry.kind { target } else { &entry.path };
            *names.entry(target).or_default() += 1;
            if entry.kind == Kind::Directory && !entry.path.is_empty() {
                *folders.entry(&entry.path[..above(&entry.path)]).or_default() += 1;
            }
        }
        let mut lines = Vec::new();
        for entry in self.entries.values() {
            let of = match &entry.kind {
                Kind::HardLink { target } => self.entries.values().find(|entry| entry.path == *target).unwrap(),
                _ => entry,
            };
            let digest = |bytes: &[u8]| imgbuild::base::digest::Digest::of(bytes).to_string();
            let (letter, what) = match &of.kind {
                Kind::File { size } => ('-', format!(" {size} {}", digest(&self.contents[&of.path]))),
                Kind::Directory => ('d', String::new()),
                Kind::SymbolicLink { target } => ('l', format!(" -> {}", String::from_utf8_lossy(target))),
                Kind::CharacterDevice { major, minor } => ('c', format!(" {major}:{minor}")),
                Kind::BlockDevice { major, minor } => ('b', format!(" {major}:{minor}")),
                Kind::Fifo => ('p', String::new()),
                Kind::HardLink { .. } => panic!("a link to a link"),
            };
            let root = u32::from(entry.path.is_empty() && !self.entries.contains_key(&vec![b"lost+found".to_vec()]));
            let links = match of.kind {
                Kind::Directory => 2 + root + folders.get(entry.path.as_slice()).copied().unwrap_or(0),
                _ => names[of.path.as_slice()],
            };
            let links = if links > 65_000 { 1 } else { links };
            let Entry { mode, uid, gid, mtime, .. } = of;
            let path = String::from_utf8_lossy(&entry.path);
            let mut line = format!("{letter}{mode:04o} {uid}:{gid} links {links} mtime {mtime} /{path}{what}");
            if !of.xattrs.is_empty() && what.is_empty() {
                line.push(' ');
            }
            for (name, value) in &of.xattrs {
                line += &format!(" {name}={}", value.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
            }
            lines.push(line);
        }
        lines.sort();
        lines
    }

    /// Written, read back, and clean for the tool.
    fn check(&self, image: &Path, size: u64, inodes: u64) {
        self.write(image, size, inodes).unwrap();
        let mut found = dump(image);
        if !self.entries.contains_key(&vec![b"lost+found".to_vec()]) {
            let line = format!("d0700 0:0 links 2 mtime {} /lost+found", EPOCH.0);
            let at = found.iter().position(|found| *found == line).unwrap();
            found.remove(at);
        }
        let expected = self.expected();
        let differs = found.iter().zip(&expected).find(|(a, b)| a != b);
        assert!(found == expected, "{differs:.500?}, {} names, {} expected", found.len(), expected.len());
        clean(image);
    }
}

fn dump(image: &Path) -> Vec<String> {
    let source = FileSource::new(File::open(image).unwrap()).unwrap();
    let filesystem = Filesystem::open(&source).unwrap();
    filesystem.check_groups().unwrap();
    let mut lines: Vec<String> = filesystem.dump().unwrap().lines().skip(1).map(str::to_owned).collect();
    lines.sort();
    lines
}

/// No tool has anything to say about it: not a word beyond the titles of the passes.
fn clean(image: &Path) {
    for checker in checkers() {
        let (program, words) = checker.split_first().unwrap();
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        let image = image.display().to_string();
        words.extend(["-fn", &image]);
        let (text, good) = said(program, &words);
        let plain =
            |line: &&str| !(line.starts_with("e2fsck ") || line.starts_with("Pass ") || line.starts_with("test: "));
        assert!(good && text.lines().all(|line| !plain(&line)), "{checker:?}: {text}");
    }
}

/// This machine's e2fsck, and the one of the tools root that `IMGBUILD_TEST_TOOLS` names.
fn checkers() -> Vec<Vec<String>> {
    let mut all = vec![vec!["e2fsck".to_owned()]];
    if let Ok(root) = std::env::var("IMGBUILD_TEST_TOOLS") {
        let libraries = format!("{root}/usr/lib/x86_64-linux-gnu");
        let loader = format!("{libraries}/ld-linux-x86-64.so.2");
        all.push(vec![loader, "--library-path".to_owned(), libraries, format!("{root}/usr/sbin/e2fsck")]);
    }
    all
}

fn noise(length: u32) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// Everything that a filesystem can hold.
fn rich() -> Tree {
    let mut tree = Tree::new();
    tree.add("boot", Kind::Directory);
    tree.file("boot/vmlinuz", &noise(3_000_001));
    tree.file("boot/empty", b"");
    tree.add("dev", Kind::Directory);
    tree.add("dev/null", Kind::CharacterDevice { major: 1, minor: 3 });
    tree.add("dev/disk", Kind::BlockDevice { major: 259, minor: 300_000 });
    tree.add("dev/pipe", Kind::Fifo).mode = 0o600;
    tree.add("etc", Kind::Directory).mode = 0o1777;
    tree.add("etc/fast", Kind::SymbolicLink { target: vec![b'f'; 59] });
    tree.add("etc/slow", Kind::SymbolicLink { target: vec![b's'; 60] });
    tree.add("etc/slowest", Kind::SymbolicLink { target: vec![b't'; 4095] });
    let capability =
        ("security.capability".to_owned(), vec![1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let ping = tree.file("etc/ping", b"ping");
    (ping.uid, ping.gid, ping.mode, ping.mtime) = (4_000_000_000, 100_042, 0o4755, 5_000_000_000);
    ping.xattrs = vec![capability.clone()];
    let notes = [("user.empty", 0), ("user.large", 3000), ("user.note", 7)];
    let notes = notes.map(|(name, length)| (name.to_owned(), vec![b'v'; length]));
    tree.file("etc/noted", b"noted").xattrs = std::iter::once(capability).chain(notes.clone()).collect();
    tree.add("etc/z", Kind::Directory).xattrs = notes.to_vec();
    tree.add("etc/z/ping again", Kind::HardLink { target: b"etc/ping".to_vec() });
    let mut pieces = vec![0; 20 << 20];
    for piece in 0..2000 {
        pieces[piece * 8192 + 17..][..1000].copy_from_slice(&noise(3000)[piece..piece + 1000]);
    }
    tree.sparse("pieces", &pieces);
    tree.sparse("hole", &vec![0; 3 << 20]);
    tree.sparse("hole and end", &[vec![0; 1 << 20], vec![1; 100]].concat());
    tree.file("zeros", &vec![0; 100_000]);
    tree.add("many", Kind::Directory);
    for number in 0..3000 {
        tree.file(format!("many/{number:04}-{}", "ő".repeat(number % 60)), format!("{number}").as_bytes());
    }
    tree.add("deep", Kind::Directory);
    let mut deep = "deep".to_owned();
    for _ in 0..100 {
        deep += "/d";
        tree.add(&deep, Kind::Directory);
    }
    tree.file(format!("{deep}/{}", "n".repeat(255)), b"long");
    tree
}

#[test]
fn everything_is_read_back_and_clean_for_e2fsck() {
    const TEST: &str = "everything_is_read_back_and_clean_for_e2fsck";
    if !have(TEST, &["e2fsck", "debugfs", "dumpe2fs"]) {
        return;
    }
    let folder = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let image = folder.path().join("image");
    let tree = rich();
    for (size, inodes) in [(128, 8192), (260, 20_000), (2560, 163_840), (20 << 10, 1_310_720)] {
        tree.check(&image, size * MIB, inodes);
    }
    tree.check(&image, 256 * MIB, 16_384);
    let path = image.display().to_string();
    let debug = |request: &str| said("debugfs", &["-R", request, &path]).0;
    let stat = debug("stat /etc/ping");
    for part in ["User: -294967296", "Group: 100042", "Mode:  04755", "Links: 2", "security.capability (20)"] {
        assert!(stat.contains(part), "{part}: {stat}");
    }
    assert!(debug("stat /etc/noted").contains("user.large (3000)"));
    assert!(debug("stat /dev/disk").contains("259:300000") || debug("stat /dev/disk").contains("Device major/minor"));
    assert!(debug("htree_dump /many").contains("Indirect levels: 0"), "{}", debug("htree_dump /many"));
    assert!(debug("stat <7>").contains("(DIND)"));
    assert!(debug("logdump -S").contains("Total journal size:       16M"), "{}", debug("logdump -S"));
    let (text, _) = said("dumpe2fs", &["-h", &path]);
    let features = "has_journal ext_attr resize_inode dir_index filetype extent 64bit flex_bg sparse_super large_file huge_file dir_nlink extra_isize metadata_csum";
    assert!(text.contains(features), "{text}");
}

#[test]
fn large_folders_have_an_index_of_two_levels() {
    const TEST: &str = "large_folders_have_an_index_of_two_levels";
    if !have(TEST, &["e2fsck", "debugfs"]) {
        return;
    }
    let folder = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let image = folder.path().join("image");
    let mut tree = Tree::new();
    for number in 0..12_000 {
        tree.add(format!("{number:05}{}", "x".repeat(200)), Kind::Fifo);
    }
    tree.check(&image, 64 * MIB, 16_384);
    let (text, _) = said("debugfs", &["-R", "htree_dump /", &image.display().to_string()]);
    assert!(text.contains("Indirect levels: 1"), "{text}");
    // More folders than are counted.
    let mut tree = Tree::new();
    for number in 0..65_001 {
        tree.add(format!("{number}"), Kind::Directory);
    }
    tree.check(&image, 512 * MIB, 70_000);
}

#[test]
fn filesystem_is_the_one_that_mke2fs_makes_of_the_same_folder() {
    const TEST: &str = "filesystem_is_the_one_that_mke2fs_makes_of_the_same_folder";
    if !have(TEST, &["mke2fs", "e2fsck", "dumpe2fs"]) {
        return;
    }
    let folder = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (own, theirs) = (folder.path().join("own"), folder.path().join("theirs"));
    let mut tree = rich();
    let user = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let root = folder.path().join("tree");
    // What any user can make in a folder; the kernel of this machine may know no times beyond 2446.
    tree.entries.retain(|_, entry| !matches!(entry.kind, Kind::CharacterDevice { .. } | Kind::BlockDevice { .. }));
    for entry in tree.entries.values_mut() {
        (entry.uid, entry.gid, entry.mode) = (user.0, user.1, entry.mode & 0o777);
        entry.xattrs.retain(|(name, value)| name.starts_with("user.") && value.len() < 100);
        let path = root.join(String::from_utf8(entry.path.clone()).unwrap());
        match &entry.kind {
            Kind::Directory => fs::create_dir(&path).unwrap(),
            Kind::File { .. } => fs::write(&path, &tree.contents[&entry.path]).unwrap(),
            Kind::HardLink { target } => {
                fs::hard_link(root.join(String::from_utf8(target.clone()).unwrap()), &path).unwrap();
            }
            Kind::SymbolicLink { target } => {
                std::os::unix::fs::symlink(String::from_utf8(target.clone()).unwrap(), &path).unwrap();
                entry.mode = 0o777;
            }
            Kind::Fifo => assert!(said("mkfifo", &[&path.display().to_string()]).1),
            _ => {}
        }
        if !matches!(entry.kind, Kind::SymbolicLink { .. } | Kind::HardLink { .. }) {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&path, fs::Permissions::from_mode(entry.mode)).unwrap();
        }
        for (name, value) in &entry.xattrs {
            rustix::fs::setxattr(&path, name.as_str(), value, rustix::fs::XattrFlags::empty()).unwrap();
        }
    }
    for entry in tree.entries.values_mut() {
        let path = root.join(String::from_utf8(entry.path.clone()).unwrap());
        entry.mtime = fs::symlink_metadata(path).unwrap().mtime();
    }
    let size = 256 * MIB;
    tree.write(&own, size, 16_384).unwrap();
    clean(&own);
    let (root, path) = (root.display().to_string(), theirs.display().to_string());
    let features = "^metadata_csum_seed,^orphan_file,64bit,metadata_csum";
    let uuid = Uuid::derive("test", "ext4").to_string();
    let words =
        ["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", "1", "-O", features, "-U", &uuid, "-L", "test"];
    let extended = format!("hash_seed={uuid},lazy_itable_init=1,lazy_journal_init=1");
    let rest = ["-E", &extended, "-N", "16384", "-d", &root, &path, "65536"];
    // Older ones give the filesystem's own root the time of their making.
    let now = format!("E2FSPROGS_FAKE_TIME={}", fs::metadata(&root).unwrap().mtime());
    let (text, good) = said("env", &[&[&now, "mke2fs"], &words[..], &rest].concat());
    assert!(good, "{text}");
    let time = |line: &String| !line.contains("/lost+found");
    let plain = |image| dump(image).into_iter().filter(time).collect::<Vec<_>>();
    let (ours, theirs_lines) = (plain(&own), plain(&theirs));
    let differs = ours.iter().zip(&theirs_lines).find(|(a, b)| a != b);
    assert!(ours == theirs_lines, "{differs:?}");
    // The same filesystem for who asks the superblock, but for times and what is free.
    let describe = |image: &Path| {
        let (text, _) = said("dumpe2fs", &["-h", &image.display().to_string()]);
        let varies = [
            "Free ",
            "Filesystem created",
            "Last ",
            "Lifetime",
            "Checksum:",
            "Journal checksum",
            "dumpe2fs",
            "Overhead",
        ];
        let same = |line: &&str| !varies.iter().any(|start| line.starts_with(start));
        text.lines().filter(same).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(describe(&own), describe(&theirs));
}

#[test]
fn grub_reads_files_and_large_folders() {
    const TEST: &str = "grub_reads_files_and_large_folders";
    if !have(TEST, &["grub-fstest"]) {
        return;
    }
    let folder = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let image = folder.path().join("image");
    let tree = rich();
    tree.write(&image, 256 * MIB, 16_384).unwrap();
    let path = image.display().to_string();
    let crc = |name: &str| said("grub-fstest", &[&path, "crc", name]).0;
    let hash = |bytes: &[u8]| format!("{:08x}", crc32(bytes));
    for name in
        ["boot/vmlinuz", "pieces", "hole", "many/2999-őőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőőő"]
    {
        let said = crc(&format!("(loop0)/{name}"));
        assert!(said.trim().ends_with(&hash(&tree.contents[name.as_bytes()])), "{name}: {said}");
    }
    let (listed, _) = said("grub-fstest", &[&path, "ls", "(loop0)/many/"]);
    assert_eq!(listed.split_whitespace().filter(|name| name.contains('-')).count(), 3000);
    assert_eq!(said("grub-fstest", &[&path, "cat", "(loop0)/etc/z/ping again"]).0, "ping");
}

/// The usual CRC-32, which GRUB shows.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 })
    })
}

#[test]
fn damage_is_noticed_by_the_reader_and_by_e2fsck() {
    const TEST: &str = "damage_is_noticed_by_the_reader_and_by_e2fsck";
    if !have(TEST, &["e2fsck"]) {
        return;
    }
    let folder = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let image = folder.path().join("image");
    rich().check(&image, 256 * MIB, 16_384);
    let places = {
        let source = FileSource::new(File::open(&image).unwrap()).unwrap();
        let filesystem = Filesystem::open(&source).unwrap();
        let first = |path: &str| {
            let inode = filesystem.find(path.as_bytes()).unwrap();
            filesystem.extents(&inode).unwrap()[0].physical * BLOCK_BYTES
        };
        let node = {
            let (text, _) = said("debugfs", &["-R", "stat /pieces", &image.display().to_string()]);
            let at = text.find("(ETB0):").unwrap() + 7;
            text[at..].split(|c: char| !c.is_ascii_digit()).next().unwrap().parse::<u64>().unwrap() * BLOCK_BYTES
        };
        // Superblock, descriptor, both bitmaps, an inode, a root, a leaf, an extent node.
        let table = 37 * BLOCK_BYTES + 11 * 256 + 4;
        [
            1024 + 0x10,
            4096 + 70,
            33 * 4096 + 5,
            35 * 4096 + 5,
            table,
            first("many") + 44,
            first("many") + 4096 + 20,
            first("deep") + 30,
            node + 30,
        ]
    };
    for place in places {
        let file = File::options().read(true).write(true).open(&image).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, place).unwrap();
        file.write_all_at(&[byte[0] ^ 0x55], place).unwrap();
        let source = FileSource::new(file.try_clone().unwrap()).unwrap();
        let read = Filesystem::open(&source).and_then(|filesystem| {
            filesystem.check_groups()?;
            filesystem.dump()
        });
        assert!(read.is_err(), "the reader did not notice byte {place}");
        let (text, good) = said("e2fsck", &["-fn", &image.display().to_string()]);
        assert!(!good, "e2fsck did not notice byte {place}: {text}");
        file.write_all_at(&byte, place).unwrap();
    }
    clean(&image);
}

/// What is mounted or attached, to be undone whatever happens.
struct Mounted<'a>(&'a Path, String);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = said("umount", &[&self.0.display().to_string()]);
        let _ = said("losetup", &["-d", &self.1]);
    }
}

#[test]
fn kernel_mounts_it_and_grows_it_while_mounted() {
    const TEST: &str = "kernel_mounts_it_and_grows_it_while_mounted";
    if !have(TEST, &["losetup", "mount", "resize2fs", "e2fsck"]) {
        return;
    }
    let folder = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (image, point) = (folder.path().join("image"), folder.path().join("point"));
    let mut tree = rich();
    for number in 0..12_000 {
        tree.add(format!("many/{number:05}{}", "x".repeat(200)), Kind::Fifo);
    }
    tree.check(&image, 256 * MIB, 20_000);
    fs::create_dir(&point).unwrap();
    let path = image.display().to_string();
    let (device, attached) = said("losetup", &["-f", "--show", &path]);
    let device = device.trim().to_owned();
    let mount = ["-t", "ext4", &device, &point.display().to_string()].map(str::to_owned);
    if !attached || !said("mount", &mount.each_ref().map(String::as_str)).1 {
        let _ = said("losetup", &["-d", &device]);
        eprintln!("SKIPPED {TEST}: only root can mount a loop device");
        return;
    }
    let mounted = Mounted(&point, device.clone());
    for entry in tree.entries.values() {
        let at = point.join(std::ffi::OsStr::new(std::str::from_utf8(&entry.path).unwrap()));
        let data = fs::symlink_metadata(&at).unwrap();
        let of = match &entry.kind {
            Kind::HardLink { target } => tree.entries.values().find(|entry| entry.path == *target).unwrap(),
            _ => entry,
        };
        let mode = data.mode() & 0o7777;
        assert_eq!((mode, data.uid(), data.gid(), data.mtime()), (of.mode, of.uid, of.gid, of.mtime), "{at:?}");
        match &of.kind {
            Kind::File { .. } => assert!(fs::read(&at).unwrap() == tree.contents[&of.path], "{at:?}"),
            Kind::SymbolicLink { target } => {
                assert_eq!(fs::read_link(&at).unwrap().as_os_str().as_encoded_bytes(), target)
            }
            Kind::Directory => {
                let below = |other: &&Entry| {
                    let above = other.path.iter().rposition(|c| *c == b'/').map_or(&[][..], |cut| &other.path[..cut]);
                    !other.path.is_empty() && above == of.path
                };
                let lost_found = usize::from(of.path.is_empty());
                let count = tree.entries.values().filter(below).count() + lost_found;
                assert_eq!(fs::read_dir(&at).unwrap().count(), count, "{at:?}");
            }
            Kind::CharacterDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                assert_eq!((rustix::fs::major(data.rdev()), rustix::fs::minor(data.rdev())), (*major, *minor));
            }
            _ => {}
        }
        for (name, value) in &of.xattrs {
            let mut found = vec![0; 4096];
            let length = rustix::fs::getxattr(&at, name.as_str(), &mut found).unwrap();
            assert_eq!(&found[..length], value, "{at:?}");
        }
    }
    let mut grown = 256;
    for (mib, file) in [(1024, "first"), (2048, "second")] {
        File::options().write(true).open(&image).unwrap().set_len(mib * MIB).unwrap();
        assert!(said("losetup", &["-c", &device]).1);
        let (text, good) = said("resize2fs", &[&device]);
        if text.contains("Permission denied to resize filesystem") {
            eprintln!("SKIPPED {TEST}/online: growing needs CAP_SYS_RESOURCE");
        } else {
            assert!(good && text.contains("on-line resizing required"), "{text}");
            grown = mib;
        }
        // Folders and files go on working.
        fs::write(point.join("many").join(file), noise(20_000_000)).unwrap();
        fs::remove_file(point.join(format!("many/{mib:05}{}", "x".repeat(200)))).unwrap();
    }
    assert!(said("umount", &[&point.display().to_string()]).1);
    drop(mounted);
    let (text, good) = said("e2fsck", &["-fn", &path]);
    assert!(good && !text.contains("<y>") && !text.contains("? no"), "{text}");
    let source = FileSource::new(File::open(&image).unwrap()).unwrap();
    let filesystem = Filesystem::open(&source).unwrap();
    filesystem.check_groups().unwrap();
    assert_eq!(filesystem.summary().unwrap().size, grown * MIB);
    let inode = filesystem.find(b"many/second").unwrap();
    let contents = filesystem.contents(&inode).unwrap();
    assert!(contents.read_vec(0, 20_000_000).unwrap() == noise(20_000_000));
}

#[test]
fn resize2fs_grows_it_while_nobody_uses_it() {
    const TEST: &str = "resize2fs_grows_it_while_nobody_uses_it";
    if !have(TEST, &["resize2fs", "e2fsck"]) {
        return;
    }
    let folder = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let image = folder.path().join("image");
    rich().check(&image, 256 * MIB, 16_384);
    let before = dump(&image);
    let path = image.display().to_string();
    for mib in [1024, 2048, 40 << 10] {
        File::options().write(true).open(&image).unwrap().set_len(mib * MIB).unwrap();
        assert!(said("e2fsck", &["-fy", &path]).1);
        let (text, good) = said("resize2fs", &[&path]);
        assert!(good, "{text}");
        clean(&image);
        assert_eq!(dump(&image), before);
        let source = FileSource::new(File::open(&image).unwrap()).unwrap();
        assert_eq!(ext4::read(&source).unwrap().size, mib * MIB);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    let refused = |change: &dyn Fn(&mut Tree), mib: u64| {
        let mut tree = Tree::new();
        change(&mut tree);
        tree.write(&image, mib * MIB, 1024).unwrap_err().to_string()
    };
    let cases: [(&dyn Fn(&mut Tree), &str); 8] = [
        (&|tree| _ = tree.file("big", &vec![1; 20 << 20]), "the ext4 filesystem would need 25"),
        (&|tree| _ = tree.add("a/b", Kind::Fifo), "`/a/b` came out of order"),
        (&|tree| _ = tree.add("l", Kind::HardLink { target: b"m".to_vec() }), "`/l` came out of order"),
        (&|tree| _ = tree.add("lost+found", Kind::Fifo), "`/lost+found` came out of order"),
        (&|tree| _ = tree.add("n".repeat(256), Kind::Fifo), "has a name of no or of more than 255 bytes"),
        (&|tree| _ = tree.add("s", Kind::SymbolicLink { target: vec![b'x'; 4096] }), "of 4096 bytes, 1 to 4095"),
        (
            &|tree| tree.add("a", Kind::Fifo).xattrs = vec![("system.posix_acl_access".to_owned(), vec![2, 0, 0, 0])],
            "`/a` has the extended attribute `system.posix_acl_access`",
        ),
        (
            &|tree| tree.add("a", Kind::Fifo).xattrs = vec![("user.a".to_owned(), vec![2; 4080])],
            "has 4100 bytes of extended attributes, more than fit one block",
        ),
    ];
    for (change, expected) in cases {
        let text = refused(change, 16);
        assert!(text.contains(expected), "{text} should say {expected}");
    }
    // What is missing is told: with so much it fits.
    let mut tree = Tree::new();
    tree.file("big", &vec![1; 20 << 20]);
    let Err(WriteError::TooSmall { needed }) = tree.write(&image, 16 * MIB, 1024) else { panic!("it fits") };
    tree.write(&image, needed.next_multiple_of(MIB), 1024).unwrap();
    assert!(matches!(tree.write(&image, 2 * MIB, 100_000), Err(WriteError::TooSmall { .. })));
}

/// A tree of any shape.
fn any_tree() -> impl Strategy<Value = Tree> {
    let name = prop_oneof![8 => "[a-zA-Zé.+-]{1,12}", 1 => "[x-z]{200,255}"];
    let step = (0..9_u8, any::<prop::sample::Index>(), name, 0..40_000_u32, any::<[u8; 6]>());
    proptest::collection::vec(step, 0..120).prop_map(|steps| {
        let mut tree = Tree::new();
        let mut folders = vec![String::new()];
        for (kind, place, name, length, bytes) in steps {
            let above = folders[place.index(folders.len())].clone();
            let path = if above.is_empty() { name } else { format!("{above}/{name}") };
            let is_taken = tree.entries.values().any(|entry| entry.path == path.as_bytes());
            if is_taken || matches!(path.rsplit('/').next(), Some("." | ".." | "lost+found")) || path.len() > 3000 {
                continue;
            }
            let target = vec![b't'; 1 + length as usize % 4095];
            let earlier = tree.entries.values().find(|entry| {
                let before = |path: &[u8]| path.split(|c| *c == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
                matches!(entry.kind, Kind::File { .. }) && before(&entry.path) < before(path.as_bytes())
            });
            let earlier = earlier.map(|entry| entry.path.clone());
            let entry = match (kind, earlier) {
                (0 | 1, _) => {
                    folders.push(path.clone());
                    tree.add(path, Kind::Directory)
                }
                (2, _) => tree.add(path, Kind::SymbolicLink { target }),
                (3, _) => tree.add(path, Kind::CharacterDevice { major: length % 4096, minor: length }),
                (4, _) => tree.add(path, Kind::Fifo),
                (5, Some(target)) => {
                    tree.add(path, Kind::HardLink { target });
                    continue;
                }
                (6, _) => {
                    let mut bytes = noise(length);
                    (0..bytes.len()).filter(|at| at / 4096 % 3 == length as usize % 3).for_each(|at| bytes[at] = 0);
                    tree.sparse(&path, &bytes);
                    continue;
                }
                _ => tree.file(path, &noise(length)),
            };
            entry.mode = u32::from(u16::from_le_bytes([bytes[0], bytes[1]])) & 0o7777;
            (entry.uid, entry.gid) = (u32::from(bytes[2]) << 16, u32::from(bytes[3]) << 12);
            entry.mtime = i64::from(bytes[4]) << 24;
            for number in 0..bytes[5] % 4 {
                let value = vec![bytes[4]; usize::from(bytes[5]) * usize::from(number)];
                entry.xattrs.push((format!("user.{number}"), value));
            }
        }
        tree
    })
}

#[test]
fn any_tree_is_read_back_and_clean() {
    const TEST: &str = "any_tree_is_read_back_and_clean";
    if !have(TEST, &["e2fsck"]) {
        return;
    }
    let folder = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let image = folder.path().join("image");
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    // From a filesystem without a journal to one with several groups of odd lengths.
    let sizes = prop_oneof![Just(7), Just(16), 17..400_u64];
    proptest!(config, |(tree in any_tree(), mib in sizes)| {
        match tree.write(&image, mib * MIB, 200) {
            Ok(()) => tree.check(&image, mib * MIB, 200),
            Err(error) => prop_assert!(matches!(error, WriteError::TooSmall { needed } if needed > mib * MIB), "{}", error),
        }
    });
}
