//! What the cache and the results hold is damaged: it is found, got or made again, and said once.

use super::{leftovers, quiet, scene, undisturbed};
use crate::small::{Ended, NEW, Project};
use std::path::{Path, PathBuf};

/// Changes one byte in the middle of a file.
fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    write(path, &bytes);
}

fn truncate(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    write(path, &bytes[..bytes.len() / 2]);
}

/// As a hand would that knows nothing of read-only files.
fn write(path: &Path, bytes: &[u8]) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// The cached file of a package, by a part of its name.
fn package(project: &Project, name: &str) -> PathBuf {
    let lock = std::fs::read_to_string(project.path("imgbuild.lock")).unwrap();
    let line = lock.lines().find(|line| line.contains(&format!("/{name}_"))).unwrap();
    let digest = line.split(|c: char| !c.is_ascii_hexdigit()).find(|word| word.len() == 64).unwrap();
    project.path(&format!("cache/packages/{}/{digest}.deb", &digest[..2]))
}

fn below(project: &Project, folder: &str) -> PathBuf {
    let entries = std::fs::read_dir(project.path(folder)).unwrap();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found.remove(0)
}

/// A build that succeeds, warns so, and gives these checksums.
fn mends(project: &Project, sums: &str, warning: &str) {
    let Ended { status, said, .. } = project.run("role app");
    assert_eq!((status, said.as_str()), (Some(0), warning));
    assert_eq!(undisturbed(project), sums);
    // Said once.
    assert!(project.good("role app").contains(" unchanged in "));
    assert_eq!(leftovers(project), [""; 0]);
}

#[test]
fn damaged_packages_are_fetched_again() {
    let Some(project) = scene("faults_build") else { return };
    let sums = undisturbed(&project);
    for (name, version, damage) in [("application", "1", flip as fn(&Path)), ("application", "1", truncate)] {
        damage(&package(&project, name));
        std::fs::remove_dir_all(project.path("out")).unwrap();
        let warning = format!("warning: package {name}={version} was damaged in the cache and is removed from it\n");
        mends(&project, &sums, &warning);
    }
    // Without a network it is a refusal, and says what to do.
    flip(&package(&project, "application"));
    std::fs::remove_dir_all(project.path("out")).unwrap();
    assert_eq!(
        project.refused("role app --offline"),
        "warning: package application=1 was damaged in the cache and is removed from it\n\
         error: 1 of the pinned packages are not in the cache, and the network is off: application=1:amd64\n\
         hint: run once without `--offline`, or give a cache (`--cache DIR`) or a bundle (`--bundle FILE`) that has them\n"
    );
}

#[test]
fn damaged_roots_are_made_again() {
    let Some(project) = scene("faults_build") else { return };
    let sums = undisturbed(&project);
    let damages: [(&str, &str, &str, fn(&Path)); 4] = [
        ("cache/bases", "root/usr/share/system/7", "base layer", flip),
        ("cache/bases", "root/usr/share/system/8", "base layer", |path| std::fs::remove_file(path).unwrap()),
        ("cache/tools", "root/usr/bin/grub-mkimage", "tools root", truncate),
        ("cache/tools", "root/usr/bin/cat", "tools root", |path| {
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        }),
    ];
    for (folder, file, name, damage) in damages {
        damage(&below(&project, folder).join(file));
        std::fs::remove_dir_all(project.path("out")).unwrap();
        mends(&project, &sums, &format!("warning: the {name} was damaged in the cache: it is made again\n"));
    }
    quiet(&project);
}

#[test]
fn damaged_indices_are_fetched_again() {
    let Some(project) = scene("faults_build") else { return };
    let folder = project.path("cache/indices/test/small");
    let index = || {
        let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.file_name().unwrap().len() == 64).collect::<Vec<_>>().remove(0)
    };
    project.good("lock");
    for damage in [flip as fn(&Path), truncate] {
        damage(&index());
        let ended = project.run("lock --update");
        let warning =
            "warning: `main/binary-amd64/Packages` of suite `small` was damaged in the cache: it is fetched again\n";
        assert_eq!(
            (ended.status, ended.said.as_str(), ended.out.as_str()),
            (Some(0), warning, "the lock is unchanged\n")
        );
    }
    flip(&index());
    let damaged = index().display().to_string().replace(&project.folder.path().display().to_string(), "PROJECT");
    assert_eq!(
        project.refused("lock --update --offline"),
        format!(
            "error: reading suite `small` of repository `test`: {damaged} was damaged, and the network is off\n\
             hint: run once without `--offline`\n"
        )
    );
    flip(&folder.join("InRelease"));
    let said = project.refused("lock --update --offline");
    assert!(said.contains("verifying PROJECT/cache/indices/test/small/InRelease: "), "{said}");
    project.publish(NEW, "2");
    assert!(project.good("lock --update").contains("application  1 -> 2\n"));
}

#[test]
fn damaged_results_are_built_again() {
    let Some(project) = scene("faults_build") else { return };
    let sums = undisturbed(&project);
    let folder = std::fs::canonicalize(project.path("out/images/app/latest")).unwrap();
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let warning = format!("warning: PROJECT/out/images/app/{name} was damaged: it is built again\n");
    let files = ["app.qcow2", "manifest.json", "SHA256SUMS", "sbom.spdx.json", "vmlinuz", "initrd.img"];
    for (at, file) in files.into_iter().enumerate() {
        if at % 2 == 0 {
            flip(&folder.join(file))
        } else {
            truncate(&folder.join(file))
        }
        mends(&project, &sums, &warning);
    }
    std::fs::remove_file(folder.join("vmlinuz")).unwrap();
    mends(&project, &sums, &warning);
    // Written to, but with what was there: nothing is damaged.
    let image = folder.join("app.qcow2");
    write(&image, &std::fs::read(&image).unwrap());
    assert!(project.good("role app").contains(" unchanged in "));
}

#[test]
fn damaged_lock_asks_a_person() {
    let Some(project) = scene("faults_build") else { return };
    let lock = project.path("imgbuild.lock");
    truncate(&lock);
    let before = std::fs::read(&lock).unwrap();
    let said = project.refused("role app");
    assert!(said.starts_with("error: ") && said.contains("imgbuild.lock") && said.contains("\nhint: "), "{said}");
    assert_eq!(std::fs::read(&lock).unwrap(), before);
}
