//! What is tried with gateways: addresses are lent, names resolved, the way out leads through the gateway's own address, and
//! what is not allowed is not answered. The lab stands in for both ends: for machines without an address, and for the world
//! outside.

use super::{Part, Scenario, Trial};
use crate::lab::control::Name;
use crate::lab::layout::Layout;
use crate::lab::network::{Lease, MIRROR, outside};
use crate::lab::requests::Reached;
use crate::plan::{ClusterPlan, Link};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

/// How long whoever is reached may take to say something.
const WORDS: Duration = Duration::from_secs(5);
/// A port at which nobody serves, and which no rule names.
const NOBODY: u16 = 7;
/// Of SSH, which everybody may reach, and of names, which only the inside may.
const SSH: u16 = 22;
const NAMES: u16 = 53;

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "gateway",
    what: "addresses are lent, names lead both ways, the way out leads out, closed ports stay silent",
    part: Part::Gateway,
    play: gateway,
}];

/// What must follow from a cluster's document.
#[derive(Debug, PartialEq, Eq)]
struct Task {
    /// The network that is served.
    network: String,
    prefix: u8,
    pool: Option<(Ipv4Addr, Ipv4Addr)>,
    router: Option<Ipv4Addr>,
    servers: Vec<Ipv4Addr>,
    /// The first gateway's own address.
    own: Ipv4Addr,
    /// A machine whose card has a reservation.
    reserved: Option<([u8; 6], Ipv4Addr)>,
    /// Names and their addresses.
    names: Vec<(String, Ipv4Addr)>,
    domain: String,
}

/// From where a port is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// The visitor that was lent an address.
    Visitor,
    /// The lab's own station in the same network.
    Neighbour,
    /// The world outside.
    Outside,
}

/// A port, and whether it is open.
#[derive(Debug, PartialEq, Eq)]
struct Door {
    from: From,
    address: Ipv4Addr,
    port: u16,
    open: bool,
}

fn version_four(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

impl Task {
    fn of(plan: &ClusterPlan) -> Result<Self> {
        let gateway = plan.with_role("gateway").next().with_context(|| format!("{} has no gateway", plan.name))?;
        let served = gateway.interfaces.iter().find_map(|interface| {
            let own = interface.addresses.iter().find(|own| !own.is_v6())?;
            let network = plan.network(&interface.network).filter(|network| !network.foreign)?;
            Some((network, *own, version_four(own.address())?))
        });
        let (network, cidr, own) =
            served.with_context(|| format!("{} serves no network with IPv4 addresses", gateway.name))?;
        let pool = network.pool.and_then(|(first, last)| Some((version_four(first)?, version_four(last)?)));
        let others = plan.nodes.iter().filter(|node| !node.has("gateway")).flat_map(|node| &node.interfaces);
        let mut reserved = others.filter(|interface| interface.network == network.name).filter_map(|interface| {
            let address = interface.addresses.iter().find_map(|own| version_four(own.address()))?;
            match interface.link {
                Link::Card(card) => Some((card.octets(), address)),
                _ => None,
            }
        });
        let nodes = plan
            .nodes
            .iter()
            .filter_map(|node| Some((format!("{}.{}", node.name, plan.domain), version_four(node.address()?)?)));
        let api = plan
            .api
            .iter()
            .filter_map(|api| Some((api.name.clone(), api.addresses.iter().copied().find_map(version_four)?)));
        let named: Vec<Ipv4Addr> = network.dns.iter().copied().filter_map(version_four).collect();
        Ok(Self {
            network: network.name.clone(),
            prefix: cidr.prefix(),
            pool,
            router: network.gateways.iter().copied().find_map(version_four),
            servers: if named.is_empty() { vec![own] } else { named },
            own,
            reserved: reserved.next_back(),
            names: nodes.chain(api).collect(),
            domain: plan.domain.clone(),
        })
    }

    /// What is wrong with what a machine was lent.
    fn lent(&self, lease: &Lease, reserved: Option<Ipv4Addr>) -> Result<()> {
        match (reserved, self.pool) {
            (Some(own), _) => ensure!(lease.address == own, "{} is reserved, {} was lent", own, lease.address),
            (None, Some((first, last))) => {
                let inside = first <= lease.address && lease.address <= last;
                ensure!(inside, "{} was lent, which is not in {first} to {last}", lease.address);
            }
            (None, None) => bail!("{} was lent, and there is nothing to lend", lease.address),
        }
        ensure!(lease.prefix == self.prefix, "a network of {} bits was told, it has {}", lease.prefix, self.prefix);
        ensure!(lease.router == self.router, "{:?} was told to lead out, not {:?}", lease.router, self.router);
        ensure!(lease.servers == self.servers, "{:?} were told to know names, not {:?}", lease.servers, self.servers);
        Ok(())
    }

    /// Ports that are tried. For each way on which nothing must pass there is a port that shows that the way is there.
    fn doors(&self, visitor: Option<Ipv4Addr>) -> Vec<Door> {
        let door = |from, address, port, open| Door { from, address, port, open };
        let mut doors = vec![
            door(From::Neighbour, self.own, SSH, true),
            door(From::Neighbour, self.own, NAMES, true),
            door(From::Neighbour, self.own, NOBODY, false),
            door(From::Outside, outside::LENT, SSH, true),
            door(From::Outside, outside::LENT, NAMES, false),
            door(From::Outside, outside::LENT, NOBODY, false),
        ];
        if let Some(visitor) = visitor {
            doors.extend([
                door(From::Visitor, self.own, NAMES, true),
                door(From::Visitor, self.own, NOBODY, false),
                door(From::Neighbour, visitor, MIRROR, true),
                door(From::Outside, visitor, MIRROR, false),
            ]);
        }
        doors
    }
}

/// Whether that is what must be found behind a port: who is not let in hears nothing, not even that he is refused.
fn judge(door: &Door, reached: &Reached) -> Result<()> {
    let Door { from, address, port, open } = door;
    let from = match from {
        From::Visitor => "a machine with a lease",
        From::Neighbour => "inside",
        From::Outside => "outside",
    };
    let found = match reached {
        Reached::Told(_) => "is open",
        Reached::Refused => "refuses",
        Reached::Silent => "is silent",
    };
    let good = if *open { matches!(reached, Reached::Told(_)) } else { *reached == Reached::Silent };
    let wanted = if *open { "be open" } else { "be silent" };
    ensure!(good, "from {from}, port {port} of {address} {found}; it must {wanted}");
    Ok(())
}

/// Whether the server outside saw an address of the outside, and not the one that the machine has.
fn translated(seen: &str, own: Ipv4Addr) -> Result<()> {
    let seen: Ipv4Addr = seen.trim().parse().map_err(|_| anyhow!("the server outside said {seen:?}"))?;
    ensure!(seen != own, "the server outside sees {own} itself: nothing is translated");
    let network = |address: Ipv4Addr| u32::from(address) >> (32 - u32::from(outside::PREFIX));
    ensure!(network(seen) == network(outside::NETWORK), "the server outside sees {seen}, which nobody was lent");
    Ok(())
}

fn gateway(trial: &mut Trial<'_>) -> Result<()> {
    let task = Task::of(trial.plan)?;
    let names: Vec<String> = trial.plan.with_role("gateway").map(|node| node.name.clone()).collect();
    trial.renew(&names)?;
    let began = Instant::now();
    for name in &names {
        trial.lab.start(name, None)?;
    }
    for name in &names {
        trial.until(&format!("{name} is ready"), trial.patience, |trial| trial.ready(name))?;
    }
    trial.measure("from the start until it was ready", began.elapsed());

    let mut visitor = None;
    if task.pool.is_some() {
        let began = Instant::now();
        let (number, lease) = trial.lab.visit(&task.network, None, true, false)?;
        trial.measure("until an address was lent", began.elapsed());
        task.lent(&lease, None)?;
        trial.note(format!("an unknown card was lent {}", lease.address));
        visitor = Some((number, lease.address));
    }
    if let Some((card, address)) = task.reserved {
        let (number, lease) = trial.lab.visit(&task.network, Some(card), true, false)?;
        trial.lab.leave(number)?;
        task.lent(&lease, Some(address))?;
        trial.note(format!("a known card was lent {address}, which is its own"));
    }
    let (asker, _) = trial.lab.visit(&task.network, None, false, false)?;
    resolve(trial, &task, asker)?;

    let beyond = Layout::of(trial.plan, true).outside;
    if beyond.is_some() {
        let lent = |trial: &Trial<'_>| Ok(!trial.lab.owners(outside::LENT)?.is_empty());
        trial.until("the gateway has an address outside", trial.patience, lent)?;
    }
    if let Some((number, address)) = visitor.filter(|_| beyond.is_some()) {
        match trial.lab.reach_port(Some(number), outside::SERVER, MIRROR, WORDS)? {
            Reached::Told(seen) => translated(&seen, address)?,
            other => bail!("the server outside was not reached from {address}: {other:?}"),
        }
        trial.note(format!("{address} reaches {} by another's address", outside::SERVER));
    }
    for door in task.doors(visitor.map(|(_, address)| address)) {
        let from = match door.from {
            From::Outside if beyond.is_none() => continue,
            From::Outside => beyond,
            From::Visitor => visitor.map(|(number, _)| number),
            From::Neighbour => None,
        };
        judge(&door, &trial.lab.reach_port(from, door.address, door.port, WORDS)?)?;
    }
    Ok(())
}

/// Every name leads to its address and back, and what nobody is called leads nowhere.
fn resolve(trial: &Trial<'_>, task: &Task, asker: usize) -> Result<()> {
    let ask = |name: Name| -> Result<Vec<String>> {
        let what = format!("{} does not answer {name:?}", task.own);
        // Questions by UDP get lost.
        for _ in 0..3 {
            if let Some(names) = trial.lab.resolve(asker, task.own, name.clone())? {
                return Ok(names);
            }
        }
        bail!(what)
    };
    for (name, address) in &task.names {
        let addresses = ask(Name::Forward(name.clone()))?;
        ensure!(addresses == [address.to_string()], "{name} leads to {addresses:?}, not to {address}");
        let names = ask(Name::Backward(*address))?;
        ensure!(names == [name.clone()], "{address} leads back to {names:?}, not to {name}");
    }
    let nobody = format!("nobody.{}", task.domain);
    let addresses = ask(Name::Forward(nobody.clone()))?;
    ensure!(addresses.is_empty(), "{nobody} leads to {addresses:?}");
    trial.note(format!("{} names lead to their addresses and back", task.names.len()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::layout::tests::example;

    fn address(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, 4, last)
    }

    fn lease(last: u8) -> Lease {
        Lease { address: address(last), prefix: 24, router: Some(address(1)), servers: vec![address(1)] }
    }

    #[test]
    fn task_is_what_the_document_says() {
        let task = Task::of(&example("balancers")).unwrap();
        assert_eq!((task.network.as_str(), task.prefix, task.own), ("lan", 24, address(1)));
        assert_eq!(task.pool, Some((address(200), address(249))));
        assert_eq!(task.reserved, Some(([0x52, 0x54, 0, 0, 4, 0x16], address(22))));
        let names: Vec<String> = task.names.iter().map(|(name, address)| format!("{name} {address}")).collect();
        assert_eq!(names.len(), 6);
        assert_eq!(names[0], "gateway.balancers.internal 192.168.4.1");
        assert_eq!(names[5], "api.balancers.internal 192.168.4.10");
        let none = Task::of(&example("six-nodes")).unwrap_err().to_string();
        assert_eq!(none, "six-nodes has no gateway");
    }

    #[test]
    fn leases_are_held_to_the_document() {
        let task = Task::of(&example("balancers")).unwrap();
        task.lent(&lease(200), None).unwrap();
        task.lent(&lease(22), Some(address(22))).unwrap();
        let said = |lease: Lease, own| task.lent(&lease, own).unwrap_err().to_string();
        assert_eq!(said(lease(22), None), "192.168.4.22 was lent, which is not in 192.168.4.200 to 192.168.4.249");
        assert_eq!(said(lease(200), Some(address(22))), "192.168.4.22 is reserved, 192.168.4.200 was lent");
        let wrong = said(Lease { router: None, ..lease(201) }, None);
        assert_eq!(wrong, "None was told to lead out, not Some(192.168.4.1)");
        let wrong = said(Lease { servers: Vec::new(), ..lease(201) }, None);
        assert_eq!(wrong, "[] were told to know names, not [192.168.4.1]");
        let wrong = said(Lease { prefix: 16, ..lease(201) }, None);
        assert_eq!(wrong, "a network of 16 bits was told, it has 24");
    }

    #[test]
    fn who_is_not_let_in_must_hear_nothing() {
        let task = Task::of(&example("balancers")).unwrap();
        let doors = task.doors(Some(address(200)));
        // Each way that must be closed somewhere is open elsewhere, or its silence would show nothing.
        for from in [From::Visitor, From::Neighbour, From::Outside] {
            for open in [true, false] {
                assert!(doors.iter().any(|door| door.from == from && door.open == open), "{from:?} {open}");
            }
        }
        for door in doors {
            let told = judge(&door, &Reached::Told(String::new())).is_ok();
            let silent = judge(&door, &Reached::Silent).is_ok();
            assert_eq!((told, silent), (door.open, !door.open), "{door:?}");
            assert!(judge(&door, &Reached::Refused).is_err());
        }
        let door = Door { from: From::Outside, address: outside::LENT, port: 53, open: false };
        let said = judge(&door, &Reached::Refused).unwrap_err().to_string();
        assert_eq!(said, "from outside, port 53 of 198.18.0.2 refuses; it must be silent");
    }

    #[test]
    fn translation_is_seen_from_outside() {
        translated("198.18.0.2\n", address(200)).unwrap();
        let said = |seen: &str| translated(seen, address(200)).unwrap_err().to_string();
        assert_eq!(said("192.168.4.200\n"), "the server outside sees 192.168.4.200 itself: nothing is translated");
        assert_eq!(said("192.168.4.1"), "the server outside sees 192.168.4.1, which nobody was lent");
        assert_eq!(said(""), "the server outside said \"\"");
    }
}
