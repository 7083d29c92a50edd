//! Seeds: the example clusters' against golden files, and every document against the program that will read it.
//!
//! The programs are the target's own, in a root of their packages (tests/seeds/root makes it, once). Each has a negative
//! twin: the same document with a mistake, which it must notice. `UPDATE_EXPECTED=1` rewrites the golden files; a change
//! is explained in the commit's message.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "all of this is tests"
)]

use imgbuild::base::process::{Run, find};
use imgbuild::format::seed::{Effect, Manifest, Write};
use imgbuild::format::{fat, iso9660};
use imgbuild::input::{Sources, load_cluster, load_cluster_file};
use imgbuild::plan::{ClusterPlan, draw_cluster};
use imgbuild::secret::{ClusterIdentity, Record};
use imgbuild::seed::{Form, JUDGES, SeedTree, Served, Staging, TemplateText, Writer};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

fn plan(name: &str) -> ClusterPlan {
    let sources = Sources::builtin();
    let inputs = if name == "everything" {
        load_cluster_file(&sources, &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seeds/everything.yaml"))
    } else {
        load_cluster(&sources, name)
    };
    let drawn = inputs.and_then(|inputs| draw_cluster(&inputs));
    drawn.unwrap_or_else(|problems| panic!("{problems}")).0
}

fn templates() -> Vec<TemplateText> {
    let found = Sources::builtin().templates().unwrap();
    found.into_iter().map(|(name, (shown, text))| TemplateText { name, shown, text }).collect()
}

/// The seeds of a cluster whose secrets are none, in the generations that the record gives.
fn seeds(plan: &ClusterPlan, record: &mut Record) -> Vec<SeedTree> {
    let identity = ClusterIdentity::example(plan).unwrap();
    let writer = Writer::new(plan, &identity, "trixie", templates()).unwrap();
    let write = |node| {
        let draft = writer.draft(node).unwrap();
        let generation = record.generation(&node.name, draft.digest());
        writer.finish(draft, generation).unwrap()
    };
    plan.nodes.iter().map(write).collect()
}

fn first(name: &str) -> Vec<SeedTree> {
    seeds(&plan(name), &mut Record::new(name, "id"))
}

fn manifest(tree: &SeedTree) -> Manifest {
    serde_json::from_slice(tree.files["imgbuild/manifest.json"].content.bytes()).unwrap()
}

/// What people read of seeds: lists of files, and each text once. Keys and what is signed are shown by their digests.
fn shown(trees: &[SeedTree]) -> String {
    let (mut out, mut seen) = (String::new(), BTreeSet::new());
    for tree in trees {
        let manifest = manifest(tree);
        writeln!(out, "=== {} generation {}", tree.node, manifest.generation).unwrap();
        for unit in &manifest.units {
            writeln!(out, "unit {} {}", unit.name, if unit.run { "runs" } else { "does not run" }).unwrap();
        }
        for file in &manifest.files {
            let write = if file.write == Write::Once { " once" } else { "" };
            let effects: Vec<String> = file
                .effects
                .iter()
                .map(|effect| match effect {
                    Effect::Restart(unit) => format!(" restart:{unit}"),
                    Effect::Reload(unit) => format!(" reload:{unit}"),
                    other => format!(" {other:?}"),
                })
                .collect();
            let (owner, group, mode) = (&file.owner, &file.group, &file.mode);
            writeln!(out, "file {} {owner}:{group} {mode}{write}{}", file.path, effects.concat()).unwrap();
        }
        for (path, file) in &tree.files {
            let text = std::str::from_utf8(file.content.bytes()).ok();
            let secret = path.contains("_key") || path.contains("/pki/") || path.starts_with("imgbuild/manifest");
            match text.filter(|_| !secret) {
                Some(text) if seen.insert(file.content.digest()) => {
                    writeln!(out, "--- {path}\n{text}").unwrap();
                }
                Some(_) => {}
                None if path.starts_with("imgbuild/manifest") => {}
                None => writeln!(out, "--- {path} ({} bytes)", file.content.size()).unwrap(),
            }
        }
    }
    out
}

#[test]
fn seeds_of_example_clusters_equal_the_golden_ones() {
    let mut different = Vec::new();
    for name in ["balancers", "frontends", "six-nodes", "demo", "everything"] {
        let text = shown(&first(name));
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/seeds.{name}.txt"));
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let wanted = std::fs::read_to_string(&file).unwrap_or_default();
        if text != wanted {
            let line = text.lines().zip(wanted.lines()).position(|(a, b)| a != b);
            different.push(format!("{name} (line {line:?})"));
        }
    }
    assert!(different.is_empty(), "seeds differ from the golden ones: {different:?}; UPDATE_EXPECTED=1 rewrites them");
}

#[test]
fn the_same_plan_gives_the_same_bytes_and_a_changed_one_newer_seeds_where_it_changed() {
    let mut plan = plan("balancers");
    let mut record = Record::new("balancers", "id");
    let one = seeds(&plan, &mut record);
    assert_eq!(one, seeds(&plan, &mut record));
    assert_eq!(one[0].iso().unwrap(), seeds(&plan, &mut record)[0].iso().unwrap());
    plan.services[1].port = 8443;
    let two = seeds(&plan, &mut record);
    let generations: Vec<(&str, u64)> = two.iter().map(|tree| (&*tree.node, manifest(tree).generation)).collect();
    let expected = [("gateway", 1), ("balancer1", 2), ("balancer2", 2), ("backend1", 1), ("backend2", 1)];
    assert_eq!(generations, expected);
    // cloud-init's documents did not change, so neither does the instance.
    assert_eq!(one[1].files["meta-data"], two[1].files["meta-data"]);
    plan.site.time_zone = "Europe/Berlin".to_owned();
    let three = seeds(&plan, &mut record);
    assert_ne!(three[1].files["meta-data"], two[1].files["meta-data"]);
}

#[test]
fn volumes_hold_every_file_of_the_tree() {
    for tree in &first("frontends") {
        let volume = iso9660::read(&tree.iso().unwrap()).unwrap();
        assert_eq!(volume.label, "cidata");
        for (path, file) in &tree.files {
            let iso9660::Content::File(bytes) = &volume.entries[path].content else { panic!("{path} is a folder") };
            assert_eq!(bytes, file.content.bytes(), "{path}");
            assert_eq!((volume.entries[path].mode, file.mode), (0o600, 0o600), "{path}");
        }
        let (runs, length) = tree.fat().unwrap();
        let mut disk = vec![0; usize::try_from(length).unwrap()];
        for run in runs {
            let at = usize::try_from(run.offset).unwrap();
            disk[at..at + run.bytes.len()].copy_from_slice(&run.bytes);
        }
        let found = fat::read(&disk).unwrap();
        let files = found.entries.iter().filter(|entry| !entry.directory).count();
        assert_eq!(files, tree.files.len());
    }
}

#[test]
fn manifest_lists_all_and_is_signed_by_the_clusters_key() {
    let tree = &first("balancers")[1];
    let manifest = manifest(tree);
    let listed = manifest.files.iter().map(|file| (format!("imgbuild/files{}", file.path), &file.sha256));
    let listed: Vec<_> =
        listed.chain(manifest.documents.iter().map(|document| (document.name.clone(), &document.sha256))).collect();
    for (path, digest) in &listed {
        assert_eq!(tree.files[path].content.digest().to_string(), **digest, "{path}");
    }
    // Besides them: manifest, signature and key.
    assert_eq!(tree.files.len(), listed.len() + 3);
    assert!(manifest.files.is_sorted_by(|a, b| a.path < b.path));
    let units: Vec<(&str, bool)> = manifest.units.iter().map(|unit| (&*unit.name, unit.run)).collect();
    assert_eq!(units, [("corosync.service", true), ("pacemaker.service", true), ("haproxy.service", false)]);
    if find("ssh-keygen").is_none() {
        println!("SKIP seed_signature: ssh-keygen is missing");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let bytes = |path: &str| tree.files[path].content.bytes().to_vec();
    let key = String::from_utf8(bytes("imgbuild/cluster.pub")).unwrap();
    std::fs::write(folder.path().join("signers"), format!("cluster namespaces=\"imgbuild-seed\" {key}")).unwrap();
    std::fs::write(folder.path().join("sig"), bytes("imgbuild/manifest.json.sig")).unwrap();
    let verify = |text: Vec<u8>| {
        let run = Run::new("ssh-keygen").args(["-Y", "verify", "-I", "cluster", "-n", "imgbuild-seed", "-s"]);
        let run = run.arg(folder.path().join("sig")).arg("-f").arg(folder.path().join("signers"));
        run.input(text).output().unwrap().status.success()
    };
    let mut text = bytes("imgbuild/manifest.json");
    assert!(verify(text.clone()));
    text[20] ^= 1;
    assert!(!verify(text));
}

#[test]
fn cloud_inits_documents_hold_no_secret() {
    for name in ["frontends", "everything"] {
        let plan = plan(name);
        let identity = ClusterIdentity::example(&plan).unwrap();
        let secrets = [&identity.vrrp_password, &identity.statistics.password].map(|secret| secret.reveal().to_owned());
        for tree in first(name) {
            for document in ["user-data", "meta-data", "network-config", "vendor-data", "imgbuild/manifest.json"] {
                let text = String::from_utf8(tree.files[document].content.bytes().to_vec()).unwrap();
                assert!(!secrets.iter().any(|secret| text.contains(secret)) && !text.contains("PRIVATE"), "{document}");
            }
        }
    }
}

#[test]
fn several_gateways_share_the_pool_and_the_way_out() {
    let trees = first("everything");
    let text = |number: usize, path: &str| {
        String::from_utf8(trees[number].files[&format!("imgbuild/files{path}")].content.bytes().to_vec()).unwrap()
    };
    let ranges: Vec<String> = [0, 1]
        .map(|number| {
            let text = text(number, "/etc/dnsmasq.d/imgbuild.conf");
            text.lines().find(|line| line.starts_with("dhcp-range=set:lan,192")).unwrap().to_owned()
        })
        .to_vec();
    let expected = [
        "dhcp-range=set:lan,192.168.9.200,192.168.9.224,255.255.255.0,12h",
        "dhcp-range=set:lan,192.168.9.225,192.168.9.249,255.255.255.0,12h",
    ];
    assert_eq!(ranges, expected);
    for (number, priority) in [(0, 150), (1, 140)] {
        let text = text(number, "/etc/keepalived/keepalived.conf");
        assert!(text.contains(&format!("priority {priority}\n")) && text.contains("192.168.9.1/24 dev lan"), "{text}");
        assert!(text.contains("fd00:9::1/64 dev lan"), "{text}");
    }
    let corosync = text(2, "/etc/corosync/corosync.conf");
    assert!(!corosync.contains("two_node") && corosync.contains("wait_for_all: 1") && corosync.contains("token: 3000"));
}

#[test]
fn projects_templates_replace_the_built_in_ones() {
    let project = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(project.path().join("seeds/templates")).unwrap();
    let write = |text: &str| std::fs::write(project.path().join("seeds/templates/vendor-data.j2"), text).unwrap();
    let plan = plan("balancers");
    let identity = ClusterIdentity::example(&plan).unwrap();
    let document = || {
        let found = Sources::new(project.path()).templates().unwrap();
        let all = found.into_iter().map(|(name, (shown, text))| TemplateText { name, shown, text }).collect();
        let writer = Writer::new(&plan, &identity, "trixie", all).unwrap();
        let draft = writer.draft(&plan.nodes[0])?;
        anyhow::Ok(String::from_utf8(writer.finish(draft, 1)?.files["vendor-data"].content.bytes().to_vec())?)
    };
    write("#cloud-config\n# {{ node.name }} of {{ cluster.name }}\n{}\n");
    assert_eq!(document().unwrap(), "#cloud-config\n# gateway of balancers\n{}\n");
    write("#cloud-config\n# {{ node.number }}\n{}\n");
    let error = document().unwrap_err().to_string();
    assert!(error.starts_with("seeds/templates/vendor-data.j2:2: ") && error.contains("number"), "{error}");
}

#[test]
fn a_thousand_seeds_are_rendered_and_signed() {
    let text = "version: 1
cluster: many
domain: many.internal
networks: {lan: {cidr: 10.0.0.0/16, gateway: 10.0.0.1}}
nodes: [{name: n, count: 1000, role: base, interfaces: [{network: lan, mac: \"52:54:00:00:00:01\", address: 10.0.1.0}]}]
";
    let project = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(project.path().join("seeds/many")).unwrap();
    std::fs::write(project.path().join("seeds/many/cluster.yaml"), text).unwrap();
    let inputs = load_cluster(&Sources::new(project.path()), "many").unwrap_or_else(|problems| panic!("{problems}"));
    let plan = draw_cluster(&inputs).unwrap_or_else(|problems| panic!("{problems}")).0;
    let identity = ClusterIdentity::example(&plan).unwrap();
    let writer = Writer::new(&plan, &identity, "trixie", templates()).unwrap();
    let start = std::time::Instant::now();
    let bytes = imgbuild::base::parallel::map(&plan.nodes, |node| {
        let draft = writer.draft(node)?;
        writer.finish(draft, 1)?.iso().map(|volume| volume.len())
    });
    let bytes: usize = bytes.unwrap().iter().sum();
    println!("1000 seeds with {bytes} bytes of volumes in {:.2} s", start.elapsed().as_secs_f64());
}

/// Held while a root is made: tests that want the same one run side by side.
static MAKING: Mutex<()> = Mutex::new(());

/// The root with the target's own programs; `None`, said loudly, where it cannot be made.
fn root(suite: &str) -> Option<PathBuf> {
    let _alone = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let variable = format!("IMGBUILD_TEST_SERVICES_{}_ROOT", suite.to_uppercase());
    let path = std::env::var_os(variable).map(PathBuf::from);
    let path = path.unwrap_or_else(|| PathBuf::from(format!("/var/tmp/imgbuild-test-services-{suite}-root")));
    if !rustix::process::geteuid().is_root() {
        println!("SKIP seed_documents: only root can enter the root with the target's programs");
        return None;
    }
    if !path.join("usr/sbin/haproxy").exists() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seeds/root");
        let made = Run::new(script).arg(suite).arg(&path).output().unwrap();
        if !made.status.success() {
            println!("SKIP seed_documents: no root of {suite} could be made (tests/seeds/root)");
            println!("{}", String::from_utf8_lossy(&made.stderr));
            return None;
        }
    }
    Some(path)
}

/// A document, the command that judges it (`DOCUMENT` stands for it, `NODE` for the machine), and a mistake.
struct Case {
    path: &'static str,
    command: &'static str,
    right: &'static str,
    wrong: &'static str,
}

/// keepalived wants the interfaces to be there.
const INTERFACES: &str = "for name in lan public uplink; do ip link add $name type bridge; done; ";

const CASES: &[Case] = &[
    Case {
        path: "user-data",
        command: "cloud-init schema --config-file DOCUMENT",
        right: "ssh_pwauth: false",
        wrong: "ssh_pwauth: []",
    },
    Case {
        path: "network-config",
        command: "cloud-init schema --schema-type network-config --config-file DOCUMENT",
        right: "dhcp4: false",
        wrong: "dhcp4: [1]",
    },
    Case { path: "vendor-data", command: "cloud-init schema --config-file DOCUMENT", right: "{}", wrong: "users: 1" },
    Case { path: "/etc/haproxy/haproxy.cfg", command: "haproxy -c -f DOCUMENT", right: "mode tcp", wrong: "mode tpc" },
    Case {
        path: "/etc/corosync/corosync.conf",
        command: "mkdir -p /etc/corosync; head -c 256 /dev/zero >/etc/corosync/authkey; \
            unshare --uts sh -c 'hostname NODE; corosync -t -c DOCUMENT'",
        right: "transport: knet",
        wrong: "transport: kent",
    },
    Case {
        path: "/var/lib/pacemaker/cib/cib.xml",
        command: "crm_verify -V -x DOCUMENT",
        right: "<constraints/>",
        wrong: "<constraint/>",
    },
    Case {
        path: "/etc/dnsmasq.d/imgbuild.conf",
        command: "dnsmasq --test --conf-file=DOCUMENT",
        right: "dhcp-authoritative",
        wrong: "dhcp-authoritive",
    },
    Case {
        path: "/etc/imgbuild/firewall.nft",
        command: "unshare --net nft -c -f DOCUMENT",
        right: "policy drop",
        wrong: "policy drob",
    },
    Case {
        path: "/etc/keepalived/keepalived.conf",
        command: "keepalived -t -f DOCUMENT",
        right: "virtual_router_id",
        wrong: "virtual_ruoter_id",
    },
    Case { path: "/etc/chrony/chrony.conf", command: "chronyd -p -f DOCUMENT", right: "makestep", wrong: "makesetp" },
    Case {
        path: "/etc/ssh/sshd_config.d/10-imgbuild.conf",
        command: "mkdir -p /run/sshd; sshd -t -f DOCUMENT",
        right: "PermitRootLogin no",
        wrong: "PermitRootLogin nay",
    },
    Case {
        path: "/etc/systemd/system/imgbuild-firewall.service",
        command: "systemd-analyze verify --man=no DOCUMENT 2>&1 | grep -i 'imgbuild-firewall' && exit 1 || exit 0",
        right: "Type=oneshot",
        wrong: "Tpye=oneshot",
    },
];

/// Runs a case's command over this text. Gives whether it was content, and what it said.
fn judge(root: &Path, node: &str, case: &Case, text: &[u8]) -> (bool, String) {
    let name = Path::new(case.path).file_name().unwrap().to_str().unwrap();
    let folder = tempfile::Builder::new().prefix("seed-").tempdir_in(root.join("tmp")).unwrap();
    std::fs::write(folder.path().join(name), text).unwrap();
    let inside = format!("/tmp/{}/{name}", folder.path().file_name().unwrap().to_str().unwrap());
    let command = case.command.replace("DOCUMENT", &inside).replace("NODE", node);
    let run = if case.command.starts_with("keepalived") {
        // The root's own `ip`: a machine that runs tests need not have one.
        let script = format!("{INTERFACES} exec {command}");
        Run::new("unshare").args(["--net", "chroot"]).arg(root).args(["sh", "-c", &script])
    } else {
        Run::new("chroot").arg(root).args(["sh", "-c", &command])
    };
    let output = run.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

#[test]
fn every_document_satisfies_the_program_that_reads_it_and_none_with_a_mistake_does() {
    let Some(root) = root("trixie") else { return };
    let mut judged = 0;
    let mut seen = BTreeSet::new();
    let mut twins: BTreeSet<&str> = BTreeSet::new();
    prepare(&root);
    for name in ["everything", "frontends", "balancers", "six-nodes"] {
        for tree in first(name) {
            for case in CASES {
                let path =
                    if case.path.starts_with('/') { format!("imgbuild/files{}", case.path) } else { case.path.into() };
                let Some(file) = tree.files.get(&path) else { continue };
                // cloud-init takes a second for each: the machines of one row say the same.
                let row = tree.node.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
                if !seen.insert((case.path, name, row)) {
                    continue;
                }
                if case.path.contains("sshd") {
                    host_key(&root, &tree);
                }
                let (content, said) = judge(&root, &tree.node, case, file.content.bytes());
                assert!(content, "{name}/{}: {}\n{said}", tree.node, case.path);
                judged += 1;
                let text = String::from_utf8(file.content.bytes().to_vec()).unwrap();
                if text.contains(case.right) && twins.insert(case.path) {
                    let (content, said) =
                        judge(&root, &tree.node, case, text.replacen(case.right, case.wrong, 1).as_bytes());
                    assert!(!content, "{}: the mistake went unnoticed\n{said}", case.path);
                }
            }
        }
    }
    assert_eq!(twins.len(), CASES.len(), "without a twin: {twins:?}");
    println!("{judged} documents judged");
}

/// What the images have beside the documents.
fn prepare(root: &Path) {
    let script = "getent passwd keepalived_script >/dev/null || useradd -r keepalived_script; mkdir -p /usr/local/sbin; \
        printf '#!/bin/sh\\n' >/usr/local/sbin/imgbuild-check-haproxy; chmod 755 /usr/local/sbin/imgbuild-check-haproxy";
    assert!(Run::new("chroot").arg(root).args(["sh", "-c", script]).output().unwrap().status.success());
}

/// sshd reads the keys that its configuration names.
fn host_key(root: &Path, tree: &SeedTree) {
    use std::os::unix::fs::PermissionsExt as _;
    for name in ["ssh_host_ed25519_key", "ssh_host_ed25519_key-cert.pub", "imgbuild_user_authorities"] {
        let path = root.join("etc/ssh").join(name);
        std::fs::write(&path, tree.files[&format!("imgbuild/files/etc/ssh/{name}")].content.bytes()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn every_judge_has_a_document_of_its_own_and_a_template_that_exists() {
    let templates = Sources::builtin().templates().unwrap();
    let (mut seen, all) = (BTreeSet::new(), first("everything"));
    let all: Vec<SeedTree> = all.into_iter().chain(first("frontends")).collect();
    for judge in JUDGES {
        assert!(seen.insert(judge.document), "{} is judged twice", judge.document);
        assert!(templates.contains_key(judge.template), "{} is no template", judge.template);
        assert!(all.iter().any(|tree| tree.files.contains_key(&judge.path())), "nobody is told {}", judge.document);
    }
    // Nothing that a program was found for in this file is left out.
    let left: Vec<&str> = CASES.iter().map(|case| case.path).filter(|path| !seen.contains(path)).collect();
    assert!(left.is_empty(), "check --deep does not judge {left:?}");
}

#[test]
fn what_is_served_lies_closed_beside_the_seeds_and_holds_no_payload() {
    use std::os::unix::fs::PermissionsExt as _;
    let plan = plan("frontends");
    let identity = ClusterIdentity::example(&plan).unwrap();
    let home = tempfile::tempdir().unwrap();
    let staging = Staging::begin(home.path(), || {}).unwrap();
    for tree in first("frontends") {
        staging.add(&tree, Form::Folder).unwrap();
        staging.serve(&tree, &Served::new(&identity, &tree.node).unwrap()).unwrap();
    }
    staging.close_listing().unwrap();
    let folder = staging.publish().unwrap();
    let listed = imgbuild::base::files::list(&folder, 10_000).unwrap();
    for entry in &listed {
        let mode = std::fs::metadata(folder.join(&entry.path)).unwrap().permissions().mode() & 0o7777;
        let expected = if matches!(entry.kind, imgbuild::base::files::ListedKind::Folder) { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{}", entry.path.display());
    }
    let names = |below: &Path| -> Vec<String> {
        let found = listed.iter().filter_map(|entry| entry.path.strip_prefix(below).ok());
        found.map(|path| path.display().to_string()).filter(|path| !path.is_empty()).collect()
    };
    let served = names(Path::new("nocloud.http"));
    // An empty page keeps servers from listing the rest: five machines' folders with four documents each.
    assert_eq!(served.len(), 1 + 5 * (1 + 4), "{served:?}");
    assert_eq!(std::fs::read(folder.join("nocloud.http/index.html")).unwrap(), b"");
    assert!(!served.iter().any(|path| path.contains("imgbuild") || path.contains("frontend")), "{served:?}");
}

/// What cloud-init makes of an address: in a network of its own where a web server serves the tree, it is told so as the
/// kernel's command line or the machine's serial number, and prints what it got.
const SERVED: &str = r#"
import functools, http.server, json, logging, os, sys, threading
from cloudinit import dmi, helpers, sources, util
from cloudinit.sources import DataSourceNoCloud as nocloud
class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8080), functools.partial(Quiet, directory=sys.argv[1]))
threading.Thread(target=server.serve_forever, daemon=True).start()
kernel = sys.argv[3] == "kernel"
util.get_cmdline = lambda: "ro quiet " + (sys.argv[2] if kernel else "")
dmi.read_dmi_data = lambda key: sys.argv[2] if key == "system-serial-number" and not kernel else None
paths = helpers.Paths({"cloud_dir": "/tmp/served-cloud", "run_dir": "/tmp/served-run"})
source = nocloud.DataSourceNoCloudNet({}, None, paths)
got = source._get_data()
print(json.dumps({"got": bool(got), "id": source.metadata.get("instance-id") if got else None,
                  "user": str(source.userdata_raw or "") if got else None,
                  "network": bool(source._network_config) if got else None}))
"#;

#[test]
fn plain_cloud_init_reads_what_is_served_and_another_path_gives_nothing() {
    let plan = plan("frontends");
    let identity = ClusterIdentity::example(&plan).unwrap();
    let tree = &first("frontends")[1];
    let served = Served::new(&identity, &tree.node).unwrap();
    assert_eq!(served, Served::new(&identity, &tree.node).unwrap());
    assert_ne!(served, Served::new(&identity, "gateway").unwrap());
    assert_eq!(served.path.len(), 32);
    let argument = served.argument("http://127.0.0.1:8080/demo/");
    assert_eq!(argument, format!("ds=nocloud;s=http://127.0.0.1:8080/demo/{}/", served.path));
    let files = served.files(tree);
    let names: Vec<&str> = files.iter().map(|(path, _)| path.strip_prefix(&served.path).unwrap()).collect();
    assert_eq!(names, ["/meta-data", "/network-config", "/user-data", "/vendor-data"]);
    for suite in ["trixie", "bookworm"] {
        let Some(root) = root(suite) else { continue };
        let folder = tempfile::Builder::new().prefix("served-").tempdir_in(root.join("tmp")).unwrap();
        for (path, bytes) in &files {
            let path = folder.path().join("demo").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let inside = Path::new("/tmp").join(folder.path().file_name().unwrap());
        let ask = |argument: &str, way: &str| {
            let script = "ip link set lo up && exec \"$@\"";
            let run = Run::new("unshare").args(["--net", "chroot"]).arg(&root).args(["sh", "-c", script, "sh"]);
            let run = run.args(["python3", "-c", SERVED]).arg(&inside).args([argument, way]);
            let output = run.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let last = said.lines().last().unwrap_or_default().to_owned();
            (last, format!("{said}{}", String::from_utf8_lossy(&output.stderr)))
        };
        let meta = String::from_utf8(tree.files["meta-data"].content.bytes().to_vec()).unwrap();
        for way in ["kernel", "serial"] {
            let (got, said) = ask(&argument, way);
            let got: serde_json::Value = serde_json::from_str(&got).unwrap_or_else(|_| panic!("{suite}: {said}"));
            assert_eq!(got["got"], true, "{suite}: {said}");
            assert!(meta.contains(got["id"].as_str().unwrap()), "{suite}: {got}");
            assert!(got["user"].as_str().unwrap().contains("ssh_pwauth: false"), "{suite}: {got}");
            // Older ones ask for no network-config over HTTP.
            assert_eq!(got["network"], suite == "trixie", "{suite}: {got}");
        }
        let (got, said) = ask(&argument.replace(&served.path, &"0".repeat(32)), "kernel");
        assert!(!got.contains("\"got\": true"), "{suite}: {said}");
    }
}
