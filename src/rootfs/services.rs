//! A stand-in for deb-systemd-helper, which scripts start four times for each unit: the links that it makes are made
//! together, after all packages are configured.
//!
//! On a fresh installation its answers are known without it: a unit without a state file counts as enabled before
//! (`was-enabled`), and nothing is masked until a script masks it. Whatever else is asked goes to the program itself.

use super::root::Root;
use super::scripts;
use crate::base::epoch::Epoch;
use crate::base::progress::Progress;
use anyhow::{Context as _, Result};
use std::collections::{BTreeMap, BTreeSet};

/// The program, by where it is in a root.
pub(super) const PROGRAM: &str = "usr/bin/deb-systemd-helper";

/// The stand-in; what is to be done later is added to the file `services` in the folder given.
pub(super) fn script(folder: &str) -> String {
    format!(
        r#"#!/bin/sh
verb=
unit=
kind=deb-systemd-helper
for word; do
    case $word in
    --quiet | --system) ;;
    --user) kind=deb-systemd-user-helper ;;
    -*) exec /{PROGRAM} "$@" ;;
    *) if [ -z "$verb" ]; then verb=$word; elif [ -z "$unit" ]; then unit=$word; else unit=/; fi ;;
    esac
done
case $verb:$unit in
*: | *:/) ;;
unmask:*) [ -e "/var/lib/systemd/$kind-masked" ] || exit 0 ;;
was-enabled:*) [ -e "/var/lib/systemd/$kind-enabled/$unit.dsh-also" ] || exit 0 ;;
enable:* | update-state:*)
    echo "$kind $verb $unit" >> {folder}/services
    exit 0
    ;;
esac
exec /{PROGRAM} "$@"
"#
    )
}

/// Does what was put off.
pub(super) fn replay(root: &Root, noted: &str, epoch: Epoch, progress: &dyn Progress) -> Result<()> {
    for (kind, verb, units) in batches(noted) {
        let mut command = scripts::command(root, epoch, &format!("/{PROGRAM}"))
            // It insists on being called by a package's script.
            .env("DPKG_MAINTSCRIPT_PACKAGE", "imgbuild");
        if kind == "deb-systemd-user-helper" {
            command = command.arg("--user");
        }
        let output = command.arg(verb).args(&units).output().context("enabling the packages' units")?;
        // Scripts ignore how it ends: a package may name a unit that it does not ship.
        for text in [&output.stdout, &output.stderr] {
            String::from_utf8_lossy(text).lines().for_each(|line| progress.log(line));
        }
    }
    Ok(())
}

/// Units by kind and verb, in the order in which they were asked for. A unit that comes with several verbs breaks the
/// batch, so that its verbs stay in order.
fn batches(noted: &str) -> Vec<(&str, &str, Vec<&str>)> {
    let lines: BTreeSet<(&str, &str, &str)> = noted.lines().filter_map(words).collect();
    let mut verbs: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for (kind, verb, unit) in lines {
        verbs.entry((kind, unit)).or_default().insert(verb);
    }
    let mixed = verbs.values().any(|verbs| verbs.len() > 1);
    let mut batches: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    for (kind, verb, unit) in noted.lines().filter_map(words) {
        let open = match mixed {
            true => batches.last_mut().filter(|batch| (batch.0, batch.1) == (kind, verb)),
            false => batches.iter_mut().find(|batch| (batch.0, batch.1) == (kind, verb)),
        };
        match open {
            Some((_, _, units)) if units.contains(&unit) => {}
            Some((_, _, units)) => units.push(unit),
            None => batches.push((kind, verb, vec![unit])),
        }
    }
    batches
}

fn words(line: &str) -> Option<(&str, &str, &str)> {
    let mut words = line.split(' ');
    Some((words.next()?, words.next()?, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_batched_by_verb_unless_one_has_several() {
        let noted = "h enable a\nh update-state b\nh enable c\nu enable d\nh enable a\n";
        assert_eq!(
            batches(noted),
            [("h", "enable", vec!["a", "c"]), ("h", "update-state", vec!["b"]), ("u", "enable", vec!["d"])]
        );
        let noted = "h enable a\nh update-state a\nh enable c\n";
        let expected = [("h", "enable", vec!["a"]), ("h", "update-state", vec!["a"]), ("h", "enable", vec!["c"])];
        assert_eq!(batches(noted), expected);
    }
}
