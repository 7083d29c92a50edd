//! Power cuts: a filesystem that loses whatever was not made durable.

use super::{is_root, quiet, scene, undisturbed};
use imgbuild::base::process::Run;

#[test]
fn power_cuts_leave_older_results_whole_and_the_next_build_succeeds() {
    if !is_root() {
        println!("SKIPPED power_cuts: only root can mount a filesystem of its own");
        return;
    }
    let Some(project) = scene("faults_build") else { return };
    let sums = undisturbed(&project);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults_cases");
    let cut = project.path("cut");
    Run::new("cc").arg("-o").arg(&cut).arg(format!("{folder}/power.c")).run().unwrap();
    let seed = std::env::var("IMGBUILD_TEST_SEED").unwrap_or_else(|_| "20261120".to_owned());
    let rounds = if std::env::var_os("IMGBUILD_TEST_LONG").is_some() { "40" } else { "6" };
    println!("seed {seed}: IMGBUILD_TEST_SEED={seed} repeats it");
    let run = Run::new("unshare").args(["--mount", "bash"]).arg(format!("{folder}/power.sh"));
    let run = run.arg(env!("CARGO_BIN_EXE_imgbuild")).arg(project.folder.path()).arg(sums.trim_end()).arg(&cut);
    let output = run.args([rounds, seed.as_str()]).env("no_proxy", "127.0.0.1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    assert!(output.status.success() && !said.contains("FAILED"), "{said}");
    assert!(said.contains("ROUND ext4 5 "), "{said}");
    quiet(&project);
}
