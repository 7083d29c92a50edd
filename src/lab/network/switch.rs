//! A learning switch: frames in, frames out, no clock and no socket.
//!
//! Addresses are learnt per segment and VLAN; tags pass through as they are. A frame for an address that is not known, or
//! for a group, goes to all other ports of the segment. What a port is slow to take waits in a bounded queue; what does not
//! fit is lost, so that one stopped machine never holds up another.

use super::faults::{Faults, Random};
use crate::base::limits::{LAB_FRAME_BYTES, LAB_QUEUE_BYTES, LAB_TABLE_ENTRIES};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Addresses of destination and source, and the type.
const HEADER: usize = 14;

/// A port, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::lab) struct PortId(pub(in crate::lab) usize);

/// A direction, as the machine at a port sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::lab) enum Way {
    /// What comes to it.
    In,
    /// What it sends.
    Out,
}

/// Where an address was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place {
    segment: usize,
    vlan: u16,
    address: [u8; 6],
}

/// A frame on its way out of a port.
#[derive(Debug)]
struct Waiting {
    due: Duration,
    frame: Arc<[u8]>,
}

/// One port.
#[derive(Debug)]
struct Port {
    segment: usize,
    connected: bool,
    faults: [Faults; 2],
    random: [Random; 2],
    queue: VecDeque<Waiting>,
    queued: usize,
}

/// The switch.
#[derive(Debug)]
pub(super) struct Switch {
    ports: Vec<Port>,
    table: HashMap<Place, PortId>,
    /// Pairs between which nothing passes, from and to.
    barred: BTreeSet<(PortId, PortId)>,
    seed: u64,
}

fn side(way: Way) -> usize {
    match way {
        Way::In => 0,
        Way::Out => 1,
    }
}

impl Switch {
    /// A switch without ports. `seed` decides which frames a lossy line loses.
    pub(super) fn new(seed: u64) -> Self {
        Self { ports: Vec::new(), table: HashMap::new(), barred: BTreeSet::new(), seed }
    }

    /// A new port on a segment; nothing is plugged into it yet.
    pub(super) fn port(&mut self, segment: usize) -> PortId {
        let id = PortId(self.ports.len());
        let number = id.0 as u64;
        let random = [0, 1].map(|way| Random::new(self.seed.wrapping_mul(0x1_0001).wrapping_add(number * 2 + way)));
        let (faults, queue) = ([Faults::default(); 2], VecDeque::new());
        self.ports.push(Port { segment, connected: false, faults, random, queue, queued: 0 });
        id
    }

    /// Something was plugged in; what waited for its predecessor and where that was is forgotten.
    pub(super) fn connect(&mut self, id: PortId) {
        self.disconnect(id);
        if let Some(port) = self.ports.get_mut(id.0) {
            port.connected = true;
        }
    }

    /// Nothing is plugged in any more.
    pub(super) fn disconnect(&mut self, id: PortId) {
        self.table.retain(|_, port| *port != id);
        if let Some(port) = self.ports.get_mut(id.0) {
            (port.connected, port.queued) = (false, 0);
            port.queue.clear();
        }
    }

    /// What is wrong with a direction from now on.
    pub(super) fn fault(&mut self, id: PortId, way: Way, faults: Faults) {
        if let Some(port) = self.ports.get_mut(id.0) {
            port.faults[side(way)] = faults;
        }
    }

    /// Lets nothing pass from one port to another, or lets it pass again.
    pub(super) fn bar(&mut self, from: PortId, to: PortId, barred: bool) {
        if barred {
            self.barred.insert((from, to));
        } else {
            self.barred.remove(&(from, to));
        }
    }

    /// All lines are good again.
    pub(super) fn heal(&mut self) {
        self.barred.clear();
        for port in &mut self.ports {
            port.faults = [Faults::default(); 2];
        }
    }

    /// Takes a frame that a port's machine sent.
    pub(super) fn receive(&mut self, from: PortId, frame: &[u8], now: Duration) {
        let Some(port) = self.ports.get_mut(from.0).filter(|port| port.connected) else { return };
        let way = side(Way::Out);
        let Some(delay) = port.faults[way].pass(&mut port.random[way]) else { return };
        let segment = port.segment;
        if frame.len() > LAB_FRAME_BYTES as usize {
            return;
        }
        let Some((source, target, vlan)) = addresses(frame) else { return };
        let place = |address| Place { segment, vlan, address };
        if !is_group(source) && (self.table.len() < LAB_TABLE_ENTRIES || self.table.contains_key(&place(source))) {
            self.table.insert(place(source), from);
        }
        let known = if is_group(target) { None } else { self.table.get(&place(target)).copied() };
        let frame: Arc<[u8]> = frame.into();
        match known {
            Some(to) => self.send(from, to, &frame, now + delay),
            None => {
                for to in (0..self.ports.len()).map(PortId) {
                    if self.ports[to.0].segment == segment {
                        self.send(from, to, &frame, now + delay);
                    }
                }
            }
        }
    }

    fn send(&mut self, from: PortId, to: PortId, frame: &Arc<[u8]>, now: Duration) {
        if from == to || self.barred.contains(&(from, to)) {
            return;
        }
        let Some(port) = self.ports.get_mut(to.0).filter(|port| port.connected) else { return };
        let way = side(Way::In);
        let Some(delay) = port.faults[way].pass(&mut port.random[way]) else { return };
        if port.queued + frame.len() > LAB_QUEUE_BYTES {
            return;
        }
        port.queued += frame.len();
        port.queue.push_back(Waiting { due: now + delay, frame: frame.clone() });
    }

    /// The next frame for a port's machine, if one has arrived by now.
    pub(super) fn take(&mut self, id: PortId, now: Duration) -> Option<Arc<[u8]>> {
        let port = self.ports.get_mut(id.0)?;
        port.queue.front().filter(|waiting| waiting.due <= now)?;
        let frame = port.queue.pop_front()?.frame;
        port.queued -= frame.len();
        Some(frame)
    }

    /// When the next frame for this port arrives.
    pub(super) fn due(&self, id: PortId) -> Option<Duration> {
        self.ports.get(id.0)?.queue.front().map(|waiting| waiting.due)
    }
}

/// Source, destination and VLAN of a frame; nothing when it has no whole header.
fn addresses(frame: &[u8]) -> Option<([u8; 6], [u8; 6], u16)> {
    const TAGS: [[u8; 2]; 2] = [[0x81, 0x00], [0x88, 0xa8]];
    if frame.len() < HEADER {
        return None;
    }
    let (target, rest) = frame.split_first_chunk::<6>()?;
    let (source, rest) = rest.split_first_chunk::<6>()?;
    let (kind, rest) = rest.split_first_chunk::<2>()?;
    let vlan = match TAGS.contains(kind) {
        true => u16::from_be_bytes(*rest.first_chunk::<2>()?) & 0xfff,
        false => 0,
    };
    Some((*source, *target, vlan))
}

fn is_group(address: [u8; 6]) -> bool {
    address[0] & 1 == 1
}
