//! Publishing: complete or not at all.

use super::*;
use crate::output::example;

fn publish(out: &Path, id: &str, contents: &str) -> Published {
    let mut build = example::build_plan();
    build.image_id = id.to_owned();
    let mut staging = Staging::begin(out, "haproxy").unwrap();
    fs::write(staging.folder().join("haproxy.qcow2"), contents).unwrap();
    staging.add("haproxy.qcow2", ArtifactKind::Qcow2Zstd).unwrap();
    staging.publish(&build).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    files::list(folder, 100).unwrap().into_iter().map(|listed| listed.path.display().to_string()).collect()
}

#[test]
fn published_results_are_complete_and_latest_points_to_them() {
    let out = tempfile::tempdir().unwrap();
    let result = publish(out.path(), "one", "image");
    assert_eq!(names(&result.folder), ["SHA256SUMS", "haproxy.qcow2", "manifest.json", "sbom.spdx.json"]);
    assert_eq!(published(out.path(), "haproxy", "one"), Some(result.clone()));
    let home = image_folder(out.path(), "haproxy");
    assert_eq!(fs::read_link(home.join("latest")).unwrap(), Path::new("one"));
    let sums = fs::read_to_string(result.folder.join("SHA256SUMS")).unwrap();
    for (name, digest) in super::super::read_checksums(&sums).unwrap() {
        assert_eq!(Digest::of(&fs::read(result.folder.join(&name)).unwrap()), digest, "{name}");
    }
    publish(out.path(), "two", "image");
    assert_eq!(fs::read_link(home.join("latest")).unwrap(), Path::new("two"));
    assert_eq!(fs::metadata(result.folder.join("manifest.json")).unwrap().permissions().mode() & 0o777, 0o644);
}

#[test]
fn a_result_abandoned_leaves_nothing_and_changes_nothing() {
    let out = tempfile::tempdir().unwrap();
    publish(out.path(), "one", "image");
    let before = names(out.path());
    let staging = Staging::begin(out.path(), "haproxy").unwrap();
    fs::write(staging.folder().join("haproxy.raw"), "half").unwrap();
    drop(staging);
    assert_eq!(names(out.path()), before);
}

#[test]
fn what_a_killed_build_left_is_swept_but_a_running_build_is_left_alone() {
    let out = tempfile::tempdir().unwrap();
    let home = image_folder(out.path(), "haproxy");
    fs::create_dir_all(home.join(".building-dead")).unwrap();
    let running = Staging::begin(out.path(), "haproxy").unwrap();
    assert!(!home.join(".building-dead").exists());
    let second = Staging::begin(out.path(), "haproxy").unwrap();
    assert!(running.folder().exists() && second.folder().exists());
}

#[test]
fn builds_of_one_image_that_begin_together_do_not_sweep_each_other() {
    let out = tempfile::tempdir().unwrap();
    let home = image_folder(out.path(), "haproxy");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (out, home) = (out.path(), &home);
            scope.spawn(move || {
                for round in 0..25 {
                    let staging = Staging::begin(out, "haproxy").unwrap();
                    turn_latest(home, &format!("{thread}-{round}")).unwrap();
                    assert!(staging.folder().exists());
                }
            });
        }
    });
}

#[test]
fn a_further_format_joins_what_was_published_before() {
    let out = tempfile::tempdir().unwrap();
    let first = publish(out.path(), "one", "image");
    let mut build = example::build_plan();
    build.image_id = "one".to_owned();
    let mut staging = Staging::begin(out.path(), "haproxy").unwrap();
    staging.carry_over(&first).unwrap();
    assert!(!staging.folder().join("haproxy.qcow2").exists(), "nothing written now may reach an earlier result");
    fs::write(staging.folder().join("haproxy.raw"), "raw image").unwrap();
    staging.add("haproxy.raw", ArtifactKind::Raw).unwrap();
    let both = staging.publish(&build).unwrap();
    let expected = ["SHA256SUMS", "haproxy.qcow2", "haproxy.raw", "manifest.json", "sbom.spdx.json"];
    assert_eq!(names(&both.folder), expected);
    assert_eq!(both.manifest.artifact(ArtifactKind::Qcow2Zstd), first.manifest.artifact(ArtifactKind::Qcow2Zstd));
    assert_eq!(names(&image_folder(out.path(), "haproxy")).len(), expected.len() + 2, "folder, link and files only");
}

#[test]
fn a_result_with_a_shortened_or_missing_file_is_not_complete() {
    let out = tempfile::tempdir().unwrap();
    let result = publish(out.path(), "one", "image");
    fs::write(result.folder.join("haproxy.qcow2"), "imag").unwrap();
    assert_eq!(published(out.path(), "haproxy", "one"), None);
    fs::remove_file(result.folder.join("haproxy.qcow2")).unwrap();
    assert_eq!(published(out.path(), "haproxy", "one"), None);
    assert_eq!(published(out.path(), "haproxy", "other"), None);
}

#[test]
fn pruning_keeps_the_newest_and_always_the_latest() {
    let out = tempfile::tempdir().unwrap();
    for id in ["a", "b", "c", "d", "e"] {
        let result = publish(out.path(), id, id);
        let seconds = 1_000_000 + u64::from(id.as_bytes()[0]);
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        File::open(&result.folder).unwrap().set_modified(time).unwrap();
    }
    let home = image_folder(out.path(), "haproxy");
    turn_latest(&home, "a").unwrap();
    assert_eq!(prune(out.path(), KEPT).unwrap(), [home.join("b"), home.join("c")]);
    let left: Vec<String> = folders(&home).unwrap().into_iter().map(|(_, name)| name).collect();
    assert_eq!(left, ["a", "d", "e"]);
    assert_eq!(prune(&out.path().join("nowhere"), KEPT).unwrap(), Vec::<PathBuf>::new());
}
