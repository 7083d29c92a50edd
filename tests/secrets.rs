//! Secrets as people meet them: made once, believed by the real tools, hard to lose, and never shown.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking and say what they skip"
)]

use imgbuild::base::private::{self, PrivateFiles};
use imgbuild::base::process::{Run, find};
use imgbuild::base::secret::Secret;
use imgbuild::secret::{self, SshKey};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Output;

/// A project with a copy of the built-in cluster `demo`, and a person with an identity for age.
struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn secrets(&self) -> PathBuf {
        self.at("seeds/demo/secrets")
    }

    fn files(&self) -> PrivateFiles {
        private::read(&self.secrets()).unwrap().unwrap()
    }

    fn run(&self, line: &str) -> Output {
        let run = Run::new(env!("CARGO_BIN_EXE_imgbuild")).arg("-C").arg(self.folder.path());
        let run = run.arg("--cache").arg(self.at("cache")).env("IMGBUILD_IDENTITY", self.at("identity.txt"));
        run.args(line.split_whitespace()).output().unwrap()
    }

    /// What a command gives that succeeds.
    fn done(&self, line: &str) -> String {
        let output = self.run(line);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{line}: {complaint}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command complains of that fails.
    fn refused(&self, line: &str) -> String {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert!(output.stdout.is_empty(), "{line}");
        String::from_utf8(output.stderr).unwrap().replace(&*self.folder.path().to_string_lossy(), "HERE")
    }

    /// An identity for age; gives its recipient.
    fn identity(&self, name: &str) -> String {
        let identity = age::x25519::Identity::generate();
        let text = format!("{}\n", age::secrecy::ExposeSecret::expose_secret(&identity.to_string()));
        fs::write(self.at(name), text).unwrap();
        fs::set_permissions(self.at(name), fs::Permissions::from_mode(0o600)).unwrap();
        identity.to_public().to_string()
    }
}

/// Whether a program is there; says that the test is skipped otherwise.
fn have(test: &str, program: &str) -> bool {
    let there = find(program).is_some();
    if !there {
        eprintln!("SKIPPED {test}: there is no {program} here");
    }
    there
}

fn succeeds(program: &str, arguments: &[&str], input: &[u8]) -> (bool, String) {
    let output = Run::new(program).args(arguments).input(input).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn openssl_believes_every_certificate_for_its_purpose_and_no_other() {
    if !have("openssl_believes_every_certificate", "openssl") {
        return;
    }
    let project = Project::new();
    project.done("secrets make demo");
    let path = |path: &str| project.secrets().join(path).display().to_string();
    let verify = |authority: &str, purpose: &str, leaf: &str| {
        let line = ["verify", "-x509_strict", "-purpose", purpose, "-CAfile", authority, leaf];
        succeeds("openssl", &line, b"")
    };
    let authority = |name: &str| path(&format!("kubernetes/{name}.crt"));
    let cases = [
        ("etcd-server", "etcd-ca", true, true),
        ("etcd-peer", "etcd-ca", true, true),
        ("etcd-client", "etcd-ca", false, true),
        ("apiserver-etcd-client", "etcd-ca", false, true),
        ("kubelet-client", "ca", false, true),
        ("kubelet-server", "ca", true, false),
    ];
    for (leaf, signer, server, client) in cases {
        let file = path(&format!("nodes/master1/{leaf}.crt"));
        for (purpose, expected) in [("sslserver", server), ("sslclient", client)] {
            let (good, said) = verify(&authority(signer), purpose, &file);
            assert_eq!(good, expected, "{leaf} as {purpose}: {said}");
        }
        let (good, said) = verify(&authority("front-proxy-ca"), "any", &file);
        assert!(!good && said.contains("unable to get local issuer certificate"), "{said}");
        // The key is the certificate's.
        let public = succeeds("openssl", &["pkey", "-pubout", "-in", &path(&format!("nodes/master1/{leaf}.key"))], b"");
        assert_eq!(public, succeeds("openssl", &["x509", "-noout", "-pubkey", "-in", &file], b""));
    }
    let server = path("nodes/master1/etcd-server.crt");
    let says = |flag: &str, name: &str| succeeds("openssl", &["x509", "-noout", "-in", &server, flag, name], b"").1;
    assert!(says("-checkip", "192.168.4.21").contains("does match"));
    assert!(says("-checkhost", "master1.demo.internal").contains("does match"));
    assert!(says("-checkip", "192.168.4.22").contains("does NOT match"));
    // A byte changed: the signature no longer fits.
    let mut der = pem_der(&fs::read(&server).unwrap());
    let last = der.len() - 5;
    der[last] ^= 1;
    let changed = project.at("changed.der");
    fs::write(&changed, der).unwrap();
    let changed = changed.display().to_string();
    let line = ["verify", "-CAfile", &authority("etcd-ca"), "-inform", "DER", &changed];
    let (good, said) = succeeds("openssl", &[&line[..3], &line[5..]].concat(), b"");
    assert!(!good, "{said}");
    let dates = succeeds("openssl", &["x509", "-noout", "-startdate", "-in", &server], b"").1;
    assert_eq!(dates.trim(), "notBefore=Jan  1 00:00:00 2000 GMT");
    let pair = (path("kubernetes/service-accounts.key"), path("kubernetes/service-accounts.pub"));
    let public = succeeds("openssl", &["pkey", "-pubout", "-in", &pair.0], b"").1;
    assert_eq!(public, fs::read_to_string(pair.1).unwrap());
}

fn pem_der(text: &[u8]) -> Vec<u8> {
    pem::parse(text).unwrap().into_contents()
}

#[test]
fn openssh_believes_host_certificates_and_signatures() {
    if !have("openssh_believes_host_certificates", "ssh-keygen") {
        return;
    }
    let project = Project::new();
    project.done("secrets make demo");
    let path = |path: &str| project.secrets().join(path).display().to_string();
    let certificate = path("nodes/balancer1/ssh_host_ed25519_key-cert.pub");
    let (good, said) = succeeds("ssh-keygen", &["-L", "-f", &certificate], b"");
    let fingerprint = |file: &str| {
        let line = succeeds("ssh-keygen", &["-l", "-f", file], b"").1;
        line.split(' ').nth(1).unwrap().to_owned()
    };
    let expected = [
        "Type: ssh-ed25519-cert-v01@openssh.com host certificate".to_owned(),
        format!("Signing CA: ED25519 {} (using ssh-ed25519)", fingerprint(&path("ssh/host-authority.pub"))),
        format!("Public key: ED25519-CERT {}", fingerprint(&path("nodes/balancer1/ssh_host_ed25519_key"))),
        "Key ID: \"balancer1.demo.internal\"".to_owned(),
        "api.demo.internal".to_owned(),
        "192.168.4.10\n".to_owned(),
        "192.168.4.11\n".to_owned(),
    ];
    for text in expected {
        assert!(good && said.contains(&text), "{text}: {said}");
    }
    let valid = said.lines().find(|line| line.contains("Valid:")).unwrap();
    // From the beginning, which it does not print; and the last day, in whichever time zone this is.
    assert!(valid.contains("before 9999-12-31") || valid.contains("before 10000-01-01"), "{valid}");
    // The secret half is one that OpenSSH reads.
    let public = succeeds("ssh-keygen", &["-y", "-f", &path("seed.key")], b"").1;
    assert_eq!(public.trim(), fs::read_to_string(path("seed.pub")).unwrap().trim());
    // Signatures over manifests, with a twin over other bytes and one for another purpose.
    let key = SshKey::read(Secret::new(fs::read_to_string(path("seed.key")).unwrap())).unwrap();
    let signature = project.at("manifest.sig");
    fs::write(&signature, key.sign("imgbuild-seed", b"manifest").unwrap()).unwrap();
    let signers = project.at("signers");
    fs::write(&signers, format!("demo {}\n", key.public_line())).unwrap();
    let verify = |namespace: &str, bytes: &[u8]| {
        let (signers, signature) = (signers.display().to_string(), signature.display().to_string());
        let line = ["-Y", "verify", "-f", &signers, "-I", "demo", "-n", namespace, "-s", &signature];
        succeeds("ssh-keygen", &line, bytes)
    };
    assert!(verify("imgbuild-seed", b"manifest").0);
    assert!(!verify("imgbuild-seed", b"manifesT").0);
    assert!(!verify("imgbuild-cluster", b"manifest").0);
    // A certificate of which a byte was changed.
    let text = fs::read_to_string(&certificate).unwrap();
    let changed = project.at("changed-cert.pub");
    let at = text.rfind('=').unwrap_or(text.len() - 1) - 20;
    let other = if &text[at..=at] == "A" { "B" } else { "A" };
    fs::write(&changed, format!("{}{other}{}", &text[..at], &text[at + 1..])).unwrap();
    assert!(!succeeds("ssh-keygen", &["-L", "-f", &changed.display().to_string()], b"").0);
}

#[test]
fn secrets_are_made_once_privately_and_outside_of_version_control() {
    let project = Project::new();
    assert_eq!(
        project.refused("secrets show demo"),
        "error: demo has no secrets yet\nhint: `imgbuild seed demo` makes them\n"
    );
    let made = project.done("secrets make demo");
    assert_eq!(made.trim(), project.secrets().display().to_string());
    let first = project.files();
    project.done("secrets make demo");
    assert_eq!(project.files(), first);
    let mut waiting = vec![project.secrets()];
    while let Some(folder) = waiting.pop() {
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o7777, 0o700, "{}", folder.display());
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => waiting.push(entry.path()),
                false => assert_eq!(entry.metadata().unwrap().mode() & 0o7777, 0o600, "{}", entry.path().display()),
            }
        }
    }
    if have("secrets_are_made_once", "git") {
        let git = |line: &str| {
            let folder = project.folder.path().display().to_string();
            let mut words = vec!["-C", &folder];
            words.extend(line.split(' '));
            succeeds("git", &words, b"").1
        };
        git("init -q");
        assert_eq!(git("status --porcelain -uall"), "?? seeds/demo/record.json\n");
    }
}

#[test]
fn two_at_once_make_the_same_secrets() {
    let project = Project::new();
    let ids: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3).map(|_| scope.spawn(|| project.done("--json secrets make demo"))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0] && id.contains("\"id\"")), "{ids:?}");
}

#[test]
fn what_others_may_read_or_what_is_damaged_is_refused_by_name() {
    let project = Project::new();
    project.done("secrets make demo");
    let key = project.secrets().join("kubernetes/ca.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let expected = "error: HERE/seeds/demo/secrets/kubernetes/ca.key can be read by others (mode 0644)\n\
                    hint: keep it to yourself: `chmod 600 HERE/seeds/demo/secrets/kubernetes/ca.key`\n";
    for line in ["secrets show demo", "secrets make demo", "secrets seal demo --to age1x"] {
        assert_eq!(project.refused(line), expected);
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, "x").unwrap();
    let said = project.refused("secrets make demo");
    let expected =
        "error: HERE/seeds/demo/secrets/kubernetes/ca.key is damaged: this is no P-256 key in PKCS#8 and PEM\n";
    assert!(said.starts_with(expected) && said.contains("hint: take it from a backup"), "{said}");
}

#[test]
fn the_calendar_shows_ends_in_order_and_renewal_moves_them() {
    let project = Project::new();
    project.done("secrets make demo");
    let text = project.done("secrets show demo");
    let lines: Vec<&str> = text.lines().skip(1).map(|line| line.trim().split(' ').next().unwrap()).collect();
    assert!(
        lines.len() == 3 + 3 * 6 + 3 * 2 + 12 && lines.is_sorted_by_key(|day| if *day == "-" { "z" } else { day }),
        "{text}"
    );
    let entries = |json: &str| -> BTreeMap<String, serde_json::Value> {
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        let list = value["entries"].as_array().unwrap().clone();
        list.into_iter().map(|entry| (entry["name"].as_str().unwrap().to_owned(), entry)).collect()
    };
    let before = entries(&project.done("--json secrets show demo"));
    // Whole days: one less as soon as a second has passed.
    let days = |name: &str| before[name]["days"].as_i64().unwrap();
    assert_eq!(before["ca"]["kind"], "authority");
    assert!([3651, 3652].contains(&days("ca")) && [729, 730].contains(&days("worker1/kubelet-client")), "{before:?}");
    assert_eq!(before["worker1/ssh-host"]["ends"], serde_json::Value::Null);
    assert_eq!(project.done("secrets renew demo"), "nothing of demo ends within 90 days\n");
    let files = project.files();
    let said = project.done("secrets renew demo worker1 master1/etcd-peer");
    for name in ["worker1/kubelet-client", "worker1/kubelet-server", "master1/etcd-peer"] {
        assert!(said.contains(&format!("  {name}\n")), "{said}");
    }
    let after = entries(&project.done("--json secrets show demo"));
    let renewed = |name: &str| before[name]["serial"] != after[name]["serial"];
    let changed: Vec<&String> = after.keys().filter(|name| renewed(name)).collect();
    assert_eq!(changed, ["master1/etcd-peer", "worker1/kubelet-client", "worker1/kubelet-server"]);
    let renewed = project.files();
    let differ: Vec<&String> = files.iter().filter(|(path, bytes)| renewed[*path] != **bytes).map(|(p, _)| p).collect();
    assert!(differ.len() == 3 && differ.iter().all(|path| path.ends_with(".crt")), "{differ:?}");
    project.done("secrets renew demo worker1/kubelet-client --new-keys");
    assert_ne!(project.files()["nodes/worker1/kubelet-client.key"], files["nodes/worker1/kubelet-client.key"]);
    let cases = [
        ("secrets renew demo worker9", "error: there is no certificate `worker9` that ends\n"),
        ("secrets renew demo gateway", "error: `gateway` has no certificate that ends\n"),
        (
            "secrets renew demo etcd-ca",
            "error: `etcd-ca` is an authority: every machine that trusts it has to be told of the new one\n",
        ),
    ];
    for (line, expected) in cases {
        let said = project.refused(line);
        assert!(said.starts_with(expected) && said.contains("hint: "), "{line}: {said}");
    }
}

#[test]
fn an_authority_renewed_keeps_what_it_signed_and_a_new_one_signs_it_again() {
    let project = Project::new();
    project.done("secrets make demo");
    let first = project.files();
    let changed = |first: &PrivateFiles, second: &PrivateFiles| -> Vec<String> {
        second.iter().filter(|(path, bytes)| first.get(*path) != Some(bytes)).map(|(path, _)| path.clone()).collect()
    };
    project.done("secrets renew demo etcd-ca --authority");
    let second = project.files();
    assert_eq!(changed(&first, &second), ["kubernetes/etcd-ca.crt"]);
    project.done("secrets show demo");
    project.done("secrets renew demo etcd-ca --authority --new-keys");
    let third = project.files();
    let changed = changed(&second, &third);
    assert_eq!(changed.len(), 2 + 3 * 4 * 2, "{changed:?}");
    assert!(changed.iter().all(|path| path.contains("etcd")));
    project.done("secrets show demo");
}

#[test]
fn sealed_secrets_open_again_for_those_they_are_sealed_to() {
    let project = Project::new();
    project.done("secrets make demo");
    let said = project.refused("secrets seal demo");
    assert!(said.starts_with("error: nobody is named who may open the sealed file: there is no identity"), "{said}");
    let (own, other) = (project.identity("identity.txt"), project.identity("other.txt"));
    let said = project.done("secrets seal demo");
    assert!(said.contains(&format!("opens for {own}")), "{said}");
    let said = project.done(&format!("secrets seal demo --to {own} {other}"));
    assert!(said.contains(&other), "{said}");
    let files = project.files();
    // How many whole days are left may be one less a second later; when a certificate ends is compared.
    let timeless =
        |shown: &str| shown.lines().filter(|line| !line.contains("\"days\":")).map(|l| format!("{l}\n")).collect();
    let json: String = timeless(&project.done("--json secrets show demo").replace("seeds/demo/secrets", "X"));
    assert!(json.contains("\"ends\": \""), "{json}");
    // Opened with either; every command works without the folder, and what is new is sealed again.
    private::remove(&project.secrets()).unwrap();
    for identity in ["identity.txt", "other.txt"] {
        let shown = project.done(&format!("--json secrets show demo --identity {identity}"));
        assert_eq!(timeless(&shown.replace("seeds/demo/secrets.age", "X")), json);
    }
    project.done("secrets renew demo worker1");
    assert!(!project.secrets().exists());
    project.done("secrets unseal demo --identity other.txt");
    let opened = project.files();
    let differ: Vec<&String> = files.iter().filter(|(path, bytes)| opened[*path] != **bytes).map(|(p, _)| p).collect();
    assert_eq!(differ, ["nodes/worker1/kubelet-client.crt", "nodes/worker1/kubelet-server.crt"]);
    // Beside a folder that went on, the sealed file is said to be old, and does not replace it.
    project.done("secrets renew demo worker2");
    let output = project.run("secrets make demo");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("secrets.age is older than the secrets: `imgbuild secrets seal demo`"), "{said}");
    assert!(project.refused("secrets unseal demo").contains("is there, and differs from"));
    // A stranger, and a byte changed.
    private::remove(&project.secrets()).unwrap();
    project.identity("stranger.txt");
    let said = project.refused("secrets show demo --identity stranger.txt");
    let expected = "error: opening HERE/seeds/demo/secrets.age with HERE/stranger.txt: it is sealed to others, not to this identity\nhint: ";
    assert!(said.starts_with(expected), "{said}");
    assert!(
        project
            .refused("secrets show demo --identity none.txt")
            .starts_with("error: there is no identity HERE/none.txt\nhint: say where")
    );
    let sealed = project.at("seeds/demo/secrets.age");
    let mut bytes = fs::read(&sealed).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
    fs::write(&sealed, bytes).unwrap();
    assert!(project.refused("secrets show demo").contains("it is damaged"));
}

#[test]
fn the_real_age_opens_what_is_sealed_and_seals_what_is_opened() {
    if !have("the_real_age", "age") || !have("the_real_age", "age-keygen") {
        return;
    }
    let project = Project::new();
    project.done("secrets make demo");
    let path = |name: &str| project.at(name).display().to_string();
    let keygen = |name: &str| {
        assert!(succeeds("age-keygen", &["-o", &path(name)], b"").0);
        succeeds("age-keygen", &["-y", &path(name)], b"").1.trim().to_owned()
    };
    let recipient = keygen("identity.txt");
    project.done("secrets seal demo");
    let sealed = path("seeds/demo/secrets.age");
    assert!(succeeds("age", &["-d", "-i", &path("identity.txt"), "-o", &path("opened.tar"), &sealed], b"").0);
    let (good, listed) = succeeds("tar", &["-tvf", &path("opened.tar")], b"");
    assert!(good && listed.contains("nodes/master1/etcd-server.key"), "{listed}");
    fs::create_dir(project.at("opened")).unwrap();
    assert!(succeeds("tar", &["-xf", &path("opened.tar"), "-C", &path("opened")], b"").0);
    for (below, bytes) in project.files() {
        assert_eq!(fs::read(project.at("opened").join(&below)).unwrap(), bytes.reveal(), "{below}");
    }
    // The twins: another identity, and a byte changed.
    keygen("stranger.txt");
    assert!(!succeeds("age", &["-d", "-i", &path("stranger.txt"), "-o", "/dev/null", &sealed], b"").0);
    let mut bytes = fs::read(&sealed).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
    fs::write(project.at("changed.age"), bytes).unwrap();
    assert!(!succeeds("age", &["-d", "-i", &path("identity.txt"), "-o", "/dev/null", &path("changed.age")], b"").0);
    // And the other way round.
    let files = project.files();
    fs::remove_file(&sealed).unwrap();
    assert!(succeeds("age", &["-a", "-r", &recipient, "-o", &sealed, &path("opened.tar")], b"").0);
    private::remove(&project.secrets()).unwrap();
    project.done("secrets unseal demo");
    assert_eq!(project.files(), files);
}

#[test]
fn secrets_that_are_gone_are_not_replaced_in_silence() {
    let project = Project::new();
    project.done("secrets make demo");
    let kept = project.at("kept");
    fs::rename(project.secrets(), &kept).unwrap();
    for line in ["secrets make demo", "secrets show demo"] {
        let said = project.refused(line);
        assert!(said.starts_with("error: the secrets of demo (") && said.contains("are gone: neither"), "{said}");
        assert!(said.contains("HERE/seeds/demo/record.json names them\nhint: put back the secrets"), "{said}");
    }
    // Seeds in the results name them as well.
    let record = fs::read_to_string(project.at("seeds/demo/record.json")).unwrap();
    let id = serde_json::from_str::<serde_json::Value>(&record).unwrap()["id"].as_str().unwrap().to_owned();
    fs::remove_file(project.at("seeds/demo/record.json")).unwrap();
    let manifest = project.at("out/clusters/demo/seeds/worker1/imgbuild/manifest.json");
    fs::create_dir_all(manifest.parent().unwrap()).unwrap();
    let text = serde_json::json!({"version": 1, "cluster": {"name": "demo", "id": id}, "generation": 1, "documents": [],
        "node": {"name": "worker1", "domain": "x", "roles": [], "macs": []}, "files": [], "units": []});
    fs::write(&manifest, text.to_string()).unwrap();
    assert!(project.refused("secrets make demo").contains("worker1/imgbuild/manifest.json names them"));
    // Put back, all is well; those of another cluster in their place are noticed.
    fs::rename(&kept, project.secrets()).unwrap();
    project.done("secrets make demo");
    fs::write(&manifest, text.to_string().replace(&id, "00000000-0000-4000-8000-000000000000")).unwrap();
    assert!(project.refused("secrets make demo").contains("holds the secrets of another cluster `demo`"));
    // A cluster that is called otherwise now.
    let renamed = project.at("seeds/other");
    fs::rename(project.at("seeds/demo"), &renamed).unwrap();
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/demo/cluster.yaml")).unwrap();
    fs::write(renamed.join("cluster.yaml"), document.replace("cluster: demo", "cluster: other")).unwrap();
    let said = project.refused("secrets make other");
    assert!(said.contains("holds the secrets of the cluster `demo`\nhint: a cluster cannot be renamed"), "{said}");
}

#[test]
fn other_commands_leave_secrets_alone() {
    let project = Project::new();
    project.done("secrets make demo");
    project.done("secrets make balancers");
    let first = project.files();
    fs::create_dir_all(project.at("out")).unwrap();
    project.run("cache prune");
    fs::remove_dir_all(project.at("out")).unwrap();
    project.done("seed balancers");
    project.done("plan cluster demo");
    project.done("init --force");
    assert_eq!(project.files(), first);
    project.done("secrets make demo");
    assert_eq!(project.files(), first);
}

/// Every file below a folder with its bytes.
fn everything(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut waiting) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(folder) = waiting.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.insert(path.clone(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn seeds_are_the_same_again_also_from_the_sealed_file() {
    let project = Project::new();
    project.identity("identity.txt");
    project.done("seed demo");
    let seeds = project.at("out/clusters/demo/seeds");
    let first = everything(&seeds);
    assert!(first.len() > 12 * 5, "{}", first.len());
    project.done("secrets seal demo");
    private::remove(&project.secrets()).unwrap();
    fs::remove_dir_all(project.at("out")).unwrap();
    project.done("seed demo");
    assert!(!project.secrets().exists());
    assert!(everything(&seeds) == first, "the same to the byte");
    // Neither the folder nor the sealed file: no seeds rather than others.
    fs::remove_file(project.at("seeds/demo/secrets.age")).unwrap();
    assert!(project.refused("seed demo").contains("are gone: neither"));
    assert!(everything(&seeds) == first);
}

/// All secrets of these files as they could appear somewhere: keys' lines, passwords, bytes in hexadecimal and base64.
fn traces(files: &PrivateFiles) -> Vec<(String, Vec<u8>)> {
    let mut traces = Vec::new();
    for (path, bytes) in files {
        let bytes = bytes.reveal();
        let is_key = path.ends_with(".key") || path.ends_with("authority") || path.ends_with("ed25519_key");
        match path.as_str() {
            "corosync.key" => {
                traces.push((path.clone(), bytes[..32].to_vec()));
                let hexadecimal: String = bytes[..16].iter().map(|byte| format!("{byte:02x}")).collect();
                traces.push((path.clone(), hexadecimal.into_bytes()));
            }
            "vrrp.password" => traces.push((path.clone(), bytes.trim_ascii().to_vec())),
            "statistics.account" => {
                traces.push((path.clone(), bytes.trim_ascii().split(|c| *c == b':').nth(1).unwrap().to_vec()));
            }
            _ if is_key => {
                // The second line of PEM on: the first is the same for every key of the kind.
                let lines = bytes.split(|c| *c == b'\n').skip(2).filter(|line| line.len() >= 32);
                traces.extend(lines.map(|line| (path.clone(), line[..32].to_vec())));
            }
            _ => {}
        }
    }
    assert!(traces.len() > 60, "{}", traces.len());
    traces
}

#[test]
fn no_output_and_no_open_file_shows_a_secret() {
    let project = Project::new();
    let recipient = project.identity("identity.txt");
    let mut said = Vec::new();
    let mut run = |line: &str| {
        let output = project.run(line);
        said.push((line.to_owned(), [output.stdout, output.stderr].concat()));
    };
    run("-v secrets make demo");
    let files = project.files();
    for verbosity in ["", "-v ", "--json -v ", "--progress json "] {
        for line in ["make demo", "show demo", "renew demo nobody", "unseal demo", "seal demo --to x"] {
            run(&format!("{verbosity}secrets {line}"));
        }
        run(&format!("{verbosity}seed demo"));
    }
    run(&format!("-v secrets seal demo --to {recipient}"));
    // Damaged in every file once: no message repeats what the file held.
    for (path, bytes) in &files {
        let file = project.secrets().join(path);
        let mut damaged = bytes.reveal().to_vec();
        let middle = damaged.len() / 2;
        damaged.insert(middle, b'!');
        fs::write(&file, damaged).unwrap();
        if path.contains("master1") || !path.starts_with("nodes/") {
            run("-v secrets show demo");
        }
        fs::write(&file, bytes.reveal()).unwrap();
    }
    let traces = traces(&files);
    let finds = |bytes: &[u8], trace: &[u8]| bytes.windows(trace.len()).any(|window| window == trace);
    for (line, bytes) in &said {
        for (path, trace) in &traces {
            assert!(!finds(bytes, trace), "`{line}` shows {path}");
        }
    }
    // The files that others may read, wherever they are.
    assert!(project.at("out/clusters/demo/seeds/worker1.iso").is_file());
    let mut waiting = vec![project.folder.path().to_owned()];
    let mut open = 0;
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let data = entry.metadata().unwrap();
            if data.is_dir() {
                waiting.push(entry.path());
            } else if data.mode() & 0o077 != 0 {
                open += 1;
                let bytes = fs::read(entry.path()).unwrap();
                for (path, trace) in &traces {
                    assert!(!finds(&bytes, trace), "{} shows {path}", entry.path().display());
                }
            }
        }
    }
    assert!(open >= 2, "record.json and secrets.age are open");
    // The twin: this is how a secret would be found.
    let key = project.files()["seed.key"].reveal().to_vec();
    assert!(traces.iter().any(|(_, trace)| finds(&key, trace)));
    assert!(secret::identity(files, &|path| path.to_owned()).is_ok());
}
