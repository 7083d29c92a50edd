//! The solver against the real apt: the same requests over the same indices must give the same packages.
//!
//! The suite's own apt answers, in simulation: bookworm's 2.6 with its only solver; trixie's 3.0 with `apt-get install`'s
//! default, which is that same classic solver and, only where it gives up, the new one. The sets are data
//! ([`solver/sets`](solver/sets/README.md)), each solved with and without Recommends. `IMGBUILD_TEST_SET=NAME` compares one.
//! Where the two do not agree yet, `solver/open.txt` holds the very difference; the test fails as soon as it is another.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

#[path = "solver/open.rs"]
mod open;
#[path = "solver/root.rs"]
mod root;
#[path = "solver/sets.rs"]
mod sets;

use imgbuild::package::solver::{Problem, Request, SolveError, solve};
use imgbuild::package::universe::{EntryId, Universe};
use open::{Difference, Open};
use root::Root;
use sets::{Set, Upon};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Instant;

const OPEN: &str = include_str!("solver/open.txt");

/// Of how many comparisons an everyday run makes one.
const EVERYDAY: usize = 15;

/// What was compared, and how it ended.
#[derive(Default)]
struct Tally {
    agreed: usize,
    refused: usize,
    otherwise: usize,
    open: usize,
    second_solver: usize,
    names: BTreeSet<String>,
    different: Vec<String>,
}

fn ours(
    universe: &mut Universe<'_>,
    requests: &[String],
    given: &[EntryId],
    essential: bool,
    recommends: bool,
) -> Result<BTreeSet<String>, SolveError> {
    let requests: Vec<Request> = requests.iter().map(|text| Request::parse(text).unwrap()).collect();
    let problem = Problem { requests: &requests, locals: &[], given, essential, recommends };
    let chosen = solve(universe, &problem);
    universe.forget_preferences();
    let chosen = chosen?;
    Ok(chosen.iter().map(|chosen| universe.shown(chosen.entry)).collect())
}

/// Whether the suite has the packages at all.
fn is_known(universe: &Universe<'_>, set: &Set) -> bool {
    set.refused
        || set.requests.iter().all(|text| {
            let name = Request::parse(text).unwrap().name;
            !universe.versions(&name).is_empty() || universe.is_provided(&name)
        })
}

/// Whether apt, given the names and versions of exactly these packages, installs them and nothing else.
fn accepts(root: &Root, set: &Set, recommends: bool, found: &BTreeSet<String>) -> bool {
    let mut requests: Vec<String> = found.iter().map(|shown| shown.replace(' ', "=")).collect();
    // The Recommends that are wanted are among them.
    requests.insert(0, "--no-install-recommends".to_owned());
    let answer = root.apt(set.upon, recommends, &requests).unwrap();
    answer.installed.is_ok_and(|installed| installed == *found)
}

fn compare(
    tally: &mut Tally,
    root: &Root,
    open: &Open,
    recommends: bool,
    set: &Set,
    found: Result<BTreeSet<String>, SolveError>,
    apt: root::Answer,
) {
    let title = format!("{} {} (recommends: {recommends})", root.suite, set.name);
    let differ = |tally: &mut Tally, said: String| {
        eprintln!("{said}");
        tally.different.push(said);
    };
    tally.names.insert(set.name.clone());
    tally.second_solver += usize::from(apt.second_solver);
    let known = open.of(root.suite, &set.name, recommends);
    match (found, apt.installed) {
        (Ok(found), Ok(expected)) if known.is_some() => {
            let is = Difference::between(&found, &expected);
            match known {
                Some(known) if is == *known => {
                    eprintln!("{title}: open, and different as it is known");
                    tally.open += 1;
                }
                _ if is.is_none() => differ(tally, format!("{title}: agrees: take it out of tests/solver/open.txt")),
                _ => differ(tally, format!("{title}: differs otherwise than tests/solver/open.txt says:\n{is}")),
            }
        }
        (Ok(found), Ok(expected)) if found == expected && !set.refused => {
            eprintln!("{title}: {} packages", expected.len());
            tally.agreed += 1;
        }
        (Err(error), Err(_)) if set.refused => {
            eprintln!("{title}: refused by both: {error}");
            tally.refused += 1;
        }
        (Ok(found), _) if set.otherwise && accepts(root, set, recommends, &found) => {
            eprintln!("{title}: {} packages, which apt accepts and would not choose", found.len());
            tally.otherwise += 1;
        }
        (Ok(found), Ok(expected)) => {
            let more: Vec<&String> = found.difference(&expected).collect();
            let less: Vec<&String> = expected.difference(&found).collect();
            let what = if set.refused { "refused by neither" } else { "different" };
            differ(tally, format!("{title}: {what}: only here {more:?}, only apt {less:?}"));
        }
        (Ok(_), Err(error)) => differ(tally, format!("{title}: only apt refuses: {error}")),
        (Err(error), Ok(_)) => differ(tally, format!("{title}: refused only here: {error}")),
        (Err(error), Err(apt)) => differ(tally, format!("{title}: not meant to be refused: {error}\n{apt}")),
    }
}

fn compare_suite(suite: &'static str, turn: usize) {
    let root = match Root::find_or_make(suite) {
        Ok(root) => root,
        Err(error) => {
            eprintln!("SKIPPED: solver_against_apt: no {suite} root: {error:#}");
            return;
        }
    };
    let only = std::env::var("IMGBUILD_TEST_SET").ok();
    let long = std::env::var_os("IMGBUILD_TEST_LONG").is_some();
    let mut tally = Tally::default();
    let open = Open::read(OPEN);
    let mut whole = root.universe();
    let sets: Vec<Set> = sets::all(suite).into_iter().filter(|set| is_known(&whole, set)).collect();
    for name in open.names(suite) {
        assert!(sets.iter().any(|set| set.name == name), "tests/solver/open.txt: {suite} has no set {name}");
    }
    for recommends in [true, false] {
        let mut bases: Vec<(Upon, Vec<EntryId>)> = vec![(Upon::Nothing, vec![]), (Upon::Minimal, root.minimal(&whole))];
        let base = ours(&mut whole, &sets::base(suite), &[], true, recommends).unwrap();
        let ids = whole.ids().filter(|id| base.contains(&whole.shown(*id)));
        bases.push((Upon::Base, ids.collect()));
        for (upon, ids) in &bases {
            root.set_status(*upon, recommends, &ids.iter().map(|id| whole.shown(*id)).collect());
        }
        for (at, set) in sets.iter().enumerate() {
            let wanted = match &only {
                Some(only) => *only == set.name,
                None => long || (at + turn + usize::from(recommends) * 2).is_multiple_of(EVERYDAY),
            };
            if !wanted {
                continue;
            }
            let given = &bases.iter().find(|(upon, _)| *upon == set.upon).unwrap().1;
            let nothing = set.upon == Upon::Nothing;
            let start = Instant::now();
            let found = ours(&mut whole, &set.requests, given, nothing, recommends);
            let own_time = start.elapsed();
            let apt = root.apt(set.upon, recommends, &set.requests).unwrap();
            if std::env::var_os("IMGBUILD_TEST_TIMES").is_some() {
                eprintln!("{}: {own_time:?} here, {:?} apt", set.name, start.elapsed() - own_time);
            }
            compare(&mut tally, &root, &open, recommends, set, found, apt);
        }
    }
    let mut summary = String::new();
    let compared = tally.agreed + tally.refused + tally.otherwise + tally.open + tally.different.len();
    let _ = write!(
        summary,
        "{suite}: {compared} comparisons of {} sets: {} the same, {} refused by both, {} accepted by apt, {} open, {} different; apt's newer solver in {}",
        tally.names.len(),
        tally.agreed,
        tally.refused,
        tally.otherwise,
        tally.open,
        tally.different.len(),
        tally.second_solver
    );
    eprintln!("{summary}");
    assert!(tally.different.is_empty(), "{summary}\n{}", tally.different.join("\n"));
    assert!(only.is_some() || compared >= if long { 400 } else { 20 }, "{summary}: too few");
}

#[test]
fn solutions_in_trixie_are_those_of_apt() {
    compare_suite("trixie", 0);
}

#[test]
fn solutions_in_bookworm_are_those_of_apt() {
    compare_suite("bookworm", 1);
}

#[test]
fn difference_that_is_known_is_no_other() {
    let open = Open::read("# why\nbookworm a (recommends: true)\n  here b\n  apt c d\n   e\n");
    let set = |text: &str| text.split(',').map(str::to_owned).collect::<BTreeSet<_>>();
    let known = open.of("bookworm", "a", true).unwrap();
    let common = "x 1,c 1,d 1,e 1";
    assert_eq!(Difference::between(&set("x 1,b 1"), &set(common)), *known);
    assert_ne!(Difference::between(&set("x 1,b 1,e 1"), &set(common)), *known);
    assert!(Difference::between(&set(common), &set(common)).is_none());
    // Another version is a difference too.
    assert_eq!(Difference::between(&set("x 2"), &set("x 1")).to_string(), "  here x\n  apt x\n");
    assert!(open.of("trixie", "a", true).is_none() && open.of("bookworm", "a", false).is_none());
    assert_eq!(open.names("bookworm").collect::<Vec<_>>(), ["a"]);
}
