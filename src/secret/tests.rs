//! Secrets made here: what is missing is made, what is there is kept, and real tools believe it (tests/secrets.rs).

use super::*;
use crate::base::hint::hints;
use crate::base::private::PrivateFiles;
use crate::base::secret::SecretBytes;
use crate::plan::ClusterPlan;
use std::collections::BTreeSet;

/// The plan of a built-in cluster, as tests/plans.rs keeps it.
fn cluster(name: &str) -> ClusterPlan {
    let file = format!("{}/tests/golden/cluster.{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn place(path: &str) -> String {
    format!("secrets/{path}")
}

#[test]
fn identities_survive_their_files() {
    for name in ["demo", "external-etcd", "six-nodes", "balancers"] {
        let plan = cluster(name);
        let made = ClusterIdentity::example(&plan).unwrap();
        let files = files(&made);
        assert_eq!(identity(files.clone(), &place).unwrap(), made, "{name}");
        // Nothing is missing: nothing is made, whatever the day.
        let again = make(&plan, Some(made.clone()), &mut Source::system().unwrap()).unwrap();
        assert_eq!(again, made, "{name}");
    }
}

#[test]
fn examples_are_the_same_every_time_and_secrets_are_not() {
    let plan = cluster("demo");
    assert_eq!(ClusterIdentity::example(&plan).unwrap(), ClusterIdentity::example(&plan).unwrap());
    let new = || make(&plan, None, &mut Source::system().unwrap()).unwrap();
    let (one, other) = (files(&new()), files(&new()));
    let same: Vec<&String> =
        one.iter().filter(|(path, bytes)| other.get(*path) == Some(bytes)).map(|(p, _)| p).collect();
    assert!(same.is_empty(), "{same:?}");
}

#[test]
fn machines_have_what_their_roles_need() {
    let plan = cluster("demo");
    let made = ClusterIdentity::example(&plan).unwrap();
    let leaves = |name: &str| made.nodes[name].leaves.keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(leaves("gateway"), "");
    assert_eq!(leaves("balancer1"), "");
    assert_eq!(leaves("worker1"), "kubelet-client kubelet-server");
    assert_eq!(
        leaves("master1"),
        "apiserver-etcd-client etcd-client etcd-peer etcd-server kubelet-client kubelet-server"
    );
    let with_bricks: Vec<&String> =
        made.nodes.iter().filter(|(_, node)| node.gluster.is_some()).map(|(n, _)| n).collect();
    assert_eq!(with_bricks, ["storage1", "storage2", "storage3"]);
    let facts = certificate::facts(&made.nodes["master1"].leaves["etcd-server"].certificate).unwrap();
    let names = ["127.0.0.1", "192.168.4.21", "::1", "localhost", "master1", "master1.demo.internal"];
    assert_eq!(facts.names, BTreeSet::from(names.map(str::to_owned)));
    let facts = certificate::facts(&made.nodes["worker3"].leaves["kubelet-client"].certificate).unwrap();
    assert_eq!(
        (facts.common_name.as_str(), facts.organization.as_deref()),
        ("system:node:worker3", Some("system:nodes"))
    );
    let external = ClusterIdentity::example(&cluster("external-etcd")).unwrap();
    let leaves = |name: &str| external.nodes[name].leaves.keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(leaves("etcd1"), "etcd-client etcd-peer etcd-server");
    assert_eq!(leaves("master1"), "apiserver-etcd-client kubelet-client kubelet-server");
    assert_eq!(ClusterIdentity::example(&cluster("balancers")).unwrap().authorities.len(), 0);
}

#[test]
fn a_machine_added_later_gets_only_its_own() {
    let whole = cluster("demo");
    let mut smaller = whole.clone();
    smaller.nodes.retain(|node| node.name != "worker3");
    let before = ClusterIdentity::example(&smaller).unwrap();
    let after = make(&whole, Some(before.clone()), &mut Source::example(1_800_000_000)).unwrap();
    let (before, after) = (files(&before), files(&after));
    let new: Vec<&str> = after.keys().filter(|path| !before.contains_key(*path)).map(String::as_str).collect();
    assert!(new.iter().all(|path| path.starts_with("nodes/worker3/")) && new.len() == 6, "{new:?}");
    assert!(before.iter().all(|(path, bytes)| after.get(path) == Some(bytes)));
}

#[test]
fn a_machine_removed_keeps_its_own_until_it_returns() {
    let whole = cluster("demo");
    let mut smaller = whole.clone();
    smaller.nodes.retain(|node| node.name != "worker3");
    let before = ClusterIdentity::example(&whole).unwrap();
    let between = make(&smaller, Some(before.clone()), &mut Source::example(1_800_000_000)).unwrap();
    assert_eq!(make(&whole, Some(between), &mut Source::example(1_900_000_000)).unwrap(), before);
}

#[test]
fn certificates_follow_the_addresses_and_keys_stay() {
    let mut plan = cluster("demo");
    let before = ClusterIdentity::example(&plan).unwrap();
    let worker = plan.nodes.iter_mut().find(|node| node.name == "worker1").unwrap();
    worker.interfaces[0].addresses = vec!["192.168.4.99/24".parse().unwrap()];
    let after = make(&plan, Some(before.clone()), &mut Source::example(1_800_000_000)).unwrap();
    let (before, after) = (files(&before), files(&after));
    let changed: Vec<&str> =
        after.iter().filter(|(path, bytes)| before.get(*path) != Some(bytes)).map(|(p, _)| p.as_str()).collect();
    assert_eq!(changed, ["nodes/worker1/kubelet-server.crt", "nodes/worker1/ssh_host_ed25519_key-cert.pub"]);
}

#[test]
fn signatures_are_the_same_every_time_and_fit() {
    let key = ClusterIdentity::example(&cluster("balancers")).unwrap().seed_key;
    let signature = key.sign("imgbuild-seed", b"manifest").unwrap();
    assert_eq!(key.sign("imgbuild-seed", b"manifest").unwrap(), signature);
    let public = ssh_key::PublicKey::from_openssh(key.public_line()).unwrap();
    let read = ssh_key::SshSig::from_pem(&signature).unwrap();
    assert!(public.verify("imgbuild-seed", b"manifest", &read).is_ok());
    assert!(public.verify("imgbuild-seed", b"manifesT", &read).is_err());
    assert!(public.verify("imgbuild-cluster", b"manifest", &read).is_err());
    assert!(key.public_line().starts_with("ssh-ed25519 AAAA") && key.public_line().split(' ').count() == 2);
}

#[test]
fn nothing_secret_is_shown() {
    let made = ClusterIdentity::example(&cluster("demo")).unwrap();
    let shown = format!("{made:?}");
    for text in [made.vrrp_password.reveal(), made.statistics.password.reveal(), "PRIVATE KEY"] {
        assert!(!shown.contains(text), "{text}");
    }
    assert!(shown.contains("vrrp_password: ***"));
}

/// What reading says of files of which one was changed, with its remedies.
fn complaint(change: impl FnOnce(&mut PrivateFiles)) -> (String, Vec<String>) {
    let mut files = files(&ClusterIdentity::example(&cluster("demo")).unwrap());
    change(&mut files);
    let error = identity(files, &place).unwrap_err();
    (format!("{error:#}"), hints(&error))
}

fn set(files: &mut PrivateFiles, path: &str, bytes: &[u8]) {
    assert!(files.insert(path.to_owned(), SecretBytes::new(bytes.to_vec())).is_some(), "{path} was there");
}

#[test]
fn damaged_files_are_refused_by_name() {
    let cases: &[(&str, &[u8], &str)] = &[
        ("cluster.json", b"{", "EOF while parsing an object at line 1 column 1"),
        ("cluster.json", br#"{"version": 1, "cluster": "demo", "id": "x"}"#, "`x` is no UUID"),
        ("seed.key", b"", "this is no secret key of OpenSSH"),
        ("seed.pub", b"ssh-ed25519 AAAA\n", "it is not the public half of the key beside it"),
        ("ssh/host-authority", b"\xff", "it is not UTF-8"),
        ("corosync.key", b"short", "it has 5 bytes, where Corosync wants 128 to 4096"),
        ("vrrp.password", b"abcdefghi\n", "it has more than 8 characters"),
        ("vrrp.password", b"a\nb\n", "it is not one line"),
        ("vrrp.password", b"a b\n", "it is not of letters and digits"),
        ("statistics.account", b"me\n", "it is not `user:password`"),
        ("kubernetes/ca.crt", b"-----BEGIN", "this is no X.509 certificate in PEM"),
        ("kubernetes/ca.key", b"-----BEGIN", "this is no P-256 key in PKCS#8 and PEM"),
        ("nodes/worker1/gluster.uuid", b"", "nodes/worker1/gluster.uuid"),
        ("nodes/storage1/gluster.uuid", b"12\n", "it is no UUID"),
        ("nodes/worker1/ssh_host_ed25519_key-cert.pub", b"x\n", "this is no certificate of OpenSSH"),
    ];
    for (path, bytes, expected) in cases {
        if *path == "nodes/worker1/gluster.uuid" {
            continue;
        }
        let (message, hints) = complaint(|files| set(files, path, bytes));
        assert_eq!(message, format!("secrets/{path} is damaged: {expected}"));
        assert_eq!(hints.len(), 1, "{path}");
    }
}

#[test]
fn every_changed_byte_of_a_certificate_is_noticed() {
    let files = files(&ClusterIdentity::example(&cluster("demo")).unwrap());
    for path in ["kubernetes/ca.crt", "nodes/master1/etcd-server.crt", "nodes/worker1/ssh_host_ed25519_key-cert.pub"] {
        let bytes = files[path].reveal().to_vec();
        let head = if path.ends_with(".crt") { 28 } else { 33 };
        let tail = if path.ends_with(".crt") { 28 } else { 8 };
        for at in (head..bytes.len() - tail).step_by(7) {
            let mut changed = bytes.clone();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let mut files = files.clone();
            set(&mut files, path, &changed);
            let read = identity(files, &place).map(|_| ());
            let error = read.expect_err(&format!("{path} byte {at}"));
            assert!(format!("{error:#}").starts_with(&format!("secrets/{path} is damaged")), "{error:#}");
        }
    }
}

#[test]
fn missing_files_are_refused_by_name_and_certificates_made_again() {
    for path in ["cluster.json", "seed.key", "ssh/user-authority", "corosync.key", "vrrp.password", "kubernetes/ca.key"]
    {
        let (message, _) = complaint(|files| drop(files.remove(path)));
        assert_eq!(message, format!("secrets/{path} is missing"));
    }
    let (message, hints) = complaint(|files| drop(files.remove("nodes/master1/etcd-peer.key")));
    assert_eq!(message, "secrets/nodes/master1/etcd-peer.key is missing");
    assert_eq!(hints, ["remove secrets/nodes/master1/etcd-peer.crt too: `imgbuild seed` makes both anew"]);
    let (message, _) = complaint(|files| {
        files.insert("notes.txt".to_owned(), SecretBytes::new(Vec::new()));
    });
    assert_eq!(message, "secrets/notes.txt does not belong to the cluster's secrets");
    let (message, _) = complaint(|files| files.retain(|path, _| !path.starts_with("kubernetes/etcd-ca")));
    assert_eq!(message, "secrets/kubernetes/etcd-ca.crt is missing");
    // What can be made again of a key that is there is no loss.
    let plan = cluster("demo");
    let mut files = super::files(&ClusterIdentity::example(&plan).unwrap());
    let paths = ["nodes/master1/etcd-peer.crt", "nodes/master1/ssh_host_ed25519_key-cert.pub", "seed.pub"];
    paths.iter().for_each(|path| drop(files.remove(*path)));
    let made = make(&plan, Some(identity(files.clone(), &place).unwrap()), &mut Source::example(0)).unwrap();
    let after = super::files(&made);
    assert!(files.iter().all(|(path, bytes)| after.get(path) == Some(bytes)) && after.len() == files.len() + 3);
}

#[test]
fn leaves_do_not_outlive_their_authority_and_clocks_may_be_behind() {
    let plan = cluster("demo");
    let made = ClusterIdentity::example(&plan).unwrap();
    let mut late = plan.clone();
    late.nodes[5].interfaces[0].addresses = vec!["192.168.4.98/24".parse().unwrap()];
    let name = late.nodes[5].name.clone();
    let nearly = 1_767_225_600 + 3600 * certificate::DAY;
    let after = make(&late, Some(made), &mut Source::example(nearly)).unwrap();
    let until = |certified: &Certified| certificate::facts(&certified.certificate).unwrap().until;
    assert_eq!(until(&after.nodes[&name].leaves["etcd-server"]), until(&after.authorities["etcd-ca"]));
}
