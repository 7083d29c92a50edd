//! Images held against each other: every kind of change is found at its level and named.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::panic,
    reason = "tests fail by panicking and say what they skip"
)]

mod disk_support;

use disk_support::{Chroot, EPOCH, plan, tools, tree};
use imgbuild::base::epoch::Epoch;
use imgbuild::base::process::Run;
use imgbuild::base::progress::Silent;
use imgbuild::base::tree::{Kind, Tree};
use imgbuild::compare::{self, Comparison, Side};
use imgbuild::disk::{self, DiskImage};
use imgbuild::output::{Compression, write_qcow2, write_raw};
use imgbuild::plan::ImagePlan;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

const LVM_OFFSET: u64 = 266_240 * 512;
const ROOT_OFFSET: u64 = LVM_OFFSET + (1 << 20);

fn compose(tools: &Chroot, plan: &ImagePlan, tree: &Tree, work: &Path, epoch: Epoch) -> DiskImage {
    fs::create_dir_all(work).unwrap();
    let boot = imgbuild::boot::prepare(plan, tree, tools, work).unwrap();
    disk::compose(&plan.disk, tree, &boot, epoch, &Silent).unwrap()
}

fn shown(comparison: &Comparison) -> Vec<String> {
    let line = |difference: &compare::Difference| {
        let place = difference.place.join(", ");
        let file = difference.file.as_deref().map(|file| format!("{file} ")).unwrap_or_default();
        format!("{place}: {file}{} {} | {}", difference.what, difference.a, difference.b)
    };
    comparison.differences.iter().map(line).collect()
}

fn images(a: &Path, b: &Path) -> Comparison {
    let side = |path: &Path| Side { result: None, image: path.to_owned() };
    compare::sides(&side(a), &side(b)).unwrap()
}

struct Pair {
    folder: tempfile::TempDir,
    tools: Chroot,
    first: PathBuf,
}

/// A raw image to compare with, or nothing where there is no GRUB to boot with.
fn pair(test: &str) -> Option<Pair> {
    let tools = tools(test)?;
    let folder = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let image = compose(&tools, &plan(256), &tree(&folder.path().join("tree")), &folder.path().join("work"), EPOCH);
    let first = folder.path().join("first.raw");
    write_raw(&image, &first, 2, &Silent).unwrap();
    Some(Pair { folder, tools, first })
}

impl Pair {
    /// Compares with an image of a changed tree.
    fn changed(&self, name: &str, epoch: Epoch, change: impl FnOnce(&mut Tree)) -> Comparison {
        let mut tree = tree(&self.folder.path().join(format!("{name}-tree")));
        change(&mut tree);
        tree.check().unwrap();
        let image = compose(&self.tools, &plan(256), &tree, &self.folder.path().join(name), epoch);
        let second = self.folder.path().join(format!("{name}.raw"));
        write_raw(&image, &second, 2, &Silent).unwrap();
        images(&self.first, &second)
    }

    /// Compares with a copy in which a byte of the disk is another.
    fn damaged(&self, offset: u64) -> Comparison {
        let copy = self.folder.path().join("damaged.raw");
        let copied = Run::new("cp").arg("--sparse=always").arg(&self.first).arg(&copy).output().unwrap();
        assert!(copied.status.success());
        let file = fs::File::options().read(true).write(true).open(&copy).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[byte[0] ^ 0x55], offset).unwrap();
        images(&self.first, &copy)
    }
}

fn entry<'t>(tree: &'t mut Tree, path: &str) -> &'t mut imgbuild::base::tree::Entry {
    tree.entries.iter_mut().find(|entry| entry.path == path.as_bytes()).unwrap()
}

#[test]
fn changed_files_are_found_by_path_and_by_what_changed() {
    let Some(pair) = pair("changed_files_are_found_by_path_and_by_what_changed") else { return };
    let same = pair.changed("same", EPOCH, |_| {});
    assert!(same.same && same.differences.is_empty() && same.causes.is_empty(), "{same}");

    let root = "partition 3 (lvm), volume root";
    let found = pair.changed("files", EPOCH, |tree| {
        fs::write(tree.contents.join("boot/grub/grub.cfg"), "echo hullo\n").unwrap();
        entry(tree, "usr/share/Főtanúsítvány.pem").mode = 0o4640;
        let ping = entry(tree, "usr/bin/ping");
        ping.uid = 7;
        ping.xattrs[0].1[4] = 1;
        entry(tree, "lib").kind = Kind::SymbolicLink { target: b"usr/lib64".to_vec() };
        entry(tree, "dev/null").kind = Kind::CharacterDevice { major: 1, minor: 5 };
        tree.entries.retain(|entry| entry.path != b"srv");
        fs::write(tree.contents.join("var/log/x"), "2").unwrap();
    });
    let lines = shown(&found);
    let old = "0100000200200000000000000000000000000000";
    let new = "0100000201200000000000000000000000000000";
    for expected in [
        format!("{root}: /boot/grub/grub.cfg contents from byte 6 on 11 bytes | 11 bytes"),
        format!("{root}: /dev/null type character device 1, 3 | character device 1, 5"),
        format!("{root}: /lib target usr/lib | usr/lib64"),
        format!("{root}: /srv only there folder | "),
        format!("{root}: /usr/bin/ping owner 100000:42 | 7:42"),
        format!("{root}: /usr/bin/ping attribute security.capability {old} | {new}"),
        format!("{root}: /usr/share/Főtanúsítvány.pem mode 0640 | 4640"),
    ] {
        assert!(lines.contains(&expected), "{expected}\n{}", lines.join("\n"));
    }
    assert!(lines.iter().any(|line| line.contains("log/x contents from byte 0 on 1 bytes | 1 bytes")), "{lines:?}");
    let excerpt = &found.differences.iter().find(|d| d.what.starts_with("contents from byte 6")).unwrap().lines;
    assert_eq!(excerpt, &["line 1:", "- echo hello", "+ echo hullo"]);
}

#[test]
fn other_clocks_and_other_orders_are_told_as_causes() {
    let Some(pair) = pair("other_clocks_and_other_orders_are_told_as_causes") else { return };
    let found = pair.changed("clock", Epoch(EPOCH.0 + 3600), |_| {});
    assert!(!found.same);
    assert!(
        found.causes.iter().any(|cause| cause.starts_with("other times: the builds had different clocks")),
        "{found}"
    );
    let found = pair.changed("times", EPOCH, |tree| entry(tree, "usr/bin/ping").mtime += 1);
    assert!(shown(&found).iter().any(|line| line.contains("/usr/bin/ping mtime")), "{found}");
    assert_eq!(found.causes.len(), 1, "{found}");
}

#[test]
fn single_bytes_are_found_wherever_they_lie() {
    let Some(pair) = pair("single_bytes_are_found_wherever_they_lie") else { return };
    let cases = [
        (100, "partition table: boot code byte 100"),
        (1 << 19, ": a byte outside of all partitions byte 524288"),
        ((1 << 20) + 5, "partition 1 (bios): contents byte 5"),
        (LVM_OFFSET + 600_000, "partition 3 (lvm): label and metadata byte 600000"),
        (LVM_OFFSET + (1 << 20) + (659 << 20), ": a byte of the volume group that belongs to no volume"),
    ];
    for (offset, expected) in cases {
        let found = pair.damaged(offset);
        assert!(!found.same && shown(&found)[0].starts_with(expected), "{offset}: {:?}", shown(&found));
    }
    // A free block of the root: no file differs, and the last block of the volume belongs to none.
    let found = pair.damaged(ROOT_OFFSET + (256 << 20) - 1);
    let expected = "partition 3 (lvm), volume root: first byte, in a block of an extent tree, of attributes, or of nothing byte 268435455";
    assert!(shown(&found)[0].starts_with(expected), "{:?}", shown(&found));
}

#[test]
fn other_identifiers_are_found_in_their_tables() {
    let Some(pair) = pair("other_identifiers_are_found_in_their_tables") else { return };
    let mut other = plan(256);
    other.disk.guid = imgbuild::base::ids::Uuid::derive("test", "other disk");
    other.disk.volume_group.volumes[0].id = imgbuild::base::ids::LvmId::derive("test", "other volume");
    let tree = tree(&pair.folder.path().join("tree"));
    let image = compose(&pair.tools, &other, &tree, &pair.folder.path().join("other"), EPOCH);
    let second = pair.folder.path().join("other.raw");
    write_raw(&image, &second, 2, &Silent).unwrap();
    let found = images(&pair.first, &second);
    let lines = shown(&found);
    let name = &other.disk.volume_group.volumes[0].name;
    assert!(lines[0].starts_with("partition table: disk GUID"), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with(&format!("partition 3 (lvm): volume {name}"))), "{lines:?}");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(found.causes[0], "identifiers, which derive from the plan: the plans differ (1 difference)");
}

#[test]
fn the_command_ends_as_diff_does() {
    let Some(pair) = pair("the_command_ends_as_diff_does") else { return };
    let image = compose(
        &pair.tools,
        &plan(256),
        &tree(&pair.folder.path().join("again")),
        &pair.folder.path().join("again-work"),
        EPOCH,
    );
    let qcow2 = pair.folder.path().join("image.qcow2");
    write_qcow2(&image, &qcow2, Compression::Zstd, 2, &Silent).unwrap();
    let diff = |a: &Path, b: &Path| {
        let run = Run::new(env!("CARGO_BIN_EXE_imgbuild")).args(["-C", "/", "diff"]).arg(a).arg(b).output().unwrap();
        (run.status.code(), String::from_utf8(run.stdout).unwrap(), String::from_utf8(run.stderr).unwrap())
    };
    let (status, text, _) = diff(&pair.first, &pair.first);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.ends_with("no difference\n"), "{text}");
    let (status, text, _) = diff(&pair.first, &qcow2);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("image file, though the disks in them are the same: raw, "), "{text}");
    assert!(text.contains("format or compression only: both files hold the same disk"), "{text}");
    let (status, text, said) = diff(&pair.first, Path::new("/nowhere/at-all.raw"));
    assert_eq!((status, text.as_str()), (Some(2), ""));
    let expected = "error: /nowhere/at-all.raw is neither a file nor the folder of a result\n\
        hint: name a built image, the folder of its result, or an image file\n";
    assert_eq!(said, expected);

    // Files and folders of an image, by the path that the machine would use: the tree has no table of mounts.
    let inspected = Run::new(env!("CARGO_BIN_EXE_imgbuild")).arg("inspect").arg(format!("{}:/etc", qcow2.display()));
    let said = String::from_utf8(inspected.output().unwrap().stderr).unwrap();
    assert!(said.contains("no volume of this disk holds `/etc`: none has a table of mounts that says so"), "{said}");
}
