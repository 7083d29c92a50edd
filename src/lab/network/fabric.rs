//! The thread that has the sockets: it moves frames between machines, switch and stations, and never waits for one of them.

use super::faults::Faults;
use super::framing::{Frames, append};
use super::names::Question as Name;
use super::station::{Lease, Site, Station};
use super::switch::{PortId, Switch, Way};
use super::tunnel::{Begun, Tunnel};
use anyhow::{Context as _, Result, anyhow};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustls::ServerConfig;
use smoltcp::iface::SocketHandle;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bytes that are read from one machine before the next has its turn.
const PIECE: usize = 64 << 10;
/// Where names are asked for.
const NAMES: u16 = 53;
/// Longest sleep.
const SLEEP: Duration = Duration::from_secs(1);

/// What is plugged in where. Ports are numbered in this order, machines first.
#[derive(Clone, Debug, Default)]
pub(in crate::lab) struct Wiring {
    /// Sockets to which machines connect, each with its segment.
    pub(in crate::lab) cards: Vec<(PathBuf, usize)>,
    /// The lab's own stations, each with its segment.
    pub(in crate::lab) stations: Vec<(Site, usize)>,
    /// Which frames a lossy line loses.
    pub(in crate::lab) seed: u64,
    /// The line that tells the other end of a stream how its connection began.
    pub(in crate::lab) words: Words,
}

/// What is said over a stream before what the machine sends.
#[derive(Clone, Copy, Debug)]
pub(in crate::lab) struct Words {
    /// It is connected.
    pub(in crate::lab) connected: fn() -> Vec<u8>,
    /// The machine refused.
    pub(in crate::lab) refused: fn() -> Vec<u8>,
    /// Nobody answered.
    pub(in crate::lab) silent: fn() -> Vec<u8>,
}

impl Default for Words {
    fn default() -> Self {
        Self { connected: Vec::new, refused: Vec::new, silent: Vec::new }
    }
}

/// A station that comes while the lab runs.
#[derive(Clone, Copy, Debug)]
pub(in crate::lab) struct Visitor {
    /// Where it is; without an address it borrows one.
    pub(in crate::lab) site: Site,
    pub(in crate::lab) segment: usize,
    /// Whether it believes nobody who announces himself.
    pub(in crate::lab) stubborn: bool,
}

/// What the thread is asked to do.
enum Order {
    Fault(PortId, Way, Faults),
    Bar(PortId, PortId, bool),
    Heal,
    Connect(usize, Ipv4Addr, u16, UnixStream),
    Owners(usize, Ipv4Addr, Duration, Sender<Vec<[u8; 6]>>),
    StandIn(Site, usize, u16, Arc<ServerConfig>),
    Outside(usize, Vec<(Ipv4Addr, u8)>),
    Visit(Visitor, Sender<usize>),
    Leave(usize),
    Lease(usize, Duration, Sender<Option<Lease>>),
    Resolve(usize, Ipv4Addr, Name, Duration, Sender<Option<Vec<String>>>),
    End,
}

/// The running networks. Dropping it ends them.
pub(in crate::lab) struct Fabric {
    orders: Sender<Order>,
    bell: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Fabric {
    /// Makes the sockets and starts the thread.
    ///
    /// # Errors
    /// When a socket cannot be made.
    pub(in crate::lab) fn start(wiring: &Wiring) -> Result<Self> {
        let (orders, receiver) = channel();
        let (bell, heard) = UnixStream::pair().context("making a socket")?;
        heard.set_nonblocking(true).context("making a socket")?;
        bell.set_nonblocking(true).context("making a socket")?;
        let mut plant = Plant::new(wiring, receiver, heard)?;
        let thread = std::thread::Builder::new().name("networks".to_owned()).spawn(move || plant.run());
        Ok(Self { orders, bell, thread: Some(thread.context("starting the networks")?) })
    }

    fn order(&self, order: Order) {
        // A thread that has ended is noticed by whoever waits for an answer.
        let _ = self.orders.send(order);
        let _ = (&self.bell).write(&[0]);
    }

    /// What is wrong with a direction of a port from now on.
    pub(in crate::lab) fn fault(&self, port: PortId, way: Way, faults: Faults) {
        self.order(Order::Fault(port, way, faults));
    }

    /// Lets nothing pass from one port to another, or lets it pass again.
    pub(in crate::lab) fn bar(&self, from: PortId, to: PortId, barred: bool) {
        self.order(Order::Bar(from, to, barred));
    }

    /// All lines are good again.
    pub(in crate::lab) fn heal(&self) {
        self.order(Order::Heal);
    }

    /// Connects a stream to a port of a machine: a line tells how that went, then come the machine's bytes.
    pub(in crate::lab) fn connect(&self, station: usize, address: Ipv4Addr, port: u16, stream: UnixStream) {
        self.order(Order::Connect(station, address, port, stream));
    }

    /// Lets the lab itself answer at a machine's address and port.
    pub(in crate::lab) fn stand_in(&self, site: Site, segment: usize, port: u16, identity: Arc<ServerConfig>) {
        self.order(Order::StandIn(site, segment, port, identity));
    }

    /// Makes a station the world outside, which knows the way to these networks.
    pub(in crate::lab) fn outside(&self, station: usize, inner: Vec<(Ipv4Addr, u8)>) {
        self.order(Order::Outside(station, inner));
    }

    /// Plugs a station in. Gives its number.
    ///
    /// # Errors
    /// When the networks have ended.
    pub(in crate::lab) fn visit(&self, visitor: Visitor) -> Result<usize> {
        self.asked(Duration::ZERO, |sender| Order::Visit(visitor, sender))
    }

    /// Unplugs a station for good; its number is never another's.
    pub(in crate::lab) fn leave(&self, station: usize) {
        self.order(Order::Leave(station));
    }

    /// What a station is lent within this time.
    ///
    /// # Errors
    /// When the networks have ended.
    pub(in crate::lab) fn lease(&self, station: usize, wait: Duration) -> Result<Option<Lease>> {
        self.asked(wait, |sender| Order::Lease(station, wait, sender))
    }

    /// What a server answers a station within this time; nothing when it does not.
    ///
    /// # Errors
    /// When the networks have ended.
    pub(in crate::lab) fn resolve(
        &self,
        station: usize,
        server: Ipv4Addr,
        name: Name,
        wait: Duration,
    ) -> Result<Option<Vec<String>>> {
        self.asked(wait, |sender| Order::Resolve(station, server, name, wait, sender))
    }

    fn asked<T>(&self, wait: Duration, order: impl FnOnce(Sender<T>) -> Order) -> Result<T> {
        let (sender, receiver) = channel();
        self.order(order(sender));
        receiver.recv_timeout(wait + Duration::from_secs(10)).map_err(|_| anyhow!("the lab's networks do not answer"))
    }

    /// Asks on a station's network who has an address, and gives all that answer within this time.
    ///
    /// # Errors
    /// When the networks have ended.
    pub(in crate::lab) fn owners(&self, station: usize, address: Ipv4Addr, wait: Duration) -> Result<Vec<[u8; 6]>> {
        self.asked(wait, |sender| Order::Owners(station, address, wait, sender))
    }
}

impl Drop for Fabric {
    fn drop(&mut self) {
        self.order(Order::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A card's socket.
struct Socket {
    port: PortId,
    listener: UnixListener,
    stream: Option<UnixStream>,
    frames: Frames,
    unsent: Vec<u8>,
}

/// A question that is still open.
struct Question {
    station: usize,
    until: Duration,
    what: Asked,
}

/// What is waited for, and who waits.
enum Asked {
    /// All answers until the time is over.
    Owners {
        address: Ipv4Addr,
        since: Duration,
        answer: Sender<Vec<[u8; 6]>>,
    },
    Lease {
        answer: Sender<Option<Lease>>,
    },
    Names {
        name: Name,
        id: u16,
        handle: SocketHandle,
        answer: Sender<Option<Vec<String>>>,
    },
}

impl Question {
    /// Answers it when that can be done. Gives whether it stays open.
    fn open(&self, there: &mut Station, now: Duration) -> bool {
        let over = now >= self.until;
        match &self.what {
            Asked::Owners { address, since, answer } => {
                if over {
                    let _ = answer.send(there.owners(*address, *since));
                }
                !over
            }
            Asked::Lease { answer } => {
                let lease = there.lease().cloned();
                let known = lease.is_some() || over;
                if known {
                    let _ = answer.send(lease);
                }
                !known
            }
            Asked::Names { name, id, handle, answer } => {
                let told = there.told(*handle).and_then(|packet| name.answers(*id, &packet));
                let known = told.is_some() || over;
                if known {
                    there.remove(*handle);
                    let _ = answer.send(told);
                }
                !known
            }
        }
    }
}

/// All that the thread has.
struct Plant {
    began: Instant,
    switch: Switch,
    sockets: Vec<Socket>,
    stations: Vec<Station>,
    ports: Vec<PortId>,
    tunnels: Vec<Tunnel>,
    questions: Vec<Question>,
    /// The number of the next question for a name.
    asked: u16,
    orders: Receiver<Order>,
    bell: UnixStream,
    words: Words,
}

impl Plant {
    fn new(wiring: &Wiring, orders: Receiver<Order>, bell: UnixStream) -> Result<Self> {
        let mut switch = Switch::new(wiring.seed);
        let mut sockets = Vec::new();
        for (path, segment) in &wiring.cards {
            let making = || format!("making the socket {}", path.display());
            let listener = UnixListener::bind(path).with_context(making)?;
            listener.set_nonblocking(true).with_context(making)?;
            let port = switch.port(*segment);
            sockets.push(Socket { port, listener, stream: None, frames: Frames::default(), unsent: Vec::new() });
        }
        let (mut stations, mut ports) = (Vec::new(), Vec::new());
        for (site, segment) in &wiring.stations {
            let port = switch.port(*segment);
            switch.connect(port);
            ports.push(port);
            stations.push(Station::new(*site));
        }
        let (tunnels, questions) = (Vec::new(), Vec::new());
        let (began, words) = (Instant::now(), wiring.words);
        Ok(Self { began, switch, sockets, stations, ports, tunnels, questions, asked: 1, orders, bell, words })
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn run(&mut self) {
        while self.obey() {
            self.work();
            self.sleep();
        }
    }

    /// Does what was ordered. Gives whether it goes on.
    fn obey(&mut self) -> bool {
        let now = self.now();
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Fault(port, way, faults) => self.switch.fault(port, way, faults),
                Order::Bar(from, to, barred) => self.switch.bar(from, to, barred),
                Order::Heal => self.switch.heal(),
                Order::Connect(station, address, port, stream) => {
                    // Whoever asked sees the stream end.
                    let opened = Tunnel::open(&mut self.stations, station, (address, port), stream, now);
                    self.tunnels.extend(opened.ok());
                }
                Order::Owners(station, address, wait, answer) => {
                    if let Some(there) = self.stations.get_mut(station) {
                        there.ask(address);
                    }
                    let what = Asked::Owners { address, since: now, answer };
                    self.questions.push(Question { station, until: now + wait, what });
                }
                Order::StandIn(site, segment, port, identity) => {
                    let mut station = Station::new(site);
                    station.stand_in(port, identity);
                    self.plug(station, segment);
                }
                Order::Outside(station, inner) => {
                    if let Some(there) = self.stations.get_mut(station) {
                        there.be_outside(&inner);
                    }
                }
                Order::Visit(Visitor { site, segment, stubborn }, answer) => {
                    let mut station = Station::new(site);
                    station.mirror();
                    if stubborn {
                        station.be_stubborn();
                    }
                    if site.address.is_unspecified() {
                        station.borrow();
                    }
                    let _ = answer.send(self.plug(station, segment));
                }
                Order::Leave(station) => {
                    if let Some(port) = self.ports.get(station) {
                        self.switch.disconnect(*port);
                    }
                }
                Order::Lease(station, wait, answer) => {
                    self.questions.push(Question { station, until: now + wait, what: Asked::Lease { answer } });
                }
                Order::Resolve(station, server, name, wait, answer) => {
                    let id = self.asked;
                    self.asked = id.wrapping_add(1);
                    let packet = name.packet(id);
                    let there = self.stations.get_mut(station).zip(packet);
                    match there.and_then(|(there, packet)| there.inquire((server, NAMES), &packet).ok()) {
                        Some(handle) => {
                            let what = Asked::Names { name, id, handle, answer };
                            self.questions.push(Question { station, until: now + wait, what });
                        }
                        // What cannot be asked is not answered.
                        None => drop(answer.send(None)),
                    }
                }
                Order::End => return false,
            }
        }
        true
    }

    /// Plugs a station of the lab's own in. Gives its number.
    fn plug(&mut self, station: Station, segment: usize) -> usize {
        let port = self.switch.port(segment);
        self.switch.connect(port);
        self.ports.push(port);
        self.stations.push(station);
        self.stations.len() - 1
    }

    /// Moves everything that can move.
    fn work(&mut self) {
        let now = self.now();
        for socket in &mut self.sockets {
            accept(socket, &mut self.switch);
            read(socket, &mut self.switch, now);
        }
        let said = self.words;
        let said = |begun| match begun {
            Begun::Connected => (said.connected)(),
            Begun::Refused => (said.refused)(),
            Begun::Silent => (said.silent)(),
        };
        for (station, port) in self.stations.iter_mut().zip(&self.ports) {
            while let Some(frame) = self.switch.take(*port, now) {
                station.receive(&frame, now);
            }
            station.poll(now);
        }
        let mut going = Vec::new();
        for mut tunnel in std::mem::take(&mut self.tunnels) {
            let goes_on = self.stations.get_mut(tunnel.station).is_some_and(|there| tunnel.pump(there, now, &said));
            if goes_on {
                going.push(tunnel);
            } else {
                tunnel.end(&mut self.stations, now);
            }
        }
        self.tunnels = going;
        for (station, port) in self.stations.iter_mut().zip(&self.ports) {
            station.poll(now);
            while let Some(frame) = station.send() {
                self.switch.receive(*port, &frame, now);
            }
        }
        for socket in &mut self.sockets {
            write(socket, &mut self.switch, now);
        }
        let stations = &mut self.stations;
        self.questions
            .retain(|question| stations.get_mut(question.station).is_some_and(|there| question.open(there, now)));
    }

    /// Waits until there is something to do.
    fn sleep(&mut self) {
        let now = self.now();
        let mut wait = SLEEP;
        for station in &mut self.stations {
            wait = wait.min(station.idle(now).unwrap_or(SLEEP));
        }
        for port in self.sockets.iter().map(|socket| socket.port).chain(self.ports.iter().copied()) {
            let due = self.switch.due(port).map(|due| due.saturating_sub(now));
            // What is due and could not be written waits for the socket, not for the time.
            wait = wait.min(due.filter(|due| !due.is_zero()).unwrap_or(SLEEP));
        }
        if self.ports.iter().any(|port| self.switch.due(*port).is_some_and(|due| due <= now)) {
            wait = Duration::ZERO;
        }
        for question in &self.questions {
            wait = wait.min(question.until.saturating_sub(now));
        }
        // A connection that does not come about is given up by the clock.
        let wants: Vec<(bool, bool)> = self.tunnels.iter().map(|tunnel| tunnel.wants(&mut self.stations)).collect();
        let mut events = vec![PollFd::new(&self.bell, PollFlags::IN)];
        for socket in &self.sockets {
            events.push(PollFd::new(&socket.listener, PollFlags::IN));
            if let Some(stream) = &socket.stream {
                let write = if socket.unsent.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
                events.push(PollFd::new(stream, PollFlags::IN | write));
            }
        }
        for (tunnel, (read, write)) in self.tunnels.iter().zip(wants) {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, read);
            flags.set(PollFlags::OUT, write);
            // With nothing to wait for, a reader that hung up would wake us for ever.
            if !flags.is_empty() {
                events.push(PollFd::from_borrowed_fd(tunnel.stream(), flags));
            }
        }
        let wait = Timespec { tv_sec: wait.as_secs().try_into().unwrap_or(1), tv_nsec: wait.subsec_nanos().into() };
        let _ = rustix::event::poll(&mut events, Some(&wait));
        let mut rings = [0; 64];
        while matches!((&self.bell).read(&mut rings), Ok(1..)) {}
    }
}

/// The newest connection is the machine: a predecessor has ended, or will in a moment.
fn accept(socket: &mut Socket, switch: &mut Switch) {
    while let Ok((stream, _)) = socket.listener.accept() {
        if stream.set_nonblocking(true).is_err() {
            continue;
        }
        (socket.frames, socket.stream) = (Frames::default(), Some(stream));
        socket.unsent.clear();
        switch.connect(socket.port);
    }
}

fn hang_up(socket: &mut Socket, switch: &mut Switch) {
    socket.stream = None;
    socket.unsent.clear();
    switch.disconnect(socket.port);
}

fn read(socket: &mut Socket, switch: &mut Switch, now: Duration) {
    let mut buffer = [0; PIECE];
    let Some(stream) = &mut socket.stream else { return };
    match stream.read(&mut buffer) {
        Ok(0) => hang_up(socket, switch),
        Ok(length) => {
            socket.frames.add(&buffer[..length]);
            loop {
                match socket.frames.next() {
                    Ok(Some(frame)) => switch.receive(socket.port, frame, now),
                    Ok(None) => break,
                    // Nothing behind a wrong length can be understood: QEMU connects anew.
                    Err(_) => return hang_up(socket, switch),
                }
            }
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
        Err(_) => hang_up(socket, switch),
    }
}

fn write(socket: &mut Socket, switch: &mut Switch, now: Duration) {
    let Some(stream) = &mut socket.stream else { return };
    loop {
        while socket.unsent.len() < PIECE
            && let Some(frame) = switch.take(socket.port, now)
        {
            append(&mut socket.unsent, &frame);
        }
        if socket.unsent.is_empty() {
            return;
        }
        match stream.write(&socket.unsent) {
            Ok(length) => drop(socket.unsent.drain(..length)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => return hang_up(socket, switch),
        }
    }
}
