//! Built images held against lists of known vulnerabilities, through the real command. The image is a result without a
//! disk: manifest and list of software are what counts.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

#[path = "support/archive/mod.rs"]
mod archive;

use archive::server::{Mode, Server};
use imgbuild::base::digest::Digest;
use imgbuild::base::process::Run;
use serde_json::{Value, json};
use std::path::PathBuf;

const ID: &str = "0123456789abcdef";

struct Scene {
    folder: tempfile::TempDir,
}

struct Ended {
    status: i32,
    out: String,
    said: String,
}

/// Package, version, repository, and what its list of software says of its source.
type Row = (&'static str, &'static str, &'static str, Option<&'static str>);

const ROWS: &[Row] = &[
    ("bash", "5.2.37-2+b5", "debian", Some("bash 5.2.37-2")),
    ("libssl3t64", "3.5.0-1", "debian", Some("openssl 3.5.0-1")),
    ("openssl", "3.5.0-1", "debian-security", Some("openssl 3.5.0-1")),
    ("linux-image-6.12", "6.12.40-1", "debian", Some("linux-signed-amd64 6.12.40+1; using: linux 6.12.40-1")),
    ("zlib1g", "1:1.3.1-1+b2", "debian", None),
    ("kubeadm", "1.36.0-1.1", "kubernetes", Some("kubeadm 1.36.0-1.1")),
];

impl Scene {
    fn new() -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap() };
        scene.result("web", "debian", ROWS);
        scene.write("list.json", list().to_string().as_bytes());
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

    /// A result, as far as an audit looks at it.
    fn result(&self, name: &str, distribution: &str, rows: &[Row]) {
        let digest = Digest::of(b"").to_string();
        let package = |(name, version, repository, _): &Row| {
            json!({"layer": "base", "name": name, "version": version, "architecture": "amd64", "repository": repository,
                   "path": "pool/x.deb", "size": 1, "sha256": digest})
        };
        let id = "01234567-89ab-cdef-0123-456789abcdef";
        let manifest = json!({
            "version": 1, "image_id": ID, "name": name, "roles": ["base"], "recipe": "debian-trixie",
            "distribution": {"id": distribution, "suite": "trixie", "efi_folder": "debian"},
            "architecture": "amd64", "kernel": "generic", "epoch": 0, "created": "", "builder": "imgbuild 0",
            "inputs": {"plan": digest, "lock": digest, "base_layer": "x", "tools": []},
            "packages": rows.iter().map(package).collect::<Vec<_>>(),
            "disk": {"size": 0, "guid": id, "partitions": [], "volume_group": {"name": "vg0", "id": lvm_id(), "pv_id": lvm_id(),
                     "extents": 0, "volumes": [], "reserve": 0}},
            "artifacts": [],
        });
        let element = |(name, version, _, source): &Row| {
            let mut element = json!({"SPDXID": format!("SPDXRef-Package-{name}"), "name": name, "externalRefs": [
                {"referenceLocator": format!("pkg:deb/debian/{name}@{version}?arch=amd64&distro=trixie")}]});
            if let Some(source) = source {
                element["sourceInfo"] = json!(format!("built package from: {source}"));
            }
            element
        };
        let mut elements: Vec<Value> = rows.iter().map(element).collect();
        elements.push(json!({"SPDXID": "SPDXRef-Download-0123", "name": "etcd.tar.gz"}));
        self.write(&format!("out/images/{name}/{ID}/manifest.json"), manifest.to_string().as_bytes());
        let software = json!({"packages": elements}).to_string();
        self.write(&format!("out/images/{name}/{ID}/sbom.spdx.json"), software.as_bytes());
        let latest = self.path(&format!("out/images/{name}/latest"));
        let _ = std::fs::remove_file(&latest);
        std::os::unix::fs::symlink(ID, latest).unwrap();
    }

    fn run(&self, line: &str) -> Ended {
        let output = Run::new(env!("CARGO_BIN_EXE_imgbuild"))
            .args(line.split_whitespace())
            .arg("-C")
            .arg(self.folder.path())
            .arg("--cache")
            .arg(self.path("cache"))
            .args(["--progress", "none"])
            .env("no_proxy", "127.0.0.1")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| {
            String::from_utf8(bytes.to_vec()).unwrap().replace(&self.folder.path().display().to_string(), "HERE")
        };
        Ended { status: output.status.code().unwrap(), out: text(&output.stdout), said: text(&output.stderr) }
    }

    fn refused(&self, line: &str) -> String {
        let ended = self.run(line);
        assert_eq!((ended.status, ended.out.as_str()), (1, ""), "{line}: {}", ended.said);
        ended.said
    }
}

fn lvm_id() -> &'static str {
    "012345-6789-abcd-efgh-ijkl-mnop-qrstuv"
}

fn list() -> Value {
    let entry = |status: Value| json!({"description": "A sentence.", "scope": "remote", "releases": {"trixie": status, "sid": {"status": "resolved", "fixed_version": "99"}}});
    json!({
        "bash": {
            "CVE-2025-0001": entry(json!({"status": "resolved", "fixed_version": "5.2.37-2", "urgency": "high"})),
            "CVE-2025-0002": entry(json!({"status": "open", "urgency": "unimportant", "nodsa": "Minor issue"})),
        },
        "openssl": {
            "CVE-2025-0003": entry(json!({"status": "resolved", "fixed_version": "3.5.0-1+deb13u1", "urgency": "high",
                "repositories": {"trixie": "3.5.0-1", "trixie-security": "3.5.0-1+deb13u1"}})),
            "CVE-2025-0004": entry(json!({"status": "open", "urgency": "not yet assigned", "nodsa": "Minor issue"})),
            "CVE-2025-0005": entry(json!({"status": "undetermined", "urgency": "not yet assigned"})),
        },
        "linux": {"CVE-2025-0006": entry(json!({"status": "resolved", "fixed_version": "6.12.41-1", "urgency": "medium**",
                "repositories": {"trixie": "6.12.40-1"}}))},
        "zlib": {"CVE-2025-0007": entry(json!({"status": "open"}))},
        "zlib1g": {"CVE-2025-0008": entry(json!({"status": "resolved", "fixed_version": "1:1.3.1-1", "urgency": "low"}))},
        "kubeadm": {"CVE-2025-0009": entry(json!({"status": "open"}))},
        "other": {"CVE-2025-0010": entry(json!({"status": "open"}))},
    })
}

const TABLE: &str = "\
web 0123456789abcdef: 6 packages of 5 sources
  high         CVE-2025-0003  openssl 3.5.0-1  libssl3t64 openssl  lock --update: trixie-security has 3.5.0-1+deb13u1 or newer
  medium       CVE-2025-0006  linux 6.12.40-1  linux-image-6.12    fixed in 6.12.41-1, which no suite has yet
  unassigned   CVE-2025-0004  openssl 3.5.0-1  libssl3t64 openssl  no fix in this release (Minor issue)
  unassigned   CVE-2025-0005  openssl 3.5.0-1  libssl3t64 openssl  nobody has looked yet whether it has it
  unimportant  CVE-2025-0002  bash 5.2.37-2    bash                no fix in this release (Minor issue)
5 known vulnerabilities: 1 high, 1 medium, 2 unassigned, 1 unimportant
not covered by the list: etcd.tar.gz (download), kubeadm 1.36.0-1.1 (kubernetes)
looked up by their own names, since their source packages are not known: zlib1g
";

#[test]
fn vulnerabilities_are_listed_worst_first_with_what_helps() {
    let scene = Scene::new();
    let ended = scene.run("audit web --against list.json");
    assert_eq!((ended.out.as_str(), ended.said.as_str(), ended.status), (TABLE, "", 1));
    // A folder of a result, and a compressed list.
    scene.write("list.json.zst", &zstd::encode_all(list().to_string().as_bytes(), 1).unwrap());
    let ended = scene.run(&format!("audit out/images/web/{ID} --against list.json.zst"));
    assert_eq!((ended.out.as_str(), ended.status), (TABLE, 1));
}

#[test]
fn the_exit_status_tells_of_what_is_bad_enough() {
    let scene = Scene::new();
    for (threshold, status) in
        [("unimportant", 1), ("low", 1), ("unassigned", 1), ("medium", 1), ("high", 1), ("never", 0)]
    {
        assert_eq!(
            scene.run(&format!("audit web --against list.json --fail-on {threshold}")).status,
            status,
            "{threshold}"
        );
    }
    scene.write("audit.yaml", b"version: 1\nignore:\n  CVE-2025-0003: no TLS is spoken here\n");
    for (threshold, status) in [("medium", 1), ("high", 0)] {
        assert_eq!(
            scene.run(&format!("audit web --against list.json --fail-on {threshold}")).status,
            status,
            "{threshold}"
        );
    }
    assert_eq!(scene.run("audit web --against list.json --fail-on bad").status, 2);
    // Sound, for a list that knows the release.
    let sound =
        json!({"bash": {"CVE-2025-0001": {"releases": {"trixie": {"status": "resolved", "fixed_version": "1"}}}}});
    scene.write("sound.json", sound.to_string().as_bytes());
    let ended = scene.run("audit web --against sound.json --fail-on unimportant");
    assert_eq!(ended.status, 0);
    assert!(ended.out.contains("\nno known vulnerability\n"), "{}", ended.out);
}

#[test]
fn what_a_person_judged_is_set_apart_with_its_reason() {
    let scene = Scene::new();
    let judged = "version: 1\nignore:\n  CVE-2025-0003: no TLS is spoken here\n  CVE-2020-9999: long gone\n";
    scene.write("audit.yaml", judged.as_bytes());
    let ended = scene.run("audit web --against list.json");
    let end = "4 known vulnerabilities: 1 medium, 2 unassigned, 1 unimportant\n\
               ignored: CVE-2025-0003 in openssl (high): no TLS is spoken here\n\
               audit.yaml names what this image does not have: CVE-2020-9999\n";
    assert!(ended.out.contains(end), "{}", ended.out);
    scene.write("audit.yaml", b"version: 1\nignore:\n  CVE-2025-0003:\n  openssl: whatever it is\n");
    let expected = "error: audit.yaml:3:3: ";
    let said = scene.refused("audit web --against list.json");
    assert!(said.starts_with(expected) || said.starts_with("error: audit.yaml:3:"), "{said}");
    assert!(said.contains("`openssl` is no vulnerability's name"), "{said}");
}

#[test]
fn results_for_scripts_say_the_same() {
    let scene = Scene::new();
    let ended = scene.run("audit web --against list.json --json");
    assert_eq!(ended.status, 1);
    let found: Value = serde_json::from_str(&ended.out).unwrap();
    let first = json!({
        "name": "CVE-2025-0003", "severity": "high", "source": "openssl", "version": "3.5.0-1",
        "packages": ["libssl3t64", "openssl"], "state": "fixed", "fixed_version": "3.5.0-1+deb13u1",
        "fixed_in": "trixie-security",
    });
    assert_eq!(found["images"][0]["vulnerable"][0], first);
    assert_eq!(found["images"][0]["vulnerable"].as_array().unwrap().len(), 5);
    assert_eq!(found["images"][0]["not_covered"], json!(["etcd.tar.gz (download)", "kubeadm 1.36.0-1.1 (kubernetes)"]));
}

#[test]
fn several_images_are_told_one_after_the_other() {
    let scene = Scene::new();
    scene.result("small", "debian", &ROWS[..1]);
    let ended = scene.run("audit small web --against list.json");
    let (first, second) = ended.out.split_once("\n\n").unwrap();
    assert!(first.starts_with("small 0123456789abcdef: 1 packages of 1 sources\n"), "{first}");
    assert_eq!(second, TABLE);
}

#[test]
fn lists_from_elsewhere_are_kept_for_times_without_network() {
    let scene = Scene::new();
    let lists = tempfile::tempdir().unwrap();
    std::fs::write(lists.path().join("list.json"), list().to_string()).unwrap();
    let server = Server::start(lists.path());
    let line = format!("audit web --against {}/list.json", server.url);
    let said = scene.refused(&format!("{line} --offline")).replace(&server.url, "URL");
    let expected = "error: the list URL/list.json is not in the cache, and the network is off\n\
                    hint: run once without `--offline`, or name a file with `--against FILE`\n";
    assert_eq!(said, expected);
    assert_eq!(scene.run(&line).out, TABLE);
    // Asked for anew every time: yesterday's list knows nothing of today.
    std::fs::write(lists.path().join("list.json"), json!({"bash": list()["bash"]}).to_string()).unwrap();
    assert!(scene.run(&line).out.contains("\n1 known vulnerability: 1 unimportant\n"));
    server.always("list", Mode::Status(404));
    let said = scene.refused(&line).replace(&server.url, "URL");
    assert!(said.starts_with("error: URL/list.json does not exist\nhint: "), "{said}");
    assert_eq!(scene.run(&format!("{line} --offline")).status, 0);
}

#[test]
fn recipes_may_say_where_the_list_is() {
    let scene = Scene::new();
    let said = scene.refused("audit web");
    let expected = "error: no list of vulnerabilities is named, and the recipe debian-trixie names none\n\
                    hint: name the JSON export of the Debian security tracker, or a copy of it, with `--against URL|FILE`, \
                    IMGBUILD_AGAINST, or `vulnerabilities: URL` in the recipe\n";
    assert_eq!(said, expected);
    let lists = tempfile::tempdir().unwrap();
    std::fs::write(lists.path().join("list.json"), list().to_string()).unwrap();
    let server = Server::start(lists.path());
    let recipe = format!("version: 1\nextends: builtin/debian-trixie\nvulnerabilities: {}/list.json\n", server.url);
    scene.write("recipes/debian-trixie.yaml", recipe.as_bytes());
    assert_eq!(scene.run("audit web").out, TABLE);
}

#[test]
fn lists_that_say_nothing_are_not_taken_for_good_news() {
    let scene = Scene::new();
    let other = json!({"bash": {"CVE-2025-0001": {"releases": {"bookworm": {"status": "open"}}}}}).to_string();
    for (name, text, listed) in [("empty.json", "{}", 0), ("other.json", other.as_str(), 1)] {
        scene.write(name, text.as_bytes());
        let expected = format!(
            "error: reading the list of vulnerabilities HERE/{name}: it names {listed} source packages, but says nothing of \
             any of the image's in the release `trixie`\nhint: a list for this release is needed: one that is empty or of \
             others would find every image sound\n"
        );
        assert_eq!(scene.refused(&format!("audit web --against {}/{name}", scene.folder.path().display())), expected);
    }
}

#[test]
fn what_cannot_be_audited_is_told() {
    let scene = Scene::new();
    scene.result("noble", "ubuntu", ROWS);
    scene.write("broken.json", b"{\"bash\": [");
    scene.write("page.json", b"<!DOCTYPE html>");
    let cases = [
        (
            "audit nothing --against list.json",
            "error: there is no image `nothing` in HERE/out\nhint: build it with `imgbuild role nothing`, or name the \
             folder of a result\n",
        ),
        (
            "audit noble --against list.json",
            "error: the image noble is of ubuntu, which Debian's list does not speak of\nhint: Ubuntu publishes its own \
             in another form (OVAL), which imgbuild does not read\n",
        ),
        ("audit web --against gone.json", "error: opening HERE/gone.json: No such file or directory (os error 2)\n"),
        (
            "audit web --against broken.json",
            "error: reading the list of vulnerabilities broken.json: line 1, column 10: invalid type: sequence, expected \
             vulnerabilities by name\nhint: it must have the form of the Debian security tracker's JSON export\n",
        ),
        (
            "audit web --against page.json",
            "error: reading the list of vulnerabilities page.json: line 1, column 1: expected value\nhint: it must have \
             the form of the Debian security tracker's JSON export\n",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(scene.refused(line), expected, "{line}");
    }
}
