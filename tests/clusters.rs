//! The plan of every example cluster, compared with what stands in `tests/golden/`, and what plans of clusters promise.
//!
//! `UPDATE_EXPECTED=1` rewrites them; a change is explained in the commit's message.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

use imgbuild::input::{Problems, Sources, load_cluster, load_cluster_file};
use imgbuild::plan::{BalancerKind, ClusterPlan, Link, check_clusters, draw_cluster};
use proptest::prelude::*;
use std::path::{Path, PathBuf};

fn drawn(sources: &Sources, name: &str) -> (ClusterPlan, Problems) {
    let inputs = load_cluster(sources, name).unwrap_or_else(|problems| panic!("{problems}"));
    draw_cluster(&inputs).unwrap_or_else(|problems| panic!("{problems}"))
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn written(project: &Path, text: &str) -> Result<(ClusterPlan, Problems), Problems> {
    std::fs::create_dir_all(project.join("seeds/own")).unwrap();
    std::fs::write(project.join("seeds/own/cluster.yaml"), text).unwrap();
    draw_cluster(&load_cluster(&Sources::new(project), "own")?)
}

#[test]
fn example_clusters_equal_the_golden_ones() {
    let sources = Sources::builtin();
    let names: Vec<String> = sources.clusters().unwrap().into_keys().collect();
    assert_eq!(names, ["balancers", "demo", "external-etcd", "frontends", "six-nodes"]);
    assert_eq!(check_clusters(&sources).unwrap(), names.len());
    for name in names {
        let (plan, _) = drawn(&sources, &name);
        let mut text = serde_json::to_string_pretty(&plan).unwrap();
        text.push('\n');
        let file = golden(&format!("cluster.{name}.json"));
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let wanted = std::fs::read_to_string(&file).unwrap_or_default();
        let line = text.lines().zip(wanted.lines()).position(|(a, b)| a != b);
        assert!(text == wanted, "{name} differs from its golden plan (line {line:?}); UPDATE_EXPECTED=1 rewrites it");
        assert_eq!(serde_json::from_str::<ClusterPlan>(&text).unwrap(), plan);
    }
}

#[test]
fn rows_count_names_cards_and_addresses_up() {
    let (plan, _) = drawn(&Sources::builtin(), "demo");
    let worker = plan.nodes.iter().find(|node| node.name == "worker3").unwrap();
    let lan = &worker.interfaces[0];
    assert_eq!(lan.addresses[0].to_string(), "192.168.4.43/24");
    assert_eq!(lan.link, Link::Card("52:54:00:00:04:2b".parse().unwrap()));
    assert_eq!(worker.interfaces[1].link, Link::Vlan { parent: "lan".to_owned(), id: 42 });
    assert_eq!(worker.failure_domain.as_deref(), Some("rack3"));
    assert_eq!(plan.images(), ["gateway", "gluster", "haproxy", "master", "worker"]);
    let web = plan.services.iter().find(|service| service.name == "web").unwrap();
    let backends: Vec<String> =
        web.backends.iter().map(|backend| format!("{}:{}", backend.node, backend.port)).collect();
    assert_eq!(backends, ["worker1:30443", "worker2:30443", "worker3:30443"]);
    assert_eq!(plan.kubernetes.unwrap().etcd, ["master1", "master2", "master3"]);
    let addresses: Vec<String> = plan.balancers.unwrap().addresses.iter().map(|a| a.address.to_string()).collect();
    assert_eq!(addresses, ["192.168.4.10/24", "192.168.4.9/24"]);
}

#[test]
fn overrides_defaults_and_combined_roles_reach_the_plan() {
    let (plan, _) = drawn(&Sources::builtin(), "external-etcd");
    let size = |name: &str| plan.nodes.iter().find(|node| node.name == name).unwrap().size;
    assert_eq!((size("worker1").processors, size("worker2").processors), (2, 4));
    assert_eq!(size("worker2").memory.to_string(), "8 GiB");
    assert_eq!(plan.kubernetes.as_ref().unwrap().etcd, ["etcd1", "etcd2", "etcd3"]);
    let (plan, _) = drawn(&Sources::builtin(), "six-nodes");
    assert_eq!(plan.images(), ["master+frontend", "worker"]);
    let balancers = plan.balancers.unwrap();
    assert_eq!((balancers.kind, balancers.vrrp_id), (BalancerKind::Keepalived, Some(10)));
    assert_eq!(balancers.nodes, ["master1", "master2", "master3"]);
}

#[test]
fn doubtful_clusters_are_drawn_with_warnings() {
    let project = tempfile::tempdir().unwrap();
    let text = "version: 1
cluster: own
domain: own.internal
networks: {lan: {cidr: 192.168.4.0/24}}
api: {name: api.own.internal, address: 192.168.4.10, port: 8443, balancer: keepalived}
kubernetes: {version: \"1.36\", pods: 10.244.0.0/16, services: 10.96.0.0/12, etcd: external}
storage: {gluster: {volume: gv0, replica: 2}}
nodes:
  - {name: a, role: frontend, interfaces: [{network: lan, mac: \"52:54:00:00:00:01\", address: 192.168.4.1}]}
  - {name: m, role: control-plane, interfaces: [{network: lan, mac: \"52:54:00:00:00:02\", address: 192.168.4.2}]}
  - {name: e, count: 3, role: etcd, failure_domain: [one, one, two], interfaces: [{network: lan, mac: \"52:54:00:00:00:11\", address: 192.168.4.11}]}
  - {name: g, count: 2, role: gluster, interfaces: [{network: lan, mac: \"52:54:00:00:00:21\", address: 192.168.4.21}]}
";
    let (plan, warnings) = written(project.path(), text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(plan.kubernetes.unwrap().masters, ["m"]);
    let said: Vec<String> = warnings.problems.iter().map(|problem| problem.message.clone()).collect();
    let expected = [
        "nobody can log in: the cluster names no SSH key",
        "two replicas cannot tell which of them is right after a cut",
        "`a` is the only balancer: when it fails, the address is gone",
        "etcd of `e1` lies on the disk of its image: another image begins without it",
        "`one` holds 2 of 3 etcd members: when it fails, the rest cannot decide",
        "the brick of `g1` lies on the disk of its image: another image begins without it",
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_cluster_of_a_thousand_machines_is_drawn() {
    let project = tempfile::tempdir().unwrap();
    let text = "version: 1
cluster: own
domain: own.internal
networks: {lan: {cidr: 10.0.0.0/16}}
nodes:
  - {name: web, count: 1000, role: base, interfaces: [{network: lan, mac: \"52:54:00:00:00:01\", address: 10.0.1.1}]}
";
    let (plan, _) = written(project.path(), text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(plan.nodes.len(), 1000);
    assert_eq!(plan.nodes[999].address().unwrap().to_string(), "10.0.4.232");
}

#[test]
fn clusters_elsewhere_are_found_by_path() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.yaml");
    std::fs::write(
        &file,
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/demo/cluster.yaml")).unwrap(),
    )
    .unwrap();
    let inputs = load_cluster_file(&Sources::builtin(), &file).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(draw_cluster(&inputs).unwrap().0, drawn(&Sources::builtin(), "demo").0);
    let missing = load_cluster_file(&Sources::builtin(), &folder.path().join("none.yaml")).unwrap_err();
    assert!(missing.problems[0].remedy.is_some(), "{missing}");
    let unknown = load_cluster(&Sources::builtin(), "dem").unwrap_err();
    assert_eq!(unknown.problems[0].suggestion.as_deref(), Some("demo"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Law: whatever a document holds, it leads to a plan or to problems, all of which say what to do.
    #[test]
    fn damaged_clusters_lead_to_plans_or_problems(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0usize..3), 1..6)
    ) {
        let project = tempfile::tempdir().unwrap();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/demo/cluster.yaml");
        let mut text = std::fs::read(file).unwrap();
        for (at, byte, how) in changes {
            let at = at.index(text.len());
            match how {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => drop(text.drain(at..(at + usize::from(byte)).min(text.len()))),
            }
            text.push(b'\n');
        }
        if let Err(problems) = written(project.path(), &String::from_utf8_lossy(&text)) {
            prop_assert!(!problems.problems.is_empty());
            for problem in &problems.problems {
                prop_assert!(problem.suggestion.is_some() || problem.remedy.is_some(), "no remedy: {problem}");
            }
        }
    }
}
