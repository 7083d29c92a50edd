//! Laws of what others hand over: bundles, lists of vulnerabilities, settings of the host's apt.

use imgbuild::base::limits::{BUNDLE_FILES, VULNERABILITIES};
use imgbuild::package::archive::HostMirrors;
use imgbuild::package::bundle::{Bundle, Contents};
use imgbuild::package::tracker::{self, Wanted};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::path::PathBuf;

thread_local! {
    static FOLDER: RefCell<tempfile::TempDir> = RefCell::new(super::document::in_memory());
}

/// A file with these bytes, as long as it is looked at.
fn with_file<T>(name: &str, bytes: &[u8], look: impl FnOnce(&PathBuf) -> T) -> T {
    FOLDER.with_borrow(|folder| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        look(&path)
    })
}

pub fn bundle(input: &[u8]) {
    if let Ok(contents) = Contents::parse(input) {
        sound(&contents);
    }
    let mut bytes = input.to_vec();
    repair(&mut bytes);
    with_file("bundle", &bytes, |path| {
        let Ok(bundle) = Bundle::open(path) else { return };
        sound(bundle.contents());
        assert!(bundle.contents().files.iter().map(|entry| entry.size).sum::<u64>() <= bytes.len() as u64);
        for entry in &bundle.contents().files {
            let mut copied = Vec::new();
            if bundle.copy(entry, &mut copied).is_ok() {
                assert_eq!(copied.len() as u64, entry.size, "{}", entry.path);
                assert_eq!(imgbuild::base::digest::Digest::of(&copied), entry.sha256, "{}", entry.path);
            }
            if entry.path.ends_with(".zst") {
                let _ = bundle.unpack(entry, &mut std::io::sink());
            }
        }
        if bundle.lock().is_ok() {
            super::reached::the_end();
        }
    });
}

fn sound(contents: &Contents) {
    assert!(contents.files.len() + contents.links.len() <= BUNDLE_FILES);
    let paths = contents.files.iter().map(|entry| &entry.path).chain(contents.links.iter().map(|link| &link.path));
    let mut seen = BTreeSet::new();
    for path in paths {
        assert!(path.split('/').all(|part| !matches!(part, "" | "." | "..")), "{path:?}");
        assert!(seen.insert(path.clone()), "{path} is there twice");
    }
    let written = contents.text().expect("an accepted index is short enough");
    assert_eq!(Contents::parse(&written).expect("what was written is read"), *contents);
}

/// Makes the headers' checksums fit again, so that what they guard is looked at.
fn repair(bytes: &mut [u8]) {
    for header in bytes.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

pub fn vulnerabilities(input: &[u8]) {
    let versions = |all: &[&str]| all.iter().map(|version| (*version).to_owned()).collect::<BTreeSet<String>>();
    let sources: BTreeMap<String, BTreeSet<String>> =
        [("openssl".to_owned(), versions(&["3.5.0-1", "3.5.1-1"])), ("a".to_owned(), versions(&["1"]))].into();
    let wanted = Wanted { release: "trixie".to_owned(), sources };
    let Ok(found) = tracker::read(Cursor::new(input.to_vec()), &wanted) else { return };
    assert!(found.advisories.len() <= VULNERABILITIES);
    assert!(found.advisories.is_sorted());
    assert!(found.known.iter().all(|source| wanted.sources.contains_key(source)));
    for advisory in &found.advisories {
        assert!(wanted.sources[&advisory.source].contains(&advisory.version), "{advisory:?}");
        assert!(found.known.contains(&advisory.source), "{advisory:?}");
        super::reached::the_end();
    }
}

pub fn apt_conf(input: &[u8]) {
    FOLDER.with_borrow(|folder| {
        let apt = folder.path().join("etc/apt");
        std::fs::create_dir_all(&apt).unwrap();
        std::fs::write(apt.join("sources.list"), "deb http://mirror.example/debian trixie main\n").unwrap();
        std::fs::write(apt.join("apt.conf"), input).unwrap();
        let host = HostMirrors::from_apt(folder.path());
        assert_eq!(host.get("debian").as_deref(), Some("http://mirror.example/debian"));
        let text = String::from_utf8_lossy(input);
        for (server, proxy) in host.proxies() {
            assert_eq!(server, "http://mirror.example");
            assert!(!proxy.is_empty() && text.contains(proxy.as_str()), "{proxy:?} is not what the host says");
            super::reached::the_end();
        }
    });
}
