//! The command as a person or a script meets it: statuses, streams, messages, generated pages.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

use imgbuild::base::process::Run;
use imgbuild::cli::pages;
use std::path::{Path, PathBuf};
use std::process::Output;

fn imgbuild(line: &str) -> Run {
    Run::new(env!("CARGO_BIN_EXE_imgbuild")).args(line.split_whitespace())
}

fn run(line: &str) -> Output {
    imgbuild(line).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn usage_errors_exit_2_and_say_so_on_standard_error() {
    let cases = [
        ("", "Usage: imgbuild"),
        ("rol haproxy", "similar subcommand exists: 'role'"),
        ("role", "required arguments were not provided"),
        ("role haproxy haproxy", "error: `haproxy` is named twice\nhint: name each image once\n"),
        ("role haproxy --format vhdx", "[possible values: qcow2, raw]"),
        ("boot haproxy --size 20GB", "`20GB` is not a size: write a whole number with a unit"),
        ("boot haproxy --firmware efi", "[possible values: bios, uefi, secure]"),
        ("check --deep", "required arguments were not provided"),
        ("seed demo --form http", "required arguments were not provided"),
        (
            "seed demo --form http --url demo",
            "error: `demo` is no address that machines could be told\nhint: write where the",
        ),
        ("lock diff haproxy", "unexpected argument 'haproxy'"),
    ];
    for (line, expected) in cases {
        let output = run(line);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(output.stdout.is_empty(), "{line}");
        assert!(text(&output.stderr).contains(expected), "{line}: {}", text(&output.stderr));
    }
}

#[test]
fn problems_of_documents_as_json_come_one_by_one() {
    let project = tempfile::tempdir().unwrap();
    let role = project.path().join("roles/demo");
    std::fs::create_dir_all(&role).unwrap();
    std::fs::write(role.join("role.yaml"), "version: 1\npakages: [a]\nfrobs: 1\n").unwrap();
    let output = imgbuild("--json plan role demo -C").arg(project.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    let error: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let places: Vec<_> = ["file", "line", "column", "suggestion"].map(|key| error["problems"][0][key].clone()).into();
    assert_eq!(serde_json::json!(places), serde_json::json!(["roles/demo/role.yaml", 2, 1, "packages"]));
    assert_eq!(error["problems"][1]["line"], 3);
}

#[test]
fn errors_as_json_are_one_line_for_scripts() {
    let output = run("--json role etcd etcd");
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    let expected =
        serde_json::json!({"error": "`etcd` is named twice", "hints": ["name each image once"], "status": 2});
    assert_eq!(error, expected);
}

#[test]
fn help_and_version_are_results() {
    for line in ["--help", "role --help", "-h", "--version"] {
        let output = run(line);
        assert!(output.status.success() && output.stderr.is_empty(), "{line}");
        assert!(text(&output.stdout).contains("imgbuild"), "{line}");
    }
    assert!(text(&run("--help").stdout).contains("Exit status: 0 done, 1 failed, 2 usage"));
}

#[test]
fn every_flag_with_a_value_has_its_environment_variable() {
    let output = imgbuild("role").env("IMGBUILD_FORMAT", "tar").output().unwrap();
    assert!(text(&output.stderr).contains("invalid value 'tar'"), "{}", text(&output.stderr));
    let output = imgbuild("doctor").env("IMGBUILD_JSON", "true").output().unwrap();
    assert!(serde_json::from_slice::<serde_json::Value>(&output.stdout).is_ok());
}

#[test]
fn doctor_tells_what_it_found_and_takes_a_mirror_from_the_environment() {
    let doctor = imgbuild("doctor --json").env("IMGBUILD_REPOSITORY_DEBIAN", "http://mirror.example/debian");
    let output = doctor.output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let mirror = checks.iter().find(|check| check["name"] == "package mirror").unwrap();
    // Nobody answers there; how the network says so differs.
    let found = mirror["found"].as_str().unwrap();
    assert!(found.starts_with("http://mirror.example/debian (given) does not answer: "), "{found}");
    assert_eq!(mirror["state"], "warning");
    let failed = report["state"] == "failed";
    assert_eq!(output.status.code(), Some(i32::from(failed)));
}

#[test]
fn completions_are_accepted_by_their_shells() {
    for (shell, check) in [("bash", "bash -n"), ("zsh", "zsh -n"), ("fish", "fish --no-execute")] {
        let script = run(&format!("completions {shell}"));
        assert!(script.status.success() && text(&script.stdout).contains("imgbuild"), "{shell}");
        let words: Vec<&str> = check.split(' ').collect();
        if imgbuild::base::process::find(words[0]).is_none() {
            eprintln!("SKIPPED completions_are_accepted_by_their_shells/{shell}: {shell} is not installed");
            continue;
        }
        let read = |script: &[u8]| Run::new(words[0]).arg(words[1]).arg("/dev/stdin").input(script).output().unwrap();
        let checked = read(&script.stdout);
        assert!(checked.status.success(), "{shell}: {}", text(&checked.stderr));
        assert!(!read(b"if true; then (\n").status.success(), "{shell} notices damage");
    }
}

#[test]
fn man_pages_in_the_tree_are_the_ones_that_the_program_writes() {
    let folder = project().join("docs/man");
    let pages = pages::man().unwrap();
    for (name, page) in &pages {
        let kept = std::fs::read(folder.join(name)).unwrap_or_default();
        assert!(kept == *page, "{name} is out of date: run `cargo run -- man docs/man`");
    }
    let kept = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(kept, pages.len(), "docs/man holds a page of no command");
}

#[test]
fn man_pages_are_written_whole() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&format!("man {}", folder.path().display()));
    assert!(output.status.success());
    let named: Vec<PathBuf> = text(&output.stdout).lines().map(PathBuf::from).collect();
    assert_eq!(named.len(), pages::man().unwrap().len());
    assert!(named.iter().all(|page| page.is_file()));
    assert!(named.contains(&Path::new(folder.path()).join("imgbuild-lock-diff.1")));
}
