//! What is tried with a cluster in the lab: each scenario does something to machines or lines, and says what must follow.
//!
//! The machines that floating addresses lead to may be missing: the lab then stands in for them. A stand-in takes
//! connections and answers each with an alert of TLS, which shows that the way through a balancer works, and no more.

mod pair;
mod watch;

use super::control::Lab;
use super::stage::Stage;
use super::status::Power;
use crate::base::hint::hinted;
use crate::base::interrupt;
use crate::base::progress::Progress;
use crate::plan::ClusterPlan;
use anyhow::{Context as _, Result, bail, ensure};
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
    play: fn(&mut Trial) -> Result<()>,
}

/// All scenarios, in the order in which they are played.
pub const SCENARIOS: &[Scenario] = pair::SCENARIOS;

/// How one scenario went.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Its name.
    pub scenario: String,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// What was measured: what, and seconds.
    pub measured: Vec<(String, f64)>,
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
        self.failure.as_ref().map_or(Ok(()), |failure| write!(f, ": {failure}"))
    }
}

/// A cluster on trial.
pub struct Trial<'a> {
    lab: &'a Lab,
    progress: &'a dyn Progress,
    /// The balancers, most preferred first.
    balancers: Vec<String>,
    /// Floating addresses.
    addresses: Vec<Ipv4Addr>,
    /// Where somebody must answer.
    target: (Ipv4Addr, u16),
    /// How often the active one is killed.
    rounds: usize,
    /// How long a machine may take from its start to its role being at work.
    patience: Duration,
    measured: Vec<(String, f64)>,
}

impl<'a> Trial<'a> {
    /// Prepares a lab in which no machine has been started.
    ///
    /// # Errors
    /// When the cluster has no balancers of its own, or nobody behind them.
    pub fn new(
        lab: &'a Lab,
        plan: &ClusterPlan,
        rounds: usize,
        patience: Duration,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let balancers = plan.balancers.as_ref().filter(|balancers| !balancers.nodes.is_empty());
        let balancers = balancers.ok_or_else(|| {
            hinted(format!("{} has no balancers of its own to try", plan.name), "try `balancers` or `frontends`")
        })?;
        let version_four = |address: IpAddr| match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        };
        let addresses: Vec<Ipv4Addr> =
            balancers.addresses.iter().filter_map(|floating| version_four(floating.address.address())).collect();
        let service = plan.services.iter().find(|service| {
            let apart = |node: &String| !balancers.nodes.contains(node);
            service.backends.iter().any(|backend| apart(&backend.node))
        });
        let service = service.with_context(|| format!("nobody in {} stands behind the balancers", plan.name))?;
        let address = service.addresses.iter().find_map(|address| version_four(*address));
        let target = (address.with_context(|| format!("`{}` has no IPv4 address", service.name))?, service.port);
        for backend in service.backends.iter().filter(|backend| !balancers.nodes.contains(&backend.node)) {
            lab.stand_in(&backend.node, backend.port)?;
        }
        let (balancers, measured) = (balancers.nodes.clone(), Vec::new());
        Ok(Self { lab, progress, balancers, addresses, target, rounds, patience, measured })
    }

    /// Plays a scenario.
    pub fn play(&mut self, scenario: &Scenario) -> Verdict {
        let began = Instant::now();
        self.measured.clear();
        let failure = (scenario.play)(self).err().map(|error| {
            let state = self.lab.status(true).map(|status| format!("\n{status}")).unwrap_or_default();
            format!("{error:#}{}", state.trim_end())
        });
        let (measured, seconds) = (std::mem::take(&mut self.measured), began.elapsed().as_secs_f64());
        Verdict { scenario: scenario.name.to_owned(), failure, measured, seconds }
    }

    fn note(&self, text: impl Into<String>) {
        self.progress.note(text);
    }

    fn measure(&mut self, what: impl Into<String>, time: Duration) {
        let what = what.into();
        self.note(format!("{what}: {:.1} s", time.as_secs_f64()));
        self.measured.push((what, time.as_secs_f64()));
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
        self.lab.answers(self.target.0, self.target.1, Duration::from_secs(2))
    }

    /// Who has the address that is watched: exactly one, or it is an error.
    fn owner(&self) -> Result<String> {
        let mut owners = self.lab.owners(self.target.0)?;
        match (owners.pop(), owners.is_empty()) {
            (Some(owner), true) => Ok(owner),
            (None, _) => bail!("nobody has {}", self.target.0),
            (Some(last), false) => bail!("{} is had by {} and {last}", self.target.0, owners.join(", ")),
        }
    }

    /// Whether every floating address has the same one owner.
    fn one_owner(&self) -> Result<bool> {
        let mut all = Vec::new();
        for address in &self.addresses {
            all.push(self.lab.owners(*address)?);
        }
        Ok(all.iter().all(|owners| owners.len() == 1 && *owners == all[0]))
    }

    fn ready(&self, name: &str) -> Result<bool> {
        let status = self.lab.status(false)?;
        let node = status.nodes.iter().find(|node| node.name == name).with_context(|| format!("no machine {name}"))?;
        if let Power::Failed(said) = &node.power {
            bail!("{name} failed: {said}");
        }
        ensure!(node.stage != Stage::Refused, "{name}: {}", node.last);
        Ok(node.power == Power::On && node.stage == Stage::Ready)
    }

    /// Starts those of the pair that are off, and waits until all are ready, with one owner, and the address answers.
    fn form(&mut self) -> Result<Duration> {
        self.lab.heal()?;
        let began = Instant::now();
        let status = self.lab.status(false)?;
        for name in self.balancers.clone() {
            let node = status.nodes.iter().find(|node| node.name == name);
            match node.map(|node| &node.power) {
                Some(Power::Frozen) => self.lab.freeze(&name, false)?,
                Some(Power::On) => {}
                _ => self.lab.start(&name, None)?,
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
        self.until("every floating address has the same one owner", self.patience, Self::one_owner)?;
        self.until("the address answers", self.patience, |trial| Ok(trial.answers()))?;
        Ok(())
    }

    /// All balancers off, with fresh disks and right clocks.
    fn fresh(&self) -> Result<()> {
        self.lab.heal()?;
        let status = self.lab.status(false)?;
        for name in &self.balancers {
            let on =
                status.nodes.iter().any(|node| node.name == *name && matches!(node.power, Power::On | Power::Frozen));
            if on {
                self.lab.kill(name, false)?;
            }
            self.lab.wipe(name, false)?;
        }
        Ok(())
    }

    fn watch(&self) -> Watch {
        Watch::begin(self.lab, self.target.0, self.target.1)
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

    #[test]
    fn verdicts_say_what_was_measured_and_why_it_failed() {
        let mut verdict = Verdict {
            scenario: "kill".into(),
            failure: None,
            measured: vec![("median of 5".into(), 2.54), ("slowest".into(), 3.0)],
            seconds: 61.4,
        };
        assert_eq!(verdict.to_string(), "PASSED kill (61 s); median of 5: 2.5 s; slowest: 3.0 s");
        verdict.failure = Some("nobody has 10.0.0.1".into());
        verdict.measured.clear();
        assert_eq!(verdict.to_string(), "FAILED kill (61 s): nobody has 10.0.0.1");
    }

    #[test]
    fn scenarios_have_names_of_their_own() {
        let mut names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SCENARIOS.len());
    }
}
