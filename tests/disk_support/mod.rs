//! A small disk to compose, a tools root made by mmdebstrap, and a runner that needs no sandbox.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::panic,
    reason = "tests fail by panicking and say what they skip"
)]
#![allow(dead_code, reason = "each test file uses its part")]

use anyhow::{Context as _, Result};
use imgbuild::base::epoch::Epoch;
use imgbuild::base::ids::{LvmId, Uuid};
use imgbuild::base::process::{self, Run};
use imgbuild::base::size::{Bytes, Extents, GIB, MIB, Sectors};
use imgbuild::base::tree::{Entry, Kind, Tree};
use imgbuild::boot::{Call, Tools};
use imgbuild::plan::{Disk, Distribution, Filesystem, ImagePlan, Layer, Partition, PartitionRole, Volume, VolumeGroup};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub(crate) const EPOCH: Epoch = Epoch(1_700_000_000);

/// Whether all these programs are there; says which one is not.
pub(crate) fn have(test: &str, programs: &[&str]) -> bool {
    match programs.iter().find(|program| process::find(program).is_none()) {
        Some(missing) => {
            eprintln!("SKIPPED {test}: {missing} is not installed");
            false
        }
        None => true,
    }
}

/// What a program says on both streams, and whether it ended with 0.
pub(crate) fn said(program: &str, arguments: &[&str]) -> (String, bool) {
    let output = Run::new(program).args(arguments).env("LC_ALL", "C.UTF-8").output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&text).into_owned(), output.status.success())
}

/// Programs of an unpacked trixie root, run by that root's own loader.
pub(crate) struct Chroot {
    pub root: PathBuf,
}

impl Tools for Chroot {
    fn run(&self, call: &Call<'_>) -> Result<String> {
        let libraries = self.root.join("usr/lib/x86_64-linux-gnu");
        let folders = ["usr/sbin", "usr/bin"].map(|folder| self.root.join(folder).join(call.program));
        let program = folders.into_iter().find(|file| file.exists()).context("no such program")?;
        let here = |argument: &String| match argument.strip_prefix("/usr/lib/") {
            Some(rest) => self.root.join("usr/lib").join(rest).display().to_string(),
            None => argument.clone(),
        };
        // env(1) sets the folder; the door to processes does not.
        let mut run = Run::new("env")
            .arg("-C")
            .arg(call.folder)
            .arg(libraries.join("ld-linux-x86-64.so.2"))
            .arg("--library-path")
            .arg(&libraries)
            .arg(program)
            .args(call.arguments.iter().map(here))
            .env("MKE2FS_CONFIG", self.root.join("etc/mke2fs.conf"))
            .env("LC_ALL", "C.UTF-8");
        for (name, value) in &call.environment {
            run = run.env(name, value);
        }
        let output = run.output()?;
        anyhow::ensure!(output.status.success(), "`{}` failed{}", run.line(), process::tail(&output));
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>> {
        Ok(fs::read(self.root.join(path.trim_start_matches('/')))?)
    }
}

/// A trixie root with mke2fs and GRUB: named by `IMGBUILD_TEST_TOOLS`, or made once per target folder.
pub(crate) fn tools(test: &str) -> Option<Chroot> {
    static ROOT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let root = ROOT.get_or_init(|| {
        if let Some(root) = std::env::var_os("IMGBUILD_TEST_TOOLS") {
            return Ok(root.into());
        }
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let root = target.join("trixie-tools");
        let mark = root.join("etc/mke2fs.conf");
        if !mark.exists() {
            let _ = fs::remove_dir_all(&root);
            let packages = "--include=e2fsprogs,libarchive13t64,grub-pc-bin,grub-common";
            let made = Run::new("mmdebstrap").args(["--variant=extract", packages, "trixie"]).arg(&root).run();
            made.map_err(|error| format!("{error:#}"))?;
        }
        Ok(root)
    });
    match root {
        Ok(root) => Some(Chroot { root: root.clone() }),
        Err(error) => {
            eprintln!("SKIPPED {test}: no trixie root with mke2fs: {error}");
            None
        }
    }
}

fn volume(name: &str, mount: &str, filesystem: Filesystem, start: u64, mib: u64) -> Volume {
    Volume {
        name: name.to_owned(),
        id: LvmId::derive("test", name),
        start: Extents(start),
        extents: Bytes(mib * MIB).extents_up(),
        filesystem,
        mount: mount.to_owned(),
        options: "defaults".to_owned(),
        uuid: Uuid::derive("test", name),
        label: name.to_owned(),
        weight: 0,
        maximum: None,
    }
}

/// A plan with volumes for `/` (of so many MiB), `/var`, swap and data that is formatted later.
pub(crate) fn plan(root_mib: u64) -> ImagePlan {
    let mut volumes: Vec<Volume> = Vec::new();
    for (name, mount, filesystem, mib) in [
        ("root", "/", Filesystem::Ext4, root_mib),
        ("my-var", "/var", Filesystem::Ext4, 256),
        ("swap", "none", Filesystem::Swap, 64),
        ("data", "/srv", Filesystem::Ext4AtFirstBoot, 64),
    ] {
        let start = volumes.last().map_or(0, |last| last.start.0 + last.extents.0);
        volumes.push(volume(name, mount, filesystem, start, mib));
    }
    let extents: u64 = volumes.iter().map(|volume| volume.extents.0).sum::<u64>() + 10;
    let lvm_sectors = (extents * 4 * MIB + MIB) / 512;
    let size = (266_240 + lvm_sectors + 2048) * 512;
    let partition = |number: u32, name: &str, role, first: u64, length: u64| Partition {
        number,
        name: name.to_owned(),
        role,
        guid: Uuid::derive("test", &format!("partition/{number}")),
        first: Sectors(first),
        length: Sectors(length),
    };
    let disk = Disk {
        size: Bytes(size),
        guid: Uuid::derive("test", "disk"),
        partitions: vec![
            partition(1, "bios", PartitionRole::BiosBoot, 2048, 2048),
            partition(2, "esp", PartitionRole::Esp, 4096, 262_144),
            partition(3, "lvm", PartitionRole::Lvm, 266_240, lvm_sectors),
        ],
        volume_group: VolumeGroup {
            name: "vg0".to_owned(),
            id: LvmId::derive("test", "group"),
            pv_id: LvmId::derive("test", "pv"),
            extents: Extents(extents),
            volumes,
            reserve: Bytes(GIB),
        },
    };
    ImagePlan {
        name: "test".to_owned(),
        recipe: "test".to_owned(),
        roles: Vec::new(),
        distribution: Distribution { id: "debian".into(), suite: "trixie".into(), efi_folder: "debian".into() },
        architecture: "amd64".to_owned(),
        kernel: "generic".to_owned(),
        repositories: Vec::new(),
        recipe_repositories: 0,
        recommends: false,
        base: Layer::default(),
        role: Layer::default(),
        kernel_arguments: Vec::new(),
        trust: Vec::new(),
        tools: imgbuild::plan::Tools { repositories: Vec::new(), suite: "trixie".into(), packages: Vec::new() },
        disk,
    }
}

/// A small root with everything that a filesystem can hold, its contents below `folder`.
pub(crate) fn tree(folder: &Path) -> Tree {
    let long = format!("usr/share/{}", "n".repeat(240));
    let file = |path: &str, bytes: &[u8]| {
        let at = folder.join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, bytes).unwrap();
        (path.to_owned(), Kind::File { size: bytes.len() as u64 })
    };
    let directory = |path: &str| (path.to_owned(), Kind::Directory);
    let noise: Vec<u8> = (0..2_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut entries = vec![
        directory(""),
        directory("boot"),
        directory("boot/grub"),
        file("boot/grub/grub.cfg", b"echo hello\n"),
        directory("dev"),
        ("dev/null".to_owned(), Kind::CharacterDevice { major: 1, minor: 3 }),
        ("lib".to_owned(), Kind::SymbolicLink { target: b"usr/lib".to_vec() }),
        directory("srv"),
        directory("usr"),
        directory("usr/bin"),
        file("usr/bin/ping", b"ping"),
        ("usr/bin/ping4".to_owned(), Kind::HardLink { target: b"usr/bin/ping".to_vec() }),
        directory("usr/lib"),
        directory("usr/lib/grub"),
        directory("usr/lib/grub/x86_64-efi-signed"),
        file("usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", &noise),
        directory("usr/lib/shim"),
        file("usr/lib/shim/mmx64.efi.signed", b"mok manager"),
        file("usr/lib/shim/shimx64.efi.signed", b"shim"),
        directory("usr/share"),
        file("usr/share/Főtanúsítvány.pem", b"certificate"),
        file(&long, b"long"),
        directory("var"),
        directory("var/log"),
        file("var/log/x", b"1"),
    ];
    let order = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    entries.sort_by_key(|(path, _)| if path.is_empty() { Vec::new() } else { order(path) });
    let entries = entries.into_iter().map(|(path, kind)| {
        let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].to_vec();
        let ping = path == "usr/bin/ping";
        Entry {
            mode: if matches!(kind, Kind::Directory) { 0o755 } else { 0o640 },
            uid: if ping { 100_000 } else { 0 },
            gid: 42,
            mtime: 1_600_000_000,
            xattrs: if ping { vec![("security.capability".to_owned(), capability)] } else { Vec::new() },
            path: path.into_bytes(),
            kind,
        }
    });
    let tree = Tree { entries: entries.collect(), contents: folder.to_owned() };
    tree.check().unwrap();
    tree
}

/// A folder of this machine as a tree, with its true owners (without attributes); sockets are left out.
pub(crate) fn tree_of_folder(root: &Path) -> Tree {
    fn walk(root: &Path, path: &Path, entries: &mut Vec<Entry>, seen: &mut std::collections::BTreeMap<u64, Vec<u8>>) {
        let data = fs::symlink_metadata(root.join(path)).unwrap();
        let bytes = path.as_os_str().as_bytes().to_vec();
        let device = (rustix::fs::major(data.rdev()), rustix::fs::minor(data.rdev()));
        let kind = match data.mode() & 0o170_000 {
            0o040_000 => Kind::Directory,
            0o120_000 => {
                let target = fs::read_link(root.join(path)).unwrap();
                Kind::SymbolicLink { target: target.as_os_str().as_bytes().to_vec() }
            }
            0o020_000 => Kind::CharacterDevice { major: device.0, minor: device.1 },
            0o060_000 => Kind::BlockDevice { major: device.0, minor: device.1 },
            0o100_000 => match seen.get(&data.ino()) {
                Some(target) if data.nlink() > 1 => Kind::HardLink { target: target.clone() },
                _ => {
                    seen.insert(data.ino(), bytes.clone());
                    Kind::File { size: data.len() }
                }
            },
            _ => return,
        };
        let is_directory = kind == Kind::Directory;
        entries.push(Entry {
            path: bytes,
            kind,
            mode: data.mode() & 0o7777,
            uid: data.uid(),
            gid: data.gid(),
            mtime: EPOCH.clamp(data.mtime()),
            xattrs: Vec::new(),
        });
        if is_directory {
            let mut names: Vec<_> =
                fs::read_dir(root.join(path)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
            for name in names {
                walk(root, &path.join(name), entries, seen);
            }
        }
    }
    let mut entries = Vec::new();
    walk(root, Path::new(""), &mut entries, &mut std::collections::BTreeMap::new());
    let tree = Tree { entries, contents: root.to_owned() };
    tree.check().unwrap();
    tree
}
