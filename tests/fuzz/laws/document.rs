//! Laws of documents: what people write, what an earlier build wrote.

use imgbuild::input::{Sources, load};
use imgbuild::output::{Manifest, checksums as write_checksums, read_checksums};
use imgbuild::package::Lock;
use std::cell::RefCell;

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

/// A project folder in memory where there is one.
fn project() -> tempfile::TempDir {
    let shared = std::path::Path::new("/dev/shm");
    let folder = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.unwrap();
    std::fs::create_dir_all(folder.path().join("roles/fuzz")).unwrap();
    std::fs::create_dir(folder.path().join("recipes")).unwrap();
    folder
}

pub fn yaml(input: &[u8]) {
    let Some((first, text)) = input.split_first() else { return };
    PROJECT.with_borrow(|project| {
        let sources = Sources::new(project.path());
        let (file, recipe, role) = match first % 2 {
            0 => ("roles/fuzz/role.yaml", "debian-trixie", "fuzz"),
            _ => ("recipes/fuzz.yaml", "fuzz", "base"),
        };
        let path = project.path().join(file);
        std::fs::write(&path, text).unwrap();
        let loaded = load(&sources, recipe, &[role]);
        std::fs::remove_file(&path).unwrap();
        if let Err(problems) = loaded {
            assert!(!problems.problems.is_empty());
            assert!(!problems.to_string().is_empty());
            for problem in &problems.problems {
                assert!(problem.line != Some(0) && problem.column != Some(0), "{problem:?}");
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
