//! `imgbuild-node role`: makes the role's units run as the manifest says and keeps them so. Looks, decides (pure),
//! acts, and looks again, for ever; what changed files entail is struck out, durably, when it is done.

mod decide;
mod status;
mod units;

pub(crate) use status::show;

use crate::console::say;
use crate::format::{Effect, Manifest};
use crate::install::{self, Pending};
use crate::places::Places;
use crate::process;
use decide::{Step, decide, waiting};
use std::time::Duration;

/// How often a machine that is as it should be is looked at.
const WATCH: Duration = Duration::from_secs(10);
/// The first and the longest pause between attempts.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
/// Seconds that a unit may take to start before the others get their turn; it goes on starting.
const START: &str = "60";

/// Never ends.
pub(crate) fn run() -> Result<(), String> {
    let places = Places::new("/");
    let (mut told, mut told_steps) = (String::new(), String::new());
    let mut pause = PAUSES[0];
    loop {
        let said = pass(&places, &mut told_steps).unwrap_or_else(status::Report::failed);
        status::write(&places, &said)?;
        let line = said.line();
        if line != told {
            say(said.stage.word(), &line);
            told = line;
            pause = PAUSES[0];
        }
        if said.stage.settled() {
            std::thread::sleep(WATCH);
            pause = PAUSES[0];
        } else {
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSES[1]);
        }
    }
}

/// Looks, acts, looks again. Attempts are told of once, however often they are repeated.
fn pass(places: &Places, told: &mut String) -> Result<status::Report, String> {
    let Some(manifest) = install::installed(places)? else { return Ok(status::Report::idle(places)) };
    let pending = Pending::read(places)?;
    let names: Vec<&str> = manifest.units.iter().map(|unit| unit.name.as_str()).collect();
    let steps = decide(&manifest.units, &pending, &units::states(&names)?);
    let mut failures = Vec::new();
    let text = steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let news = text != *told;
    if news && !text.is_empty() {
        say("role", &text);
    }
    *told = text;
    for step in &steps {
        match act(step) {
            Ok(()) => settle(places, step)?,
            Err(why) => {
                if news {
                    say("failed", &format!("{step}: {why}"));
                }
                failures.push(format!("{step}: {why}"));
            }
        }
    }
    report(places, &manifest, &names, failures)
}

fn report(
    places: &Places,
    manifest: &Manifest,
    names: &[&str],
    failures: Vec<String>,
) -> Result<status::Report, String> {
    let states = units::states(names)?;
    let left = Pending::read(places)?;
    let mut reasons = waiting(&manifest.units, &left, &states);
    if reasons.is_empty() {
        reasons = failures;
    }
    Ok(status::Report::of(places, manifest, &states, reasons))
}

fn act(step: &Step) -> Result<(), String> {
    let run = |words: &[&str]| process::run(words, "");
    match step {
        Step::Entailed(Effect::DaemonReload) => run(&["systemctl", "daemon-reload"]),
        Step::Entailed(Effect::Sysctl) => run(&["sysctl", "--ignore", "--quiet", "--system"]),
        Step::Entailed(Effect::Certificates) => run(&["update-ca-certificates"]),
        Step::Entailed(Effect::Restart(unit)) => run(&["timeout", START, "systemctl", "try-restart", "--", unit]),
        Step::Entailed(Effect::Reload(unit)) => {
            run(&["timeout", START, "systemctl", "try-reload-or-restart", "--", unit])
        }
        Step::Retire(unit) | Step::Stop(unit) => run(&["timeout", START, "systemctl", "disable", "--now", "--", unit]),
        Step::Strike(_) => Ok(()),
        Step::Enable(units) => {
            // Nobody reads the scripts of /etc/init.d beside units; keeping their links in step takes longer than the rest.
            let mut words = vec!["env", "SYSTEMCTL_SKIP_SYSV=1", "systemctl", "enable", "--"];
            words.extend(units.iter().map(String::as_str));
            run(&words)
        }
        Step::Forgive(unit) => run(&["systemctl", "reset-failed", "--", unit]),
        Step::Start(unit) => run(&["timeout", START, "systemctl", "start", "--", unit]),
    }
}

/// Strikes out what was done.
fn settle(places: &Places, step: &Step) -> Result<(), String> {
    let mut pending = Pending::read(places)?;
    let struck = match step {
        Step::Entailed(effect) => pending.effects.remove(effect),
        Step::Retire(unit) | Step::Strike(unit) => pending.retired.remove(unit),
        _ => false,
    };
    if struck { pending.write(places) } else { Ok(()) }
}
