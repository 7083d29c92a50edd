//! A machine of the lab's own on one network: an IP stack without a kernel, so that whoever runs the lab reaches the
//! machines without being root.

use super::neighbours::{self, Neighbours};
use crate::base::limits::LAB_STREAM_BYTES;
use anyhow::{Result, anyhow};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::Duration;

/// The first local port that connections use; they end at 65535 and begin again.
const FIRST_PORT: u16 = 49_152;
/// Bytes of an Ethernet header, which the stack counts into the length of a frame.
const HEADER: usize = 14;

/// What a stand-in answers whoever sends it anything: an alert of TLS, "handshake failure". Enough to see that an answer
/// came, and from whom nothing more is to be expected.
const ALERT: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x28];
/// Connections that wait at a stand-in at once.
const WAITING: usize = 24;

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
    /// The port at which it stands in for a machine, and the sockets that wait there.
    stand_in: Option<(u16, Vec<SocketHandle>)>,
}

fn instant(now: Duration) -> Instant {
    Instant::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}

impl Station {
    pub(super) fn new(site: Site) -> Self {
        let mut line =
            Line { inbox: VecDeque::new(), outbox: VecDeque::new(), mtu: usize::from(site.mtu).clamp(576, 1500) };
        let mut config = Config::new(EthernetAddress(site.card).into());
        config.random_seed = u64::from(u32::from(site.address));
        let mut interface = Interface::new(config, &mut line, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            // There is room for two.
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(site.address), site.prefix));
        });
        let (sockets, neighbours) = (SocketSet::new(Vec::new()), Neighbours::default());
        Self { site, line, interface, sockets, neighbours, port: FIRST_PORT, stand_in: None }
    }

    /// Takes a frame of the switch.
    pub(super) fn receive(&mut self, frame: &[u8], now: Duration) {
        let Some(frame) = untagged(frame, self.site.vlan) else { return };
        if let Some(claim) = neighbours::claim(&frame)
            && self.neighbours.hear(claim, now)
            && claim.gratuitous
        {
            // As every other machine does, believe who announces himself: the stack alone would wait for its cache to expire.
            self.interface.update_ip_addrs(|_| ());
        }
        self.line.inbox.push_back(frame);
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
        if self.stand_in.is_some() {
            self.answer();
            self.interface.poll(instant(now), &mut self.line, &mut self.sockets);
        }
    }

    /// Stands in for a machine whose address it has: takes connections at this port and answers each once.
    pub(super) fn stand_in(&mut self, port: u16) {
        let sockets = (0..WAITING).map(|_| self.listen(port)).collect();
        self.stand_in = Some((port, sockets));
    }

    fn answer(&mut self) {
        let Some((port, mut waiting)) = self.stand_in.take() else { return };
        for handle in &mut waiting {
            let socket = self.sockets.get_mut::<tcp::Socket>(*handle);
            let mut heard = [0; 512];
            if let Ok(1..) = socket.recv_slice(&mut heard) {
                let _ = socket.send_slice(&ALERT);
                socket.close();
            } else if socket.state() == tcp::State::CloseWait {
                socket.close();
            } else if matches!(socket.state(), tcp::State::Closed | tcp::State::TimeWait) {
                self.sockets.remove(*handle);
                *handle = self.listen(port);
            }
        }
        self.stand_in = Some((port, waiting));
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
        let own = self.port;
        self.port = own.checked_add(1).unwrap_or(FIRST_PORT);
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
    pub(super) fn listen(&mut self, port: u16) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; 4096]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        // Only port 0 and a socket that is open are refused.
        let _ = socket.listen(port);
        self.sockets.add(socket)
    }
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
