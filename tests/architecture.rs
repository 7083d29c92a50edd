//! The house's rules as tests: which room may know which, and what may stand only behind one door.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file, in lines.
const LONGEST: usize = 600;
/// Longest main.rs, in lines.
const LONGEST_MAIN: usize = 40;

/// All rooms and workshops.
const ROOMS: &[&str] = &[
    "base", "boot", "cli", "compare", "disk", "format", "input", "lab", "output", "package", "pipeline", "plan",
    "rootfs", "sandbox", "secret", "seed", "store",
];

/// What a room may use of another: `*` is whatever its top exports, `inner::*` what that module of it exports, `**` all
/// that is public (workshops have no secrets). Everything may use `base::*`; nothing but `pipeline` may use what is not listed here.
const ARROWS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("format", &[]),
    ("store", &["format::**"]),
    ("sandbox", &[]),
    ("cli", &[]),
    // Documents speak the plan's words for what they name.
    ("input", &["format::**", "plan::Blob", "plan::Filesystem", "plan::Keyring", "plan::Location"]),
    ("plan", &["input::*", "format::**"]),
    ("package", &["plan::*", "format::**", "store::**"]),
    // Maintainers' packages are opened where their contents go; dpkg's database is made of the same stanzas.
    (
        "rootfs",
        &["plan::*", "package::*", "package::control::*", "package::deb::*", "format::**", "sandbox::**", "store::**"],
    ),
    ("boot", &["plan::*", "rootfs::*", "format::**", "sandbox::**", "store::**"]),
    ("disk", &["plan::*", "rootfs::*", "boot::*", "format::**", "sandbox::**", "store::**"]),
    ("output", &["plan::*", "package::*", "disk::*", "format::**", "store::**"]),
    // Images are compared by their bytes; dpkg's databases in them say which package a file is of.
    ("compare", &["disk::*", "output::*", "package::control::*", "format::**"]),
    // Certificates bear the names and addresses that the plan gives; nothing of images is known.
    ("secret", &["plan::*", "format::**"]),
    // What machines are told follows from the plan and from their secrets.
    ("seed", &["plan::*", "secret::*", "format::**"]),
    ("lab", &["plan::*", "output::*", "format::**", "sandbox::**", "store::**"]),
    // The only wiring: names every room; of the command line, only what is meant and how it ended.
    ("pipeline", &["**", "cli::meant::*", "cli::outcome::*"]),
];

/// Hosts that serve packages, in parts, so that this file names none either: the mirror is the user's choice.
const PACKAGE_HOSTS: &[&[&str]] = &[
    &["deb", "debian", "org"],
    &["ftp", "debian", "org"],
    &["security", "debian", "org"],
    &["snapshot", "debian", "org"],
    &["archive", "ubuntu", "com"],
    &["security", "ubuntu", "com"],
    &["static", "crates", "io"],
    &["index", "crates", "io"],
];

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder of the project, sorted: path relative to the project, text.
fn texts(folder: &str, extensions: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut waiting = vec![project().join(folder)];
    while let Some(here) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&here) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("target") {
                    waiting.push(path);
                }
            } else if path.extension().is_some_and(|e| extensions.contains(&e.to_str().unwrap_or_default()))
                && let Ok(text) = fs::read_to_string(&path)
            {
                found.push((path.strip_prefix(project()).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// Code without line comments and without what stands in string and character literals.
fn code(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '/' if characters.peek() == Some(&'/') => {
                for skipped in characters.by_ref() {
                    if skipped == '\n' {
                        out.push('\n');
                        break;
                    }
                }
            }
            'r' if matches!(characters.peek(), Some('"' | '#'))
                && !out.ends_with(|c: char| c.is_alphanumeric() || c == '_') =>
            {
                let mut hashes = 0;
                while characters.peek() == Some(&'#') {
                    hashes += 1;
                    characters.next();
                }
                if characters.next_if_eq(&'"').is_none() {
                    continue; // r#identifier
                }
                let end = format!("\"{}", "#".repeat(hashes));
                let mut seen = String::new();
                for inner in characters.by_ref() {
                    seen.push(inner);
                    if seen.ends_with(&end) {
                        break;
                    }
                }
            }
            '"' => {
                while let Some(inner) = characters.next() {
                    match inner {
                        '\\' => drop(characters.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '\'' => {
                // A character literal, or a lifetime.
                let mut ahead = characters.clone();
                let first = ahead.next();
                let closes = if first == Some('\\') { true } else { ahead.next() == Some('\'') };
                if closes {
                    if characters.next() == Some('\\') {
                        characters.next();
                    }
                    for inner in characters.by_ref() {
                        if inner == '\'' {
                            break;
                        }
                    }
                }
            }
            other => out.push(other),
        }
    }
    out
}

/// Every path that code takes from the crate's root, groups expanded: `plan::Disk`, `base::size::*`. `depth` says how many
/// `super::` lead from the file to the root.
fn paths(code: &str, depth: usize) -> BTreeSet<String> {
    let mut found = paths_below("crate::", code);
    found.extend(paths_below(&"super::".repeat(depth), code));
    found.retain(|path| path.split("::").next().is_some_and(|first| ROOMS.contains(&first)));
    found
}

/// Every path that code takes below this root.
fn paths_below(root: &str, code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let words: Vec<&str> = code.split_whitespace().collect();
    let tokens = words.join(" ").replace(":: ", "::").replace(" ::", "::");
    for (at, _) in tokens.match_indices(root) {
        expand("", &tokens[at + root.len()..], &mut found);
    }
    found
}

/// Reads one use tree or path; gives the rest of the text.
fn expand<'a>(before: &str, text: &'a str, found: &mut BTreeSet<String>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            if let Some(end) = rest.strip_prefix('}') {
                return end;
            }
            if rest.is_empty() {
                return rest;
            }
            rest = expand(before, rest, found);
            let rename = rest
                .trim_start()
                .strip_prefix("as ")
                .map(|r| r.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'));
            rest = rename.unwrap_or(rest).trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest);
            if !rest.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '{' | '}' | '*' | ' ')) {
                return rest;
            }
        }
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '*')).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let path = if before.is_empty() { name.to_owned() } else { format!("{before}::{name}") };
    match rest.strip_prefix("::") {
        Some(inner) if inner.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '{' | '*')) => {
            expand(&path, inner, found)
        }
        _ => {
            if !name.is_empty() {
                found.insert(path);
            }
            rest
        }
    }
}

/// Whether one of these arrows covers the path (`plan::Disk`, or longer: `plan::Disk::new`).
fn covered(path: &str, allowed: &[&str]) -> bool {
    let parts: Vec<&str> = path.split("::").collect();
    allowed.iter().any(|arrow| {
        if *arrow == "**" {
            return parts[0] != "cli";
        }
        if let Some(module) = arrow.strip_suffix("::**") {
            return path == module || path.starts_with(&format!("{module}::"));
        }
        let Some(module) = arrow.strip_suffix("::*") else {
            return path == *arrow || path.starts_with(&format!("{arrow}::"));
        };
        let depth = module.split("::").count();
        // The module itself (`use crate::disk;`), an item of it, or something inherent to an item.
        let item = parts
            .get(depth)
            .is_none_or(|name| name.starts_with(|c: char| c.is_uppercase() || c == '*') || parts.len() == depth + 1);
        (path == module || path.starts_with(&format!("{module}::"))) && item
    })
}

/// Arrows that the rules do not have.
fn strangers(room: &str, text: &str, depth: usize) -> Vec<String> {
    let allowed = ARROWS.iter().find(|(from, _)| *from == room).map_or(&[][..], |(_, to)| to);
    let own = |path: &String| path.split("::").next() == Some(room) || path.starts_with("base::");
    paths(&code(text), depth).into_iter().filter(|path| !own(path) && !covered(path, allowed)).collect()
}

fn room_of(file: &Path) -> Option<String> {
    let mut parts = file.strip_prefix("src").ok()?.components();
    let first = parts.next()?.as_os_str().to_str()?;
    Some(first.strip_suffix(".rs").unwrap_or(first).to_owned())
}

/// How many modules deep a file is: `src/plan/mod.rs` and `src/plan.rs` 1, `src/plan/draw.rs` 2.
fn depth_of(file: &Path) -> usize {
    let depth = file.components().count() - 1;
    if file.ends_with("mod.rs") { depth - 1 } else { depth }
}

#[test]
fn rooms_know_only_the_rooms_that_the_rules_name() {
    let mut faults = Vec::new();
    for (file, text) in texts("src", &["rs"]) {
        let room = room_of(&file).unwrap();
        if matches!(room.as_str(), "lib" | "main") {
            continue;
        }
        assert!(ROOMS.contains(&room.as_str()), "{} is in no room that the rules name", file.display());
        for path in strangers(&room, &text, depth_of(&file)) {
            faults.push(format!("{}: `{room}` must not know `{path}`", file.display()));
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_room_has_its_rule() {
    let named: Vec<&str> = ROOMS.to_vec();
    let mut ruled: Vec<&str> = ARROWS.iter().map(|(from, _)| *from).collect();
    ruled.sort_unstable();
    assert_eq!(ruled, named);
}

#[test]
fn arrows_that_the_rules_lack_are_found() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("plan", "use crate::package::Pin;", &["package::Pin"]),
        ("format", "use crate::{base::size::Bytes, plan::{Disk, Volume as V}};", &["plan::Disk", "plan::Volume"]),
        ("base", "fn f() { crate::cli::main(); }", &["cli::main"]),
        ("store", "use super::plan::Disk;", &["plan::Disk"]),
        ("disk", "use crate::rootfs::unpack::Unpacker;", &["rootfs::unpack::Unpacker"]),
        ("disk", "use crate::rootfs::{Tree, collect};", &[]),
        ("pipeline", "use crate::cli::typed::Typed;", &["cli::typed::Typed"]),
        ("pipeline", "use crate::cli::{meant::Command, outcome::Outcome}; use crate::store::locks::Lock;", &[]),
        ("plan", "// use crate::package::Pin;\nconst A: &str = \"crate::package::Pin\";", &[]),
        ("input", "use crate::plan::{Filesystem, Disk};", &["plan::Disk"]),
        (
            "plan",
            "let a: crate::disk::DiskImage<'a> = x; let c = '\"'; crate::lab::boot();",
            &["disk::DiskImage", "lab::boot"],
        ),
    ];
    for (room, text, expected) in cases {
        assert_eq!(strangers(room, text, 1), *expected, "{text}");
    }
}

/// Files whose code has the word, other than behind its doors.
fn beyond_doors(word: &str, doors: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (file, text) in texts("src", &["rs"]) {
        // A test's own output is the test runner's to show.
        let (before, _) = text.split_once("#[cfg(test)]").filter(|_| word.contains("print")).unwrap_or((&text, ""));
        if !doors.iter().any(|door| file.starts_with(door)) && has_word(&code(before), word) {
            found.push(format!("{}: `{word}`", file.display()));
        }
    }
    found
}

fn has_word(code: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| !code[..at].ends_with(part) && !code[at + word.len()..].starts_with(part))
}

#[test]
fn what_has_one_door_is_used_nowhere_else() {
    let doors: &[(&str, &[&str])] = &[
        ("unsafe", &["src/sandbox"]),
        // Freshness of signatures is judged against the day; nothing that is written depends on it, but for the ends of
        // certificates.
        ("SystemTime::now", &["src/package/archive/mod.rs", "src/secret/source.rs"]),
        ("println!", &["src/cli"]),
        ("eprintln!", &["src/cli"]),
        ("print!", &["src/cli"]),
        ("eprint!", &["src/cli"]),
        ("dbg!", &[]),
        ("todo!", &[]),
        ("unimplemented!", &[]),
    ];
    let faults: Vec<String> = doors.iter().flat_map(|(word, doors)| beyond_doors(word, doors)).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    assert!(has_word("x = unsafe { y }", "unsafe") && !has_word("#[allow(unsafe_code)]", "unsafe"));
}

/// Constants whose names say that they limit what is read, declared elsewhere than in the one home of limits.
fn limits_of(text: &str) -> Vec<String> {
    let code = code(text);
    let names = code.split("const ").skip(1).filter_map(|rest| rest.split([':', '=']).next());
    let words = ["LIMIT", "LIMITS", "MAXIMUM", "MAX", "MOST", "MEMORY"];
    names.map(str::trim).filter(|name| name.split('_').any(|w| words.contains(&w))).map(str::to_owned).collect()
}

#[test]
fn limits_on_what_is_read_have_one_home() {
    // What a format itself sets, or what is only shown.
    let own = [
        ("src/format/fat/layout.rs", "MAXIMUM_CLUSTERS"),
        ("src/format/fat/name.rs", "MAXIMUM_UNITS"),
        ("src/format/fat/read.rs", "MAXIMUM_FOLDER"),
        ("src/format/grub.rs", "MAXIMUM_CORE"),
        ("src/format/iso9660/names.rs", "JOLIET_LIMIT"),
        ("src/input/suggest.rs", "MAXIMUM"),
        ("src/rootfs/collect.rs", "NAMED_LIMIT"),
        ("src/sandbox/mount.rs", "OPTIONS_LIMIT"),
    ];
    let mut faults = Vec::new();
    for (file, text) in texts("src", &["rs"]) {
        if file == Path::new("src/base/limits.rs") {
            continue;
        }
        for name in limits_of(&text) {
            if !own.contains(&(file.to_str().unwrap(), name.as_str())) {
                faults.push(format!("{}: {name} belongs into src/base/limits.rs", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    assert_eq!(limits_of("pub(super) const FILES_LIMIT: usize = 1; const LIMITED: u8 = 2;"), ["FILES_LIMIT"]);
}

#[test]
fn processes_are_started_by_two_doors_only() {
    let starts = |text: &str| paths_below("std::", &code(text)).iter().any(|path| path.starts_with("process::Command"));
    for (file, text) in texts("src", &["rs"]) {
        let door = file == Path::new("src/base/process.rs") || file.starts_with("src/sandbox");
        assert!(door || !starts(&text), "{} starts processes", file.display());
    }
    assert!(starts("use std::process::{Command, Output};") && starts("std::process::Command::new(x)"));
    assert!(!starts("use std::process::ExitCode; use crate::sandbox::Command; Command::new(root, x);"));
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut faults = Vec::new();
    for folder in ["src", "tests", "node/src", "benches"] {
        for (file, text) in texts(folder, &["rs"]) {
            let lines = text.lines().count();
            let is_test = folder == "tests" || file.ends_with("tests.rs") || file.iter().any(|part| part == "tests");
            if !is_test && lines > LONGEST {
                faults.push(format!("{}: {lines} lines, and {LONGEST} are allowed", file.display()));
            }
            if !text.starts_with("//! ") {
                faults.push(format!("{}: does not begin with what it is for", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    let main = fs::read_to_string(project().join("src/main.rs")).unwrap();
    assert!(main.lines().count() < LONGEST_MAIN);
}

#[test]
fn no_file_names_a_host_that_serves_packages() {
    let hosts: Vec<String> = PACKAGE_HOSTS.iter().map(|parts| parts.join(".")).collect();
    let mut faults = Vec::new();
    let kinds = ["rs", "md", "yaml", "toml", "sh", "json", "j2", "1", "cfg", "conf", "list", "sources"];
    for folder in ["src", "tests", "seeds", "recipes", "roles", "docs", "node", "benches", "fuzz"] {
        for (file, text) in texts(folder, &kinds) {
            for host in hosts.iter().filter(|host| text.contains(host.as_str())) {
                faults.push(format!("{}: {host}", file.display()));
            }
        }
    }
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        let text = fs::read_to_string(project().join(name)).unwrap_or_default();
        for host in hosts.iter().filter(|host| text.contains(host.as_str())) {
            faults.push(format!("{name}: {host}"));
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
