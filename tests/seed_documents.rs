//! Every document of a seed against the program that will read it.
//!
//! The programs are the target's own, in a root of their packages (tests/seeds/root makes it, once for each suite). Each has
//! a negative twin: the same document with a mistake, which it must notice.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "all of this is tests"
)]

#[path = "support/clusters.rs"]
mod clusters;

use clusters::{first, plan};
use imgbuild::base::process::Run;
use imgbuild::input::Sources;
use imgbuild::secret::ClusterIdentity;
use imgbuild::seed::{JUDGES, SeedTree, Served};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

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
    if !path.join("usr/sbin/haproxy").exists() || !path.join("etc/protocols").exists() {
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
        // Version 2.2.7 ends itself by SIGTERM after every test: what else it says tells.
        command: "said=$(keepalived -t -f DOCUMENT 2>&1) || { status=$?; \
            said=$(printf '%s' \"$said\" | grep -vx Terminated); echo \"$said\"; [ $status = 143 ] && [ -z \"$said\" ]; }",
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
    let run = if case.command.contains("keepalived -t") {
        // The root's own `ip`: a machine that runs tests need not have one.
        let script = format!("{INTERFACES} {command}");
        Run::new("unshare").args(["--net", "chroot"]).arg(root).args(["sh", "-c", &script])
    } else {
        Run::new("chroot").arg(root).args(["sh", "-c", &command])
    };
    let output = run.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

/// The newest cloud-init is the one that Debian's unstable suite has today. It changes without notice: only the long run
/// asks it.
const NEWEST: &str = "sid";

/// Judges the documents of these clusters for machines of a suite, each also with a mistake; only those whose program of the
/// suite can be asked.
fn judge_all(suite: &str, names: &[&str], asked: impl Fn(&Case) -> bool) {
    let Some(root) = root(suite) else { return };
    let mut judged = 0;
    let mut seen = BTreeSet::new();
    let mut twins: BTreeSet<&str> = BTreeSet::new();
    prepare(&root);
    for name in names {
        for tree in first(name, suite) {
            for case in CASES.iter().filter(|case| asked(case)) {
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
                assert!(content, "{suite}: {name}/{}: {}\n{said}", tree.node, case.path);
                judged += 1;
                let text = String::from_utf8(file.content.bytes().to_vec()).unwrap();
                if text.contains(case.right) && twins.insert(case.path) {
                    let (content, said) =
                        judge(&root, &tree.node, case, text.replacen(case.right, case.wrong, 1).as_bytes());
                    assert!(!content, "{suite}: {}: the mistake went unnoticed\n{said}", case.path);
                }
            }
        }
    }
    let expected: BTreeSet<&str> = CASES.iter().filter(|case| asked(case)).map(|case| case.path).collect();
    assert_eq!(twins, expected, "{suite}: each has a twin");
    println!("{suite}: {judged} documents judged");
}

#[test]
fn every_document_satisfies_the_program_that_reads_it_and_none_with_a_mistake_does() {
    judge_all("trixie", &["everything", "frontends", "balancers", "six-nodes"], |_| true);
}

#[test]
fn bookworms_programs_are_content_too() {
    // Its cloud-init (22.4) knows no schema of network-config.
    judge_all("bookworm", &["everything", "frontends"], |case| case.path != "network-config");
}

#[test]
fn the_newest_cloud_init_is_content_too() {
    if std::env::var_os("IMGBUILD_TEST_LONG").is_some() {
        judge_all(NEWEST, &["everything", "frontends"], |case| case.command.starts_with("cloud-init"));
    }
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
    let (mut seen, all) = (BTreeSet::new(), first("everything", "trixie"));
    let all: Vec<SeedTree> = all.into_iter().chain(first("frontends", "trixie")).collect();
    for judge in JUDGES {
        assert!(seen.insert(judge.document), "{} is judged twice", judge.document);
        assert!(templates.contains_key(judge.template), "{} is no template", judge.template);
        assert!(all.iter().any(|tree| tree.files.contains_key(&judge.path())), "nobody is told {}", judge.document);
    }
    // Nothing that a program was found for in this file is left out.
    let left: Vec<&str> = CASES.iter().map(|case| case.path).filter(|path| !seen.contains(path)).collect();
    assert!(left.is_empty(), "check --deep does not judge {left:?}");
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
    let tree = &first("frontends", "trixie")[1];
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
