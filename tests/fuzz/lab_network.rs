//! The law of frames: what a machine sends reaches whom it may reach, and nothing else happens.

#![allow(dead_code, unused_imports, reason = "the lab uses more of it")]

#[path = "lab_answers.rs"]
pub(crate) mod answers;
#[path = "../../src/lab/network/faults.rs"]
mod faults;
#[path = "../../src/lab/network/framing.rs"]
mod framing;
#[path = "../../src/lab/network/lending.rs"]
mod lending;
#[path = "../../src/lab/network/names.rs"]
mod names;
#[path = "../../src/lab/network/neighbours.rs"]
mod neighbours;
#[path = "../../src/lab/network/outside.rs"]
mod outside;
#[path = "../../src/lab/network/stand_in.rs"]
mod stand_in;
#[path = "../../src/lab/network/station.rs"]
mod station;
#[path = "../../src/lab/network/switch.rs"]
mod switch;

use framing::{Frames, append};
use imgbuild::base::limits::LAB_NEIGHBOURS;
use names::Question;
use rustls::ServerConfig;
use station::{Site, Station};
use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use switch::{PortId, Switch};

/// The stations of the law: one without a tag, one in a VLAN; both stand in for a machine at port 443.
const SITES: [Site; 2] = [
    Site { card: [2, 0, 0, 0, 0, 1], address: Ipv4Addr::new(10, 0, 0, 1), prefix: 24, vlan: None, mtu: 1500 },
    Site { card: [2, 0, 0, 0, 0, 2], address: Ipv4Addr::new(10, 0, 0, 1), prefix: 24, vlan: Some(42), mtu: 1500 },
];

/// By what the stations are known; making it takes longer than hearing a thousand frames.
fn identity() -> Arc<ServerConfig> {
    static IDENTITY: OnceLock<Arc<ServerConfig>> = OnceLock::new();
    IDENTITY.get_or_init(|| stand_in::identity().expect("a certificate can be made")).clone()
}

/// The frames of a stream, read in pieces of this length, and whether it could be followed to the end.
fn frames(stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, bool) {
    let (mut reader, mut found) = (Frames::default(), Vec::new());
    for bytes in stream.chunks(piece) {
        reader.add(bytes);
        loop {
            match reader.next() {
                Ok(Some(frame)) => found.push(frame.to_vec()),
                Ok(None) => break,
                Err(_) => return (found, false),
            }
        }
    }
    (found, true)
}

/// The first byte says in which pieces the stream arrives; the rest is the stream.
pub(crate) fn law(input: &[u8]) {
    let Some((first, stream)) = input.split_first() else { return };
    let (found, followed) = frames(stream, 1 + usize::from(*first));
    assert_eq!((&found, followed), (&frames(stream, stream.len().max(1)).0, frames(stream, stream.len().max(1)).1));
    let mut again = Vec::new();
    found.iter().for_each(|frame| append(&mut again, frame));
    assert!(stream.starts_with(&again), "frames are not what the stream says");
    switched(&found);
    // A question, an announcement and a beginning of a connection have answers.
    if SITES.into_iter().map(|site| heard(site, &found)).all(|answers| answers >= 2) {
        crate::laws::reached::the_end();
    }
}

/// What stations say to each other, as a stream: who has the address, who announces it, and a connection's beginning, each
/// without and with a tag.
pub(crate) fn conversation() -> Vec<u8> {
    let mut stream = Vec::new();
    for site in SITES {
        let mut server = Station::new(site);
        server.stand_in(443, identity());
        let mut client = Station::new(Site { card: [2, 0, 0, 0, 0, 9], address: Ipv4Addr::new(10, 0, 0, 9), ..site });
        client.ask(site.address);
        client.open(site.address, 443).expect("a port is free");
        for step in 0..6_u64 {
            let now = Duration::from_millis(step * 10);
            client.poll(now);
            while let Some(frame) = client.send() {
                append(&mut stream, &frame);
                server.receive(&frame, now);
            }
            server.poll(now);
            while let Some(frame) = server.send() {
                client.receive(&frame, now);
            }
        }
    }
    stream
}

/// Two machines and a third in another network.
fn switched(frames: &[Vec<u8>]) {
    let mut switch = Switch::new(1);
    let ports: Vec<PortId> = [0, 0, 0, 1].into_iter().map(|segment| switch.port(segment)).collect();
    ports.iter().for_each(|port| switch.connect(*port));
    for (number, frame) in frames.iter().enumerate() {
        let (from, now) = (ports[number % 2], Duration::from_millis(number as u64));
        switch.receive(from, frame, now);
        for port in &ports {
            while let Some(taken) = switch.take(*port, now) {
                assert!(*port != from, "a frame came back");
                assert!(*port != ports[3], "a frame left its network");
                assert!(*taken == **frame, "a frame was changed");
            }
        }
    }
}

/// A station that hears all of them; gives how often it answered.
fn heard(site: Site, frames: &[Vec<u8>]) -> usize {
    let mut station = Station::new(site);
    station.stand_in(443, identity());
    station.be_outside(&[(Ipv4Addr::new(10, 0, 1, 0), 24)]);
    let asked = Question::Backward(site.address);
    let mut answers = 0;
    for (number, frame) in frames.iter().enumerate() {
        let now = Duration::from_millis(number as u64 * 10);
        station.receive(frame, now);
        station.poll(now);
        while let Some(answer) = station.send() {
            answers += 1;
            let tag = if site.vlan.is_some() { 4 } else { 0 };
            assert!((14 + tag..=14 + tag + usize::from(site.mtu)).contains(&answer.len()), "{} bytes", answer.len());
            assert_eq!(answer[6..12], site.card, "it speaks in another's name");
            assert!(answers <= 64 * (frames.len() + 1), "it does not stop speaking");
        }
        // Whatever it is, it is read as an answer to a question for a name, too.
        let _ = asked.answers(7, frame);
        if let Some(claim) = neighbours::claim(frame) {
            assert!(frame.len() >= 36 && claim.address != Ipv4Addr::UNSPECIFIED);
            assert!(station.owners(claim.address, Duration::ZERO).len() <= LAB_NEIGHBOURS);
        }
        let _ = station.idle(now);
    }
    answers
}
