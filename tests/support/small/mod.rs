//! A small system that goes through every phase of a build in less than a second: packages of a few programs of this
//! machine in a local signed archive, and a project whose recipe and roles take them.
//!
//! Real are dpkg, the shell and the scripts that they run; stand-ins are kernel, loaders and `grub-mkimage`.

#![allow(dead_code, unreachable_pub, reason = "every test program uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use crate::archive::generator::{Archive, Entry, Package, Suite};
use crate::archive::server::Server;
use imgbuild::base::digest::Digest;
use imgbuild::base::process::{Run, find};
use imgbuild::input::Sources;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;

/// The archive's first and second day.
pub const OLD: &str = "Sun, 30 Jun 2024 12:00:00 UTC";
pub const NEW: &str = "Mon, 01 Jul 2024 12:00:00 UTC";

const RECIPE: &str = r#"
version: 1
description: A recipe of the small archive
distribution: debian
suite: small
architecture: amd64
repositories:
  test: {url: "URL", suites: [small], components: [main], keyring: test, check_valid_until: CHECK}
packages: [system]
kernel: generic
kernels: {generic: {packages: [kernel]}}
disk:
  size: 1 GiB
  esp: 64 MiB
  reserve: 64 MiB
  volumes:
    root: {size: 192 MiB, filesystem: ext4, mount: /}
tools: {suite: small, packages: [maker]}
"#;

/// Programs of this machine that the small system consists of.
const PROGRAMS: [&str; 8] = ["dpkg", "sh", "rm", "cat", "ln", "sleep", "mkdir", "dd"];
/// What dpkg wants to see and nobody calls.
const UNUSED: [&str; 5] = ["tar", "diff", "dpkg-deb", "ldconfig", "start-stop-daemon"];

/// Why the small system cannot be made on this machine.
pub fn missing() -> Option<String> {
    let missing = |name: &&&str| program(name).is_none();
    let name = PROGRAMS.iter().chain(&["cc", "ldd"]).find(missing)?;
    Some(format!("{name} is missing"))
}

fn program(name: &str) -> Option<PathBuf> {
    let usual = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(|folder| Path::new(folder).join(name));
    find(name).or_else(|| usual.into_iter().find(|path| path.exists()))
}

/// The packages of one day of the archive, whose `library` and `application` have this version.
pub fn packages(archive: &Archive, version: &str) -> Vec<Package> {
    let mut packages = vec![system(archive), kernel(archive), maker(archive)];
    for (name, role) in [("library", "Depends: system\n"), ("application", "Depends: library (>= 1)\n")] {
        let postinst = format!("#!/bin/sh\nset -e\necho configured > /var/lib/{name}\n");
        packages.push(archive.package_of(
            name,
            version,
            role,
            &[("postinst", &postinst)],
            &[Entry::file(&format!("usr/share/{name}/payload"), 0o644, noise(name, 300_000))],
        ));
    }
    let postinst = "#!/bin/sh\nset -e\nsleep 1\n";
    packages.push(archive.package_of("slow", version, "Depends: system\n", &[("postinst", postinst)], &[]));
    packages
}

/// Bytes that do not pack, always the same.
pub fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut state = seed
        .bytes()
        .fold(0x9e37_79b9_7f4a_7c15_u64, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Programs with the libraries that they need, below `usr`.
fn programs(names: &[&str]) -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::new();
    for name in names {
        let path = program(name).unwrap();

        let target = format!("usr/bin/{name}");
        entries.insert(target.clone(), Entry::file(&target, 0o755, std::fs::read(&path).unwrap()));
        let listed = Run::new("ldd").arg(&path).output().unwrap();
        for word in String::from_utf8_lossy(&listed.stdout).split_whitespace().filter(|word| word.starts_with('/')) {
            let below = word.trim_start_matches('/');
            let target = if below.starts_with("usr/") { below.to_owned() } else { format!("usr/{below}") };
            entries.insert(target.clone(), Entry::file(&target, 0o755, std::fs::read(word).unwrap()));
        }
    }
    entries
}

fn system(archive: &Archive) -> Package {
    let mut entries = programs(&PROGRAMS);
    let mut add = |path: &str, mode: u32, bytes: &[u8]| {
        entries.insert(path.to_owned(), Entry::file(path, mode, bytes.to_vec()));
    };
    for name in UNUSED {
        add(&format!("usr/sbin/{name}"), 0o755, b"#!/bin/sh\nexit 0\n");
    }
    add("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n");
    add("etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n");
    add("etc/shadow", 0o640, b"root:*:19000:0:99999:7:::\n");
    let update = "#!/bin/sh\nset -e\nwhile [ $# -gt 0 ]; do [ \"$1\" != -k ] || version=$2; shift; done\n\
                  { echo \"initial RAM disk of $version\"; cat /usr/share/system/noise; } > /boot/initrd.img-$version\n";
    add("usr/sbin/update-initramfs", 0o755, update.as_bytes());
    add("usr/share/system/noise", 0o644, &noise("system", 2_000_000));
    for number in 0..400 {
        add(&format!("usr/share/system/{number}"), 0o644, format!("file {number}\n").as_bytes());
    }
    let entries: Vec<Entry> = entries.into_values().collect();
    let postinst = "#!/bin/sh\nset -e\nmkdir -p /var/lib/system\necho configured > /var/lib/system/state\n";
    archive.package_of("system", "1", "Essential: yes\n", &[("postinst", postinst)], &entries)
}

fn kernel(archive: &Archive) -> Package {
    let file = |path: &str, length: usize| Entry::file(path, 0o644, noise(path, length));
    let entries = [
        file("boot/vmlinuz-6.1-small", 1_000_000),
        file("usr/lib/shim/shimx64.efi.signed", 100_000),
        file("usr/lib/shim/mmx64.efi.signed", 100_000),
        file("usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", 200_000),
    ];
    archive.package_of("kernel", "6.1", "Depends: system\n", &[], &entries)
}

fn maker(archive: &Archive) -> Package {
    let mut entries = programs(&["sh", "cat"]);
    let mut add = |path: &str, mode: u32, bytes: &[u8]| {
        entries.insert(path.to_owned(), Entry::file(path, mode, bytes.to_vec()));
    };
    add("usr/bin/grub-mkimage", 0o755, b"#!/bin/sh\ncat /usr/lib/grub/i386-pc/core > core.img\n");
    add("usr/lib/grub/i386-pc/boot.img", 0o644, &boot_img());
    add("usr/lib/grub/i386-pc/core", 0o644, &core_img());
    let entries: Vec<Entry> = entries.into_values().collect();
    archive.package_of("maker", "1.47", "", &[], &entries)
}

/// What is known of GRUB's boot.img.
fn boot_img() -> Vec<u8> {
    let mut image = noise("boot", 512);
    image[0] = 0xeb;
    image[0x5a..0x5c].copy_from_slice(&[0, 0x80]);
    image[0x5c..0x64].copy_from_slice(&1_u64.to_le_bytes());
    image[0x66..0x68].copy_from_slice(&[0xeb, 0x05]);
    image[510..].copy_from_slice(&[0x55, 0xaa]);
    image
}

/// What is known of GRUB's core.img: its first sector says how many follow.
fn core_img() -> Vec<u8> {
    let mut image = noise("core", 80 * 512);
    image[0x1f4..0x1fc].copy_from_slice(&2_u64.to_le_bytes());
    image[0x1fc..0x1fe].copy_from_slice(&79_u16.to_le_bytes());
    image[0x1fe..0x200].copy_from_slice(&0x0820_u16.to_le_bytes());
    image
}

/// A project over a small archive.
pub struct Project {
    packages: fn(&Archive, &str) -> Vec<Package>,
    pub archive: Archive,
    pub server: Server,
    pub folder: tempfile::TempDir,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub status: Option<i32>,
    pub out: String,
    pub said: String,
}

impl Project {
    /// The archive is at its first day; the roles are `app`, `other`, `slow` and, without packages, those that are built in.
    pub fn new() -> Self {
        Self::with(packages)
    }

    /// The same over an archive with other packages.
    pub fn with(packages: fn(&Archive, &str) -> Vec<Package>) -> Self {
        let archive = Archive::new();
        let server = Server::start(archive.root());
        let folder = tempfile::Builder::new().prefix("imgbuild-small-").tempdir_in("/var/tmp").unwrap();
        let project = Self { packages, archive, server, folder };
        project.recipe(|text| text.replace("CHECK", "false"));
        project.write("recipes/keyrings/test.asc", &project.archive.keys.armoured());
        for role in Sources::builtin().roles().unwrap().keys() {
            project.role(role, &[]);
        }
        project.role("app", &["application"]);
        project.role("other", &["library"]);
        project.role("slow", &["slow"]);
        project.publish(OLD, "1");
        project
    }

    pub fn recipe(&self, change: impl FnOnce(&str) -> String) {
        self.write("recipes/debian-trixie.yaml", &change(&RECIPE.replace("URL", &self.server.url)));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn role(&self, name: &str, packages: &[&str]) {
        let text = format!("version: 1\ndescription: A role\npackages: [{}]\n", packages.join(", "));
        self.write(&format!("roles/{name}/role.yaml"), &text);
    }

    /// The archive of this day, where `library` and `application` have this version.
    pub fn publish(&self, date: &'static str, version: &str) {
        self.archive.publish(&self.suite(date, version));
    }

    pub fn suite(&self, date: &'static str, version: &str) -> Suite {
        Suite { date, ..Suite::new("small", (self.packages)(&self.archive, version)) }
    }

    /// The program in this project, its cache and results in it.
    pub fn command(&self, line: &str) -> Run {
        self.command_with(line, &self.path("cache"), &self.path("out"))
    }

    pub fn command_with(&self, line: &str, cache: &Path, out: &Path) -> Run {
        Run::new(env!("CARGO_BIN_EXE_imgbuild"))
            .args(line.split_whitespace())
            .arg("-C")
            .arg(self.folder.path())
            .arg("--cache")
            .arg(cache)
            .arg("--out")
            .arg(out)
            .args(["--progress", "none"])
            .env("no_proxy", "127.0.0.1")
    }

    pub fn run(&self, line: &str) -> Ended {
        self.ended(self.command(line).output().unwrap())
    }

    pub fn ended(&self, output: Output) -> Ended {
        let text = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes)
                .replace(&self.server.url, "URL")
                .replace(&self.folder.path().display().to_string(), "PROJECT")
        };
        Ended { status: output.status.code(), out: text(&output.stdout), said: text(&output.stderr) }
    }

    /// What a command that must succeed prints.
    pub fn good(&self, line: &str) -> String {
        let ended = self.run(line);
        assert_eq!((ended.status, ended.said.as_str()), (Some(0), ""), "{line}: {}", ended.out);
        ended.out
    }

    /// What a command that must fail says on standard error.
    pub fn refused(&self, line: &str) -> String {
        let ended = self.run(line);
        assert_eq!((ended.status, ended.out.as_str()), (Some(1), ""), "{line}: {}", ended.said);
        ended.said
    }

    /// The checksums of the newest result of a role, each compared with its file.
    pub fn result(&self, role: &str) -> String {
        checked(&self.path("out/images").join(role).join("latest"))
    }
}

/// The checksums in a folder, each compared with its file.
pub fn checked(folder: &Path) -> String {
    let sums = std::fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    for line in sums.lines() {
        let (digest, name) = line.split_once("  ").unwrap();
        let (found, _) = Digest::of_reader(std::fs::File::open(folder.join(name)).unwrap()).unwrap();
        assert_eq!(found.to_string(), digest, "{name}");
    }
    sums
}

/// Every name below a folder with a file's digest, but for what is written anew by every command (marks of use, locks).
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, String> {
    let listed = imgbuild::base::files::list(folder, 1_000_000).unwrap();
    let told = listed.into_iter().filter_map(|listed| {
        let path = folder.join(&listed.path);
        if path.ends_with("used") || listed.path.starts_with("locks") {
            return None;
        }
        let what = match listed.kind {
            imgbuild::base::files::ListedKind::File { .. } => Digest::of(&std::fs::read(&path).unwrap()).to_string(),
            other => format!("{other:?}"),
        };
        Some((listed.path, what))
    });
    told.collect()
}
