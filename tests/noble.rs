//! The recipe ubuntu-noble against an archive laid out and signed like Ubuntu's, made of Debian trixie's packages: packed
//! with zstd, under Ubuntu's names and paths where the recipe needs them, with updates, security and phasing.
//!
//! Every day, packages are chosen and locked. `tests/machines/noble` has the image built as well, and long runs boot it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

#[path = "support/archive/mod.rs"]
mod archive;

use archive::generator::{Archive, Package, Suite};
use archive::repack::{Changes, meta, repack};
use archive::server::Server;
use imgbuild::base::digest::Digest;
use imgbuild::base::parallel;
use imgbuild::base::process::Run;
use imgbuild::base::progress::Silent;
use imgbuild::input::{Sources, load};
use imgbuild::package::archive::{Client, ClientOptions, HostMirrors, wall_clock};
use imgbuild::package::control::Stanzas;
use imgbuild::package::{Lock, Pin};
use imgbuild::plan::{ImageRequest, Repository, draw_image};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A project whose recipe is the built-in one but for the key.
const RECIPE: &str = "version: 1\nextends: builtin/ubuntu-noble\nrepositories: {ubuntu: {keyring: test}}\n";
/// What Ubuntu's packages need and Debian's do not.
const DEBIAN: &str = "version: 1\nextends: builtin/debian-trixie\n\
    packages: [grub-pc, ubuntu-keyring, -debian-archive-keyring]\n";
const LOCKED: &str = "ubuntu-noble/amd64/generic";

struct Scene {
    folder: tempfile::TempDir,
    cache: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let said = Run::new(env!("CARGO_BIN_EXE_imgbuild")).args(["cache", "status"]).run().unwrap();
        let cache = PathBuf::from(String::from_utf8(said).unwrap().lines().next().unwrap());
        Self { folder: tempfile::tempdir().unwrap(), cache }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn imgbuild(&self, project: &str) -> Run {
        let run = Run::new(env!("CARGO_BIN_EXE_imgbuild")).arg("-C").arg(self.folder.path().join(project));
        run.arg("--cache").arg(&self.cache).args(["--progress", "none"]).env("no_proxy", "127.0.0.1")
    }

    fn lock(&self, project: &str) -> Lock {
        Lock::load(&self.folder.path().join(project).join("imgbuild.lock")).unwrap()
    }

    fn client(&self) -> Client {
        Client::new(ClientOptions {
            cache: self.cache.clone(),
            offline: false,
            jobs: 4,
            mirrors: BTreeMap::new(),
            host: HostMirrors::from_apt(Path::new("/")),
            now: wall_clock(),
            verify: false,
        })
    }

    /// Debian's packages that the archive is made of, each with its paragraph of the index.
    fn debian(&self) -> anyhow::Result<(Vec<Repository>, Vec<(Pin, String)>)> {
        self.write("debian/recipes/debian-trixie.yaml", DEBIAN);
        self.imgbuild("debian").args(["lock", "base"]).run()?;
        let lock = self.lock("debian");
        let pins: Vec<Pin> =
            lock.sections["debian-trixie/amd64/generic"].packages.iter().map(|locked| locked.pin()).collect();
        let sources = Sources::builtin();
        let inputs = load(&sources, "debian-trixie", &["base"]).unwrap();
        let request = ImageRequest {
            recipe: "debian-trixie".to_owned(),
            roles: vec!["base".to_owned()],
            ..ImageRequest::default()
        };
        let repositories = draw_image(&inputs, &request).unwrap().repositories;
        let wanted: BTreeMap<String, &Pin> = pins.iter().map(|pin| (pin.sha256.to_string(), pin)).collect();
        let mut found = BTreeMap::new();
        for index in self.client().indices(&repositories, "amd64", &Silent)? {
            let text = index.text()?;
            for stanza in Stanzas::new(&text) {
                let stanza = stanza?;
                let digest = stanza.get("SHA256").unwrap_or_default();
                if let Some(pin) = wanted.get(digest) {
                    let dropped = ["Filename", "Size", "SHA256", "MD5sum", "Description-md5", "SHA1", "Tag"];
                    let kept = stanza.fields().filter(|(name, _)| !dropped.contains(name));
                    found.insert(
                        digest.to_owned(),
                        ((*pin).clone(), kept.map(|(name, value)| format!("{name}: {value}\n")).collect()),
                    );
                }
            }
        }
        anyhow::ensure!(found.len() == pins.len(), "{} of {} packages are in the indices", found.len(), pins.len());
        Ok((repositories, found.into_values().collect()))
    }
}

/// What is different in Ubuntu.
fn changes(name: &str, control: &str) -> Changes {
    let mut changes = Changes::default();
    let depends = control.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap_or_default();
    match name {
        // By these the build must find its way: no plain name, which only the alternatives' link has.
        "shim-signed" => {
            changes.paths = vec![("usr/lib/shim/shimx64.efi.signed", "usr/lib/shim/shimx64.efi.signed.latest")];
        }
        "grub-efi-amd64-signed" => {
            changes.paths = vec![("grubx64.efi.signed", "grubx64.efi.signed.latest")];
            changes.fields = vec![("Depends", format!("{depends}, grub-efi-amd64 | grub-pc"))];
        }
        "initramfs-tools" => changes.fields = vec![("Depends", format!("{depends}, busybox"))],
        _ => {}
    }
    changes
}

/// The archive: all packages in `noble`, newer ones in `noble-updates` and `noble-security`.
fn publish(archive: &Archive, packages: &[(Pin, String)], files: Option<&BTreeMap<Digest, PathBuf>>) {
    let made = |(pin, control): &(Pin, String)| -> anyhow::Result<Package> {
        let changes = changes(&pin.name, control);
        let bytes = match files {
            Some(files) => repack(&std::fs::read(&files[&pin.sha256])?, &changes),
            None => pin.sha256.to_string().into_bytes(),
        };
        Ok(put(archive, pin, &changes.applied(control), files.is_some(), &bytes))
    };
    let mut release: Vec<Package> = parallel::map_on(2, packages, made).unwrap();
    let kernel = packages.iter().find(|(pin, _)| pin.name == "linux-image-amd64").unwrap();
    let depends = kernel.1.lines().find(|line| line.starts_with("Depends: ")).unwrap();
    for name in ["linux-image-generic", "linux-image-virtual"] {
        release.push(own(archive, name, "6.8.0-90.91", &format!("{depends}\n")));
    }
    release.push(own(archive, "landscape-hint", "1", ""));
    let universe = release.extract_if(.., |package| package.pin.name == "qemu-guest-agent").collect();
    let phased = "Phased-Update-Percentage: 10\n";
    let mut updates = vec![
        own(archive, "linux-image-generic", "6.8.0-91.92", &format!("{depends}\n{phased}")),
        own(archive, "landscape-hint", "2", phased),
        own(archive, "landscape-hint", "1.5", ""),
    ];
    let nano = release.iter().find(|package| package.pin.name == "nano").unwrap();
    updates.push(Package {
        pin: nano.pin.clone(),
        stanza: nano.stanza.replacen(&format!("Version: {}", nano.pin.version), "Version: 99-0ubuntu1", 1) + phased,
    });
    let security = vec![own(archive, "landscape-hint", "1.2", "")];
    let suite = |name: &'static str, components: Vec<(&'static str, Vec<Package>)>| Suite {
        components,
        valid_until: None,
        by_hash: true,
        packings: vec![".gz", ".xz"],
        extra: "Version: 24.04\n",
        edit: |text| {
            // All of Ubuntu's suites have the release's codename.
            let text = text.replace("Origin: Test\nLabel: Test\n", "Origin: Ubuntu\nLabel: Ubuntu\n");
            text.replace("Codename: noble-updates\n", "Codename: noble\n")
                .replace("Codename: noble-security\n", "Codename: noble\n")
                .replace("Components: main universe", "Components: main restricted universe multiverse")
        },
        ..Suite::new(name, Vec::new())
    };
    archive.publish(&suite("noble", vec![("main", release), ("universe", universe)]));
    archive.publish(&suite("noble-updates", vec![("main", updates), ("universe", Vec::new())]));
    archive.publish(&suite("noble-security", vec![("main", security), ("universe", Vec::new())]));
}

fn put(archive: &Archive, pin: &Pin, control: &str, write: bool, bytes: &[u8]) -> Package {
    if write {
        archive.write(&pin.path, bytes);
    }
    let pin = Pin { sha256: Digest::of(bytes), size: bytes.len() as u64, ..pin.clone() };
    let stanza = format!("{control}Filename: {}\nSize: {}\nSHA256: {}\n", pin.path, pin.size, pin.sha256);
    Package { pin, stanza }
}

/// A package of ours, empty.
fn own(archive: &Archive, name: &str, version: &str, more: &str) -> Package {
    let control = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Nobody <nobody@mirror.example>\n{more}\
         Description: made for a test\n"
    );
    let path = format!("pool/main/{}/{name}/{name}_{version}_amd64.deb", &name[..1]);
    let sha256 = Digest::of(b"");
    let pin = Pin {
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: "amd64".to_owned(),
        repository: "ubuntu".to_owned(),
        path,
        size: 0,
        sha256,
    };
    put(archive, &pin, &control, true, &meta(&control))
}

/// Archive and project; `None` (loudly) where Debian's indices cannot be had.
fn scene(whole: bool) -> Option<(Scene, Archive)> {
    let scene = Scene::new();
    let (repositories, packages) = match scene.debian() {
        Ok(found) => found,
        Err(error) => {
            eprintln!("SKIPPED: noble: no Debian packages to make an archive of: {error:#}");
            return None;
        }
    };
    let archive = Archive::new();
    let files = whole.then(|| {
        let pins: Vec<Pin> = packages.iter().map(|(pin, _)| pin.clone()).collect();
        let files = scene.client().fetch(&pins, &repositories, &Silent).unwrap();
        files.into_iter().map(|file| (file.pin.sha256, file.file)).collect::<BTreeMap<_, _>>()
    });
    publish(&archive, &packages, files.as_ref());
    scene.write("noble/recipes/ubuntu-noble.yaml", RECIPE);
    scene.write("noble/recipes/keyrings/test.asc", &archive.keys.armoured());
    scene.write("noble/roles/hint/role.yaml", "version: 1\npackages: [landscape-hint]\n");
    Some((scene, archive))
}

#[test]
fn packages_are_chosen_and_locked_from_an_archive_like_ubuntus() {
    let Some((scene, archive)) = scene(false) else { return };
    let server = Server::start(archive.root());
    let mirror = format!("ubuntu={}", server.url);
    let lock = |project: &str| {
        let line = ["lock", "--recipe", "ubuntu-noble", "base", "hint", "--repository", &mirror];
        scene.imgbuild(project).args(line).output().unwrap()
    };
    let ended = lock("noble");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let locked = scene.lock("noble");
    let section = &locked.sections[LOCKED];
    assert!(section.packages.iter().all(|package| package.repository == "ubuntu"));
    let version = |name: &str| {
        let found: Vec<&str> =
            section.packages.iter().filter(|one| one.name == name).map(|one| one.version.as_str()).collect();
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        found[0].to_owned()
    };
    // Nothing that is being phased in; of what is left, the newest.
    assert_eq!(version("linux-image-generic"), "6.8.0-90.91");
    assert_eq!(version("landscape-hint"), "1.5");
    assert_ne!(version("nano"), "99-0ubuntu1");
    for (package, there) in [("grub-pc", true), ("busybox", true), ("grub-efi-amd64", false), ("snapd", false)] {
        assert_eq!(section.packages.iter().any(|one| one.name == package), there, "{package}");
    }
    // The tools are Debian's, pinned beside.
    assert!(locked.sections["tools/trixie/amd64"].packages.iter().all(|one| one.repository.starts_with("debian")));
    // Ubuntu's own key has not signed this archive.
    scene.write("empty/roles/hint/role.yaml", "version: 1\n");
    let ended = lock("empty");
    assert!(!ended.status.success(), "signed by a stranger, and accepted");
    let said = String::from_utf8_lossy(&ended.stderr).replace(&server.url, "URL");
    insta::assert_snapshot!(said.replace(&archive.keys.subkey_fingerprint(), "FINGERPRINT"), @r"
    error: reading suite `noble` of repository `ubuntu`: verifying URL/dists/noble/InRelease: it is signed by key FINGERPRINT, which keyring `ubuntu-archive` does not hold
    hint: nothing of this archive is used: check the mirror, and the repository's `keyring:` in the recipe
    ");
}

#[test]
#[ignore = "builds an image: tests/machines/noble runs it"]
fn image_is_built_from_repacked_packages() {
    let out =
        std::env::var_os("IMGBUILD_TEST_NOBLE_OUT").expect("IMGBUILD_TEST_NOBLE_OUT names the folder for the image");
    let Some((scene, archive)) = scene(true) else { return };
    let server = Server::start(archive.root());
    let mirror = format!("ubuntu={}", server.url);
    let run = scene.imgbuild("noble").args(["role", "--recipe", "ubuntu-noble", "base", "--repository", &mirror]);
    let ended = run.arg("--format").arg("qcow2").arg("--out").arg(&out).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let image = PathBuf::from(out).join("images/base/latest/base.qcow2");
    let inspected = Run::new(env!("CARGO_BIN_EXE_imgbuild")).arg("inspect").arg(&image).run().unwrap();
    let inspected = String::from_utf8(inspected).unwrap();
    for path in ["EFI/ubuntu/grub.cfg", "EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grubx64.efi", "EFI/BOOT/mmx64.efi"] {
        let known = inspected.lines().any(|line| line.contains(path));
        assert!(known, "{path} is not on the ESP:\n{inspected}");
    }
}
