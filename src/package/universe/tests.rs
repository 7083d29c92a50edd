//! Tables of the universe: what is taken in, which version is the candidate.

use super::*;

fn origin(repository: &'static str, suite: &'static str, priority: i32) -> Origin<'static> {
    Origin { repository, suite, aliases: [None; 2], priority }
}

fn stanza(name: &str, version: &str, more: &str) -> String {
    format!("Package: {name}\nVersion: {version}\nArchitecture: amd64\nSHA256: {name}-{version}\n{more}\n")
}

#[test]
fn candidates_follow_priority_then_version_then_order() {
    let text = |version: &str| stanza("a", version, "").into_bytes();
    let cases: &[(&[(i32, &str)], Option<&str>)] = &[
        (&[(500, "1"), (500, "2")], Some("2")),
        (&[(500, "2"), (500, "1")], Some("2")),
        (&[(990, "1"), (500, "2")], Some("1")),
        (&[(500, "1"), (100, "2~bpo"), (1, "3")], Some("1")),
        (&[(1, "3"), (100, "2~bpo")], Some("2~bpo")),
        (&[(1, "3")], Some("3")),
        (&[(-1, "3")], None),
        (&[], None),
    ];
    for (indices, expected) in cases {
        let texts: Vec<(i32, Vec<u8>)> = indices.iter().map(|(priority, version)| (*priority, text(version))).collect();
        let mut universe = Universe::new("amd64");
        for (priority, text) in &texts {
            universe.add_index(origin("r", "s", *priority), text).unwrap();
        }
        assert_eq!(universe.candidate("a").map(|id| universe.entry(id).version), *expected, "{indices:?}");
    }
}

#[test]
fn the_same_file_in_two_suites_is_one_version_of_the_higher_priority() {
    let (old, text) = (stanza("a", "2", ""), stanza("a", "1", ""));
    let mut universe = Universe::new("amd64");
    universe.add_index(origin("debian", "trixie", 100), text.as_bytes()).unwrap();
    universe.add_index(origin("debian", "other", 500), old.as_bytes()).unwrap();
    universe.add_index(origin("security", "trixie-security", 990), text.as_bytes()).unwrap();
    assert_eq!(universe.versions("a").len(), 2);
    let candidate = universe.candidate("a").unwrap();
    assert_eq!((universe.entry(candidate).version, universe.origin_of(candidate).repository), ("1", "security"));
    universe.prefer(universe.versions("a")[1]);
    assert_eq!(universe.entry(universe.candidate("a").unwrap()).version, "2");
}

#[test]
fn updates_that_are_phased_in_wait_until_they_are_for_everybody() {
    let phased = |percentage: &str| format!("Phased-Update-Percentage: {percentage}\n");
    // Released, in updates, in security (`!` where the same file is not phased), and what is chosen.
    let cases: &[(&str, &str, Option<&str>, &str)] = &[
        ("1", "10", None, "1"),
        ("1", "0", None, "1"),
        ("1", "99", None, "1"),
        ("1", "100", None, "2"),
        ("1", "nonsense", None, "2"),
        ("", "10", None, "2"),
        ("1", "10", Some("1.5"), "1.5"),
        ("1", "10", Some("2"), "2"),
    ];
    for (released, percentage, security, expected) in cases {
        let released = if released.is_empty() { String::new() } else { stanza("a", released, "") };
        let update = stanza("a", "2", &phased(percentage));
        let security = security.map_or_else(String::new, |version| stanza("a", version, ""));
        let mut universe = Universe::new("amd64");
        universe.add_index(origin("ubuntu", "noble", 500), released.as_bytes()).unwrap();
        universe.add_index(origin("ubuntu", "noble-updates", 500), update.as_bytes()).unwrap();
        universe.add_index(origin("ubuntu", "noble-security", 500), security.as_bytes()).unwrap();
        let candidate = universe.candidate("a").unwrap();
        assert_eq!(universe.entry(candidate).version, *expected, "{released:?} {percentage} {security:?}");
    }
}

#[test]
fn other_architectures_are_passed_over() {
    let text = "Package: a\nVersion: 1\nArchitecture: arm64\n\nPackage: b\nVersion: 1\nArchitecture: all\n";
    let mut universe = Universe::new("amd64");
    universe.add_index(origin("r", "s", 500), text.as_bytes()).unwrap();
    assert_eq!((universe.versions("a").len(), universe.versions("b").len()), (0, 1));
}

#[test]
fn malformed_indices_are_refused_with_the_line() {
    let cases = [
        ("Package: a\nVersion: 1\n", "the stanza that ends at line 2 has no `Architecture`"),
        ("Package: a b\nVersion: 1\nArchitecture: all\n", "the stanza that ends at line 3: `a b` is no package name"),
        (
            "\nPackage: a\nVersion: 1_\nArchitecture: all\n",
            "the stanza that ends at line 4: `1_` is not a package version: it may have letters, digits and . + - ~ only",
        ),
        (
            "Package: a\nVersion: 1\nArchitecture: all\nProvides: b (= \n",
            "the stanza that ends at line 4: Provides: `b (=` is no relationship: its version is not enclosed in ( )",
        ),
        ("Package: a\nPackage: b\n", "line 2: the field `Package` is there twice"),
    ];
    for (text, message) in cases {
        let mut universe = Universe::new("amd64");
        let error = universe.add_index(origin("r", "s", 500), text.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn nearest_names_are_found_within_two_edits() {
    let text = stanza("haproxy", "1", "Provides: load-balancer\n");
    let mut universe = Universe::new("amd64");
    universe.add_index(origin("r", "s", 500), text.as_bytes()).unwrap();
    let cases = [("haproxi", Some("haproxy")), ("loadbalancer", Some("load-balancer")), ("nginx", None), ("hp", None)];
    for (typed, expected) in cases {
        assert_eq!(universe.nearest(typed), expected, "{typed}");
    }
}
