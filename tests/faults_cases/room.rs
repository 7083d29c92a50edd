//! Disks that are nearly full, and disks without room for further files.

use super::{is_root, quiet, scene, undisturbed};
use imgbuild::base::process::Run;

#[test]
fn full_disks_are_foreseen_or_told_and_harm_nothing() {
    let Some(project) = scene("faults_build") else { return };
    let sums = undisturbed(&project);
    let mut run = Run::new("unshare").arg("--mount");
    if !is_root() {
        run = run.args(["--user", "--map-root-user", "--map-auto"]);
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults_cases/room.sh");
    let run =
        run.arg("bash").arg(script).arg(env!("CARGO_BIN_EXE_imgbuild")).arg(project.folder.path()).arg(sums.trim_end());
    let output = run.env("no_proxy", "127.0.0.1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    assert!(output.status.success() && !said.contains("FAILED"), "{said}");
    let count = |word: &str| said.lines().filter(|line| line.starts_with("LEVEL") && line.contains(word)).count();
    assert_eq!(count(""), 24, "{said}");
    // The levels reach from nothing to enough, and some lie in between.
    assert!(count(" foreseen: ") >= 4 && count(" told: ") >= 1 && count(" built") >= 3, "{said}");
    quiet(&project);
}
