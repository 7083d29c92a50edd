//! Laws of documents: what people write, what an earlier build wrote.

use imgbuild::input::{Problems, Sources, builtin_files, load, load_cluster};
use imgbuild::output::{Manifest, checksums as write_checksums, read_checksums};
use imgbuild::package::Lock;
use imgbuild::plan::draw_cluster;
use std::cell::RefCell;
use std::collections::BTreeSet;

pub fn lock(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match Lock::parse(text) {
        Ok(lock) => {
            let written = lock.text();
            assert_eq!(Lock::parse(&written).expect("what was written is read"), lock, "{written}");
        }
        Err(error) => assert!(!error.to_string().is_empty() && !error.remedy().is_empty()),
    }
}

thread_local! {
    static PROJECT: RefCell<tempfile::TempDir> = RefCell::new(project());
}

/// A folder in memory where there is one.
pub(super) fn in_memory() -> tempfile::TempDir {
    let shared = std::path::Path::new("/dev/shm");
    if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.unwrap()
}

/// A project folder, with a recipe that is read in a moment: the built-in one, but for its long keyring and its files.
fn project() -> tempfile::TempDir {
    let folder = in_memory();
    std::fs::create_dir_all(folder.path().join("roles/fuzz")).unwrap();
    std::fs::create_dir_all(folder.path().join("seeds/fuzz")).unwrap();
    std::fs::create_dir_all(folder.path().join("recipes/keyrings")).unwrap();
    let (_, recipe) = builtin_files().iter().find(|(path, _)| *path == "recipes/debian-trixie.yaml").unwrap();
    let recipe = String::from_utf8_lossy(recipe).replace("keyring: debian-archive-trixie", "keyring: small");
    std::fs::write(folder.path().join("recipes/small.yaml"), recipe).unwrap();
    std::fs::write(folder.path().join("recipes/keyrings/small.asc"), "key").unwrap();
    load(&Sources::new(folder.path()), "small", &["base"]).expect("the small recipe is sound");
    folder
}

pub fn yaml(input: &[u8]) {
    let Some((first, text)) = input.split_first() else { return };
    PROJECT.with_borrow(|project| {
        let sources = Sources::new(project.path());
        let (file, recipe, role) = match first % 2 {
            0 => ("roles/fuzz/role.yaml", "small", "fuzz"),
            _ => ("recipes/fuzz.yaml", "fuzz", "base"),
        };
        let path = project.path().join(file);
        std::fs::write(&path, text).unwrap();
        let loaded = load(&sources, recipe, &[role]);
        std::fs::remove_file(&path).unwrap();
        if let Err(problems) = loaded {
            placed(&problems);
        }
    });
}

/// Problems say what is wrong, and where as far as there is a place.
fn placed(problems: &Problems) {
    assert!(!problems.problems.is_empty());
    assert!(!problems.to_string().is_empty());
    for problem in &problems.problems {
        assert!(problem.line != Some(0) && problem.column != Some(0), "{problem:?}");
    }
}

pub fn cluster(input: &[u8]) {
    PROJECT.with_borrow(|project| {
        let sources = Sources::new(project.path());
        let path = project.path().join("seeds/fuzz/cluster.yaml");
        std::fs::write(&path, input).unwrap();
        let drawn = load_cluster(&sources, "fuzz").and_then(|inputs| draw_cluster(&inputs));
        std::fs::remove_file(&path).unwrap();
        match drawn {
            Err(problems) => placed(&problems),
            Ok((plan, warnings)) => {
                let _ = warnings.to_string();
                let mut names = BTreeSet::new();
                for node in &plan.nodes {
                    assert!(names.insert(&node.name), "{} is there twice", node.name);
                    super::reached::the_end();
                    assert!(!node.name.is_empty() && !node.name.contains(['/', '.', ' ']), "{:?}", node.name);
                }
            }
        }
    });
}

pub fn manifest(input: &[u8]) {
    let Ok(manifest) = Manifest::read(input) else { return };
    assert_eq!(Manifest::read(&manifest.bytes()).expect("what was written is read"), manifest);
}

pub fn checksums(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(mut files) = read_checksums(text) else { return };
    assert!(files.iter().all(|(name, _)| !name.is_empty() && !name.contains('/')));
    files.sort();
    assert_eq!(read_checksums(&write_checksums(&files)).expect("what was written is read"), files);
}
