//! What can happen to a build, kind by kind.

mod damage;
mod ends;
mod power;
mod room;
mod together;

use crate::small::{Project, checked, missing};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The project with a first result of `app` at the archive's first day, or nothing where there can be none.
fn scene(test: &str) -> Option<Project> {
    if let Some(why) = missing() {
        println!("SKIPPED {test}: {why}");
        return None;
    }
    let project = Project::new();
    project.good("role app");
    Some(project)
}

/// The program with these words, started and not waited for.
#[expect(clippy::disallowed_methods, reason = "a process that is to be disturbed")]
fn start(project: &Project, line: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imgbuild"));
    command.args(line.split_whitespace()).arg("-C").arg(project.folder.path());
    command.arg("--cache").arg(project.path("cache")).env("no_proxy", "127.0.0.1");
    // As a shell starts it: a terminal then sends its signals to all of it.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Every process whose command line or working files name this folder.
fn processes(folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let of = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
        let link = |name: &str| std::fs::read_link(entry.path().join(name)).unwrap_or_default().display().to_string();
        let line = String::from_utf8_lossy(&of("cmdline")).replace('\0', " ");
        let mounts = String::from_utf8_lossy(&of("mountinfo")).into_owned();
        let ours = id != std::process::id() && (line.contains(&folder) || mounts.contains(&folder));
        if ours || link("cwd").contains(&folder) || link("root").contains(&folder) {
            found.push(format!("{id} {line}"));
        }
    }
    found
}

/// Nothing of this project runs or is mounted; what the kernel is just taking down has a moment for it.
fn quiet(project: &Project) {
    let mut left = Vec::new();
    for _ in 0..250 {
        left = processes(project.folder.path());
        if left.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(left, [""; 0], "processes are left");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&project.folder.path().display().to_string()), "something is mounted: {mounts}");
}

/// Names of what an ended build could leave.
fn leftovers(project: &Project) -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["cache/work", "out/images/app", "out/images/other", "out/images/slow", "."] {
        for entry in std::fs::read_dir(project.path(folder)).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if folder == "cache/work" || name.starts_with(".building-") || name.starts_with(".imgbuild-") {
                found.push(format!("{folder}/{name}"));
            }
        }
    }
    found
}

/// Takes away what was built and kept, so that the next build makes everything again from the packages.
fn forget(project: &Project) {
    for folder in ["cache/bases", "cache/tools", "out"] {
        // As root or by one's own sandbox: files there may have other owners.
        let path = project.path(folder);
        if std::fs::remove_dir_all(&path).is_err() {
            project.command("cache prune").run().unwrap();
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

/// The result of `app` where it was built without any disturbance.
fn undisturbed(project: &Project) -> String {
    checked(&project.path("out/images/app/latest"))
}

/// A fault-free build of `app` gives these checksums, and nothing is left of what was before.
fn recovers(project: &Project, sums: &str) {
    let ended = project.run("role app");
    assert_eq!(ended.status, Some(0), "{}", ended.said);
    assert_eq!(undisturbed(project), sums);
    assert_eq!(leftovers(project), [""; 0]);
    quiet(project);
}

/// Whether this process may mount.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
