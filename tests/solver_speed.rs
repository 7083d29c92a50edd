//! How long reading a whole index, solving a role and reading a lock take. Not part of the everyday set:
//! `IMGBUILD_TEST_PACKAGES=FILE cargo test --release --test solver_speed -- --ignored --nocapture`

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

use imgbuild::package::Lock;
use imgbuild::package::solver::{Problem, Request, solve};
use imgbuild::package::universe::{Origin, Universe};
use std::time::Instant;

#[test]
#[ignore = "measures; wants IMGBUILD_TEST_PACKAGES, a whole Packages file"]
fn index_solution_and_lock_are_quick() {
    let Some(path) = std::env::var_os("IMGBUILD_TEST_PACKAGES") else {
        eprintln!("SKIPPED: solver_speed: IMGBUILD_TEST_PACKAGES is not set");
        return;
    };
    let text = std::fs::read(path).unwrap();
    let origin = Origin { repository: "debian", suite: "trixie", aliases: [None; 2], priority: 500 };
    for _ in 0..3 {
        let start = Instant::now();
        let mut universe = Universe::new("amd64");
        universe.add_index(origin, &text).unwrap();
        let read = start.elapsed();
        let words = "systemd-sysv linux-image-amd64 grub-pc-bin lvm2 cloud-init netplan.io openssh-server \
            haproxy corosync pacemaker resource-agents crmsh";
        let requests: Vec<Request> = words.split_whitespace().map(|word| Request::parse(word).unwrap()).collect();
        let problem = Problem { requests: &requests, locals: &[], given: &[], essential: true, recommends: false };
        let start = Instant::now();
        let chosen = solve(&mut universe, &problem).unwrap();
        eprintln!(
            "{} packages read in {read:?}, {} chosen in {:?}",
            universe.ids().count(),
            chosen.len(),
            start.elapsed()
        );
    }
    if let Some(path) = std::env::var_os("IMGBUILD_TEST_LOCK") {
        let text = std::fs::read_to_string(path).unwrap();
        for _ in 0..3 {
            let start = Instant::now();
            let lock = Lock::parse(&text).unwrap();
            eprintln!("a lock of {} bytes, {} sections read in {:?}", text.len(), lock.sections.len(), start.elapsed());
        }
    }
}
