//! A connection of a station, carried on to a stream of this host.

use super::station::Station;
use crate::base::limits::{LAB_CONNECT_TIME, LAB_STREAM_BYTES};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// What is told over the stream before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// The machine answered.
    Connected,
    /// The machine refused.
    Refused,
    /// Nobody answered.
    Silent,
}

/// The connection.
pub(super) struct Tunnel {
    pub(super) station: usize,
    handle: SocketHandle,
    stream: UnixStream,
    began: Duration,
    begun: bool,
    /// What the machine sent and the stream has not yet taken.
    pending: Vec<u8>,
    /// Whether the stream's reader was told that no more comes.
    told: bool,
    /// Whether the machine was told that no more comes.
    closed: bool,
}

impl Tunnel {
    /// Begins one. The stream learns how that went, once it is known, in one line: `said` writes it.
    pub(super) fn open(
        stations: &mut [Station],
        station: usize,
        (address, port): (Ipv4Addr, u16),
        stream: UnixStream,
        now: Duration,
    ) -> anyhow::Result<Self> {
        stream.set_nonblocking(true)?;
        let there = stations.get_mut(station).ok_or_else(|| anyhow::anyhow!("there is no station {station}"))?;
        let handle = there.open(address, port)?;
        Ok(Self { station, handle, stream, began: now, begun: false, pending: Vec::new(), told: false, closed: false })
    }

    /// Carries what there is. Gives whether it goes on.
    pub(super) fn pump(&mut self, station: &mut Station, now: Duration, said: &dyn Fn(Begun) -> Vec<u8>) -> bool {
        let socket = station.socket(self.handle);
        if !self.begun {
            let begun = match socket.state() {
                State::Closed => Begun::Refused,
                _ if socket.may_send() => Begun::Connected,
                _ if now.saturating_sub(self.began) >= LAB_CONNECT_TIME => Begun::Silent,
                _ if self.hung_up() => return false,
                _ => return true,
            };
            self.begun = true;
            self.pending = said(begun);
            if begun != Begun::Connected {
                self.flush();
                return false;
            }
        }
        let mut buffer = [0; 16 << 10];
        while self.pending.len() < LAB_STREAM_BYTES
            && let Ok(length @ 1..) = socket.recv_slice(&mut buffer)
        {
            self.pending.extend_from_slice(&buffer[..length]);
        }
        let finished = !socket.may_recv();
        while !self.closed {
            let room = socket.send_capacity().saturating_sub(socket.send_queue()).min(buffer.len());
            if room == 0 {
                break;
            }
            match self.stream.read(&mut buffer[..room]) {
                Ok(0) => {
                    socket.close();
                    self.closed = true;
                }
                Ok(length) => {
                    if socket.send_slice(&buffer[..length]).is_err() {
                        self.closed = true;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        if !self.flush() {
            return false;
        }
        if finished && self.pending.is_empty() && !self.told {
            self.told = true;
            let _ = self.stream.shutdown(Shutdown::Write);
        }
        let state = station.socket(self.handle).state();
        // Whoever asked has hung up, and the machine has been told: what is left is the machine's.
        !(self.pending.is_empty() && matches!(state, State::Closed | State::TimeWait))
    }

    /// Whether the stream's other end has gone; what it has already said stays to be read.
    fn hung_up(&self) -> bool {
        let mut events = [rustix::event::PollFd::new(&self.stream, rustix::event::PollFlags::HUP)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut events, Some(&now)).is_ok_and(|count| count > 0)
    }

    /// Writes what the stream takes. Gives whether its reader is still there.
    fn flush(&mut self) -> bool {
        while !self.pending.is_empty() {
            match self.stream.write(&self.pending) {
                Ok(length) => drop(self.pending.drain(..length)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
        true
    }

    /// Whether the stream is waited for: to be read, to be written.
    pub(super) fn wants(&self, stations: &mut [Station]) -> (bool, bool) {
        let room = stations.get_mut(self.station).is_some_and(|station| {
            let socket = station.socket(self.handle);
            self.begun && !self.closed && socket.send_queue() < socket.send_capacity()
        });
        (room, !self.pending.is_empty())
    }

    pub(super) fn stream(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Forgets it; the machine is told by a reset when it does not know yet.
    pub(super) fn end(self, stations: &mut [Station], now: Duration) {
        if let Some(station) = stations.get_mut(self.station) {
            station.socket(self.handle).abort();
            station.poll(now);
            station.remove(self.handle);
        }
    }
}
