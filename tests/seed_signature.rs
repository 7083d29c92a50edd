//! Seeds signed by one implementation (`ssh-key`) are judged alike by another (the guest's) and by `ssh-keygen`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

#[path = "boot/seed.rs"]
#[allow(dead_code, reason = "shared with the boot tests")]
mod seed;
#[path = "boot/signed.rs"]
#[allow(dead_code, reason = "shared with the boot tests")]
mod signed;

use imgbuild::base::process::Run;
use signed::{CLUSTER, OWNER, Order, key, write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

struct Bench {
    folder: tempfile::TempDir,
    node: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = folder.path().join("imgbuild-node");
        std::fs::write(&node, imgbuild::rootfs::node::executable()).unwrap();
        std::fs::set_permissions(&node, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, node }
    }

    fn seed(&self, order: &Order) -> PathBuf {
        let folder = self.folder.path().join("seed");
        write(&folder, order);
        folder
    }

    fn public(&self, number: u8) -> PathBuf {
        let path = self.folder.path().join(format!("{number}.pub"));
        std::fs::write(&path, format!("{}\n", key(number).public_key().to_openssh().unwrap())).unwrap();
        path
    }

    /// What the guest says of a folder.
    fn said(&self, folder: &Path, mac: &str, trusted: &[PathBuf]) -> Result<String, String> {
        let run = Run::new(&self.node).arg("check").arg(folder).arg(mac).args(trusted);
        run.run().map(|said| String::from_utf8(said).unwrap()).map_err(|error| format!("{error:#}"))
    }

    /// Whether `ssh-keygen` takes the signature for this key's; `None` where there is no such program.
    fn keygen(&self, folder: &Path, number: u8, file: &str, namespace: &str) -> Option<bool> {
        Run::new("ssh-keygen").arg("-?").output().ok()?;
        let signers = self.folder.path().join("signers");
        let line = key(number).public_key().to_openssh().unwrap();
        std::fs::write(&signers, format!("imgbuild namespaces=\"{namespace}\" {line}\n")).unwrap();
        let run = Run::new("sh")
            .arg("-c")
            .arg("exec ssh-keygen -Y verify -f \"$0\" -I imgbuild -n \"$1\" -s \"$2.sig\" <\"$2\"");
        Some(run.arg(&signers).arg(namespace).arg(folder.join(file)).run().is_ok())
    }
}

#[test]
fn good_seed_is_good_for_guest_and_ssh_keygen() {
    let bench = Bench::new();
    let folder = bench.seed(&Order { endorsed: true, ..Order::good(7) });
    let said = bench.said(&folder, seed::MAC, &[]).unwrap();
    assert_eq!(said, "imgbuild-node: [seed] generation 7 of node1 in the cluster boot would be accepted\n");
    let trusting = bench.said(&folder, seed::MAC, &[bench.public(OWNER)]).unwrap();
    assert_eq!(trusting, said);
    let files =
        [(CLUSTER, "imgbuild/manifest.json", "imgbuild-seed"), (OWNER, "imgbuild/cluster.pub", "imgbuild-cluster")];
    for (number, file, namespace) in files {
        match bench.keygen(&folder, number, file, namespace) {
            Some(good) => assert!(good, "{file}"),
            None => println!("SKIP: seed_signature: there is no ssh-keygen"),
        }
    }
}

#[test]
fn damaged_and_foreign_seeds_are_refused_by_both() {
    let bench = Bench::new();
    let folder = bench.seed(&Order { endorsed: true, ..Order::good(7) });
    let refused = |mac: &str, trusted: &[PathBuf], reason: &str| {
        let said = bench.said(&folder, mac, trusted).unwrap_err();
        assert!(said.contains(reason), "{said}");
    };
    refused("52:54:00:00:99:99", &[], "it is of another node");
    refused(seed::MAC, &[bench.public(8)], "the endorsement is by another key");
    let manifest = folder.join("imgbuild/manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("\"generation\": 7", "\"generation\": 8")).unwrap();
    refused(seed::MAC, &[], "its signature does not fit");
    assert_ne!(bench.keygen(&folder, CLUSTER, "imgbuild/manifest.json", "imgbuild-seed"), Some(true));
    std::fs::write(&manifest, &text).unwrap();
    assert_ne!(bench.keygen(&folder, CLUSTER, "imgbuild/manifest.json", "imgbuild-cluster"), Some(true));
    assert_ne!(bench.keygen(&folder, OWNER, "imgbuild/manifest.json", "imgbuild-seed"), Some(true));
    std::fs::write(folder.join("imgbuild/files/etc/more"), "").unwrap();
    refused(seed::MAC, &[], "`imgbuild/files/etc/more` lies on it and is not in its manifest");
}

/// What the builder writes of every example cluster is what the guest accepts.
#[test]
fn seeds_of_the_examples_are_accepted_by_their_machines_and_by_no_other() {
    let bench = Bench::new();
    let project = bench.folder.path().join("project");
    std::fs::create_dir(&project).unwrap();
    let imgbuild =
        |words: &[&str]| Run::new(env!("CARGO_BIN_EXE_imgbuild")).arg("-C").arg(&project).args(words).run().unwrap();
    let mut count = 0;
    for cluster in ["balancers", "frontends", "six-nodes"] {
        imgbuild(&["seed", cluster, "--form", "folder"]);
        let seeds = project.join("out/clusters").join(cluster).join("seeds");
        for entry in std::fs::read_dir(&seeds).unwrap() {
            let folder = entry.unwrap().path();
            if !folder.is_dir() {
                continue;
            }
            let text = std::fs::read(folder.join("imgbuild/manifest.json")).unwrap();
            let manifest: imgbuild::format::seed::Manifest = serde_json::from_slice(&text).unwrap();
            let said = bench.said(&folder, &manifest.node.macs[0], &[]).unwrap();
            assert!(said.ends_with("would be accepted\n"), "{said}");
            let other = bench.said(&folder, "52:54:00:99:99:99", &[]).unwrap_err();
            assert!(other.contains("it is of another node"), "{other}");
            count += 1;
        }
    }
    assert!(count >= 16, "{count} seeds");
}
