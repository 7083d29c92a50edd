//! Every refusal, whole: each input under `tests/fixtures/bad/` lies beside the message that a person reads.
//!
//! `role-*.yaml` is read as the role `bad` with the built-in recipe, `cluster-*.yaml` as the cluster `bad`, `recipe-*.yaml` as the recipe `bad` with the role
//! `base`, and `project-*/` is a project folder whose file `ask` says what is asked for: recipe, roles and then
//! `kernel=NAME` or parameters. `UPDATE_EXPECTED=1` rewrites the messages.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

use imgbuild::input::{Origin, Problems, Sources, load, load_cluster};
use imgbuild::plan::{ImagePlan, ImageRequest, OverlayKind, draw_cluster, draw_image};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bad")
}

fn drawn(project: &Path, recipe: &str, roles: &str, words: &[&str]) -> Result<ImagePlan, Problems> {
    let inputs = load(&Sources::new(project), recipe, &[roles])?;
    let mut request = ImageRequest {
        recipe: recipe.to_owned(),
        roles: roles.split('+').map(str::to_owned).collect(),
        ..ImageRequest::default()
    };
    for (name, value) in words.iter().filter_map(|word| word.split_once('=')) {
        match name {
            "kernel" => request.kernel = Some(value.to_owned()),
            _ => request.parameters.push((name.to_owned(), value.to_owned())),
        }
    }
    draw_image(&inputs, &request)
}

fn write(project: &Path, path: &str, text: &[u8]) {
    let file = project.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

/// What a fixture leads to.
fn outcome(fixture: &Path, name: &str) -> Result<(), Problems> {
    let project = tempfile::tempdir().unwrap();
    if name.starts_with("project-") {
        let ask = fs::read_to_string(fixture.join("ask")).unwrap();
        let words: Vec<&str> = ask.split_whitespace().collect();
        return drawn(fixture, words[0], words[1], &words[2..]).map(drop);
    }
    let text = fs::read(fixture).unwrap();
    if name.starts_with("recipe-") {
        write(project.path(), "recipes/bad.yaml", &text);
        return drawn(project.path(), "bad", "base", &[]).map(drop);
    }
    if name.starts_with("cluster-") {
        write(project.path(), "seeds/bad/cluster.yaml", &text);
        return draw_cluster(&load_cluster(&Sources::new(project.path()), "bad")?).map(drop);
    }
    assert!(name.starts_with("role-"), "{name}: what is it?");
    write(project.path(), "roles/bad/role.yaml", &text);
    drawn(project.path(), "debian-trixie", "bad", &[]).map(drop)
}

#[test]
fn bad_inputs_are_refused_with_their_whole_message() {
    let mut names: Vec<String> = fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".expected"))
        .collect();
    names.sort();
    assert!(names.len() >= 190, "only {} bad inputs", names.len());
    let mut differences = String::new();
    for file in names {
        let name = file.trim_end_matches(".yaml");
        let expected = fixtures().join(format!("{name}.expected"));
        let message = match outcome(&fixtures().join(&file), name) {
            Ok(()) => {
                differences.push_str(&format!("\n{name} was accepted\n"));
                continue;
            }
            Err(problems) => {
                for problem in &problems.problems {
                    let helped = problem.suggestion.is_some() || problem.remedy.is_some();
                    assert!(helped, "{name}: `{}` says no remedy", problem.message);
                }
                format!("{problems}\n")
            }
        };
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(expected, message).unwrap();
            continue;
        }
        let wanted = fs::read_to_string(expected).unwrap_or_default();
        if message != wanted {
            differences.push_str(&format!("\n--- {name}: expected\n{wanted}+++ {name}: said\n{message}"));
        }
    }
    assert!(differences.is_empty(), "{differences}\nUPDATE_EXPECTED=1 rewrites the messages");
}

#[test]
fn problems_serialise_with_place_and_remedy() {
    let problems = outcome(&fixtures().join("role-mode-unquoted.yaml"), "role-mode-unquoted").unwrap_err();
    let json = serde_json::to_value(&problems).unwrap();
    let first = &json["problems"][0];
    assert_eq!((first["file"].as_str(), first["line"].as_u64()), (Some("roles/bad/role.yaml"), Some(3)));
    assert_eq!(first["remedy"], "write \"0644\"");
}

#[test]
fn project_role_hides_the_builtin_one_and_may_extend_it() {
    let project = tempfile::tempdir().unwrap();
    let role = b"version: 1\nextends: builtin/haproxy\npackages: [-crmsh, socat]\nfiles:\n  /etc/motd: {content: hi}\n";
    write(project.path(), "roles/haproxy/role.yaml", role);
    write(project.path(), "roles/haproxy/role.d/20-more.yaml", b"version: 1\npackages: [tcpdump]\n");
    write(project.path(), "roles/haproxy/tree/etc/issue.j2", b"{{ role.name }} on {{ recipe.suite }}\n");
    let roles = Sources::new(project.path()).roles().unwrap();
    assert_eq!((roles["haproxy"], roles["etcd"]), (Origin::Project, Origin::Builtin));
    let plan = drawn(project.path(), "debian-trixie", "haproxy", &[]).unwrap_or_else(|problems| panic!("{problems}"));
    let packages: Vec<&str> = plan.role.packages.iter().map(String::as_str).collect();
    assert_eq!(packages[packages.len() - 2..], ["socat", "tcpdump"]);
    assert!(!packages.contains(&"crmsh") && packages.contains(&"pacemaker"));
    let issue = plan.role.files.iter().find(|file| file.path == "/etc/issue").unwrap();
    let OverlayKind::File(content) = &issue.kind else { panic!("no file") };
    assert_eq!(content.bytes(), b"haproxy on trixie\n");
}

const DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// A role that says everything, with what lies beside it.
fn everything(project: &Path) -> String {
    let digest = DIGEST;
    let role = format!(
        "version: 1
description: Everything
minimum_size: 8 GiB
parameters:
  port: {{type: integer, default: 80}}
  names: {{type: list, default: [a, b]}}
packages: [nginx=1.26.3-3, curl/trixie]
repositories:
  demo: {{url: https://mirror.example/demo, flat: true, suites: [./], keyring: demo, priority: 600, check_valid_until: false}}
debs: [debs/own.deb, {{url: https://mirror.example/far.deb, sha256: {digest}}}]
downloads:
  - {{url: https://mirror.example/tool.tar.gz, sha256: {digest}, path: /opt/tool, unpack: true, members: [bin/tool], strip: 1}}
  - {{url: https://mirror.example/one, sha256: {digest}, path: /usr/local/bin/one, mode: \"0755\"}}
debconf: [{{package: tzdata, question: tzdata/Areas, type: select, value: Etc}}]
groups: {{web: 700}}
users: {{web: {{uid: 700, groups: [adm], home: /srv/web, shell: /bin/sh, comment: Web}}}}
files:
  /etc/web.conf: {{template: true, content: \"{{% for n in parameters.names %}}{{{{ n }}}}:{{{{ parameters.port }}}} {{% endfor %}}\", mode: \"0640\", group: web}}
  /srv/web: {{folder: true, owner: web, group: web}}
  /etc/motd: {{absent: true}}
  /etc/localtime: {{link: /usr/share/zoneinfo/UTC}}
  /usr/local/sbin/run: {{mode: \"0700\"}}
sysctls: {{vm.swappiness: 10}}
modules: [8021q]
kernel_arguments: [mitigations=auto]
units: {{enable: [web.service], disable: [nginx.service], mask: [apache2.service]}}
volumes:
  var: {{size: 2 GiB}}
  data: {{size: 1 GiB, weight: 9, maximum: 1 TiB, filesystem: xfs-at-first-boot, mount: /srv/data, options: noatime}}
  swap: {{size: 256 MiB, filesystem: swap}}
build: {{file: build.sh}}
"
    );
    write(project, "roles/all/role.yaml", role.as_bytes());
    write(project, "roles/all/debs/own.deb", b"abc");
    write(project, "roles/all/build.sh", b"#!/bin/sh\ntrue\n");
    write(project, "roles/all/keyrings/demo.asc", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n");
    write(project, "roles/all/tree/usr/local/sbin/run", b"#!/bin/sh\n");
    role
}

#[test]
fn all_that_a_role_can_say_reaches_the_plan() {
    let project = tempfile::tempdir().unwrap();
    everything(project.path());
    let plan = drawn(project.path(), "debian-trixie", "all", &["port=8080"]);
    let plan = plan.unwrap_or_else(|problems| panic!("{problems}"));

    assert_eq!(plan.disk.size.0, 8 << 30);
    let volumes: Vec<(&str, u64, &str)> =
        plan.disk.volume_group.volumes.iter().map(|v| (v.name.as_str(), v.extents.0, v.options.as_str())).collect();
    assert_eq!(
        volumes[1..],
        [
            ("var", 512, "defaults,noatime,nodev"),
            ("data", 256, "noatime,nofail,x-systemd.after=imgbuild-grow.service"),
            ("swap", 64, "defaults"),
        ]
    );
    let repository = plan.repositories.last().unwrap();
    assert_eq!((repository.name.as_str(), repository.priority, repository.flat), ("demo", 600, true));
    assert!(!repository.check_valid_until && plan.recipe_repositories == 2 && plan.tools.repositories.len() == 2);
    let layer = &plan.role;
    assert_eq!((layer.debs[0].name.as_str(), layer.debs[0].sha256.to_string().as_str()), ("own.deb", DIGEST));
    assert_eq!(layer.debs[1].url.as_deref(), Some("https://mirror.example/far.deb"));
    assert_eq!((layer.downloads[0].strip, layer.downloads[0].unpack, layer.downloads[1].mode), (1, true, 0o755));
    assert_eq!((layer.users[0].uid, layer.groups[0].gid, layer.users[0].group.as_str()), (700, 700, "web"));
    assert_eq!(layer.build_scripts[0].content.bytes(), b"#!/bin/sh\ntrue\n");
    assert!(plan.kernel_arguments.contains(&"mitigations=auto".to_owned()));
    let file = |path: &str| {
        let file = layer.files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("no {path}"));
        let text = match &file.kind {
            OverlayKind::File(content) => String::from_utf8(content.bytes().to_vec()).unwrap(),
            other => format!("{other:?}"),
        };
        (text, file.mode)
    };
    assert_eq!(file("/etc/web.conf"), ("a:8080 b:8080 ".to_owned(), 0o640));
    assert_eq!(file("/usr/local/sbin/run"), ("#!/bin/sh\n".to_owned(), 0o700));
    assert_eq!(file("/etc/sysctl.d/60-imgbuild-all.conf").0, "vm.swappiness = 10\n");
    assert_eq!(file("/etc/modules-load.d/imgbuild-all.conf").0, "8021q\n");
    let preset = file("/etc/systemd/system-preset/00-imgbuild-all.preset").0;
    assert_eq!(preset, "enable web.service\ndisable nginx.service\n");
    assert!(file("/etc/default/grub.d/imgbuild.cfg").0.contains("mitigations=auto"));
    assert!(file("/usr/lib/imgbuild/grow.json").0.contains("\"xfs-at-first-boot\""));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Law: whatever a document holds, it leads to a plan or to problems, all of which say where and what to do.
    #[test]
    fn damaged_roles_lead_to_plans_or_problems(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0usize..3), 1..6)
    ) {
        let project = tempfile::tempdir().unwrap();
        let mut role = everything(project.path()).into_bytes();
        for (at, byte, how) in changes {
            let at = at.index(role.len());
            match how {
                0 => role[at] = byte,
                1 => role.insert(at, byte),
                _ => drop(role.drain(at..(at + usize::from(byte)).min(role.len()))),
            }
            role.push(b'\n');
        }
        write(project.path(), "roles/all/role.yaml", &role);
        if let Err(problems) = drawn(project.path(), "debian-trixie", "all", &[]) {
            prop_assert!(!problems.problems.is_empty());
            for problem in &problems.problems {
                prop_assert!(problem.suggestion.is_some() || problem.remedy.is_some(), "no remedy: {problem}");
            }
        }
    }
}
