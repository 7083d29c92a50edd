//! A locked build carried to a machine without any mirror, through the real command: a project, a small signed archive, a
//! bundle, an empty folder. Whole images are built from bundles by tests/machines/bundle.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

#[path = "support/archive/mod.rs"]
mod archive;

use archive::generator::{Archive, Suite};
use archive::server::{Mode, Server};
use imgbuild::base::digest::Digest;
use imgbuild::base::process::Run;
use imgbuild::package::bundle::{Bundle, package_path};
use std::path::{Path, PathBuf};

const OLD: &str = "Sun, 30 Jun 2024 12:00:00 UTC";
const NEW: &str = "Mon, 01 Jul 2024 12:00:00 UTC";

const RECIPE: &str = r#"
version: 1
description: A recipe of the small archive
distribution: debian
suite: small
architecture: amd64
repositories:
  test: {url: "URL", suites: [small], components: [main], keyring: test, check_valid_until: false}
packages: [system]
kernel: generic
kernels: {generic: {packages: [kernel]}}
disk:
  size: 2 GiB
  volumes:
    root: {size: 1 GiB, filesystem: ext4, mount: /}
tools: {suite: small, packages: [maker]}
"#;

const ROLE: &str = r#"
version: 1
extends: builtin/base
packages: [app]
debs:
  - {file: debs/own.deb}
  - {url: "URL/files/fetched.deb", sha256: FETCHED}
downloads:
  - {url: "URL/files/blob", sha256: BLOB, path: /srv/blob}
parameters: {greeting: {type: string, default: hello}}
build: {file: build}
"#;

struct Scene {
    archive: Archive,
    server: Server,
    folder: tempfile::TempDir,
}

struct Ended {
    status: i32,
    out: String,
    said: String,
}

impl Scene {
    /// A project with one role that has all that a role can bring along, locked, and its bundle.
    fn new() -> Self {
        let archive = Archive::new();
        let server = Server::start(archive.root());
        let scene = Self { archive, server, folder: tempfile::tempdir().unwrap() };
        let fetched = scene.archive.package("fetched", "1", b"fetched").pin;
        let own = scene.archive.package("own", "1", b"own").pin;
        let deb = |path: &str| std::fs::read(scene.archive.path(path)).unwrap();
        scene.archive.write("files/fetched.deb", &deb(&fetched.path));
        scene.archive.write("files/blob", b"a pinned download");
        let role = ROLE
            .replace("URL", &scene.server.url)
            .replace("FETCHED", &fetched.sha256.to_string())
            .replace("BLOB", &Digest::of(b"a pinned download").to_string());
        scene.write("project/recipes/debian-trixie.yaml", RECIPE.replace("URL", &scene.server.url).as_bytes());
        scene.write("project/recipes/keyrings/test.asc", scene.archive.keys.armoured().as_bytes());
        scene.write("project/roles/app/role.yaml", role.as_bytes());
        scene.write("project/roles/app/role.d/10-more.yaml", b"version: 1\nmodules: [dummy]\n");
        scene.write("project/roles/app/debs/own.deb", &deb(&own.path));
        scene.write("project/roles/app/build", b"#!/bin/sh\ntrue\n");
        scene.write("project/roles/app/tree/usr/local/bin/tool", b"#!/bin/sh\n");
        scene.write("project/roles/unused/role.yaml", b"version: 1\npackages: [other]\n");
        let tool = scene.path("project/roles/app/tree/usr/local/bin/tool");
        std::fs::set_permissions(tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("tool", scene.path("project/roles/app/tree/usr/local/bin/alias")).unwrap();
        scene.publish(OLD, "1.0");
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn publish(&self, date: &'static str, version: &str) {
        let package = |name: &str, version: &str, fields: &str| {
            let mut package = self.archive.package(name, version, format!("{name} {version}").as_bytes());
            package.stanza.push_str(fields);
            package
        };
        let packages = vec![
            package("system", version, "Essential: yes\n"),
            package("kernel", "6.1", ""),
            package("library", version, ""),
            package("app", "3.0-1", "Depends: library (>= 1.0)\n"),
            package("other", "5", "Depends: library\n"),
            package("maker", "1.47", ""),
        ];
        self.archive.publish(&Suite { date, ..Suite::new("small", packages) });
    }

    /// Runs in this folder, with a cache of the same name.
    fn run_in(&self, folder: &str, line: &str) -> Ended {
        std::fs::create_dir_all(self.path(folder)).unwrap();
        let output = Run::new(env!("CARGO_BIN_EXE_imgbuild"))
            .args(line.split_whitespace())
            .arg("-C")
            .arg(self.path(folder))
            .arg("--cache")
            .arg(self.path(&format!("cache-{folder}")))
            .args(["--progress", "plain", "--quiet"])
            .env("no_proxy", "127.0.0.1")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            text.replace(&self.server.url, "URL").replace(&self.folder.path().display().to_string(), "HERE")
        };
        Ended { status: output.status.code().unwrap(), out: text(&output.stdout), said: text(&output.stderr) }
    }

    fn good(&self, folder: &str, line: &str) -> String {
        let ended = self.run_in(folder, line);
        assert_eq!(ended.status, 0, "{line}: {}", ended.said);
        ended.out
    }

    fn refused(&self, folder: &str, line: &str) -> String {
        let ended = self.run_in(folder, line);
        assert_eq!((ended.status, ended.out.as_str()), (1, ""), "{line}: {}", ended.said);
        ended.said
    }

    /// The bundle of the role.
    fn bundle(&self) -> PathBuf {
        let file = self.path("app.bundle");
        self.good("project", &format!("bundle app -o {}", file.display()));
        file
    }

    /// What is in the package store of a folder's cache.
    fn stored(&self, folder: &str) -> Vec<String> {
        let store = self.path(&format!("cache-{folder}/packages"));
        let mut found = Vec::new();
        for listed in imgbuild::base::files::list(&store, 1000).unwrap() {
            found.extend(
                listed.path.file_stem().filter(|stem| stem.len() == 64).map(|stem| stem.to_string_lossy().into_owned()),
            );
        }
        found.sort();
        found
    }
}

/// What is left of a build that only fails where maintainer's scripts would have to run: its packages are dummies.
fn reached_the_root(said: &str) -> bool {
    said.contains("building app")
}

#[test]
fn a_bundle_holds_all_that_a_locked_build_takes_and_nothing_else() {
    let scene = Scene::new();
    let file = scene.bundle();
    let bundle = Bundle::open(&file).unwrap();
    let contents = bundle.contents();
    let packages = contents.files.iter().filter(|entry| entry.path.starts_with("packages/")).count();
    // system, kernel, library, app, maker, fetched.deb, blob; own.deb is a document's.
    assert_eq!(packages, 7);
    let blob = package_path(&Digest::of(b"a pinned download"));
    assert!(contents.find(&blob).is_some());
    let others: Vec<&str> = contents
        .files
        .iter()
        .map(|entry| entry.path.as_str())
        .filter(|path| !path.starts_with("packages/") && !path.ends_with(".zst"))
        .collect();
    let expected = [
        "imgbuild.lock",
        "indices/test/small/InRelease",
        "project/recipes/debian-trixie.yaml",
        "project/recipes/keyrings/test.asc",
        "project/roles/app/build",
        "project/roles/app/debs/own.deb",
        "project/roles/app/role.d/10-more.yaml",
        "project/roles/app/role.yaml",
        "project/roles/app/tree/usr/local/bin/tool",
    ];
    assert_eq!(others, expected);
    assert_eq!(contents.links.len(), 1);
    assert_eq!(contents.builtin.keys().collect::<Vec<_>>(), ["roles/base/role.yaml"]);
    assert_eq!(bundle.lock().unwrap().0, std::fs::read(scene.path("project/imgbuild.lock")).unwrap());
    let tool = contents.find("project/roles/app/tree/usr/local/bin/tool").unwrap().1;
    assert!(tool.executable);
}

#[test]
fn what_was_bundled_is_told() {
    let scene = Scene::new();
    let out = scene.good("project", "bundle app");
    let file = scene.path("project/out/bundles/app.bundle");
    let whole = std::fs::read(&file).unwrap();
    let lock = Digest::of(&std::fs::read(scene.path("project/imgbuild.lock")).unwrap());
    let id = Bundle::open(&file).unwrap().contents().images[0].image_id.clone();
    let size = imgbuild::base::size::Bytes(whole.len() as u64);
    let expected = format!(
        "HERE/project/out/bundles/app.bundle\n  bundle     {:>10}  sha256:{}\n  lock                   sha256:{lock}\n  \
         image      app {id}\n  packages   7, the tools' and pinned downloads among them\n  documents  7 of the project\n  \
         index      test/small\n",
        size.to_string(),
        Digest::of(&whole)
    );
    assert_eq!(out, expected);
    // The mirror moves on: the index of the lock is replaced in the cache, and a locked build does not mind.
    scene.publish(NEW, "2.0");
    scene.good("project", "lock diff");
    let out = scene.good("project", "bundle app --locked");
    assert!(
        out.ends_with(
            "  no index   test/small: the cache no longer has the one that the lock was made from; no locked build needs it\n"
        ),
        "{out}"
    );
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let scene = Scene::new();
    let first = std::fs::read(scene.bundle()).unwrap();
    // Another folder, another cache, another time, other modes.
    let copy = Run::new("cp").arg("-r").arg(scene.path("project")).arg(scene.path("other")).output().unwrap();
    assert!(copy.status.success());
    std::fs::remove_dir_all(scene.path("other/roles/unused")).unwrap();
    scene.good("other", "bundle app --locked -o ../second.bundle");
    // The second cache has no index: a locked build asks for none.
    let names = |bytes: &[u8]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let bundle = Bundle::open(file.path()).unwrap();
        let files = bundle.contents().files.iter().map(|entry| (entry.path.clone(), entry.sha256));
        files.filter(|(path, _)| !path.starts_with("indices/")).collect::<Vec<_>>()
    };
    let second = std::fs::read(scene.path("second.bundle")).unwrap();
    assert_eq!(names(&first), names(&second));
    let copied = Run::new("cp").arg("-r").arg(scene.path("cache-project/indices")).arg(scene.path("cache-other/"));
    assert!(copied.output().unwrap().status.success());
    scene.good("other", "bundle app --locked -o ../second.bundle");
    assert_eq!(first, std::fs::read(scene.path("second.bundle")).unwrap());
}

#[test]
fn an_empty_folder_builds_from_the_bundle_alone() {
    let scene = Scene::new();
    let file = scene.bundle();
    scene.server.always("/", Mode::Status(503));
    scene.server.asked();
    let ended = scene.run_in("site", &format!("role app --bundle {}", file.display()));
    assert!(reached_the_root(&ended.said), "{}", ended.said);
    assert!(scene.server.asked().is_empty());
    // Nothing but results is written, and the packages are in the cache under their digests.
    let left: Vec<_> = std::fs::read_dir(scene.path("site")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["out"]);
    assert_eq!(scene.stored("site").len(), 7);
    let opened = std::fs::read_dir(scene.path("cache-site/bundles")).unwrap().count();
    assert_eq!(opened, 0, "the documents were removed");
    // All means all of the bundle, and nothing else is in it.
    let ended = scene.run_in("site", &format!("role --all --bundle {}", file.display()));
    assert!(reached_the_root(&ended.said), "{}", ended.said);
    let said = scene.refused("site", &format!("role gateway --bundle {}", file.display()));
    let expected = "error: reading the bundle HERE/app.bundle: it was not made for the image `gateway`\n\
                    hint: it holds app; a bundle for more is written by `imgbuild bundle NAME...`\n";
    assert_eq!(said, expected);
}

#[test]
fn a_project_with_pins_takes_packages_from_a_bundle() {
    let scene = Scene::new();
    let file = scene.bundle();
    scene.archive.remove("pool/main/l/library/library_1.0_amd64.deb");
    let copy = Run::new("cp").arg("-r").arg(scene.path("project")).arg(scene.path("other")).output().unwrap();
    assert!(copy.status.success());
    let said = scene.refused("other", "role app --locked");
    assert!(said.contains("package library=1.0:amd64 is no longer on the mirror of `test`"), "{said}");
    assert!(said.contains("or a bundle (`--bundle FILE`) that has the package"), "{said}");
    let said = scene.refused("other", &format!("role app --locked --bundle {}", file.display()));
    assert!(reached_the_root(&said), "{said}");
}

#[test]
fn documents_without_pins_are_not_mixed_with_those_of_a_bundle() {
    let scene = Scene::new();
    let file = scene.bundle();
    scene.write("site/roles/own/role.yaml", b"version: 1\n");
    let said = scene.refused("site", &format!("role app --bundle {}", file.display()));
    let expected = "error: HERE/site has roles/ and no imgbuild.lock: whether its documents are meant or those of the \
                    bundle cannot be told\nhint: build in an empty folder (`-C DIR`) for those of the bundle, or \
                    `imgbuild bundle import FILE`\n";
    assert_eq!(said, expected);
}

/// Where the contents of a file begin in a bundle.
fn place(whole: &[u8], path: &str) -> usize {
    let at = whole.chunks(512).skip(1).position(|block| block.starts_with(path.as_bytes()) && block[path.len()] == 0);
    (at.unwrap() + 2) * 512
}

#[test]
fn a_flipped_byte_of_a_package_is_found_and_nothing_is_built() {
    let scene = Scene::new();
    let file = scene.bundle();
    let mut whole = std::fs::read(&file).unwrap();
    let library = scene.archive.package("library", "1.0", b"library 1.0").pin;
    let path = package_path(&library.sha256);
    let at = place(&whole, &path);
    whole[at + 70] ^= 1;
    std::fs::write(&file, &whole).unwrap();
    let said = scene.refused("site", &format!("role app --bundle {}", file.display()));
    let start = format!("error: reading the bundle HERE/app.bundle: `{path}` is damaged: its digest is ");
    assert!(said.starts_with(&start), "{said}");
    let hint = "hint: copy the bundle again, and compare its SHA-256 with the one that `imgbuild bundle` printed\n";
    assert!(said.ends_with(hint), "{said}");
    assert!(!scene.stored("site").contains(&library.sha256.to_string()));
    assert!(!scene.path("site/out/images/app/latest").exists());
}

#[test]
fn a_package_that_the_lock_names_and_the_bundle_lacks_is_told() {
    let scene = Scene::new();
    let file = scene.bundle();
    // A bundle whose index and archive agree, without one package.
    let whole = std::fs::read(&file).unwrap();
    let library = scene.archive.package("library", "1.0", b"library 1.0").pin;
    let path = package_path(&library.sha256);
    let bundle = Bundle::open(&file).unwrap();
    let mut contents = bundle.contents().clone();
    let old_index = contents.text().unwrap().len();
    contents.files.retain(|entry| entry.path != path);
    let index = contents.text().unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_path("bundle.json").unwrap();
    header.set_size(index.len() as u64);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    let begin = place(&whole, &path) - 512;
    let end = begin + 512 + usize::try_from(library.size).unwrap().div_ceil(512) * 512;
    let mut lacking = header.as_bytes().to_vec();
    lacking.extend_from_slice(&index);
    lacking.resize(lacking.len().div_ceil(512) * 512, 0);
    lacking.extend_from_slice(&whole[512 + old_index.div_ceil(512) * 512..begin]);
    lacking.extend_from_slice(&whole[end..]);
    std::fs::write(&file, lacking).unwrap();
    let said = scene.refused("site", &format!("role app --bundle {}", file.display()));
    let expected = "error: 1 of what is pinned are neither in the cache nor in HERE/app.bundle, and the network is off: \
                    library=1.0:amd64\nhint: where a mirror or a cache has them, write the bundle anew with \
                    `imgbuild bundle NAME`\n";
    assert_eq!(said, expected);
}

#[test]
fn what_is_no_bundle_is_refused() {
    let scene = Scene::new();
    let cases: [(&str, &[u8], &str); 2] = [
        (
            "empty",
            b"",
            "it is no bundle: its first file is not bundle.json\nhint: `imgbuild bundle NAME -o FILE` writes one\n",
        ),
        (
            "other",
            &[b'x'; 2000],
            "it is no bundle: its first file is not bundle.json\nhint: `imgbuild bundle NAME -o FILE` writes one\n",
        ),
    ];
    for (name, bytes, expected) in cases {
        scene.write(name, bytes);
        for line in ["role app --bundle ../", "bundle import ../"] {
            let said = scene.refused("site", &format!("{line}{name}"));
            assert_eq!(said, format!("error: reading the bundle HERE/site/../{name}: {expected}"));
        }
    }
    let said = scene.refused("site", "bundle import ../nothing");
    let expected = "error: reading the bundle HERE/site/../nothing: reading it: No such file or directory (os error 2)\n\
                    hint: name a bundle that can be read: `imgbuild bundle NAME -o FILE` writes one\n";
    assert_eq!(said, expected);
}

#[test]
fn imported_bundles_give_a_project_that_can_be_locked_further_without_a_mirror() {
    let scene = Scene::new();
    let file = scene.bundle();
    scene.server.always("/", Mode::Status(503));
    let out = scene.good("site", &format!("bundle import {}", file.display()));
    let lock = Digest::of(&std::fs::read(scene.path("project/imgbuild.lock")).unwrap());
    let expected = format!(
        "imported 7 packages and 1 indices into HERE/cache-site, and 8 documents into HERE/site\nlock sha256:{lock}, for app\n"
    );
    assert_eq!(out, expected);
    assert_eq!(scene.good("site", "lock app --locked --offline"), "the lock is unchanged\n");
    // Signature, keyring and index came along.
    scene.write("site/roles/more/role.yaml", b"version: 1\npackages: [other]\n");
    let added = "debian-trixie/amd64/generic\n  added       other  5\n";
    assert_eq!(scene.good("site", "lock more --offline"), added);
    assert!(scene.path("site/roles/app/tree/usr/local/bin/alias").is_symlink());

    // What is there and is the same is no hindrance, what is other is never replaced.
    scene.write("site/roles/app/build", b"#!/bin/sh\nfalse\n");
    let said = scene.refused("site", &format!("bundle import {}", file.display()));
    let expected = "error: reading the bundle HERE/app.bundle: HERE/site has other contents in imgbuild.lock, \
                    roles/app/build; nothing was imported\nhint: import into another folder with `-C DIR`; or build with \
                    the project's own pins: `imgbuild role NAME --bundle FILE`\n";
    assert_eq!(said, expected);
}

#[test]
fn parameters_of_the_bundle_count_and_another_program_is_told_of() {
    let scene = Scene::new();
    let file = scene.path("app.bundle");
    scene.good("project", &format!("bundle app --parameter greeting=moin -o {}", file.display()));
    let bundle = Bundle::open(&file).unwrap();
    assert_eq!(bundle.contents().parameters["greeting"], "moin");
    let whole = std::fs::read(&file).unwrap();
    let text = String::from_utf8_lossy(&whole).into_owned();
    let id = bundle.contents().images[0].image_id.clone();
    assert!(text.contains(&id));
    // As if another imgbuild had called it otherwise.
    let at = text.find(&id).unwrap();
    let mut other = whole.clone();
    other[at..at + 16].copy_from_slice(b"0000000000000000");
    std::fs::write(&file, &other).unwrap();
    let ended = scene.run_in("site", &format!("role app --bundle {}", file.display()));
    let warning =
        format!("imgbuild 0.1.0 called the image app 0000000000000000; this is imgbuild 0.1.0, which makes {id} of it");
    assert!(ended.said.contains(&warning), "{}", ended.said);
    std::fs::write(&file, &whole).unwrap();
    let ended = scene.run_in("site", &format!("role app --bundle {}", file.display()));
    assert!(!ended.said.contains("called the image"), "{}", ended.said);
}

#[test]
fn damaged_caches_are_not_bundled() {
    let scene = Scene::new();
    scene.bundle();
    let library = scene.archive.package("library", "1.0", b"library 1.0").pin;
    let digest = library.sha256.to_string();
    let kept = scene.path(&format!("cache-project/packages/{}/{digest}.deb", &digest[..2]));
    let mut bytes = std::fs::read(&kept).unwrap();
    bytes[100] ^= 1;
    std::fs::remove_file(&kept).unwrap();
    std::fs::write(&kept, &bytes).unwrap();
    let target = scene.path("new/app.bundle");
    let said = scene.refused("project", &format!("bundle app -o {}", target.display()));
    let start = format!("error: writing HERE/new/app.bundle: {} is damaged: its digest is ", shown(&scene, &kept));
    assert!(said.starts_with(&start), "{said}");
    assert!(said.ends_with("hint: remove the file; the next command that needs it fetches it again\n"), "{said}");
    assert_eq!(std::fs::read_dir(target.parent().unwrap()).unwrap().count(), 0);
}

fn shown(scene: &Scene, path: &Path) -> String {
    path.display().to_string().replace(&scene.folder.path().display().to_string(), "HERE")
}
