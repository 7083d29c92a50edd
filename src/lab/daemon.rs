//! The process behind a running lab: it has the networks and the machines, and does what its control socket is asked.
//!
//! Nothing outlives it: every QEMU runs in a sandbox that ends with it, however it ends.

use super::control::{Answer, Name, REFUSES, Request, SILENT, Target, line};
use super::guest;
use super::layout::{Layout, Socket};
use super::machines::{Common, Machine};
use super::network::{Fabric, Faults, Lease, PortId, Question, Site, Visitor, Way, Wiring, Words, identity};
use super::order::Order;
use super::status::{AddressStatus, Status};
use crate::base::hint::hinted;
use crate::base::{files, interrupt};
use anyhow::{Context as _, Result, anyhow};
use rustls::ServerConfig;
use std::io::{BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The control socket in the run folder.
pub(super) const SOCKET: &str = "lab";
/// How often it is looked whether a signal came.
const GLANCE: Duration = Duration::from_millis(200);
/// How long owners of an address may take to answer: emulated machines are slow.
const ANSWERS: Duration = Duration::from_millis(700);
/// How long it may take until an address is lent: it is looked first whether somebody has it.
const LENDING: Duration = Duration::from_secs(30);
/// How long a name server may take.
const RESOLVING: Duration = Duration::from_secs(5);
/// How long machines may take to end.
const FAREWELL: Duration = Duration::from_secs(15);

struct Daemon {
    common: Arc<Common>,
    machines: Vec<Arc<Machine>>,
    /// Ports of each machine's cards; a card that leads out has none.
    ports: Vec<Vec<PortId>>,
    fabric: Fabric,
    /// By which the lab is known where it stands in for machines.
    identity: Arc<ServerConfig>,
    /// Stations that came so far, for cards and addresses that differ.
    visitors: AtomicU8,
    /// Whether it is to end, and then whether disks are kept.
    ending: Mutex<Option<bool>>,
    changed: Condvar,
}

/// Runs the lab whose order lies in this folder, until it is told to end.
///
/// # Errors
/// When its sockets cannot be made.
pub fn serve(folder: &Path) -> Result<()> {
    let order = Order::read(folder)?;
    files::create_dir_all(&order.disks)?;
    let layout = Layout::of(&order.cluster, order.closed);
    let (wiring, ports) = wiring(&layout, &order, folder);
    let fabric = Fabric::start(&wiring)?;
    if let Some(station) = layout.outside {
        fabric.outside(station, layout.inner());
    }
    let common = Arc::new(Common { order, layout, folder: folder.to_owned() });
    let machines = (0..common.order.nodes.len()).map(|number| Machine::new(&common, number));
    let machines = machines.collect::<Result<Vec<_>>>()?;
    let (ending, changed) = (Mutex::new(None), Condvar::new());
    let (identity, visitors) = (identity()?, AtomicU8::new(0));
    let daemon = Arc::new(Daemon { common, machines, ports, fabric, identity, visitors, ending, changed });
    for (machine, order) in daemon.machines.iter().zip(&daemon.common.order.nodes) {
        if order.start {
            machine.start(None)?;
        }
    }
    let socket = folder.join(SOCKET);
    let listener = UnixListener::bind(&socket).with_context(|| format!("making the socket {}", socket.display()))?;
    let served = daemon.clone();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let served = served.clone();
            std::thread::spawn(move || served.converse(stream));
        }
    });
    let keep = daemon.wait();
    for machine in daemon.machines.iter().filter(|machine| machine.runs()) {
        // What does not end by itself ends with this process.
        let _ = machine.kill();
    }
    if !daemon.machines.iter().all(|machine| machine.ended(FAREWELL)) {
        return Err(anyhow!("not all machines could be ended"));
    }
    if !keep {
        daemon.machines.iter().try_for_each(|machine| machine.clear())?;
    }
    std::fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))
}

fn wiring(layout: &Layout, order: &Order, folder: &Path) -> (Wiring, Vec<Vec<PortId>>) {
    let mut cards = Vec::new();
    let mut ports = Vec::new();
    for (node, own) in layout.cards.iter().enumerate() {
        let mut of_node = Vec::new();
        for (number, card) in own.iter().enumerate() {
            if let Socket::Segment(segment) = card.socket {
                of_node.push(PortId(cards.len()));
                cards.push((folder.join(guest::card_socket(node, number)), segment));
            }
        }
        ports.push(of_node);
    }
    let stations = layout.posts.iter().map(|post| (post.site, post.segment)).collect();
    let words = Words {
        connected: || Answer::Done.line(),
        refused: || Answer::failed(&anyhow!(REFUSES)).line(),
        silent: || Answer::failed(&anyhow!(SILENT)).line(),
    };
    (Wiring { cards, stations, seed: order.random, words }, ports)
}

impl Daemon {
    /// Waits for the end. Gives whether disks are kept.
    fn wait(&self) -> bool {
        let mut ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(keep) = *ending {
                return keep;
            }
            if interrupt::pending().is_some() {
                return true;
            }
            ending = self.changed.wait_timeout(ending, GLANCE).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Answers one connection's requests.
    fn converse(&self, stream: UnixStream) {
        let Ok(reading) = stream.try_clone() else { return };
        let mut reader = BufReader::new(reading);
        let mut writer = stream;
        while let Ok(Some(text)) = line(&mut reader) {
            let answer = match serde_json::from_slice::<Request>(&text) {
                Err(error) => Err(anyhow!("a request that the lab does not know: {error}")),
                Ok(Request::Connect { to: Target::Address(address), port, from: Some(station) }) => {
                    return self.fabric.connect(station, address, port, writer);
                }
                Ok(Request::Connect { to, port, .. }) => match self.target(&to) {
                    Ok((station, address)) => {
                        // From here on the connection is the networks'.
                        return self.fabric.connect(station, address, port, writer);
                    }
                    Err(error) => Err(error),
                },
                Ok(Request::Console { node }) => match self.machine(&node) {
                    Ok((_, machine)) => {
                        let _ = writer.write_all(&Answer::Done.line()).map(|()| machine.console().attach(writer));
                        return;
                    }
                    Err(error) => Err(error),
                },
                Ok(request) => self.answer(&request),
            };
            let answer = answer.unwrap_or_else(|error| Answer::failed(&error));
            if writer.write_all(&answer.line()).is_err() {
                return;
            }
        }
    }

    fn machine(&self, name: &str) -> Result<(usize, &Arc<Machine>)> {
        let found = self.machines.iter().enumerate().find(|(_, machine)| machine.name() == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = self.machines.iter().map(|machine| machine.name()).collect();
            hinted(format!("there is no machine `{name}`"), format!("there are {}", names.join(", ")))
        })
    }

    /// The station from which an address is reached.
    fn target(&self, to: &Target) -> Result<(usize, Ipv4Addr)> {
        let layout = &self.common.layout;
        match to {
            Target::Address(address) => layout
                .post(*address)
                .map(|station| (station, *address))
                .ok_or_else(|| anyhow!("{address} is in none of the lab's networks")),
            Target::Node(name) => {
                let (number, _) = self.machine(name)?;
                let interfaces = &self.common.order.cluster.nodes[number].interfaces;
                let addresses = interfaces.iter().flat_map(|interface| &interface.addresses);
                let found = addresses.filter_map(|cidr| match cidr.address() {
                    IpAddr::V4(address) => layout.post(address).map(|station| (station, address)),
                    IpAddr::V6(_) => None,
                });
                found.into_iter().next().ok_or_else(|| anyhow!("{name} has no address in the lab's networks"))
            }
        }
    }

    fn answer(&self, request: &Request) -> Result<Answer> {
        match request {
            Request::Status { owners } => return self.status(*owners).map(|status| Answer::Status { status }),
            Request::Start { node, clock } => self.machine(node)?.1.start(*clock)?,
            Request::Kill { node, button: true } => self.machine(node)?.1.press()?,
            Request::Kill { node, button: false } => self.machine(node)?.1.kill()?,
            Request::Wipe { node, data } => {
                let (_, machine) = self.machine(node)?;
                let ran = machine.runs();
                if ran {
                    machine.kill()?;
                }
                machine.wipe(*data)?;
                if ran {
                    machine.start(None)?;
                }
            }
            Request::Cut { node, other: None, way } => {
                self.worsen(node, *way, |faults| Faults { cut: true, ..faults })?;
            }
            Request::Cut { node, other: Some(other), way } => self.separate(node, other, *way)?,
            Request::Worsen { node, way, faults } => self.worsen(node, *way, |_| *faults)?,
            Request::Carrier { node, up } => self.machine(node)?.1.carrier(*up)?,
            Request::Heal => self.heal()?,
            Request::Freeze { node, frozen } => self.machine(node)?.1.freeze(*frozen)?,
            Request::StandIn { node, port } => self.stand_in(node, *port)?,
            Request::Owners { address } => return Ok(Answer::Owners { owners: self.owners(*address)? }),
            Request::Visit { network, card, borrows, stubborn } => {
                return self.visit(network, *card, *borrows, *stubborn);
            }
            Request::Leave { visitor } => self.fabric.leave(*visitor),
            Request::Resolve { visitor, server, name } => {
                let name = match name {
                    Name::Forward(name) => Question::Forward(name.clone()),
                    Name::Backward(address) => Question::Backward(*address),
                };
                return Ok(Answer::Names { names: self.fabric.resolve(*visitor, *server, name, RESOLVING)? });
            }
            Request::Down { keep } => {
                *self.ending.lock().unwrap_or_else(PoisonError::into_inner) = Some(*keep);
                self.changed.notify_all();
            }
            Request::Connect { .. } | Request::Console { .. } => return Err(anyhow!("not a question")),
        }
        Ok(Answer::Done)
    }

    fn stand_in(&self, node: &str, port: u16) -> Result<()> {
        let (number, machine) = self.machine(node)?;
        machine.replace()?;
        let (station, address) = self.target(&Target::Node(node.to_owned()))?;
        let post = &self.common.layout.posts[station];
        let mut site = post.site;
        site.address = address;
        // The station's own card, but for the byte that tells stand-ins apart.
        [site.card[4], site.card[5]] = [1, u8::try_from(number).unwrap_or(u8::MAX)];
        self.fabric.stand_in(site, post.segment, port, self.identity.clone());
        Ok(())
    }

    /// Plugs a station of the lab's own into a network.
    fn visit(&self, network: &str, card: Option<[u8; 6]>, borrows: bool, stubborn: bool) -> Result<Answer> {
        let layout = &self.common.layout;
        let post = layout.posts.iter().position(|post| post.network == network);
        let post = post.ok_or_else(|| anyhow!("the lab has no network `{network}` with IPv4"))?;
        let number = self.visitors.fetch_add(1, Ordering::Relaxed);
        let at = &layout.posts[post];
        let own = layout.visitor(&self.common.order.cluster, post, number);
        let address = if borrows { Some(Ipv4Addr::UNSPECIFIED) } else { own };
        let address = address.ok_or_else(|| anyhow!("no address in {network} is free"))?;
        let mut site = Site { address, ..at.site };
        // The station's own card, but for the byte that tells visitors apart.
        [site.card[4], site.card[5]] = [2, number];
        site.card = card.unwrap_or(site.card);
        let visitor = self.fabric.visit(Visitor { site, segment: at.segment, stubborn })?;
        let lease = if borrows {
            self.fabric.lease(visitor, LENDING)?.ok_or_else(|| anyhow!("nobody in {network} lends an address"))?
        } else {
            Lease { address, prefix: site.prefix, router: None, servers: Vec::new() }
        };
        Ok(Answer::Visitor { visitor, lease })
    }

    fn worsen(&self, node: &str, way: Option<Way>, change: impl Fn(Faults) -> Faults) -> Result<()> {
        let (number, machine) = self.machine(node)?;
        let ways: &[Way] = match way {
            Some(Way::In) => &[Way::In],
            Some(Way::Out) => &[Way::Out],
            None => &[Way::In, Way::Out],
        };
        for way in ways {
            let mut now = Faults::default();
            machine.note(|faults, _| {
                let place = &mut faults[usize::from(*way == Way::Out)];
                *place = change(*place);
                now = *place;
            });
            for port in &self.ports[number] {
                self.fabric.fault(*port, *way, now);
            }
        }
        Ok(())
    }

    fn separate(&self, node: &str, other: &str, way: Option<Way>) -> Result<()> {
        let ((one, machine), (two, _)) = (self.machine(node)?, self.machine(other)?);
        for a in &self.ports[one] {
            for b in &self.ports[two] {
                if way != Some(Way::In) {
                    self.fabric.bar(*a, *b, true);
                }
                if way != Some(Way::Out) {
                    self.fabric.bar(*b, *a, true);
                }
            }
        }
        let words = match way {
            None => format!("cut from {other}"),
            Some(Way::In) => format!("hears nothing from {other}"),
            Some(Way::Out) => format!("is not heard by {other}"),
        };
        machine.note(|_, cuts| {
            cuts.insert(words);
        });
        Ok(())
    }

    fn heal(&self) -> Result<()> {
        self.fabric.heal();
        for machine in &self.machines {
            machine.note(|faults, cuts| {
                *faults = [Faults::default(); 2];
                cuts.clear();
            });
            if machine.runs() && !machine.has_carrier() {
                machine.carrier(true)?;
            }
        }
        Ok(())
    }

    /// Machines that answer for an address, by name.
    fn owners(&self, address: Ipv4Addr) -> Result<Vec<String>> {
        let (station, _) = self.target(&Target::Address(address))?;
        let cards = self.fabric.owners(station, address, ANSWERS)?;
        Ok(cards.into_iter().map(|card| self.whose(card)).collect())
    }

    /// Whose card it is.
    fn whose(&self, card: [u8; 6]) -> String {
        let text = card.map(|byte| format!("{byte:02x}")).join(":");
        let owner = self.machines.iter().find(|machine| {
            let cards = machine.cards();
            cards.iter().any(|card| card.address.to_string() == text)
        });
        owner.map_or(text, |machine| machine.name().to_owned())
    }

    fn status(&self, owners: bool) -> Result<Status> {
        let order = &self.common.order;
        let nodes = self.machines.iter().map(|machine| machine.status()).collect();
        let mut addresses = Vec::new();
        for floating in order.cluster.balancers.iter().flat_map(|balancers| &balancers.addresses).filter(|_| owners) {
            if let IpAddr::V4(address) = floating.address.address() {
                addresses.push(AddressStatus { address: address.to_string(), owners: self.owners(address)? });
            }
        }
        Ok(Status { cluster: order.cluster.name.clone(), kvm: order.kvm, nodes, addresses })
    }
}
