//! Version comparison against `dpkg --compare-versions`, over hand-made pairs and over versions of the host's own
//! packages, each also changed a little.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

use imgbuild::base::process::{Run, find};
use imgbuild::package::version::compare;
use std::cmp::Ordering;
use std::collections::BTreeSet;

const TRICKY: &[&str] = &[
    "1.0",
    "1.0-0",
    "0:1.0",
    "1.00",
    "1.0~",
    "1.0~~",
    "1.0~rc1",
    "1.0~rc1-1",
    "1.0+b1",
    "1.0-1+b1",
    "1.0-1~bpo12+1",
    "1.0.1",
    "1.0a",
    "1.0A",
    "1.0-a",
    "1.0+dfsg",
    "1.0+dfsg-1",
    "1:0.9",
    "2:0",
    "1.10",
    "1.9",
    "1.0-1.1",
    "1.0-10",
    "1.0-1-1",
    "1.0.0",
    "10",
    "9",
    "09",
    "1.0git20200101",
    "1.0+git20200101",
    "1.0~git20200101",
    "1.0-1ubuntu1",
    "1.0-1build1",
    "1.0.",
];

fn dpkg(left: &str, right: &str) -> Ordering {
    let holds = |operator: &str| {
        let run = Run::new("dpkg").args(["--compare-versions", left, operator, right]);
        run.output().unwrap().status.code().unwrap() == 0
    };
    if holds("lt") {
        Ordering::Less
    } else if holds("eq") {
        Ordering::Equal
    } else {
        Ordering::Greater
    }
}

#[test]
fn versions_compare_as_dpkg_says() {
    if find("dpkg").is_none() || find("dpkg-query").is_none() {
        eprintln!("SKIPPED: solver_versions_against_dpkg: there is no dpkg on this host");
        return;
    }
    let mut pairs: BTreeSet<(String, String)> = BTreeSet::new();
    for (at, left) in TRICKY.iter().enumerate() {
        pairs.extend(TRICKY[at + 1..].iter().map(|right| ((*left).to_owned(), (*right).to_owned())));
    }
    let listed = Run::new("dpkg-query").args(["-W", "-f", "${Version}\\n"]).output().unwrap();
    let versions: BTreeSet<String> = String::from_utf8(listed.stdout).unwrap().lines().map(str::to_owned).collect();
    for version in versions.iter().take(60) {
        pairs.insert((version.clone(), format!("{version}~")));
        pairs.insert((version.clone(), format!("{version}+b1")));
        pairs.insert((version.clone(), version.replace('-', "+")));
    }
    let mut orders = BTreeSet::new();
    for (left, right) in &pairs {
        let expected = dpkg(left, right);
        assert_eq!(compare(left, right), expected, "{left} against {right}");
        orders.insert(expected);
    }
    assert_eq!(orders.len(), 3, "the pairs do not tell the outcomes apart");
    assert!(pairs.len() > 500, "{} pairs are too few", pairs.len());
}
