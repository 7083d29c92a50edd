//! Builds beside each other, beside pruning, and on machines whose clock is wrong.

use super::{forget, leftovers, quiet, scene, start, undisturbed};
use crate::small::{Ended, checked};
use imgbuild::base::process::Run;
use std::process::Child;

fn end(child: Child) -> (Option<i32>, String, String) {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// How often a phase began in all of these.
fn begun(said: &[&str], phase: &str) -> usize {
    let begin = format!("\"begin\",\"phase\":\"{phase}\"");
    said.iter().map(|text| text.matches(&begin).count()).sum()
}

#[test]
fn two_builds_of_one_role_are_one() {
    let Some(project) = scene("faults_build") else { return };
    let sums = undisturbed(&project);
    forget(&project);
    let both = [0, 1].map(|_| start(&project, "role app --progress json"));
    let [one, other] = both.map(end);
    assert_eq!((one.0, other.0), (Some(0), Some(0)), "{}{}", one.2, other.2);
    let outs = [&one.1, &other.1];
    assert_eq!(outs.iter().filter(|out| out.contains(" built in ")).count(), 1, "{outs:?}");
    assert_eq!(outs.iter().filter(|out| out.contains(" unchanged in ")).count(), 1, "{outs:?}");
    let said = [one.2.as_str(), other.2.as_str()];
    assert!(said.iter().any(|said| said.contains("another build of app is running")), "{said:?}");
    assert_eq!((begun(&said, "tools"), begun(&said, "filesystems")), (1, 1));
    assert_eq!((undisturbed(&project), leftovers(&project)), (sums, vec![]));
    quiet(&project);
}

#[test]
fn two_roles_make_their_base_once() {
    let Some(project) = scene("faults_build") else { return };
    let sums = undisturbed(&project);
    project.good("lock");
    forget(&project);
    let [one, other] = ["role app --progress json", "role other --progress json"].map(|line| start(&project, line));
    let (one, other) = (end(one), end(other));
    assert_eq!((one.0, other.0), (Some(0), Some(0)), "{}{}", one.2, other.2);
    let said = [one.2.as_str(), other.2.as_str()];
    // The base once, and each role's own.
    assert_eq!((begun(&said, "tools"), begun(&said, "unpack"), begun(&said, "filesystems")), (1, 3, 2));
    let waited = ["waiting for another build's tools root", "another build makes the same base layer: waiting for it"];
    assert!(said.iter().any(|said| waited.iter().any(|waited| said.contains(waited))), "{said:?}");
    assert_eq!(undisturbed(&project), sums);
    checked(&project.path("out/images/other/latest"));
    assert_eq!(leftovers(&project), [""; 0]);
}

#[test]
fn pruning_beside_builds_takes_nothing_that_is_used() {
    let Some(project) = scene("faults_build") else { return };
    let sums = undisturbed(&project);
    for round in 0..3 {
        if round < 2 {
            forget(&project);
        } else {
            std::fs::remove_dir_all(project.path("out")).unwrap();
        }
        let mut build = start(&project, "role app --progress none");
        let mut pruned = 0;
        while build.try_wait().unwrap().is_none() {
            let ended = project.run("cache prune");
            assert_eq!((ended.status, ended.said.as_str()), (Some(0), ""));
            pruned += 1;
        }
        let (status, _, said) = end(build);
        assert_eq!((status, said.as_str()), (Some(0), ""), "after pruning {pruned} times");
        assert!(pruned > 1);
        assert_eq!(undisturbed(&project), sums);
    }
    assert_eq!(leftovers(&project), [""; 0]);
    quiet(&project);
}

/// Makes this machine's time of day another one for a program: so many seconds from 1970, and so many more at each look.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t which, struct timespec *time)
{
    static long looks;
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    const char *now = getenv("TEST_NOW"), *leap = getenv("TEST_LEAP");
    int result = real(which, time);
    if (which == CLOCK_REALTIME && now)
        time->tv_sec = atol(now) + (leap ? atol(leap) * looks++ : 0);
    return result;
}
"#;

#[test]
fn wrong_clocks_are_told_and_change_no_byte() {
    let Some(project) = scene("faults_build") else { return };
    let sums = undisturbed(&project);
    project.write("clock.c", CLOCK);
    let library = project.path("clock.so");
    Run::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(project.path("clock.c"))
        .arg("-ldl")
        .run()
        .unwrap();
    project.recipe(|text| text.replace("CHECK", "true"));
    let at = |line: &str, now: &str, leap: &str| -> Ended {
        let run = project.command(line).env("LD_PRELOAD", &library).env("TEST_NOW", now).env("TEST_LEAP", leap);
        project.ended(run.output().unwrap())
    };
    // 2024-07-01, two days later, and a clock that runs away by a day at each look and comes back.
    for (now, leap) in [("1719800000", "0"), ("1719972800", "0"), ("1719800000", "86400"), ("1720300000", "-86400")] {
        forget(&project);
        std::fs::remove_file(project.path("imgbuild.lock")).unwrap();
        let ended = at("role app", now, leap);
        assert_eq!((ended.status, ended.said.as_str()), (Some(0), ""), "{now} {leap}");
        let image = |sums: &str| sums.lines().find(|line| line.ends_with("app.qcow2")).unwrap().to_owned();
        assert_eq!(image(&undisturbed(&project)).len(), image(&sums).len());
        let first = project.path("first");
        if first.exists() {
            assert_eq!(undisturbed(&project), std::fs::read_to_string(&first).unwrap(), "{now} {leap}");
        } else {
            std::fs::write(first, undisturbed(&project)).unwrap();
        }
    }
    // The lock suffices, whatever the clock says.
    assert_eq!(at("role app", "1", "0").status, Some(0));
    let lock = std::fs::read(project.path("imgbuild.lock")).unwrap();
    let key = project.archive.keys.subkey_fingerprint();
    let stale = "error: reading suite `small` of repository `test`: it was valid until 2024-07-07T12:00:00Z, and now it is \
                 2033-05-18T03:33:20Z\nhint: the mirror is no longer updated, or this machine's clock is wrong; for a \
                 snapshot archive say `check_valid_until: false`\n";
    assert_eq!(at("lock --update", "2000000000", "0").said, stale);
    let early = at("lock --update", "946684800", "0");
    assert_eq!(early.status, Some(1));
    println!("{key}: {}", early.said);
    assert!(early.said.contains("2000-01-01") && early.said.contains("\nhint: "), "{}", early.said);
    assert_eq!(std::fs::read(project.path("imgbuild.lock")).unwrap(), lock);
}
