//! Bundles written and read back, and everything that one could do to them.

use super::*;
use crate::base::digest::Digest;
use crate::base::epoch::Epoch;
use crate::base::hint::hints;
use crate::base::progress::Silent;
use proptest::prelude::*;
use std::path::PathBuf;

const LOCK_TEXT: &[u8] = b"{\n  \"version\": 1,\n  \"sections\": {}\n}\n";

fn contents() -> Contents {
    Contents {
        version: FORMAT_VERSION,
        builder: "imgbuild 0".to_owned(),
        recipe: "debian-trixie".to_owned(),
        kernel: None,
        parameters: std::collections::BTreeMap::new(),
        images: vec![Image { name: "web".to_owned(), image_id: "0123".to_owned() }],
        builtin: std::collections::BTreeMap::new(),
        links: Vec::new(),
        files: Vec::new(),
    }
}

fn draft() -> Draft {
    let mut draft = Draft::default();
    draft.add_bytes(LOCK, LOCK_TEXT.to_vec(), false);
    draft.add_bytes("project/roles/web/role.yaml", b"version: 1\n".to_vec(), false);
    draft.add_bytes("project/roles/web/build", vec![b'x'; 513], true);
    for text in ["package one", "package two"] {
        draft.add_bytes(package_path(&Digest::of(text.as_bytes())), text.as_bytes().to_vec(), false);
    }
    draft
}

fn bytes() -> Vec<u8> {
    let mut bytes = Vec::new();
    draft().write(contents(), Epoch(1_700_000_000), &mut bytes, &Silent).unwrap();
    bytes
}

fn opened(bytes: &[u8]) -> Result<Bundle, BundleError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    Bundle::open(file.path())
}

/// Everything in it, read.
fn read_all(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, BundleError> {
    let bundle = opened(bytes)?;
    let mut found = Vec::new();
    for entry in &bundle.contents().files {
        let mut content = Vec::new();
        bundle.copy(entry, &mut content)?;
        found.push((entry.path.clone(), content));
    }
    Ok(found)
}

fn said(bytes: &[u8]) -> String {
    format!("{:#}", anyhow::Error::new(read_all(bytes).unwrap_err()))
}

/// The bundle with its index changed, and nothing else.
fn with_index(change: impl FnOnce(&mut Contents)) -> Vec<u8> {
    let whole = bytes();
    let bundle = opened(&whole).unwrap();
    let mut contents = bundle.contents().clone();
    let old = contents.text().unwrap().len().div_ceil(512) * 512 + 512;
    change(&mut contents);
    let text = serde_json::to_vec_pretty(&contents).unwrap();
    let mut out = member(INDEX, &text);
    out.extend_from_slice(&whole[old..]);
    out
}

fn member(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).unwrap();
    header.set_size(content.len() as u64);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    let mut out = header.as_bytes().to_vec();
    out.extend_from_slice(content);
    out.resize(out.len().div_ceil(512) * 512, 0);
    out
}

/// Where the header of a file begins.
fn place(whole: &[u8], name: &str) -> usize {
    let at = whole.chunks(512).position(|block| block.starts_with(name.as_bytes()) && block[name.len()] == 0);
    at.unwrap() * 512
}

#[test]
fn what_was_written_is_read_and_the_same_files_give_the_same_bytes() {
    let whole = bytes();
    assert_eq!(whole, bytes());
    let found = read_all(&whole).unwrap();
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let (one, two) = (package_path(&Digest::of(b"package one")), package_path(&Digest::of(b"package two")));
    let (first, second) = if one < two { (one, two) } else { (two, one) };
    assert_eq!(names, [LOCK, &first, &second, "project/roles/web/build", "project/roles/web/role.yaml"]);
    let bundle = opened(&whole).unwrap();
    assert_eq!(bundle.lock().unwrap(), (LOCK_TEXT.to_vec(), Digest::of(LOCK_TEXT)));
    let (_, build) = bundle.contents().find("project/roles/web/build").unwrap();
    assert!(build.executable && build.size == 513);
    assert!(bundle.contents().find("project/roles").is_none());
}

#[test]
fn the_real_tar_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.bundle"), bytes()).unwrap();
    let run = crate::base::process::Run::new("tar").arg("-C").arg(folder.path()).args(["-xvf"]);
    let output = run.arg(folder.path().join("a.bundle")).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert!(output.stdout.starts_with(b"bundle.json\nimgbuild.lock\n"));
    assert_eq!(std::fs::read(folder.path().join("imgbuild.lock")).unwrap(), LOCK_TEXT);
}

#[test]
fn indices_are_packed_and_named_after_what_they_unpack_to() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("Packages");
    let text = "Package: a\n\n".repeat(10_000);
    std::fs::write(&file, &text).unwrap();
    let digest = Digest::of(text.as_bytes());
    let mut draft = draft();
    draft.add_index("debian/trixie", &file, &digest).unwrap();
    assert_eq!(draft.count(INDICES), 1);
    let mut whole = Vec::new();
    draft.write(contents(), Epoch(0), &mut whole, &Silent).unwrap();
    assert!(whole.len() < 10_000);
    let bundle = opened(&whole).unwrap();
    let (_, entry) = bundle.contents().find(&format!("indices/debian/trixie/{digest}.zst")).unwrap();
    let mut unpacked = Vec::new();
    assert_eq!(bundle.unpack(entry, &mut unpacked).unwrap(), digest);
    assert_eq!(unpacked, text.as_bytes());

    let mut draft = self::draft();
    let error = draft.add_index("debian/trixie", &file, &Digest::of(b"")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{} is damaged: its digest is {digest}, not {}", file.display(), Digest::of(b""))
    );
    assert_eq!(hints(&error), ["remove the file; the next command that needs it fetches it again"]);
}

#[test]
fn indices_that_are_not_what_they_are_called_are_refused() {
    for (text, expected) in [
        (zstd::encode_all(&b"other"[..], 1).unwrap(), format!("its digest is {}", Digest::of(b"other"))),
        (b"no zstd".to_vec(), "Unknown frame descriptor".to_owned()),
    ] {
        let mut draft = draft();
        let path = format!("indices/debian/trixie/{}.zst", Digest::of(b"wanted"));
        draft.add_bytes(&path, text, false);
        let mut whole = Vec::new();
        draft.write(contents(), Epoch(0), &mut whole, &Silent).unwrap();
        let bundle = opened(&whole).unwrap();
        let (_, entry) = bundle.contents().find(&path).unwrap();
        let error = bundle.unpack(entry, &mut std::io::sink()).unwrap_err();
        assert_eq!(error.to_string(), format!("`{path}` cannot be unpacked: {expected}"));
    }
}

#[test]
fn files_that_changed_meanwhile_are_not_bundled() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.deb");
    let digest = Digest::of(b"abc");
    for (content, expected) in [
        ("abd", format!("FILE is damaged: its digest is {}, not {digest}", Digest::of(b"abd"))),
        ("ab", "FILE has another length than the 3 bytes that are locked".to_owned()),
        ("abcd", "FILE has another length than the 3 bytes that are locked".to_owned()),
    ] {
        std::fs::write(&file, content).unwrap();
        let mut draft = draft();
        let entry = Entry { path: package_path(&digest), size: 3, sha256: digest, executable: false };
        draft.add(entry, Source::File(file.clone()));
        let error = draft.write(contents(), Epoch(0), &mut Vec::new(), &Silent).unwrap_err();
        assert_eq!(error.to_string().replace(&file.display().to_string(), "FILE"), expected);
    }
}

#[test]
fn hostile_names_sizes_and_orders_are_refused() {
    let digest = Digest::of(b"x");
    let entry = |path: &str, size: u64| Entry { path: path.to_owned(), size, sha256: digest, executable: false };
    let only = |path: &str| {
        let entry = entry(path, 1);
        let lock = Entry { path: LOCK.to_owned(), ..entry.clone() };
        let mut files = vec![lock, entry];
        files.sort_by(|a, b| a.path.cmp(&b.path));
        with_index(move |contents| contents.files = files)
    };
    let long = format!("project/roles/{}/x", "y".repeat(300));
    let wide = format!("project/roles/{}", "y".repeat(120));
    let cases = [
        ("../etc/passwd", "its index names `../etc/passwd`: it is no plain path below the bundle"),
        ("/etc/passwd", "its index names `/etc/passwd`: it is no plain path below the bundle"),
        ("project/roles/../../x", "its index names `project/roles/../../x`: it is no plain path below the bundle"),
        ("project/roles//x", "its index names `project/roles//x`: it is no plain path below the bundle"),
        ("project/roles/./x", "its index names `project/roles/./x`: it is no plain path below the bundle"),
        ("project/roles/a\\b", "its index names `project/roles/a\\\\b`: it is no plain path below the bundle"),
        ("project/roles/a\nb", "its index names `project/roles/a\\nb`: it is no plain path below the bundle"),
        ("project/.ssh/x", "its index names `project/.ssh/x`: nothing of this name belongs into a bundle"),
        (
            "project/imgbuild.lock",
            "its index names `project/imgbuild.lock`: nothing of this name belongs into a bundle",
        ),
        ("other", "its index names `other`: nothing of this name belongs into a bundle"),
        ("packages/x.deb", "its index names `packages/x.deb`: packages are named after their digest"),
        (
            "indices/debian/trixie/x",
            "its index names `indices/debian/trixie/x`: it is neither a Release file nor an index that is named after its digest",
        ),
        (&long, &format!("its index names `{long}`: names in a bundle have at most 250 bytes")),
        (
            &wide,
            &format!(
                "its index names `{wide}`: a part of it is longer than the 100 bytes that a tar archive has for it"
            ),
        ),
    ];
    for (path, expected) in cases {
        assert_eq!(said(&only(path)), expected);
    }
    let other = package_path(&Digest::of(b"y"));
    let expected = format!("its index names `{other}`: packages are named after their digest");
    assert_eq!(said(&only(&other)), expected);

    let files = |files: Vec<Entry>| with_index(move |contents| contents.files = files);
    let lock = || entry(LOCK, 1);
    let cases = [
        (vec![lock(), lock()], "its index names `imgbuild.lock` after `imgbuild.lock`: names are sorted, each once"),
        (
            vec![entry("project/roles/a", 1), lock()],
            "its index names `imgbuild.lock` after `project/roles/a`: names are sorted, each once",
        ),
        (vec![entry("project/roles/a", 1)], "its index cannot be understood: it names no imgbuild.lock"),
        (vec![entry(LOCK, 1 << 40)], "`imgbuild.lock` has 1 TiB, and at most 256 MiB are allowed for it"),
        (
            vec![lock(), entry("project/roles/a", u64::MAX)],
            "`project/roles/a` has 16777216.0 TiB, and at most 16 GiB are allowed for it",
        ),
        (
            vec![lock(), entry("project/roles/a", 1), entry("project/roles/a/b", 1)],
            "its index names `project/roles/a/b`: it lies below a name that is no folder",
        ),
    ];
    for (entries, expected) in cases {
        assert_eq!(said(&files(entries)), expected);
    }
    let many: Vec<Entry> =
        (0..=crate::base::limits::BUNDLE_FILES).map(|at| entry(&format!("project/roles/{at:09}"), 1)).collect();
    assert_eq!(said(&files(many)), "its index names 200001 files, and at most 200000 are allowed");
}

#[test]
fn hostile_links_are_refused() {
    let link = |path: &str, target: &str| {
        let link = Link { path: path.to_owned(), target: target.to_owned() };
        with_index(move |contents| contents.links = vec![link])
    };
    let cases = [
        (
            "project/roles/web/role.yaml",
            "x",
            "its index names `project/roles/web/role.yaml`: symbolic links are part of a role's tree only",
        ),
        (
            "project/roles/web",
            "/",
            "its index names `project/roles/web`: symbolic links are part of a role's tree only",
        ),
        (
            "project/roles/web/tree/../x",
            "x",
            "its index names `project/roles/web/tree/../x`: it is no plain path below the bundle",
        ),
        ("project/roles/web/tree/x", "", "its index names `project/roles/web/tree/x`: its target is no path"),
        ("project/roles/web/tree/x", "a\nb", "its index names `project/roles/web/tree/x`: its target is no path"),
    ];
    for (path, target, expected) in cases {
        assert_eq!(said(&link(path, target)), expected);
    }
    let mut draft = draft();
    draft.add_bytes("project/roles/web/tree/etc/x", b"x".to_vec(), false);
    let through = Link { path: "project/roles/web/tree/etc".to_owned(), target: "/etc".to_owned() };
    let contents = Contents { links: vec![through], ..contents() };
    let error = draft.write(contents, Epoch(0), &mut Vec::new(), &Silent).unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "listing what is in the bundle: its index names `project/roles/web/tree/etc/x`: it lies below a name that is no folder"
    );
}

#[test]
fn missing_additional_swapped_and_repeated_files_are_refused() {
    let whole = bytes();
    let build = place(&whole, "project/roles/web/build");
    let role = place(&whole, "project/roles/web/role.yaml");
    let ending = |head: &[u8]| [head, &[0; 1024]].concat();

    let missing = [&whole[..build], &whole[role..]].concat();
    assert_eq!(said(&missing), "`project/roles/web/role.yaml` follows where its index says `project/roles/web/build`");
    let repeated = [&whole[..role], &whole[build..]].concat();
    assert_eq!(said(&repeated), "`project/roles/web/build` follows where its index says `project/roles/web/role.yaml`");
    let last = ending(&whole[..role]);
    assert_eq!(
        said(&last),
        format!("at byte {role}, where `project/roles/web/role.yaml` should begin, is no header of a plain file")
    );
    let more = [&whole[..whole.len() - 1024], &member("more", b"x"), &[0; 1024]].concat();
    assert_eq!(said(&more), "it goes on after the last file that its index names");
    let tail = [&whole[..], &vec![0; 100 << 10]].concat();
    assert_eq!(said(&tail), "it goes on after the last file that its index names");
    // Some programs fill up with zeros.
    assert!(read_all(&[&whole[..], &[0; 8192]].concat()).is_ok());
    let other = [&whole[..build], &member("project/roles/web/build", b"short"), &whole[role..]].concat();
    assert_eq!(
        said(&other),
        format!("at byte {build}, where `project/roles/web/build` should begin, is no header of a plain file")
    );
}

#[test]
fn truncated_bundles_are_refused_wherever_they_end() {
    let whole = bytes();
    for length in (0..whole.len()).step_by(97) {
        let said = said(&whole[..length]);
        let expected = ["it is truncated: it ends at byte ", "it is no bundle: its first file is not bundle.json"];
        assert!(expected.iter().any(|start| said.starts_with(start)), "{length}: {said}");
    }
    let cut = place(&whole, "project/roles/web/build") + 600;
    assert_eq!(
        said(&whole[..cut]),
        format!("it is truncated: it ends at byte {cut}, within or before `project/roles/web/build`")
    );
}

#[test]
fn a_flipped_byte_of_any_file_is_found() {
    let whole = bytes();
    for (name, at) in [("imgbuild.lock", 3), ("project/roles/web/build", 512)] {
        let mut damaged = whole.clone();
        damaged[place(&whole, name) + 512 + at] ^= 1;
        let said = said(&damaged);
        assert!(said.starts_with(&format!("`{name}` is damaged: its digest is ")), "{said}");
    }
    // Also one that keeps a header's checksum: what matters is what the index says.
    let mut damaged = whole.clone();
    damaged[place(&whole, "imgbuild.lock")] ^= 1;
    assert!(said(&damaged).contains("is no header of a plain file"));
}

#[test]
fn other_files_and_versions_are_told() {
    assert_eq!(said(b""), "it is no bundle: its first file is not bundle.json");
    assert_eq!(said(&member("x", b"y")), "it is no bundle: its first file is not bundle.json");
    assert_eq!(
        said(&with_index(|contents| contents.version = 2)),
        "the bundle has version 2, and this imgbuild reads version 1"
    );
    let newer = [member(INDEX, br#"{"version": 7, "odd": []}"#), vec![0; 1024]].concat();
    assert_eq!(said(&newer), "the bundle has version 7, and this imgbuild reads version 1");
    let odd = [member(INDEX, b"{}"), vec![0; 1024]].concat();
    assert_eq!(said(&odd), "its index cannot be understood: missing field `version` at line 1 column 2");
    let mut huge = tar::Header::new_ustar();
    huge.set_path(INDEX).unwrap();
    huge.set_size(1 << 40);
    huge.set_entry_type(tar::EntryType::Regular);
    huge.set_cksum();
    assert_eq!(said(huge.as_bytes()), "`bundle.json` has 1 TiB, and at most 64 MiB are allowed for it");
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        Bundle::open(folder.path()).unwrap_err().to_string(),
        "it is no bundle: its first file is not bundle.json"
    );
    let error = Bundle::open(&PathBuf::from("/nonexistent/x")).unwrap_err();
    assert_eq!(error.remedy(), "name a bundle that can be read: `imgbuild bundle NAME -o FILE` writes one");
}

proptest! {
    /// Whatever is done to its bytes: refused, or everything read is what was written.
    #[test]
    fn mutated_bundles_are_refused_or_whole(
        at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(), insert in any::<bool>(),
    ) {
        let whole = bytes();
        let mut changed = whole.clone();
        let at = at.index(whole.len());
        match (cut, insert) {
            (true, _) => changed.truncate(at),
            (_, true) => changed.insert(at, byte),
            _ => changed[at] = byte,
        }
        if let Ok(found) = read_all(&changed) {
            prop_assert_eq!(found, read_all(&whole).unwrap());
        }
    }

    #[test]
    fn arbitrary_indices_never_panic(text in "\\PC{0,200}") {
        let _ = Contents::parse(text.as_bytes());
        let _ = read_all(&[member(INDEX, text.as_bytes()), vec![0; 1024]].concat());
    }
}
