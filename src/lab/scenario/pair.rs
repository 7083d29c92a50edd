//! What is tried with balancers that share floating addresses.

use super::watch::Watch;
use super::{Part, Scenario, Trial};
use crate::base::interrupt;
use crate::lab::Direction;
use crate::plan::BalancerKind;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

/// How long it is watched that nothing happens.
const CALM: Duration = Duration::from_secs(20);
/// How long it is watched what comes of a line that works one way.
const OBSERVED: Duration = Duration::from_secs(60);
/// An hour, which the late one's clock is ahead.
const HOUR: i64 = 3600;
/// A change of the live configuration that no seed has, and the question for it (Pacemaker). It changes nothing that can be
/// noticed: two machines have less to do at once than that.
const CHANGED: &str = "417";
const CHANGE: &str = "crm_attribute --type crm_config --name batch-limit --update 417";
const QUESTION: &str = "crm_attribute --type crm_config --name batch-limit --query --quiet";

/// In an order in which as few machines as possible are started: each takes minutes where they are emulated. What follows
/// `together` finds a pair that is whole, `stale` leaves the one off that `wiped` rebuilds, `dead` the one alone that `late`
/// comes to, and `late` again, for `first-alone`.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "together", what: "all start at once, with fresh disks", part: Part::Balancers, play: together },
    Scenario {
        name: "kill",
        what: "the active one's plug is pulled, again and again; it comes back, nothing moves",
        part: Part::Balancers,
        play: kill,
    },
    Scenario {
        name: "cut",
        what: "the active one loses its network and gets it back: one owner in the end",
        part: Part::Balancers,
        play: cut,
    },
    Scenario {
        name: "carrier",
        what: "the active one's cable is pulled and plugged in again",
        part: Part::Balancers,
        play: carrier,
    },
    Scenario {
        name: "deaf",
        what: "nothing reaches the active one any more; what it sends does",
        part: Part::Balancers,
        play: deaf,
    },
    Scenario {
        name: "mute",
        what: "nothing that the active one sends arrives; it hears all",
        part: Part::Balancers,
        play: mute,
    },
    Scenario {
        name: "frozen",
        what: "the active one's processors stand still, and go on later",
        part: Part::Balancers,
        play: frozen,
    },
    Scenario {
        name: "stale",
        what: "a client that believes no announcement asks on while the active one's plug is pulled",
        part: Part::Balancers,
        play: stale,
    },
    Scenario {
        name: "wiped",
        what: "a balancer is rebuilt from its seed and takes its place again",
        part: Part::Balancers,
        play: wiped,
    },
    Scenario { name: "dead", what: "one never starts: the other serves alone", part: Part::Balancers, play: dead },
    Scenario {
        name: "late",
        what: "one starts after the pair's timers have run out, its clock an hour ahead",
        part: Part::Balancers,
        play: late,
    },
    Scenario {
        name: "first-alone",
        what: "the first starts, then the second",
        part: Part::Balancers,
        play: first_alone,
    },
    Scenario { name: "last-alone", what: "the second starts, then the first", part: Part::Balancers, play: last_alone },
];

fn together(trial: &mut Trial<'_>) -> Result<()> {
    trial.fresh()?;
    let time = trial.form()?;
    trial.measure("from the start until the address answers", time);
    Ok(())
}

fn kill(trial: &mut Trial<'_>) -> Result<()> {
    trial.form()?;
    let mut outages = Vec::new();
    for round in 1..=trial.rounds {
        let active = trial.owner()?;
        let watch = trial.watch()?;
        let since = watch.now();
        trial.lab.kill(&active, false)?;
        let outage = trial.recovered(&watch, since)?;
        trial.note(format!("round {round}: {active} was killed, {:.1} s without an answer", outage.as_secs_f64()));
        outages.push(outage);
        let heir = trial.owner()?;
        ensure!(heir != active, "{active} is off and still has the address");
        // It comes back: nothing may move.
        let since = watch.now();
        trial.lab.start(&active, None)?;
        trial.until(&format!("{active} is ready again"), trial.patience, |trial| trial.ready(&active))?;
        std::thread::sleep(CALM / 4);
        let flap = watch.outage(since);
        ensure!(trial.owner()? == heir, "the address moved back from {heir} when {active} returned");
        ensure!(flap < Duration::from_secs(2), "{:.1} s without an answer when {active} returned", flap.as_secs_f64());
    }
    outages.sort_unstable();
    let (median, slowest) = (outages[outages.len() / 2], outages[outages.len() - 1]);
    trial.measure(format!("without an answer, median of {}", outages.len()), median);
    trial.measure("slowest", slowest);
    Ok(())
}

/// Something befalls the active one, and is mended: another serves meanwhile, and in the end there is one owner.
fn befall(
    trial: &mut Trial<'_>,
    what: &str,
    breaks: impl Fn(&Trial, &str) -> Result<()>,
    mends: impl Fn(&Trial, &str) -> Result<()>,
) -> Result<()> {
    trial.form()?;
    let active = trial.owner()?;
    let watch = trial.watch()?;
    let since = watch.now();
    breaks(trial, &active)?;
    let outage = trial.recovered(&watch, since)?;
    trial.measure(format!("without an answer when {what}"), outage);
    mended(trial, &watch, |trial| mends(trial, &active))
}

/// Mends what was broken: one owner is left, everybody is at work, the address answers, and so it stays.
fn mended(trial: &mut Trial<'_>, watch: &Watch, mends: impl Fn(&Trial) -> Result<()>) -> Result<()> {
    let since = watch.now();
    mends(trial)?;
    let time = trial.rests(CALM / 2)?;
    trial.measure("after it was mended, until one owner was left", time);
    trial.settled()?;
    let outage = trial.recovered(watch, since)?;
    trial.measure("without an answer when it was mended", outage);
    Ok(())
}

fn cut(trial: &mut Trial<'_>) -> Result<()> {
    befall(trial, "it was cut off", |trial, active| trial.lab.cut(active, None, None), |trial, _| trial.lab.heal())
}

fn carrier(trial: &mut Trial<'_>) -> Result<()> {
    befall(
        trial,
        "its cable was pulled",
        |trial, active| trial.lab.carrier(active, false),
        |trial, active| trial.lab.carrier(active, true),
    )
}

fn deaf(trial: &mut Trial<'_>) -> Result<()> {
    one_way(trial, "it heard nothing", Direction::In)
}

fn mute(trial: &mut Trial<'_>) -> Result<()> {
    one_way(trial, "nobody heard it", Direction::Out)
}

/// What a balancer does that is heard or hears alone is its own affair; it is told. What must follow is one owner once it
/// is mended.
fn one_way(trial: &mut Trial<'_>, what: &str, direction: Direction) -> Result<()> {
    trial.form()?;
    let active = trial.owner()?;
    let (address, _) = trial.target()?;
    let watch = trial.watch()?;
    let since = watch.now();
    trial.lab.cut(&active, None, Some(direction))?;
    let mut owners: Vec<Vec<String>> = Vec::new();
    while watch.now() < since + OBSERVED {
        interrupt::check()?;
        let now = trial.lab.owners(address)?;
        if owners.last() != Some(&now) {
            owners.push(now);
        }
    }
    let answering = watch.steady(since);
    trial.measure(format!("without an answer in the {} s in which {what}", OBSERVED.as_secs()), watch.outage(since));
    trial.see(course(&owners));
    trial.see(if answering { "in the end the address answered" } else { "in the end the address did not answer" });
    mended(trial, &watch, |trial| trial.lab.heal())
}

/// Who answered for an address, one after the other.
fn course(owners: &[Vec<String>]) -> String {
    let words = |names: &Vec<String>| if names.is_empty() { "nobody".to_owned() } else { names.join(" and ") };
    let course: Vec<String> = owners.iter().map(words).collect();
    format!("owners: {}", course.join(", then "))
}

fn stale(trial: &mut Trial<'_>) -> Result<()> {
    trial.form()?;
    let active = trial.owner()?;
    let floating = trial.plan.balancers.iter().flat_map(|balancers| &balancers.addresses);
    let (address, _) = trial.target()?;
    let mut network = floating.filter(|floating| floating.address.address() == address).map(|one| one.network.clone());
    let network = network.next_back().unwrap_or_default();
    let (visitor, _) = trial.lab.visit(&network, None, false, true)?;
    let (watch, stubborn) = (trial.watch()?, trial.watch_from(Some(visitor))?);
    let first = stubborn.now();
    trial.until("the stubborn client is answered", trial.patience, |_| Ok(stubborn.steady(first)))?;
    let (since, from) = (watch.now(), stubborn.now());
    trial.lab.kill(&active, false)?;
    let outage = trial.recovered(&watch, since)?;
    trial.measure("without an answer", outage);
    let outage = trial.recovered(&stubborn, from)?;
    trial.measure("without an answer for one that believes no announcement", outage);
    trial.lab.leave(visitor)
}

fn frozen(trial: &mut Trial<'_>) -> Result<()> {
    befall(
        trial,
        "it stood still",
        |trial, active| trial.lab.freeze(active, true),
        |trial, active| trial.lab.freeze(active, false),
    )
}

fn wiped(trial: &mut Trial<'_>) -> Result<()> {
    // One that is off already, the others serving, is as good as one whose plug is pulled now.
    let idle = match trial.off()?.as_slice() {
        [off] if trial.answers() => off.clone(),
        _ => {
            trial.form()?;
            let active = trial.owner()?;
            let Some(idle) = trial.others(&active).pop() else { return Ok(()) };
            trial.lab.kill(&idle, false)?;
            idle
        }
    };
    let active = trial.owner()?;
    // keepalived has no configuration but the seed's.
    let pacemaker = trial.plan.balancers.as_ref().is_some_and(|balancers| balancers.kind == BalancerKind::Pacemaker);
    let live = trial.shell.filter(|_| pacemaker);
    if let Some(shell) = live {
        shell(&active, CHANGE)?;
    }
    let watch = trial.watch()?;
    let since = watch.now();
    trial.lab.wipe(&idle, false)?;
    let began = Instant::now();
    trial.lab.start(&idle, Some(0))?;
    trial.until(&format!("{idle} is ready again"), trial.patience, |trial| trial.ready(&idle))?;
    trial.measure("until it was ready again", began.elapsed());
    if let Some(shell) = live {
        // Pacemaker runs before it has found the other one, and alone it knows only what the seed says.
        let knows = || shell(&idle, QUESTION).is_ok_and(|known| known.trim() == CHANGED);
        trial.until(&format!("{idle} takes the live configuration"), trial.patience, |_| Ok(knows()))?;
        trial.measure("until it had the live configuration", began.elapsed());
    }
    std::thread::sleep(CALM / 4);
    ensure!(trial.owner()? == active, "the address moved from {active} when {idle} was rebuilt");
    let outage = watch.outage(since);
    ensure!(outage < Duration::from_secs(2), "{:.1} s without an answer meanwhile", outage.as_secs_f64());
    drop(watch);
    // It has taken its place: it can serve.
    trial.lab.kill(&active, false)?;
    trial.until("the rebuilt one serves", trial.patience, |trial| Ok(trial.answers() && trial.owner()? == idle))?;
    // Nobody else is left who could know.
    if let Some(shell) = live {
        let known = shell(&idle, QUESTION)?;
        ensure!(known.trim() == CHANGED, "the live configuration is lost: {idle} knows {known:?}, not {CHANGED}");
        trial.see("alone, it keeps it");
    } else if pacemaker {
        trial.see("whether it has the live configuration was not asked: there is no `ssh` here");
    }
    Ok(())
}

/// One starts, and the others never did.
fn begin_alone(trial: &mut Trial<'_>, first: &str) -> Result<()> {
    trial.fresh()?;
    let began = Instant::now();
    trial.lab.start(first, Some(0))?;
    trial.until(&format!("{first} is ready"), trial.patience, |trial| trial.ready(first))?;
    trial.until("the address answers", trial.patience, |trial| Ok(trial.answers()))?;
    trial.measure("alone, from the start until the address answers", began.elapsed());
    ensure!(trial.owner()? == first, "somebody else than {first} has the address");
    Ok(())
}

/// The others come to one that serves alone, their clocks ahead by so many seconds.
fn join(trial: &mut Trial<'_>, first: &str, clock: i64) -> Result<()> {
    trial.alone = false;
    let watch = trial.watch()?;
    let since = watch.now();
    for other in trial.others(first) {
        trial.lab.start(&other, Some(clock))?;
    }
    trial.settled()?;
    std::thread::sleep(CALM / 4);
    ensure!(trial.owner()? == first, "the address moved when the others came");
    let outage = watch.outage(since);
    ensure!(outage < Duration::from_secs(2), "{:.1} s without an answer when the others came", outage.as_secs_f64());
    Ok(())
}

fn first_alone(trial: &mut Trial<'_>) -> Result<()> {
    let first = trial.balancers[0].clone();
    if !trial.alone {
        begin_alone(trial, &first)?;
    }
    join(trial, &first, 0)
}

fn last_alone(trial: &mut Trial<'_>) -> Result<()> {
    let last = trial.balancers[trial.balancers.len() - 1].clone();
    begin_alone(trial, &last)?;
    join(trial, &last, 0)
}

fn dead(trial: &mut Trial<'_>) -> Result<()> {
    let first = trial.balancers[0].clone();
    begin_alone(trial, &first)?;
    std::thread::sleep(CALM);
    ensure!(trial.answers() && trial.owner()? == first, "{first} does not serve alone any more");
    trial.alone = true;
    Ok(())
}

fn late(trial: &mut Trial<'_>) -> Result<()> {
    // What `dead` ends with is what this one begins with.
    if !trial.alone {
        dead(trial)?;
    }
    let first = trial.balancers[0].clone();
    join(trial, &first, HOUR)?;
    // Whoever plays on begins with right clocks, and with one that serves alone.
    trial.renew(&trial.others(&first))?;
    trial.alone = true;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn course_tells_who_had_an_address_and_when_nobody_did() {
        let [one, two] = ["balancer1", "balancer2"].map(str::to_owned);
        let owners = [vec![one.clone()], Vec::new(), vec![one, two]];
        assert_eq!(course(&owners), "owners: balancer1, then nobody, then balancer1 and balancer2");
    }
}
