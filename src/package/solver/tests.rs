//! Tables of the solver: small archives, what is chosen, and every refusal whole.

use super::*;
use crate::package::universe::Origin;
use proptest::prelude::*;

/// `name version; Field: value; ...`, one package per line; `@suite` before a name puts it there.
fn index(lines: &str) -> Vec<(String, String)> {
    let mut suites: Vec<(String, String)> = Vec::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (suite, line) = line.strip_prefix('@').and_then(|line| line.split_once(' ')).unwrap_or(("main", line));
        let mut parts = line.split(';').map(str::trim);
        let (name, version) = parts.next().unwrap().split_once(' ').unwrap();
        let fields: String = parts.map(|field| format!("{field}\n")).collect();
        let at = suites.iter().position(|(known, _)| known == suite).unwrap_or_else(|| {
            suites.push((suite.to_owned(), String::new()));
            suites.len() - 1
        });
        let stanza =
            format!("Package: {name}\nVersion: {version}\nArchitecture: amd64\nSHA256: {name}{version}\n{fields}\n");
        suites[at].1.push_str(&stanza);
    }
    suites
}

fn solved(lines: &str, requests: &str, given: &str, recommends: bool) -> Result<String, String> {
    let suites = index(lines);
    let mut universe = Universe::new("amd64");
    for (suite, text) in &suites {
        let priority = if suite == "experimental" { 1 } else { 500 };
        let origin = Origin { repository: "r", suite, aliases: [Some("alias"), None], priority };
        universe.add_index(origin, text.as_bytes()).unwrap();
    }
    let given: Vec<EntryId> = given
        .split_whitespace()
        .map(|key| {
            let (name, version) = key.split_once('=').unwrap();
            *universe.versions(name).iter().find(|id| universe.entry(**id).version == version).unwrap()
        })
        .collect();
    let requests: Vec<Request> = requests.split_whitespace().map(|text| Request::parse(text).unwrap()).collect();
    let problem = Problem { requests: &requests, locals: &[], given: &given, essential: given.is_empty(), recommends };
    let chosen = solve(&mut universe, &problem).map_err(|error| match &error {
        SolveError::Refused(refusal) => format!("{error}\nhint: {}", refusal.hint()),
        _ => error.to_string(),
    })?;
    Ok(chosen.iter().map(|chosen| universe.shown(chosen.entry).replace(' ', "=")).collect::<Vec<_>>().join(" "))
}

#[test]
fn packages_are_chosen_as_apt_does() {
    // What is there, what is asked for, what is given, with Recommends, what is chosen in this order.
    let cases: &[(&str, &str, &str, bool, &str)] = &[
        ("b 1; Essential: yes\na 1", "a", "", false, "b=1 a=1"),
        ("a 1; Depends: c, b; Pre-Depends: d\nb 1\nc 1\nd 1", "a", "", false, "a=1 d=1 c=1 b=1"),
        ("a 1; Depends: b | c\nb 1\nc 1", "a", "", false, "a=1 b=1"),
        ("a 1; Depends: b | c\nb 1\nc 1", "a c", "", false, "a=1 c=1"),
        ("a 1; Depends: x | c\nc 1", "a", "", false, "a=1 c=1"),
        ("a 1; Depends: b (>= 2) | c\nb 1\nc 1", "a", "", false, "a=1 c=1"),
        // A real package before one that provides its name, even listed later and more important.
        ("a 1; Depends: v\nz 1; Provides: v; Priority: required\nv 1; Priority: optional", "a", "", false, "a=1 v=1"),
        // Providers: essential, then by priority, then the one mentioned last.
        (
            "a 1; Depends: v\np 1; Provides: v; Priority: standard\nq 1; Provides: v; Priority: optional",
            "a",
            "",
            false,
            "a=1 p=1",
        ),
        (
            "a 1; Depends: v\np 1; Provides: v; Priority: optional\nq 1; Provides: v; Priority: optional",
            "a",
            "",
            false,
            "a=1 q=1",
        ),
        ("a 1; Depends: v; Suggests: q\np 1; Provides: v\nq 1; Provides: v", "a", "", false, "a=1 p=1"),
        // Provided versions: only a versioned Provides meets a versioned dependency.
        ("a 1; Depends: v (>= 2) | c\np 1; Provides: v\nc 1", "a", "", false, "a=1 c=1"),
        ("a 1; Depends: v (>= 2)\np 1; Provides: v (= 3)", "a", "", false, "a=1 p=1"),
        // An alternative whose own dependencies fail is passed over, with all that it brought.
        ("a 1; Depends: b | c\nb 1; Depends: d, x\nc 1\nd 1", "a", "", false, "a=1 c=1"),
        ("a 1; Depends: b | c\nb 1; Conflicts: a\nc 1", "a", "", false, "a=1 c=1"),
        ("a 1; Depends: b | c; Breaks: b (<< 2)\nb 1\nc 1", "a", "", false, "a=1 c=1"),
        ("a 1; Depends: b | c; Breaks: b (<< 1)\nb 1\nc 1", "a", "", false, "a=1 b=1"),
        // Conflicting with a name that one provides itself is allowed: only one mail server.
        ("a 1; Depends: m\np 1; Provides: m; Conflicts: m", "a", "", false, "a=1 p=1"),
        (
            "a 1; Depends: e, m | n\ne 1; Provides: mta; Conflicts: mta\nm 1; Provides: mta\nn 1",
            "a",
            "",
            false,
            "a=1 e=1 n=1",
        ),
        // Going back further than apt does: the second dependency rules the first choice out.
        ("a 1; Depends: b | c, d\nb 1\nc 1\nd 1; Conflicts: b", "a", "", false, "a=1 d=1 c=1"),
        (
            "a 1; Depends: b | c, e, d\nb 1\nc 1\ne 1; Depends: f | g\nf 1\ng 1\nd 1; Conflicts: b",
            "a",
            "",
            false,
            "a=1 e=1 f=1 d=1 c=1",
        ),
        // Recommends: wanted or not, left out when impossible, never in the way of what is needed.
        ("a 1; Recommends: b\nb 1", "a", "", false, "a=1"),
        ("a 1; Recommends: b\nb 1", "a", "", true, "a=1 b=1"),
        ("a 1; Recommends: b, x\nb 1; Depends: y", "a", "", true, "a=1"),
        ("a 1; Recommends: b; Depends: c\nb 1; Conflicts: c\nc 1", "a", "", true, "a=1 c=1"),
        (
            "a 1; Depends: c\nc 1; Recommends: b\nd 1; Depends: e\ne 1; Conflicts: b\nb 1",
            "a d",
            "",
            true,
            "a=1 d=1 c=1 e=1",
        ),
        // Who is recommended first goes for one that conflicts with it and is needed by a later one ...
        (
            "a 1; Depends: l; Recommends: w\nl 1; Recommends: n\nn 1\nw 1; Depends: c\nc 1; Conflicts: n",
            "a",
            "",
            true,
            "a=1 l=1 w=1 c=1",
        ),
        // ... but not when a request needs it.
        ("a 1; Depends: n; Recommends: c\nn 1\nc 1; Conflicts: n", "a", "", true, "a=1 n=1"),
        // The first alternative is in nobody's way any more when the one against it is given up, but was not taken.
        (
            "a 1; Recommends: r; Depends: b | c\nb 1\nc 1\nr 1; Conflicts: b; Depends: s\ns 1; Depends: x | y\n\
             x 1; Depends: z (>= 2)\ny 1; Depends: z (>= 2)\nz 1",
            "a",
            "",
            true,
            "a=1 b=1",
        ),
        // What was marked on the way to a dead end goes, unless it is suggested at least.
        ("a 1; Recommends: b\nb 1; Depends: d, e\nd 1\ne 1; Depends: f (>= 2)\nf 1", "a", "", true, "a=1"),
        (
            "a 1; Recommends: b; Suggests: d\nb 1; Depends: d, e\nd 1\ne 1; Depends: f (>= 2)\nf 1",
            "a",
            "",
            true,
            "a=1 d=1",
        ),
        // What is given stays, whoever is against it.
        ("a 1; Recommends: b\nb 1; Conflicts: g\ng 1", "a", "g=1", true, "a=1"),
        // Requests by version, suite, architecture; a sole provider for a virtual name.
        ("a 1\na 2", "a=1", "", false, "a=1"),
        ("@main a 1\n@bpo a 2", "a/main", "", false, "a=1"),
        ("@main a 1\n@experimental a 2", "a", "", false, "a=1"),
        ("@main a 1\n@experimental a 2", "a/experimental", "", false, "a=2"),
        ("a 1", "a/alias a:amd64", "", false, "a=1"),
        ("p 1; Provides: v", "v", "", false, "p=1"),
        // A pinned old version finds its companions in its own suite.
        ("k 1; Depends: l (= 1)\nk 2; Depends: l (= 2)\nl 1\nl 2", "k=1", "", false, "k=1 l=1"),
        // An addition leaves what is given, and uses it.
        ("a 1; Depends: b | c\nb 1\nc 1", "a", "c=1", false, "a=1"),
        ("a 1; Depends: b (>= 1)\nb 1\nb 2", "a", "b=1", false, "a=1"),
        ("e 1; Essential: yes\na 1\nb 1", "a", "b=1", false, "a=1"),
        ("a 1\nb 1", "b a", "b=1", false, "a=1"),
        ("a 1; Depends: p:any\np 1; Multi-Arch: allowed", "a", "", false, "a=1 p=1"),
    ];
    for (lines, requests, given, recommends, expected) in cases {
        assert_eq!(solved(lines, requests, given, *recommends).as_deref(), Ok(*expected), "{lines} / {requests}");
    }
}

#[test]
fn refusals_tell_the_whole_chain_and_the_way_out() {
    let cases: &[(&str, &str, &str, &str)] = &[
        (
            "haproxy 1",
            "haproxi",
            "",
            "haproxi cannot be installed: no package has or provides the name `haproxi`\nhint: did you mean `haproxy`?",
        ),
        (
            "a 1",
            "unheard-of",
            "",
            "unheard-of cannot be installed: no package has or provides the name `unheard-of`\n\
             hint: add the repository, suite or component that carries it to `repositories` of the recipe or role",
        ),
        (
            "a 1\na 2",
            "a=3",
            "",
            "a=3 cannot be installed: of `a` there is only a 2, a 1\nhint: ask for one of these versions, or for `a` alone",
        ),
        (
            "p 1; Provides: v\nq 1; Provides: v",
            "v",
            "",
            "v cannot be installed: `v` is provided by p, q, and none of them was asked for\n\
             hint: ask for one of them by name: p, q",
        ),
        (
            "haproxy 3.0; Depends: libx (>= 2)\nlibx 1.9\nlibx 2.1",
            "haproxy",
            "libx=1.9",
            "haproxy cannot be installed: haproxy 3.0 needs libx (>= 2) (Depends)\n  \
               the base layer pins libx 1.9\n  \
               not libx 2.1: the base layer pins libx 1.9\n\
             hint: take newer versions of all packages with `imgbuild lock --update`",
        ),
        (
            "a 1; Depends: b | c\nb 1; Depends: d (>= 2)\nc 1; Pre-Depends: x\nd 1",
            "a",
            "",
            "a cannot be installed: a 1 needs b | c (Depends)\n  \
               b 1 needs d (>= 2) (Depends)\n    \
                 of `d` there is only d 1\n  \
               c 1 needs x (Pre-Depends)\n    \
                 no package has or provides the name `x`\n\
             hint: add the repository, suite or component that carries it to `repositories` of the recipe or role",
        ),
        (
            "a 1\nb 1; Conflicts: a",
            "a b",
            "",
            "b cannot be installed: b 1 excludes a 1 (Conflicts: a)\n\
             hint: ask for other packages, or exclude one side of the conflict",
        ),
        (
            "a 1; Depends: b\nb 1; Breaks: c (<< 2)\nc 1",
            "c a",
            "",
            "a cannot be installed: a 1 needs b (Depends)\n  not b 1: b 1 excludes c 1 (Breaks: c (<< 2))\n\
             hint: ask for other packages, or exclude one side of the conflict",
        ),
        (
            "a 1\na 2",
            "a=2",
            "a=1",
            "a=2 cannot be installed: the base layer pins a 1\n\
             hint: take newer versions of all packages with `imgbuild lock --update`",
        ),
        (
            "a 1\na 2",
            "a=1 a=2",
            "",
            "a=2 cannot be installed: a 1 is chosen already\nhint: ask for other packages, or exclude one side of the conflict",
        ),
        (
            "a 1; Depends: p:any\np 1",
            "a",
            "",
            "a cannot be installed: a 1 needs p:any (Depends)\n  of `p` there is only p 1\n\
             hint: add the repository, suite or component that carries it to `repositories` of the recipe or role",
        ),
        ("a 1; Depends: b [amd64]", "a", "", "reading Depends of a 1"),
    ];
    for (lines, requests, given, message) in cases {
        assert_eq!(solved(lines, requests, given, true).unwrap_err(), *message, "{lines} / {requests}");
    }
}

#[test]
fn every_choice_has_its_reason() {
    let suites = index("e 1; Essential: yes\na 1; Depends: b | c; Recommends: r\nb 1; Pre-Depends: d (>= 1)\nd 1\nr 1");
    let mut universe = Universe::new("amd64");
    let origin = Origin { repository: "r", suite: "s", aliases: [None; 2], priority: 500 };
    universe.add_index(origin, suites[0].1.as_bytes()).unwrap();
    let requests = [Request::parse("a=1").unwrap()];
    let problem = Problem { requests: &requests, locals: &[], given: &[], essential: true, recommends: true };
    let chosen = solve(&mut universe, &problem).unwrap();
    let reasons: Vec<String> =
        chosen.iter().map(|chosen| format!("{}: {}", universe.shown(chosen.entry), chosen.reason)).collect();
    assert_eq!(
        reasons,
        [
            "e 1: essential",
            "a 1: requested as `a=1`",
            "b 1: needed by a (Depends: b | c)",
            "d 1: needed by b (Pre-Depends: d (>= 1))",
            "r 1: needed by a (Recommends: r)",
        ]
    );
}

/// Why each package is there when `a` is asked for, in the order in which they are chosen.
fn reasons(lines: &str, recommends: bool) -> Vec<String> {
    let suites = index(lines);
    let mut universe = Universe::new("amd64");
    let origin = Origin { repository: "r", suite: "s", aliases: [None; 2], priority: 500 };
    universe.add_index(origin, suites[0].1.as_bytes()).unwrap();
    let requests = [Request::parse("a").unwrap()];
    let problem = Problem { requests: &requests, locals: &[], given: &[], essential: true, recommends };
    let chosen = solve(&mut universe, &problem).unwrap();
    chosen.iter().map(|chosen| chosen.reason.to_string()).collect()
}

#[test]
fn what_is_left_over_stays_for_whom_it_is_suggested_by() {
    let lines = "a 1; Recommends: b; Suggests: d\nb 1; Depends: d, e\nd 1\ne 1; Depends: f (>= 2)\nf 1";
    assert_eq!(reasons(lines, true), ["requested as `a`", "needed by a (Suggests: d)"]);
}

#[test]
fn what_is_put_back_for_another_says_for_whom() {
    // The first alternative went for the conflict, so the second one is put in its place afterwards.
    let lines = "a 1; Depends: b | c, d\nb 1\nc 1\nd 1; Conflicts: b";
    assert_eq!(reasons(lines, false), ["requested as `a`", "needed by a (Depends: d)", "needed by a (Depends: b | c)"]);
}

#[test]
fn a_chain_of_thousands_is_refused_without_a_crash() {
    let mut lines = String::from("a 1; Depends: x0\n");
    lines.extend((0..5000).map(|n| format!("x{n} 1; Depends: x{}\n", n + 1)));
    assert!(solved(&lines, "a", "", false).unwrap_err().contains(", and so on"));
    lines.push_str("x5000 1\n");
    assert_eq!(solved(&lines, "a", "", false).unwrap().split(' ').count(), 5002);
}

#[test]
fn requests_of_other_forms_are_refused() {
    let cases = [
        ("", "`` is no package request: it does not begin with a package name"),
        ("a b", "`a b` is no package request: it does not begin with a package name"),
        ("a=", "`a=` is no package request: what follows `=` is no version"),
        ("a/", "`a/` is no package request: what follows `/` is no suite"),
        ("a:X", "`a:X` is no package request: what follows `:` is no architecture"),
        ("./a.deb", "`./a.deb` is no package request: it does not begin with a package name"),
    ];
    for (text, message) in cases {
        let whole = format!("{message}; write name, name=version, name/suite or name:architecture");
        assert_eq!(Request::parse(text).unwrap_err().to_string(), whole);
    }
    for text in ["a", "a=1:2-3~x", "a/trixie-backports", "a:amd64=1"] {
        assert_eq!(Request::parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn a_long_chain_without_a_solution_is_refused_at_once() {
    // 2^40 combinations for who tries all of them: the last dependency is to blame on none of the choices.
    let mut lines = String::from("a 1; Depends: ");
    lines.extend((0..40).map(|n| format!("x{n} | y{n}, ")));
    lines.push_str("missing\n");
    lines.extend((0..40).map(|n| format!("x{n} 1\ny{n} 1\n")));
    assert!(solved(&lines, "a", "", false).unwrap_err().contains("`missing`"));
}

/// Whether the relations of a chosen set hold, checked without the solver's own tables.
fn holds(lines: &str, chosen: &str) -> bool {
    let suites = index(lines);
    let stanzas: Vec<_> = suites
        .iter()
        .flat_map(|(_, text)| crate::package::control::Stanzas::new(text.as_bytes()).map(Result::unwrap))
        .filter(|stanza| {
            let key = format!("{}={}", stanza.get("Package").unwrap(), stanza.get("Version").unwrap());
            chosen.split(' ').any(|one| one == key)
        })
        .collect();
    let parse = |text: Option<&str>| -> Vec<Vec<String>> {
        let groups = crate::package::relation::parse(text.unwrap_or("")).unwrap();
        groups.iter().map(|group| group.0.iter().map(|relation| relation.name.to_owned()).collect()).collect()
    };
    let names = |stanza: &crate::package::control::Stanza| -> Vec<String> {
        let mut names = parse(stanza.get("Provides")).concat();
        names.push(stanza.get("Package").unwrap().to_owned());
        names
    };
    stanzas.iter().all(|stanza| {
        let others = || stanzas.iter().filter(|other| other.get("Package") != stanza.get("Package"));
        let met =
            |group: &Vec<String>| group.iter().any(|name| stanzas.iter().any(|other| names(other).contains(name)));
        let clear = |group: &Vec<String>| group.iter().all(|name| others().all(|other| !names(other).contains(name)));
        parse(stanza.get("Depends")).iter().all(met) && parse(stanza.get("Conflicts")).iter().all(clear)
    })
}

proptest! {
    #[test]
    fn solutions_hold_and_refusals_are_true(
        packages in proptest::collection::vec((
            proptest::collection::vec(proptest::collection::vec(0_usize..7, 1..3), 0..3),
            proptest::option::of(0_usize..7),
            proptest::option::of(0_usize..7),
        ), 7)
    ) {
        let mut lines = String::new();
        for (at, (depends, conflicts, provides)) in packages.iter().enumerate() {
            let depends: Vec<String> = depends
                .iter()
                .map(|group| group.iter().map(|n| format!("p{n}")).collect::<Vec<_>>().join(" | "))
                .collect();
            lines.push_str(&format!("p{at} 1"));
            if !depends.is_empty() {
                lines.push_str(&format!("; Depends: {}", depends.join(", ")));
            }
            lines.extend(conflicts.map(|n| format!("; Conflicts: p{n}")));
            lines.extend(provides.map(|n| format!("; Provides: p{n}")));
            lines.push('\n');
        }
        match solved(&lines, "p0", "", false) {
            Ok(chosen) => prop_assert!(holds(&lines, &chosen), "{lines}\n{chosen}"),
            Err(error) => {
                // No subset with p0 holds either: the search is complete.
                for bits in 0_u32..128 {
                    if bits & 1 == 1 {
                        let subset: Vec<String> =
                            (0..7).filter(|n| bits & (1 << n) != 0).map(|n| format!("p{n}=1")).collect();
                        prop_assert!(!holds(&lines, &subset.join(" ")), "{lines}\n{subset:?}\n{error}");
                    }
                }
            }
        }
    }
}
