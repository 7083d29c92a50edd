//! `verify` and signatures: a sound result passes, and everything that is changed in it is told by name.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::panic,
    reason = "tests fail by panicking and say what they skip"
)]

mod disk_support;

use disk_support::{EPOCH, have, plan, said, tools, tree};
use imgbuild::base::digest::Digest;
use imgbuild::base::process::Run;
use imgbuild::base::progress::Silent;
use imgbuild::format::signature::{SecretKey, Signer};
use imgbuild::output::{ArtifactKind, Compression, Staging, write_qcow2};
use imgbuild::package::{BuildPlan, Pin};
use imgbuild::store::packages::PackageStore;
use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A published result with a real disk, in a project of its own.
struct Project {
    folder: tempfile::TempDir,
    result: PathBuf,
}

fn project(test: &str) -> Option<Project> {
    let tools = tools(test)?;
    let folder = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let here = folder.path();
    let mut image = plan(256);
    image.name = "web".to_owned();
    image.roles = vec!["web".to_owned()];
    let mut tree = tree(&here.join("tree"));
    // A table of mounts, so that paths lead through the volumes.
    let line = |volume: &imgbuild::plan::Volume| format!("UUID={} {} ext4 defaults 0 1\n", volume.uuid, volume.mount);
    let table: String = image.disk.volume_group.volumes.iter().map(line).collect();
    fs::create_dir_all(tree.contents.join("etc")).unwrap();
    fs::write(tree.contents.join("etc/fstab"), &table).unwrap();
    let mut folder_entry = tree.entries.iter().find(|entry| entry.path == b"usr").unwrap().clone();
    folder_entry.path = b"etc".to_vec();
    let mut file = folder_entry.clone();
    (file.path, file.mode) = (b"etc/fstab".to_vec(), 0o644);
    file.kind = imgbuild::base::tree::Kind::File { size: table.len() as u64 };
    let at = tree.entries.iter().position(|entry| entry.path == b"lib").unwrap();
    tree.entries.splice(at..at, [folder_entry, file]);
    tree.check().unwrap();
    fs::create_dir(here.join("work")).unwrap();
    let boot = imgbuild::boot::prepare(&image, &tree, &tools, &here.join("work")).unwrap();
    let disk = imgbuild::disk::compose(&image.disk, &tree, &boot, EPOCH, &Silent).unwrap();
    let pin = |name: &str| Pin {
        name: name.to_owned(),
        version: "1.2-3".to_owned(),
        architecture: "amd64".to_owned(),
        repository: "debian".to_owned(),
        path: format!("pool/{name}.deb"),
        size: name.len() as u64,
        sha256: Digest::of(name.as_bytes()),
    };
    let build = BuildPlan {
        image,
        image_id: "0123456789abcdef".to_owned(),
        base_layer_id: "fedcba9876543210".to_owned(),
        epoch: EPOCH,
        base: vec![pin("bash"), pin("dash")],
        role: vec![pin("haproxy")],
        tools: vec![pin("e2fsprogs")],
        lock_digest: Digest::of(b"lock"),
    };
    let store = PackageStore::new(&here.join("cache"));
    for name in ["bash", "dash", "e2fsprogs"] {
        fs::write(here.join(name), name).unwrap();
        store.adopt(&here.join(name), &Digest::of(name.as_bytes())).unwrap().unwrap();
    }
    let mut staging = Staging::begin(&here.join("out"), "web").unwrap();
    write_qcow2(&disk, &staging.folder().join("web.qcow2"), Compression::Zstd, 2, &Silent).unwrap();
    fs::write(staging.folder().join("vmlinuz"), "kernel").unwrap();
    staging
        .add_all(&[("web.qcow2".to_owned(), ArtifactKind::Qcow2Zstd), ("vmlinuz".to_owned(), ArtifactKind::Kernel)])
        .unwrap();
    let result = staging.publish(&build).unwrap().folder;
    Some(Project { folder, result })
}

impl Project {
    fn imgbuild(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let run = Run::new(env!("CARGO_BIN_EXE_imgbuild"))
            .args(["--progress", "none", "--cache", "cache", "-C"])
            .arg(self.folder.path())
            .args(words)
            .output()
            .unwrap();
        (run.status.code(), String::from_utf8(run.stdout).unwrap(), String::from_utf8(run.stderr).unwrap())
    }

    fn damage(&self, file: &str, offset: u64) {
        let path = self.result.join(file);
        let file = fs::File::options().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[byte[0] ^ 0x55], offset).unwrap();
    }
}

#[test]
fn sound_results_pass_and_what_is_missing_in_the_cache_is_only_told() {
    let Some(project) = project("sound_results_pass_and_what_is_missing_in_the_cache_is_only_told") else { return };
    let (status, text, errors) = project.imgbuild(&["verify", "web"]);
    assert_eq!(status, Some(0), "{text}{errors}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], project.result.display().to_string());
    let expected = [
        "ok      SHA256SUMS         4 files, ",
        "note    signature          none",
        "ok      manifest.json      web 0123456789abcdef, 3 packages, as its schema says",
        "ok      disk in web.qcow2  qcow2: partition table twice, volume group, esp, ",
        "note    cache              3 of 4 packages and tools read, 1 not in the cache",
        "sound",
    ];
    assert_eq!(lines.len(), expected.len() + 1, "{text}");
    for (line, expected) in lines[1..].iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}, not {expected}");
    }
    // By folder and by file it is the same; as JSON too.
    for name in ["out/images/web/latest", "out/images/web/0123456789abcdef/web.qcow2"] {
        assert_eq!(project.imgbuild(&["verify", name]).0, Some(0), "{name}");
    }
    let (_, text, _) = project.imgbuild(&["--json", "verify", "web"]);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((report["state"].as_str(), report["checks"][0]["state"].as_str()), (Some("note"), Some("ok")));

    // A file of the image, by the path that the machine would use, through its volumes.
    let image = project.result.join("web.qcow2").display().to_string();
    let (status, text, _) = project.imgbuild(&["inspect", &format!("{image}:/etc/fstab")]);
    assert!(status == Some(0) && text.lines().count() == 4 && text.starts_with("UUID="), "{text}");
    assert_eq!(project.imgbuild(&["inspect", &format!("{image}:/var/log/x")]).1, "1\n");
    let (_, text, _) = project.imgbuild(&["inspect", &format!("{image}:/usr")]);
    assert!(text.lines().any(|line| line == "d0755     0    42            bin"), "{text}");
    let (status, _, error) = project.imgbuild(&["inspect", &format!("{image}:/etc/nothing")]);
    assert_eq!(status, Some(1));
    assert_eq!(
        error,
        format!("error: looking for `/etc/nothing` in {image}: there is no `etc/nothing` in the filesystem\n")
    );
}

#[test]
fn everything_that_is_changed_in_a_result_is_told() {
    let Some(project) = project("everything_that_is_changed_in_a_result_is_told") else { return };
    let told = |expected: &[&str]| {
        let (status, text, errors) = project.imgbuild(&["verify", "web"]);
        assert_eq!(status, Some(1), "{text}{errors}");
        for part in expected {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.ends_with("not what it should be\n"), "{text}");
    };
    project.damage("vmlinuz", 2);
    told(&["FAILED  vmlinuz", "has the digest ", " is listed"]);
    project.damage("vmlinuz", 2);
    // Within a compressed cluster.
    project.damage("web.qcow2", 3 * 65_536 + 40);
    told(&["FAILED  web.qcow2"]);
    project.damage("web.qcow2", 3 * 65_536 + 40);

    let manifest = fs::read_to_string(project.result.join("manifest.json")).unwrap();
    fs::write(project.result.join("manifest.json"), manifest.replace("\"size\": 6,", "\"size\": 7,")).unwrap();
    told(&["FAILED  manifest.json", "vmlinuz: it has other than 7 bytes"]);
    let other = manifest.replacen(&plan(256).disk.guid.to_string(), &"0".repeat(8), 1);
    fs::write(project.result.join("manifest.json"), other).unwrap();
    let (status, _, error) = project.imgbuild(&["verify", "web"]);
    assert_eq!(status, Some(1));
    assert!(
        error.contains("hint: this result is damaged or of another version of imgbuild: build it again"),
        "{error}"
    );
    fs::write(project.result.join("manifest.json"), &manifest).unwrap();

    fs::write(project.result.join("extra"), "").unwrap();
    let (status, text, _) = project.imgbuild(&["verify", "web"]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("note    other files        extra: no checksum covers them"), "{text}");

    // A damaged package is removed, and told; then it is merely missing.
    let package = PackageStore::new(&project.folder.path().join("cache")).path(&Digest::of(b"dash"));
    fs::set_permissions(&package, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&package, "dusk").unwrap();
    told(&["FAILED  cache", "1 damaged: dash 1.2-3", "-> they were removed, and the next build fetches them again"]);
    assert!(!package.exists());
    let (status, text, _) = project.imgbuild(&["verify", "web"]);
    assert!(status == Some(0) && text.contains("2 of 4 packages and tools read, 2 not in the cache"), "{text}");

    fs::remove_file(project.result.join("SHA256SUMS")).unwrap();
    told(&["FAILED  SHA256SUMS"]);
    let (status, _, error) = project.imgbuild(&["verify", "nothing"]);
    assert_eq!(status, Some(1));
    let expected = "error: there is no image `nothing`\n\
        hint: build it with `imgbuild role nothing`, or name a folder or a file\n";
    assert_eq!(error, expected);
}

/// A secret key made by OpenSSH, and its public line.
fn ssh_key(folder: &Path, name: &str, kind: &[&str], password: &str) -> (String, String) {
    let path = folder.join(name).display().to_string();
    let words = [&["-q", "-N", password, "-C", "someone@mirror.example", "-f", &path, "-t"][..], kind].concat();
    let (text, good) = said("ssh-keygen", &words);
    assert!(good, "{text}");
    (fs::read_to_string(&path).unwrap(), fs::read_to_string(format!("{path}.pub")).unwrap())
}

#[test]
fn openssh_accepts_signatures_of_its_keys_and_of_nothing_else() {
    const TEST: &str = "openssh_accepts_signatures_of_its_keys_and_of_nothing_else";
    if !have(TEST, &["ssh-keygen"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let kinds: [(&str, &[&str], &str); 4] = [
        ("ed25519", &["ed25519"], ""),
        ("protected", &["ed25519"], "open sesame"),
        ("ecdsa", &["ecdsa", "-b", "256"], ""),
        ("rsa", &["rsa", "-b", "2048"], ""),
    ];
    for (name, kind, password) in kinds {
        let (secret, public) = ssh_key(folder.path(), name, kind, password);
        assert_eq!(imgbuild::format::signature::is_protected(&secret), Some(!password.is_empty()), "{name}");
        if !password.is_empty() {
            for wrong in [None, Some("open barley")] {
                let error = SecretKey::read(&secret, wrong).unwrap_err().to_string();
                assert_eq!(error, "the secret key's password is wrong");
            }
        }
        let key = SecretKey::read(&secret, Some(password)).unwrap();
        let signature = key.sign(b"sums\n", "").unwrap();
        fs::write(at("sums.sig"), &signature).unwrap();
        fs::write(at("allowed"), format!("someone {public}")).unwrap();
        let (fingerprint, signature_path, allowed) = (key.name(), at("sums.sig"), at("allowed"));
        let words = ["-Y", "verify", "-f", &allowed, "-I", "someone", "-n", "file", "-s", &signature_path];
        let verify = |bytes: &[u8]| Run::new("ssh-keygen").args(words).input(bytes).output().unwrap();
        let output = verify(b"sums\n");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("Good \"file\" signature for someone"), "{name}: {text}");
        assert!(text.contains(fingerprint.rsplit(' ').next().unwrap()), "{name}: {text} {fingerprint}");
        assert!(!verify(b"Sums\n").status.success(), "{name}");

        // And the other way round: what OpenSSH signs is verified here.
        for text in [public.clone(), fs::read_to_string(&allowed).unwrap()] {
            let signer = Signer::read(&text).unwrap();
            assert_eq!(signer.verify(&signature, b"sums\n").unwrap(), fingerprint);
            assert!(signer.verify(&signature, b"Sums\n").is_err());
        }
        if password.is_empty() {
            fs::write(at("file"), "of OpenSSH").unwrap();
            let (text, good) = said("ssh-keygen", &["-Y", "sign", "-n", "file", "-f", &at(name), &at("file")]);
            assert!(good, "{text}");
            let theirs = fs::read_to_string(at("file.sig")).unwrap();
            assert_eq!(Signer::read(&public).unwrap().verify(&theirs, b"of OpenSSH").unwrap(), fingerprint);
            let (text, good) = said("ssh-keygen", &["-Y", "sign", "-n", "git", "-f", &at(name), &at("file.sig")]);
            assert!(good, "{text}");
            let other = fs::read_to_string(at("file.sig.sig")).unwrap();
            let error = Signer::read(&public).unwrap().verify(&other, theirs.as_bytes()).unwrap_err().to_string();
            assert_eq!(error, "it has the namespace `git`, and `file` is wanted");
            fs::remove_file(at("file.sig")).unwrap();
            fs::remove_file(at("file.sig.sig")).unwrap();
        }
    }
}

#[test]
fn minisign_accepts_signatures_of_its_keys_and_of_nothing_else() {
    const TEST: &str = "minisign_accepts_signatures_of_its_keys_and_of_nothing_else";
    if !have(TEST, &["minisign"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    for (name, password) in [("plain", None), ("protected", Some("open sesame"))] {
        let (public, secret) = (at(&format!("{name}.pub")), at(&format!("{name}.key")));
        let mut words = vec!["-G", "-f", "-p", &public, "-s", &secret];
        words.extend(password.is_none().then_some("-W"));
        let answers = password.map(|word| format!("{word}\n{word}\n")).unwrap_or_default();
        let made = Run::new("minisign").args(words).input(answers.into_bytes()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let text = fs::read_to_string(&secret).unwrap();
        assert_eq!(imgbuild::format::signature::is_protected(&text), Some(password.is_some()));
        if password.is_some() {
            assert_eq!(
                SecretKey::read(&text, Some("x")).unwrap_err().to_string(),
                "the secret key's password is wrong"
            );
        }
        let key = SecretKey::read(&text, password).unwrap();
        let signature = key.sign(b"sums\n", "SHA256SUMS of web 0123").unwrap();
        fs::write(at("sums"), "sums\n").unwrap();
        fs::write(at("sums.minisig"), &signature).unwrap();
        let verify = || said("minisign", &["-V", "-p", &public, "-m", &at("sums")]);
        let (text, good) = verify();
        assert!(good && text.contains("Trusted comment: SHA256SUMS of web 0123"), "{text}");
        let signer = Signer::read(&fs::read_to_string(&public).unwrap()).unwrap();
        assert_eq!(signer.verify(&signature, b"sums\n").unwrap(), key.name());
        fs::write(at("sums"), "Sums\n").unwrap();
        assert!(!verify().1);
        assert!(signer.verify(&signature, b"Sums\n").is_err());
        // The comment is signed too.
        let forged = signature.replace("0123", "0124");
        assert_eq!(
            signer.verify(&forged, b"sums\n").unwrap_err().to_string(),
            "it does not fit the file: the file or the signature was changed"
        );
    }
}

#[test]
fn signers_are_demanded_and_others_refused() {
    const TEST: &str = "signers_are_demanded_and_others_refused";
    if !have(TEST, &["ssh-keygen"]) {
        return;
    }
    let Some(project) = project(TEST) else { return };
    let here = project.folder.path();
    let (secret, public) = ssh_key(here, "key", &["ed25519"], "");
    let (_, other) = ssh_key(here, "other", &["ed25519"], "");
    let key = SecretKey::read(&secret, None).unwrap();
    let (status, text, _) = project.imgbuild(&["verify", "web", "--signer", "key.pub"]);
    assert_eq!(status, Some(1));
    let expected =
        format!("FAILED  signature          there is no SHA256SUMS.sig, and one by {} is wanted\n", key.name());
    assert!(text.contains(&expected), "{text}");

    let sums = fs::read(project.result.join("SHA256SUMS")).unwrap();
    fs::write(project.result.join("SHA256SUMS.sig"), key.sign(&sums, "").unwrap()).unwrap();
    for signer in ["key.pub", public.trim()] {
        let (status, text, _) = project.imgbuild(&["verify", "web", "--signer", signer]);
        assert_eq!(status, Some(0), "{text}");
        assert!(text.contains(&format!("ok      signature          SHA256SUMS.sig by {}\n", key.name())), "{text}");
    }
    let (status, text, _) = project.imgbuild(&["verify", "web"]);
    assert_eq!(status, Some(0));
    assert!(
        text.contains(&format!("note    signature          SHA256SUMS.sig claims to be by {}", key.name())),
        "{text}"
    );
    let (status, text, _) = project.imgbuild(&["verify", "web", "--signer", other.trim()]);
    assert_eq!(status, Some(1));
    assert!(
        text.contains(&format!("SHA256SUMS.sig: it was made by {}, and not by ED25519 key ", key.name())),
        "{text}"
    );
    assert!(text.contains("-> do not trust this result"), "{text}");
    let (status, _, error) = project.imgbuild(&["verify", "web", "--signer", "nobody"]);
    assert_eq!(status, Some(1));
    let expected = "error: reading the signer `nobody`: this is no public key of minisign or OpenSSH, and no list of allowed \
        signers\nhint: give a public key of minisign or OpenSSH, a list of allowed signers, or a file with one\n";
    assert_eq!(error, expected);

    // Who changes a file and its checksum is found out by the signature alone.
    fs::write(project.result.join("vmlinuz"), "kernal").unwrap();
    let text = String::from_utf8(sums).unwrap();
    let text = text.replace(&Digest::of(b"kernel").to_string(), &Digest::of(b"kernal").to_string());
    fs::write(project.result.join("SHA256SUMS"), text).unwrap();
    let (status, text, _) = project.imgbuild(&["verify", "web"]);
    assert_eq!(status, Some(1));
    assert!(text.contains("FAILED  signature          SHA256SUMS.sig: it does not fit the file"), "{text}");
}
