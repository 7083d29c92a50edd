//! Seeds of the example clusters against golden files. `UPDATE_EXPECTED=1` rewrites them; a change is explained in the
//! commit's message.

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

use clusters::{first, plan, seeds, templates};
use imgbuild::base::process::{Run, find};
use imgbuild::format::seed::{Effect, Manifest, Write};
use imgbuild::format::{fat, iso9660};
use imgbuild::input::{Sources, load_cluster};
use imgbuild::plan::draw_cluster;
use imgbuild::secret::{ClusterIdentity, Record};
use imgbuild::seed::{Form, SeedTree, Served, Staging, TemplateText, Writer};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

/// Which suite's machines the golden seeds are for.
const SUITE: &str = "trixie";

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
        let text = shown(&first(name, SUITE));
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
    let one = seeds(&plan, SUITE, &mut record);
    assert_eq!(one, seeds(&plan, SUITE, &mut record));
    assert_eq!(one[0].iso().unwrap(), seeds(&plan, SUITE, &mut record)[0].iso().unwrap());
    plan.services[1].port = 8443;
    let two = seeds(&plan, SUITE, &mut record);
    let generations: Vec<(&str, u64)> = two.iter().map(|tree| (&*tree.node, manifest(tree).generation)).collect();
    let expected = [("gateway", 1), ("balancer1", 2), ("balancer2", 2), ("backend1", 1), ("backend2", 1)];
    assert_eq!(generations, expected);
    // cloud-init's documents did not change, so neither does the instance.
    assert_eq!(one[1].files["meta-data"], two[1].files["meta-data"]);
    plan.site.time_zone = "Europe/Berlin".to_owned();
    let three = seeds(&plan, SUITE, &mut record);
    assert_ne!(three[1].files["meta-data"], two[1].files["meta-data"]);
}

#[test]
fn volumes_hold_every_file_of_the_tree() {
    for tree in &first("frontends", SUITE) {
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
    let tree = &first("balancers", SUITE)[1];
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
        for tree in first(name, SUITE) {
            for document in ["user-data", "meta-data", "network-config", "vendor-data", "imgbuild/manifest.json"] {
                let text = String::from_utf8(tree.files[document].content.bytes().to_vec()).unwrap();
                assert!(!secrets.iter().any(|secret| text.contains(secret)) && !text.contains("PRIVATE"), "{document}");
            }
        }
    }
}

#[test]
fn several_gateways_share_the_pool_and_the_way_out() {
    let trees = first("everything", SUITE);
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
        let writer = Writer::new(&plan, &identity, SUITE, all).unwrap();
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
    let writer = Writer::new(&plan, &identity, SUITE, templates()).unwrap();
    let start = std::time::Instant::now();
    let bytes = imgbuild::base::parallel::map(&plan.nodes, |node| {
        let draft = writer.draft(node)?;
        writer.finish(draft, 1)?.iso().map(|volume| volume.len())
    });
    let bytes: usize = bytes.unwrap().iter().sum();
    println!("1000 seeds with {bytes} bytes of volumes in {:.2} s", start.elapsed().as_secs_f64());
}

#[test]
fn what_is_served_lies_closed_beside_the_seeds_and_holds_no_payload() {
    use std::os::unix::fs::PermissionsExt as _;
    let plan = plan("frontends");
    let identity = ClusterIdentity::example(&plan).unwrap();
    let home = tempfile::tempdir().unwrap();
    let staging = Staging::begin(home.path(), || {}).unwrap();
    for tree in first("frontends", SUITE) {
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
