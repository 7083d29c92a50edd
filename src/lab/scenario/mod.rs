//! What is tried with a cluster in the lab: each scenario does something to machines or lines, and says what must follow.
//!
//! The machines that floating addresses lead to may be missing: the lab then stands in for them, as servers of TLS that are
//! well. The world outside is always the lab's: what a scenario shows does not hang on this host's network.

mod gateway;
mod pair;
mod rest;
mod watch;

use super::control::Lab;
use super::stage::Stage;
use super::status::Power;
use crate::base::hint::hinted;
use crate::base::interrupt;
use crate::base::progress::Progress;
use crate::plan::ClusterPlan;
use anyhow::{Context as _, Result, bail, ensure};
use rest::Rest;
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};
use watch::Watch;

/// Time between two looks at the lab.
const GLANCE: Duration = Duration::from_millis(500);

/// One scenario.
pub struct Scenario {
    /// What it is called by.
    pub name: &'static str,
    /// What it shows.
    pub what: &'static str,
    part: Part,
    play: fn(&mut Trial<'_>) -> Result<()>,
}

/// The machines with which a scenario is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Those that share floating addresses.
    Balancers,
    /// Those that lead out.
    Gateway,
}

impl Part {
    /// The machines' names in a cluster.
    fn of(self, plan: &ClusterPlan) -> Vec<String> {
        match self {
            Self::Balancers => plan.balancers.as_ref().map(|balancers| balancers.nodes.clone()).unwrap_or_default(),
            Self::Gateway => plan.with_role("gateway").map(|node| node.name.clone()).collect(),
        }
    }
}

/// All scenarios, in the order in which they are played.
fn all() -> impl Iterator<Item = &'static Scenario> {
    pair::SCENARIOS.iter().chain(gateway::SCENARIOS)
}

/// The scenarios of these names; all that a cluster has the machines for when none is named.
///
/// # Errors
/// When there is no such scenario, or the cluster has no machines for it.
pub fn choose(plan: &ClusterPlan, names: &[String]) -> Result<Vec<&'static Scenario>> {
    let mut chosen = Vec::new();
    for name in names {
        let known = all().find(|scenario| scenario.name == name).ok_or_else(|| {
            let all: Vec<String> = all().map(|scenario| format!("{}: {}", scenario.name, scenario.what)).collect();
            hinted(format!("there is no scenario `{name}`"), format!("there are\n  {}", all.join("\n  ")))
        })?;
        if known.part.of(plan).is_empty() {
            let lacks = if known.part == Part::Gateway { "gateway" } else { "balancers of its own" };
            let without = format!("{} has no {lacks} to try `{name}` with", plan.name);
            return Err(hinted(without, "try `balancers` or `frontends`"));
        }
        chosen.push(known);
    }
    if names.is_empty() {
        chosen.extend(all().filter(|scenario| !scenario.part.of(plan).is_empty()));
    }
    if chosen.is_empty() {
        let without = format!("{} has neither balancers of its own nor a gateway to try", plan.name);
        return Err(hinted(without, "try `balancers` or `frontends`"));
    }
    Ok(chosen)
}

/// The machines that these scenarios need.
#[must_use]
pub fn machines(plan: &ClusterPlan, chosen: &[&Scenario]) -> Vec<String> {
    let needed: Vec<String> = chosen.iter().flat_map(|scenario| scenario.part.of(plan)).collect();
    let nodes = plan.nodes.iter().filter(|node| needed.contains(&node.name));
    nodes.map(|node| node.name.clone()).collect()
}

/// How one scenario went.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Its name.
    pub scenario: String,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// What was measured: what, and seconds.
    pub measured: Vec<(String, f64)>,
    /// What was seen.
    pub seen: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = if self.failure.is_some() { "FAILED" } else { "PASSED" };
        write!(f, "{word} {} ({:.0} s)", self.scenario, self.seconds)?;
        for (what, seconds) in &self.measured {
            write!(f, "; {what}: {seconds:.1} s")?;
        }
        for seen in &self.seen {
            write!(f, "; {seen}")?;
        }
        self.failure.as_ref().map_or(Ok(()), |failure| write!(f, ": {failure}"))
    }
}

/// Does a command on a machine, as its administrator, and gives what it said.
pub type Shell<'a> = &'a dyn Fn(&str, &str) -> Result<String>;

/// A cluster on trial.
pub struct Trial<'a> {
    lab: &'a Lab,
    plan: &'a ClusterPlan,
    progress: &'a dyn Progress,
    shell: Option<Shell<'a>>,
    /// The balancers, most preferred first.
    balancers: Vec<String>,
    /// Floating addresses.
    addresses: Vec<Ipv4Addr>,
    /// Where somebody must answer, when balancers are tried.
    target: Option<(Ipv4Addr, u16)>,
    /// How often the active one is killed.
    rounds: usize,
    /// How long a machine may take from its start to its role being at work.
    patience: Duration,
    /// Whether the first balancer serves and the others have never been on.
    alone: bool,
    measured: Vec<(String, f64)>,
    seen: Vec<String>,
}

fn version_four(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

impl<'a> Trial<'a> {
    /// Prepares a lab in which no machine has been started for these scenarios. Without a `shell`, what needs one is not
    /// tried, and that is told.
    ///
    /// # Errors
    /// When balancers are to be tried and nobody is behind them.
    pub fn new(
        lab: &'a Lab,
        plan: &'a ClusterPlan,
        chosen: &[&Scenario],
        rounds: usize,
        patience: Duration,
        shell: Option<Shell<'a>>,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let (measured, seen) = (Vec::new(), Vec::new());
        let (mut balancers, mut addresses, mut target) = (Vec::new(), Vec::new(), None);
        let floating = plan.balancers.as_ref().filter(|_| chosen.iter().any(|one| one.part == Part::Balancers));
        if let Some(floating) = floating {
            balancers.clone_from(&floating.nodes);
            addresses.extend(floating.addresses.iter().filter_map(|one| version_four(one.address.address())));
            let service = plan
                .services
                .iter()
                .find(|service| service.backends.iter().any(|backend| !balancers.contains(&backend.node)));
            let service = service.with_context(|| format!("nobody in {} stands behind the balancers", plan.name))?;
            let address = service.addresses.iter().find_map(|address| version_four(*address));
            target = Some((address.with_context(|| format!("`{}` has no IPv4 address", service.name))?, service.port));
            for backend in service.backends.iter().filter(|backend| !balancers.contains(&backend.node)) {
                lab.stand_in(&backend.node, backend.port)?;
            }
        }
        Ok(Self {
            lab,
            plan,
            progress,
            shell,
            balancers,
            addresses,
            target,
            rounds,
            patience,
            alone: false,
            measured,
            seen,
        })
    }

    /// Plays a scenario.
    pub fn play(&mut self, scenario: &Scenario) -> Verdict {
        let began = Instant::now();
        self.measured.clear();
        self.seen.clear();
        let failure = (scenario.play)(self).err().map(|error| {
            let state = self.lab.status(true).map(|status| format!("\n{status}")).unwrap_or_default();
            format!("{error:#}{}", state.trim_end())
        });
        let (measured, seen) = (std::mem::take(&mut self.measured), std::mem::take(&mut self.seen));
        let seconds = began.elapsed().as_secs_f64();
        Verdict { scenario: scenario.name.to_owned(), failure, measured, seen, seconds }
    }

    fn note(&self, text: impl Into<String>) {
        self.progress.note(text);
    }

    fn measure(&mut self, what: impl Into<String>, time: Duration) {
        let what = what.into();
        self.note(format!("{what}: {:.1} s", time.as_secs_f64()));
        self.measured.push((what, time.as_secs_f64()));
    }

    /// Something that was seen and is told with the outcome.
    fn see(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.note(what.clone());
        self.seen.push(what);
    }

    /// Waits until something is so.
    fn until(&self, what: &str, limit: Duration, so: impl Fn(&Self) -> Result<bool>) -> Result<Duration> {
        let began = Instant::now();
        loop {
            interrupt::check()?;
            if so(self)? {
                return Ok(began.elapsed());
            }
            let waited = began.elapsed();
            ensure!(waited < limit, "after {} s it was still not so: {what}", waited.as_secs());
            std::thread::sleep(GLANCE);
        }
    }

    fn answers(&self) -> bool {
        self.target.is_some_and(|(address, port)| self.lab.answers(address, port, Duration::from_secs(2)))
    }

    fn target(&self) -> Result<(Ipv4Addr, u16)> {
        self.target.with_context(|| format!("no balancers of {} are tried", self.plan.name))
    }

    /// Who has the address that is watched: exactly one, or it is an error.
    fn owner(&self) -> Result<String> {
        let (address, _) = self.target()?;
        let mut owners = self.lab.owners(address)?;
        match (owners.pop(), owners.is_empty()) {
            (Some(owner), true) => Ok(owner),
            (None, _) => bail!("nobody has {address}"),
            (Some(last), false) => bail!("{address} is had by {} and {last}", owners.join(", ")),
        }
    }

    /// The one owner that every floating address has, if that is so.
    fn one_owner(&self) -> Result<Option<String>> {
        let mut all = Vec::new();
        for address in &self.addresses {
            all.push(self.lab.owners(*address)?);
        }
        let one = all.iter().all(|owners| owners.len() == 1 && *owners == all[0]);
        Ok(all.into_iter().flatten().next().filter(|_| one))
    }

    /// Waits until every floating address has had the same one owner for so long. Gives how long it took until that began.
    fn rests(&self, calm: Duration) -> Result<Duration> {
        let began = Instant::now();
        let mut rest = Rest::default();
        loop {
            interrupt::check()?;
            let asked = began.elapsed();
            rest.see(asked, self.one_owner()?);
            let now = began.elapsed();
            if let Some(since) = rest.lasting(now, calm) {
                return Ok(since);
            }
            ensure!(now < self.patience, "after {} s the floating addresses do not keep one owner", now.as_secs());
        }
    }

    fn ready(&self, name: &str) -> Result<bool> {
        let status = self.lab.status(false)?;
        let node = status.nodes.iter().find(|node| node.name == name).with_context(|| format!("no machine {name}"))?;
        if let Power::Failed(said) = &node.power {
            bail!("{name} failed: {said}");
        }
        ensure!(!matches!(node.stage, Stage::Refused | Stage::Panicked), "{name}: {}", node.last);
        Ok(node.power == Power::On && node.stage == Stage::Ready)
    }

    /// Starts those of the pair that are off, and waits until all are ready, with one owner, and the address answers.
    fn form(&mut self) -> Result<Duration> {
        self.alone = false;
        self.lab.heal()?;
        let began = Instant::now();
        let status = self.lab.status(false)?;
        for name in self.balancers.clone() {
            let node = status.nodes.iter().find(|node| node.name == name);
            match node.map(|node| &node.power) {
                Some(Power::Frozen) => self.lab.freeze(&name, false)?,
                Some(Power::On) => {}
                _ => self.lab.start(&name, Some(0))?,
            }
        }
        self.settled()?;
        Ok(began.elapsed())
    }

    /// Waits until all balancers are ready, with one owner, and the address answers.
    fn settled(&self) -> Result<()> {
        for name in &self.balancers {
            self.until(&format!("{name} is ready"), self.patience, |trial| trial.ready(name))?;
        }
        self.until("every floating address has the same one owner", self.patience, |trial| {
            Ok(trial.one_owner()?.is_some())
        })?;
        self.until("the address answers", self.patience, |trial| Ok(trial.answers()))?;
        Ok(())
    }

    /// All balancers off, with fresh disks.
    fn fresh(&mut self) -> Result<()> {
        self.alone = false;
        self.renew(&self.balancers)
    }

    /// Balancers that are off.
    fn off(&self) -> Result<Vec<String>> {
        let status = self.lab.status(false)?;
        let off = status.nodes.into_iter().filter(|node| !matches!(node.power, Power::On | Power::Frozen));
        Ok(off.map(|node| node.name).filter(|name| self.balancers.contains(name)).collect())
    }

    /// These machines off, with fresh disks.
    fn renew(&self, names: &[String]) -> Result<()> {
        self.lab.heal()?;
        let status = self.lab.status(false)?;
        for name in names {
            let on =
                status.nodes.iter().any(|node| node.name == *name && matches!(node.power, Power::On | Power::Frozen));
            if on {
                self.lab.kill(name, false)?;
            }
            self.lab.wipe(name, false)?;
        }
        Ok(())
    }

    fn watch(&self) -> Result<Watch> {
        self.watch_from(None)
    }

    /// The same, as a visitor sees it.
    fn watch_from(&self, visitor: Option<usize>) -> Result<Watch> {
        let (address, port) = self.target()?;
        Ok(Watch::begin(self.lab, visitor, address, port))
    }

    /// Waits until the address answers steadily from now on; gives the longest time without an answer since then.
    fn recovered(&self, watch: &Watch, since: Duration) -> Result<Duration> {
        self.until("the address answers steadily again", self.patience, |_| Ok(watch.steady(since)))?;
        Ok(watch.outage(since))
    }

    fn others(&self, than: &str) -> Vec<String> {
        self.balancers.iter().filter(|name| *name != than).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hint::hints;
    use crate::lab::layout::tests::example;

    #[test]
    fn verdicts_say_what_was_measured_and_why_it_failed() {
        let mut verdict = Verdict {
            scenario: "kill".into(),
            failure: None,
            measured: vec![("median of 5".into(), 2.54), ("slowest".into(), 3.0)],
            seen: vec!["balancer2 had it".into()],
            seconds: 61.4,
        };
        assert_eq!(verdict.to_string(), "PASSED kill (61 s); median of 5: 2.5 s; slowest: 3.0 s; balancer2 had it");
        verdict.failure = Some("nobody has 10.0.0.1".into());
        verdict.measured.clear();
        verdict.seen.clear();
        assert_eq!(verdict.to_string(), "FAILED kill (61 s): nobody has 10.0.0.1");
    }

    #[test]
    fn scenarios_have_names_of_their_own() {
        let mut names: Vec<&str> = all().map(|scenario| scenario.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().count());
    }

    #[test]
    fn scenarios_are_chosen_by_the_machines_that_a_cluster_has() {
        let names = |plan: &ClusterPlan, names: &[&str]| -> Result<Vec<&str>> {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            choose(plan, &names).map(|chosen| chosen.iter().map(|scenario| scenario.name).collect())
        };
        let (balancers, six) = (example("balancers"), example("six-nodes"));
        assert_eq!(names(&balancers, &["kill", "gateway"]).unwrap(), ["kill", "gateway"]);
        assert_eq!(names(&balancers, &[]).unwrap().last(), Some(&"gateway"));
        assert!(!names(&six, &[]).unwrap().contains(&"gateway"));
        let error = names(&six, &["together", "gateway"]).unwrap_err();
        assert_eq!(error.to_string(), "six-nodes has no gateway to try `gateway` with");
        let error = names(&six, &["togther"]).unwrap_err();
        assert_eq!(error.to_string(), "there is no scenario `togther`");
        assert!(hints(&error)[0].contains("\n  gateway: addresses are lent"));
        let mut bare = six;
        bare.balancers = None;
        let error = names(&bare, &[]).unwrap_err().to_string();
        assert_eq!(error, "six-nodes has neither balancers of its own nor a gateway to try");
    }

    #[test]
    fn only_the_machines_that_scenarios_need_are_started() {
        let machines = |cluster: &str, names: &[&str]| {
            let (plan, names) = (example(cluster), names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
            machines(&plan, &choose(&plan, &names).unwrap())
        };
        assert_eq!(machines("balancers", &["gateway"]), ["gateway"]);
        assert_eq!(machines("balancers", &["kill"]), ["balancer1", "balancer2"]);
        assert_eq!(machines("balancers", &["kill", "gateway"]), ["gateway", "balancer1", "balancer2"]);
        assert_eq!(machines("six-nodes", &["together", "kill"]), ["master1", "master2", "master3"]);
    }
}
