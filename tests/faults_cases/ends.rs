//! Builds that are ended by signals.

use super::{forget, leftovers, processes, quiet, recovers, scene, start, undisturbed};
use crate::small::Project;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Child;
use std::time::{Duration, Instant};

/// A sequence of numbers that is the same for the same seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// What an ended command said on standard error, and how it ended.
fn end(mut child: Child) -> (Option<i32>, String) {
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

/// What an interrupted command says.
fn clean(name: &str) -> String {
    format!(
        "error: interrupted by {name}\nhint: earlier results are whole; the same command goes on with what was fetched\n"
    )
}

/// Waits for a word of progress; gives the rest of the stream back.
fn wait_for(child: &mut Child, word: &str) -> BufReader<std::process::ChildStderr> {
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 {
        if line.contains(word) {
            return lines;
        }
        line.clear();
    }
    panic!("it ended before `{word}`");
}

/// How often a phase that was over before its worker could be held is tried again.
const ATTEMPTS: usize = 20;

/// Processes that these processes started.
fn children(parents: &[Pid]) -> Vec<Pid> {
    let mut found = Vec::new();
    for parent in parents {
        let threads = std::fs::read_dir(format!("/proc/{}/task", parent.as_raw_nonzero())).into_iter().flatten();
        for thread in threads.flatten() {
            let text = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            found.extend(text.split_ascii_whitespace().filter_map(|id| Pid::from_raw(id.parse().ok()?)));
        }
    }
    found
}

/// Stops the workers of a build: they send no more events, and their phases cannot end. The builder and the gate go on.
fn hold_workers(builder: &Child) {
    let gates = children(&[Pid::from_child(builder)]);
    for worker in children(&gates) {
        // It may have ended by now: then its phase has, too.
        let _ = kill_process(worker, Signal::STOP);
    }
}

/// Whether a phase that had begun was still under way when these events ended. A builder shows every event that its
/// workers sent before it gives up.
fn under_way(phase: &str, events: &str) -> bool {
    let count = |event: &str| events.matches(&format!("\"event\":\"{event}\",\"phase\":\"{phase}\"")).count();
    // The first beginning was read by who waited for it.
    1 + count("begin") > count("end")
}

#[test]
fn phases_under_way_are_told_from_those_that_ended() {
    let (begin, end) = (r#"{"seconds":0.1,"event":"begin","phase":"finish""#, r#"{"event":"end","phase":"finish"}"#);
    let other = r#"{"event":"end","phase":"write"}"#;
    for (events, expected) in [
        (String::new(), true),
        (other.to_owned(), true),
        (format!("{begin}}}\n{end}\n"), true),
        (format!("{end}\n"), false),
        (format!("{begin}}}\n{end}\n{end}\n"), false),
    ] {
        assert_eq!(under_way("finish", &events), expected, "{events}");
    }
}

#[test]
fn signals_end_a_build_cleanly_in_every_phase() {
    let Some(project) = scene("faults_build") else { return };
    let sums = undisturbed(&project);
    let phases = ["unpack", "configure", "finish", "collect", "boot", "filesystems", "tools", "write"];
    for (at, phase) in phases.into_iter().enumerate() {
        let hit = (1..=ATTEMPTS).find(|_| interrupted_in(&project, at, phase, &sums));
        let attempt =
            hit.unwrap_or_else(|| panic!("{phase} was over before its signal {ATTEMPTS} times: it is untested"));
        println!("phase {phase}: hit by attempt {attempt}");
    }
}

/// Sends a signal when the phase began, holding the phase for it, and says whether the signal came while it was under
/// way. However that was, nothing is left and the next build gives the same bytes.
fn interrupted_in(project: &Project, at: usize, phase: &str, sums: &str) -> bool {
    let (signal, status, name) = [(Signal::INT, 130, "SIGINT"), (Signal::TERM, 143, "SIGTERM")][at % 2];
    forget(project);
    let mut child = start(project, "role app --progress json");
    let mut rest = wait_for(&mut child, &format!("\"begin\",\"phase\":\"{phase}\""));
    hold_workers(&child);
    // Every other time as a terminal does: to the builder and to all that it started.
    if at % 4 < 2 {
        kill_process_group(Pid::from_child(&child), signal).unwrap();
    } else {
        send(&child, signal);
    }
    let mut said = String::new();
    rest.read_to_string(&mut said).unwrap();
    let code = child.wait().unwrap().code();
    let hit = under_way(phase, &said);
    // A phase that was over may have been the last: then the result is whole.
    if hit || code != Some(0) {
        assert_eq!(code, Some(status), "{phase}: {said}");
        assert!(said.ends_with(&clean(name)), "{phase}: {said}");
        assert!(!project.path("out/images/app/latest").exists(), "{phase}");
    }
    assert_eq!(leftovers(project), [""; 0], "{phase}");
    quiet(project);
    recovers(project, sums);
    hit
}

#[test]
fn signals_end_waiting_and_fetching_at_once() {
    let Some(project) = scene("faults_build") else { return };
    let sums = undisturbed(&project);
    // A download that does not come.
    forget(&project);
    std::fs::remove_dir_all(project.path("cache/packages")).unwrap();
    project.server.always("/pool/", crate::archive::server::Mode::SilentAfter(10, Duration::from_secs(600)));
    let mut child = start(&project, "role app --progress json");
    let mut rest = wait_for(&mut child, "\"begin\",\"phase\":\"download\"");
    let began = Instant::now();
    send(&child, Signal::INT);
    let mut said = String::new();
    rest.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    assert!(said.ends_with(&clean("SIGINT")), "{said}");
    assert!(began.elapsed() < Duration::from_secs(20), "it waited for the server");
    project.server.behave();
    assert_eq!(leftovers(&project), [""; 0]);
    recovers(&project, &sums);

    // Another build's lock: what waits for it ends, what holds it goes on.
    project.good("lock slow");
    let mut first = start(&project, "role slow --progress json");
    let holding = wait_for(&mut first, "\"begin\",\"phase\":\"configure\"").into_inner();
    first.stderr = Some(holding);
    let mut second = start(&project, "role slow --progress plain");
    let mut rest = wait_for(&mut second, "another build of slow is running");
    send(&second, Signal::TERM);
    let mut said = String::new();
    rest.read_to_string(&mut said).unwrap();
    assert_eq!((second.wait().unwrap().code(), said), (Some(143), clean("SIGTERM")));
    assert_eq!(end(first).0, Some(0));
    assert_eq!(leftovers(&project), [""; 0]);
    quiet(&project);
}

#[test]
fn second_signal_ends_it_at_once_and_the_next_build_clears_up() {
    let Some(project) = scene("faults_build") else { return };
    let sums = undisturbed(&project);
    forget(&project);
    let mut child = start(&project, "role app --progress json");
    let rest = wait_for(&mut child, "\"begin\",\"phase\":\"unpack\"");
    send(&child, Signal::INT);
    std::thread::sleep(Duration::from_millis(5));
    send(&child, Signal::INT);
    let status = child.wait().unwrap();
    drop(rest);
    use std::os::unix::process::ExitStatusExt as _;
    assert!(status.signal() == Some(2) || status.code() == Some(130), "{status}");
    quiet(&project);
    recovers(&project, &sums);
}

#[test]
fn kill_at_a_hundred_moments_harms_nothing() {
    let Some(project) = scene("faults_build") else { return };
    let sums = undisturbed(&project);
    let moments =
        |variable: &str, usual: u64| std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (count, seed) = (moments("IMGBUILD_TEST_KILLS", 100), moments("IMGBUILD_TEST_SEED", 20_261_120));
    println!("seed {seed}: IMGBUILD_TEST_SEED={seed} repeats it");
    let mut numbers = Numbers(seed);
    // A result of another role, which all of this must not touch.
    project.good("role other");
    let other = project.result("other");
    forget_but_other(&project);
    // What the next build begins with: nothing but packages, all but the role, or a role with a slow script.
    let prepare = |kill: u64| {
        if kill.is_multiple_of(4) {
            forget_but_other(&project);
        } else if project.path("out/images/app").exists() {
            std::fs::remove_dir_all(project.path("out/images/app")).unwrap();
        }
        project.role("app", [["application"].as_slice(), &["application", "slow"]][usize::from(kill % 8 == 1)]);
    };
    // How long each kind takes on this machine, so that moments lie within.
    let lengths: Vec<u64> = (0..3)
        .map(|kind| {
            prepare(kind);
            let began = Instant::now();
            project.good("role app");
            u64::try_from(began.elapsed().as_millis()).unwrap()
        })
        .collect();
    let mut finished = 0;
    for kill in 0..count {
        prepare(kill);
        let kind = if kill.is_multiple_of(4) { 0 } else { 2 - usize::from(kill % 8 == 1) };
        let moment = numbers.below(lengths[kind]);
        let mut child = start(&project, "role app --progress none");
        std::thread::sleep(Duration::from_millis(moment));
        finished += u32::from(child.try_wait().unwrap().is_some());
        let _ = child.kill();
        child.wait().unwrap();
        println!("kill {kill} after {moment} ms");
        quiet(&project);
        assert_eq!(project.result("other"), other, "kill {kill}");
        let latest = project.path("out/images/app/latest");
        if latest.exists() {
            crate::small::checked(&latest);
        }
        project.role("app", &["application"]);
        // The next build is the next round's, every fourth time a whole one.
        if kill % 4 == 3 {
            recovers(&project, &sums);
        }
    }
    recovers(&project, &sums);
    println!("{finished} of {count} builds had ended before");
    assert!(u64::from(finished) < count / 2, "the moments were too late to disturb anything");
}

/// As [`forget`], keeping the result of `other`.
fn forget_but_other(project: &Project) {
    let (kept, aside) = (project.path("out/images/other"), project.path("aside"));
    std::fs::rename(&kept, &aside).unwrap();
    forget(project);
    std::fs::create_dir_all(project.path("out/images")).unwrap();
    std::fs::rename(&aside, &kept).unwrap();
}

#[test]
fn processes_of_a_living_build_are_seen() {
    let Some(project) = scene("faults_build") else { return };
    project.good("lock slow");
    let mut child = start(&project, "role slow --progress json");
    let rest = wait_for(&mut child, "\"begin\",\"phase\":\"configure\"");
    assert!(processes(project.folder.path()).len() > 1, "the check for leftovers sees nothing");
    drop(rest);
    child.kill().unwrap();
    child.wait().unwrap();
    quiet(&project);
}
