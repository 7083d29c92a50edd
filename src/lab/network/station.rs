//! A machine of the lab's own on one network: an IP stack without a kernel, so that whoever runs the lab reaches the
//! machines without being root.

use super::lending;
use super::neighbours::{self, Neighbours};
use super::outside::{self, Leases};
use super::stand_in::StandIn;
use crate::base::limits::{LAB_ANSWER_BYTES, LAB_STREAM_BYTES};
use anyhow::{Result, anyhow};
use rustls::ServerConfig;
use serde::{Deserialize, Serialize};
use smoltcp::iface::{Config, Interface, Route, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium};
use smoltcp::socket::{dhcpv4, tcp, udp};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr, Ipv4Cidr};
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// The first local port that connections use; they end at 65535 and begin again.
const FIRST_PORT: u16 = 49_152;
/// Bytes of an Ethernet header, which the stack counts into the length of a frame.
const HEADER: usize = 14;

/// Where a server says who reached it.
pub(in crate::lab) const MIRROR: u16 = 80;
/// Connections that wait there at once.
const CALLERS: usize = 4;

/// Where a station is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lab) struct Site {
    /// Its card.
    pub(in crate::lab) card: [u8; 6],
    /// Its address.
    pub(in crate::lab) address: Ipv4Addr,
    /// Bits of it that name the network.
    pub(in crate::lab) prefix: u8,
    /// The VLAN whose tag its frames bear.
    pub(in crate::lab) vlan: Option<u16>,
    /// Longest packet.
    pub(in crate::lab) mtu: u16,
}

/// What a station was lent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::lab) struct Lease {
    /// Its address.
    pub(in crate::lab) address: Ipv4Addr,
    /// Bits of it that name the network.
    pub(in crate::lab) prefix: u8,
    /// The way out.
    pub(in crate::lab) router: Option<Ipv4Addr>,
    /// Who is asked for names.
    pub(in crate::lab) servers: Vec<Ipv4Addr>,
}

/// Frames between the stack and the switch.
#[derive(Debug)]
struct Line {
    inbox: VecDeque<Vec<u8>>,
    outbox: VecDeque<Vec<u8>>,
    mtu: usize,
}

/// The station.
pub(super) struct Station {
    site: Site,
    line: Line,
    interface: Interface,
    sockets: SocketSet<'static>,
    neighbours: Neighbours,
    port: u16,
    /// Whether it waits for its cache to expire, whoever announces himself.
    stubborn: bool,
    stand_in: Option<StandIn>,
    /// Sockets that wait at `MIRROR`.
    mirrors: Vec<SocketHandle>,
    /// By which it asks for an address, and what it was lent.
    borrower: Option<SocketHandle>,
    lease: Option<Lease>,
    /// Where it is the world outside.
    leases: Option<Leases>,
}

fn instant(now: Duration) -> Instant {
    Instant::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}

impl Station {
    pub(super) fn new(site: Site) -> Self {
        let mut line =
            Line { inbox: VecDeque::new(), outbox: VecDeque::new(), mtu: usize::from(site.mtu).clamp(576, 1500) };
        let mut config = Config::new(EthernetAddress(site.card).into());
        let [.., a, b, c, d] = site.card;
        let own = if site.address.is_unspecified() { Ipv4Addr::new(a, b, c, d) } else { site.address };
        config.random_seed = u64::from(u32::from(own));
        let mut interface = Interface::new(config, &mut line, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            // There is room for two. Without one it has to borrow it.
            if !site.address.is_unspecified() {
                let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(site.address), site.prefix));
            }
        });
        Self {
            site,
            line,
            interface,
            sockets: SocketSet::new(Vec::new()),
            neighbours: Neighbours::default(),
            port: FIRST_PORT,
            stubborn: false,
            stand_in: None,
            mirrors: Vec::new(),
            borrower: None,
            lease: None,
            leases: None,
        }
    }

    /// Does not believe who announces himself, as machines do that are told not to (`arp_accept`).
    pub(super) fn be_stubborn(&mut self) {
        self.stubborn = true;
    }

    /// Asks for an address, and keeps it.
    pub(super) fn borrow(&mut self) {
        self.borrower = Some(self.sockets.add(dhcpv4::Socket::new()));
    }

    /// What it was lent.
    pub(super) fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Tells whoever connects to `MIRROR` under which address it came.
    pub(super) fn mirror(&mut self) {
        self.mirrors = (0..CALLERS).map(|_| listen(&mut self.sockets, MIRROR)).collect();
    }

    /// Is the world outside: lends addresses, has a server further out, and knows the way to these networks.
    pub(super) fn be_outside(&mut self, inner: &[(Ipv4Addr, u8)]) {
        self.leases = Some(Leases::default());
        self.interface.update_ip_addrs(|addresses| {
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(outside::SERVER), 32));
        });
        self.interface.routes_mut().update(|routes| {
            for (network, prefix) in inner {
                let cidr = IpCidr::new(IpAddress::Ipv4(*network), *prefix);
                let via_router = IpAddress::Ipv4(outside::LENT);
                // What there is no room for cannot be reached, which whoever tries is told.
                let _ = routes.push(Route { cidr, via_router, preferred_until: None, expires_at: None });
            }
        });
        self.mirror();
    }

    /// Takes a frame of the switch.
    pub(super) fn receive(&mut self, frame: &[u8], now: Duration) {
        let Some(frame) = untagged(frame, self.site.vlan) else { return };
        if let Some(claim) = neighbours::claim(&frame)
            && self.neighbours.hear(claim, now)
            && claim.gratuitous
            && !self.stubborn
        {
            // As every other machine does, believe who announces himself: the stack alone would wait for its cache to expire.
            self.interface.update_ip_addrs(|_| ());
        }
        if let Some(leases) = &mut self.leases
            && let Some(answer) = leases.answer(self.site.card, &frame)
        {
            self.line.outbox.push_back(answer);
            return;
        }
        if self.borrower.is_none() || !lending::is_absurd(&frame) {
            self.line.inbox.push_back(frame);
        }
    }

    /// The next frame for the switch.
    pub(super) fn send(&mut self) -> Option<Vec<u8>> {
        let frame = self.line.outbox.pop_front()?;
        Some(match self.site.vlan {
            None => frame,
            Some(id) => {
                let mut tagged = frame;
                let tag = [[0x81, 0x00], id.to_be_bytes()].concat();
                tagged.splice(12..12, tag);
                tagged
            }
        })
    }

    /// Does what is to be done by now.
    pub(super) fn poll(&mut self, now: Duration) {
        self.interface.poll(instant(now), &mut self.line, &mut self.sockets);
        let mut answered = !self.mirrors.is_empty();
        if let Some(stand_in) = &mut self.stand_in {
            stand_in.answer(&mut self.sockets);
            answered = true;
        }
        self.reflect();
        answered |= self.take_lease();
        if answered {
            self.interface.poll(instant(now), &mut self.line, &mut self.sockets);
        }
    }

    /// Stands in for a machine whose address it has.
    pub(super) fn stand_in(&mut self, port: u16, identity: Arc<ServerConfig>) {
        self.stand_in = Some(StandIn::new(&mut self.sockets, port, identity));
    }

    /// Tells those who connected to `MIRROR` who they are.
    fn reflect(&mut self) {
        for handle in &mut self.mirrors {
            let socket = self.sockets.get_mut::<tcp::Socket>(*handle);
            match socket.state() {
                tcp::State::Closed | tcp::State::TimeWait => {
                    self.sockets.remove(*handle);
                    *handle = listen(&mut self.sockets, MIRROR);
                }
                tcp::State::Established | tcp::State::CloseWait => {
                    if let Some(peer) = socket.remote_endpoint() {
                        let _ = socket.send_slice(format!("{}\n", peer.addr).as_bytes());
                    }
                    socket.close();
                }
                _ => {}
            }
        }
    }

    /// Takes what it was lent. Gives whether that is new.
    fn take_lease(&mut self) -> bool {
        let Some(handle) = self.borrower else { return false };
        let lease = match self.sockets.get_mut::<dhcpv4::Socket>(handle).poll() {
            None => return false,
            Some(dhcpv4::Event::Deconfigured) => None,
            Some(dhcpv4::Event::Configured(config)) => Some(Lease {
                address: config.address.address(),
                prefix: config.address.prefix_len(),
                router: config.router,
                servers: config.dns_servers.iter().copied().collect(),
            }),
        };
        self.interface.update_ip_addrs(|addresses| {
            addresses.clear();
            if let Some(lease) = &lease {
                let _ = addresses.push(IpCidr::Ipv4(Ipv4Cidr::new(lease.address, lease.prefix)));
            }
        });
        let routes = self.interface.routes_mut();
        routes.remove_default_ipv4_route();
        if let Some(router) = lease.as_ref().and_then(|lease| lease.router) {
            let _ = routes.add_default_ipv4_route(router);
        }
        if let Some(lease) = &lease {
            self.site.address = lease.address;
        }
        self.lease = lease;
        true
    }

    /// Asks a server by UDP. Gives the socket at which the answer is to be heard.
    pub(super) fn inquire(&mut self, (server, port): (Ipv4Addr, u16), packet: &[u8]) -> Result<SocketHandle> {
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 4], vec![0; LAB_ANSWER_BYTES]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        let refuse = |what: String| anyhow!("{server} port {port} cannot be asked: {what}");
        socket.bind(self.next_port()).map_err(|error| refuse(error.to_string()))?;
        socket.send_slice(packet, (IpAddress::Ipv4(server), port)).map_err(|error| refuse(error.to_string()))?;
        Ok(self.sockets.add(socket))
    }

    /// What a server that was asked has answered.
    pub(super) fn told(&mut self, handle: SocketHandle) -> Option<Vec<u8>> {
        let socket = self.sockets.get_mut::<udp::Socket>(handle);
        socket.recv().ok().map(|(packet, _)| packet.to_vec())
    }

    fn next_port(&mut self) -> u16 {
        let own = self.port;
        self.port = own.checked_add(1).unwrap_or(FIRST_PORT);
        own
    }

    /// How long it has nothing to do by itself.
    pub(super) fn idle(&mut self, now: Duration) -> Option<Duration> {
        self.interface.poll_delay(instant(now), &self.sockets).map(|delay| Duration::from_micros(delay.total_micros()))
    }

    /// Begins a connection.
    pub(super) fn open(&mut self, address: Ipv4Addr, port: u16) -> Result<SocketHandle> {
        let buffer = || tcp::SocketBuffer::new(vec![0; LAB_STREAM_BYTES]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        let own = self.next_port();
        let refuse = |error: tcp::ConnectError| anyhow!("{address} port {port} cannot be connected to: {error}");
        socket.connect(self.interface.context(), (IpAddress::Ipv4(address), port), own).map_err(refuse)?;
        Ok(self.sockets.add(socket))
    }

    /// A socket that was opened.
    pub(super) fn socket(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Forgets a socket.
    pub(super) fn remove(&mut self, handle: SocketHandle) {
        self.sockets.remove(handle);
    }

    /// Asks who has an address.
    pub(super) fn ask(&mut self, address: Ipv4Addr) {
        self.line.outbox.push_back(neighbours::question(self.site.card, self.site.address, address));
    }

    /// Who has claimed an address since then.
    pub(super) fn owners(&self, address: Ipv4Addr, since: Duration) -> Vec<[u8; 6]> {
        self.neighbours.owners(address, since)
    }

    /// Waits for connections on a port of its own address.
    #[cfg(test)]
    pub(super) fn listen(&mut self, port: u16) -> SocketHandle {
        listen(&mut self.sockets, port)
    }
}

/// A socket that waits for connections at a port.
pub(super) fn listen(sockets: &mut SocketSet<'static>, port: u16) -> SocketHandle {
    let buffer = || tcp::SocketBuffer::new(vec![0; 4096]);
    let mut socket = tcp::Socket::new(buffer(), buffer());
    // Only port 0 and a socket that is open are refused.
    let _ = socket.listen(port);
    sockets.add(socket)
}

/// The frame without its tag; nothing when it belongs to another VLAN.
fn untagged(frame: &[u8], vlan: Option<u16>) -> Option<Vec<u8>> {
    let kind = frame.get(12..14)?;
    match vlan {
        None => (kind != [0x81, 0x00]).then(|| frame.to_vec()),
        Some(id) => {
            let tag = u16::from_be_bytes(frame.get(14..16)?.try_into().ok()?) & 0xfff;
            (kind == [0x81, 0x00] && tag == id).then(|| [&frame[..12], &frame[16..]].concat())
        }
    }
}

/// A frame to be read by the stack.
struct Arrived(Vec<u8>);

/// Room for a frame from the stack.
struct Leaving<'a>(&'a mut VecDeque<Vec<u8>>);

impl smoltcp::phy::RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl smoltcp::phy::TxToken for Leaving<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = vec![0; length];
        let result = f(&mut frame);
        self.0.push_back(frame);
        result
    }
}

impl Device for Line {
    type RxToken<'a> = Arrived;
    type TxToken<'a> = Leaving<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Arrived, Leaving<'_>)> {
        Some((Arrived(self.inbox.pop_front()?), Leaving(&mut self.outbox)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Leaving<'_>> {
        Some(Leaving(&mut self.outbox))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.mtu + HEADER;
        capabilities
    }
}
