//! The networks without machines: the switch by its frames, stations against one another, the thread over real sockets.

use super::fabric::{Fabric, Wiring, Words};
use super::faults::Faults;
use super::framing::{Frames, append};
use super::outside;
use super::stand_in::identity;
use super::station::{MIRROR, Site, Station};
use super::switch::{PortId, Switch, Way};
use crate::lab::requests::HELLO;
use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const NOW: Duration = Duration::from_secs(1);
const ALL: u8 = 0xff;

/// A frame between two cards, each named by its last byte; `ALL` is everybody.
fn frame(from: u8, to: u8, vlan: Option<u16>, text: &[u8]) -> Vec<u8> {
    let card = |last| if last == ALL { [0xff; 6] } else { [2, 0, 0, 0, 0, last] };
    let mut frame = [card(to), card(from)].concat();
    if let Some(id) = vlan {
        frame.extend([0x81, 0x00]);
        frame.extend(id.to_be_bytes());
    }
    frame.extend([0x08, 0x00]);
    frame.extend(text);
    frame
}

/// A switch with that many connected ports on one segment.
fn switch(ports: usize) -> Switch {
    let mut switch = Switch::new(1);
    for _ in 0..ports {
        let port = switch.port(0);
        switch.connect(port);
    }
    switch
}

/// How many frames each port gets.
fn got(switch: &mut Switch, ports: usize, now: Duration) -> Vec<usize> {
    (0..ports).map(|port| std::iter::from_fn(|| switch.take(PortId(port), now)).count()).collect()
}

#[test]
fn a_frame_for_a_known_card_goes_to_its_port_alone() {
    let mut switch = switch(3);
    switch.receive(PortId(0), &frame(1, 2, None, b"unknown"), NOW);
    assert_eq!(got(&mut switch, 3, NOW), [0, 1, 1]);
    switch.receive(PortId(1), &frame(2, 1, None, b"answer"), NOW);
    assert_eq!(got(&mut switch, 3, NOW), [1, 0, 0]);
    switch.receive(PortId(0), &frame(1, 2, None, b"known"), NOW);
    assert_eq!(got(&mut switch, 3, NOW), [0, 1, 0]);
    switch.receive(PortId(0), &frame(1, ALL, None, b"everybody"), NOW);
    assert_eq!(got(&mut switch, 3, NOW), [0, 1, 1]);
    // The card moved.
    switch.receive(PortId(2), &frame(2, ALL, None, b"here now"), NOW);
    got(&mut switch, 3, NOW);
    switch.receive(PortId(0), &frame(1, 2, None, b"known"), NOW);
    assert_eq!(got(&mut switch, 3, NOW), [0, 0, 1]);
}

#[test]
fn segments_and_vlans_are_networks_of_their_own() {
    let mut switch = switch(2);
    let other = switch.port(1);
    switch.connect(other);
    switch.receive(PortId(0), &frame(1, ALL, None, b"x"), NOW);
    assert_eq!(got(&mut switch, 3, NOW), [0, 1, 0]);
    // Known without a tag, not known with one: flooded, with its tag.
    switch.receive(PortId(0), &frame(1, 2, Some(41), b"x"), NOW);
    assert_eq!(switch.take(PortId(1), NOW).as_deref(), Some(&frame(1, 2, Some(41), b"x")[..]));
    switch.receive(PortId(1), &frame(1, 9, None, b"the same card elsewhere"), NOW);
    got(&mut switch, 3, NOW);
    switch.receive(PortId(1), &frame(2, 1, Some(41), b"still known in its VLAN"), NOW);
    assert_eq!(got(&mut switch, 3, NOW), [1, 0, 0]);
}

#[test]
fn frames_without_a_header_and_frames_that_are_too_long_are_dropped() {
    let mut switch = switch(2);
    for length in 0..14 {
        switch.receive(PortId(0), &frame(1, ALL, None, b"")[..length], NOW);
    }
    switch.receive(PortId(0), &frame(1, ALL, Some(41), b"")[..15], NOW);
    switch.receive(PortId(0), &[0xff; 80_000], NOW);
    assert_eq!(got(&mut switch, 2, NOW), [0, 0]);
    switch.receive(PortId(7), &frame(1, ALL, None, b"from nowhere"), NOW);
    assert_eq!(got(&mut switch, 2, NOW), [0, 0]);
}

#[test]
fn a_cut_in_one_direction_leaves_the_other() {
    let cut = Faults { cut: true, ..Faults::default() };
    let mut switch = switch(2);
    let both = |switch: &mut Switch| {
        switch.receive(PortId(0), &frame(1, ALL, None, b"x"), NOW);
        switch.receive(PortId(1), &frame(2, ALL, None, b"x"), NOW);
        got(switch, 2, NOW)
    };
    switch.fault(PortId(0), Way::In, cut);
    assert_eq!(both(&mut switch), [0, 1]);
    switch.heal();
    switch.fault(PortId(0), Way::Out, cut);
    assert_eq!(both(&mut switch), [1, 0]);
    switch.heal();
    assert_eq!(both(&mut switch), [1, 1]);
    switch.bar(PortId(0), PortId(1), true);
    assert_eq!(both(&mut switch), [1, 0]);
    switch.bar(PortId(0), PortId(1), false);
    assert_eq!(both(&mut switch), [1, 1]);
}

#[test]
fn delayed_frames_arrive_later_and_in_order() {
    let mut switch = switch(2);
    switch.fault(PortId(1), Way::In, Faults { delay: 50, ..Faults::default() });
    switch.fault(PortId(0), Way::Out, Faults { delay: 10, ..Faults::default() });
    switch.receive(PortId(0), &frame(1, ALL, None, b"first"), NOW);
    assert_eq!(switch.due(PortId(1)), Some(NOW + Duration::from_millis(60)));
    assert!(switch.take(PortId(1), NOW + Duration::from_millis(59)).is_none());
    assert!(switch.take(PortId(1), NOW + Duration::from_millis(60)).is_some());
}

#[test]
fn loss_is_the_same_for_the_same_seed() {
    let arrived = |seed: u64| {
        let mut switch = Switch::new(seed);
        for _ in 0..2 {
            let port = switch.port(0);
            switch.connect(port);
        }
        switch.fault(PortId(1), Way::In, Faults { loss: 300, ..Faults::default() });
        (0..1000)
            .map(|_| {
                switch.receive(PortId(0), &frame(1, ALL, None, b"x"), NOW);
                switch.take(PortId(1), NOW).is_some()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(arrived(5), arrived(5));
    assert_ne!(arrived(5), arrived(6));
    let count = arrived(5).iter().filter(|arrived| **arrived).count();
    assert!((600..800).contains(&count), "{count}");
}

#[test]
fn a_slow_machine_loses_what_does_not_fit_and_holds_up_nobody() {
    let mut switch = switch(3);
    for _ in 0..10_000 {
        switch.receive(PortId(0), &frame(1, ALL, None, &[0; 1400]), NOW);
        assert!(switch.take(PortId(2), NOW).is_some());
    }
    let kept = got(&mut switch, 3, NOW)[1];
    assert_eq!(kept, (4 << 20) / 1414);
    // Once it takes again, it gets again.
    switch.receive(PortId(0), &frame(1, ALL, None, b"x"), NOW);
    assert_eq!(got(&mut switch, 3, NOW), [0, 1, 1]);
}

#[test]
fn where_cards_were_is_forgotten_when_the_machine_hangs_up() {
    let mut switch = switch(3);
    switch.receive(PortId(1), &frame(2, ALL, None, b"x"), NOW);
    got(&mut switch, 3, NOW);
    switch.disconnect(PortId(1));
    switch.receive(PortId(0), &frame(1, 2, None, b"x"), NOW);
    assert_eq!(got(&mut switch, 3, NOW), [0, 0, 1]);
    switch.connect(PortId(1));
    switch.receive(PortId(0), &frame(1, 2, None, b"x"), NOW);
    assert_eq!(got(&mut switch, 3, NOW), [0, 1, 1]);
}

fn site(last: u8, vlan: Option<u16>) -> Site {
    let (card, address) = ([2, 0, 0, 0, 0, last], Ipv4Addr::new(10, 0, 0, last));
    Site { card, address, prefix: 24, vlan, mtu: 1500 }
}

/// Moves frames between stations until nobody has any, some time long.
fn run(switch: &mut Switch, stations: &mut [Station], from: Duration, long: Duration) {
    let mut now = from;
    while now < from + long {
        for (port, station) in stations.iter_mut().enumerate() {
            while let Some(frame) = switch.take(PortId(port), now) {
                station.receive(&frame, now);
            }
            station.poll(now);
            while let Some(frame) = station.send() {
                switch.receive(PortId(port), &frame, now);
            }
        }
        now += Duration::from_millis(5);
    }
}

#[test]
fn stations_talk_over_the_switch_also_in_a_vlan() {
    for vlan in [None, Some(41)] {
        let mut switch = switch(3);
        let mut stations = [Station::new(site(1, vlan)), Station::new(site(2, vlan)), Station::new(site(3, None))];
        let listening = stations[1].listen(443);
        let connection = stations[0].open(Ipv4Addr::new(10, 0, 0, 2), 443).unwrap();
        run(&mut switch, &mut stations, NOW, Duration::from_millis(200));
        assert!(stations[0].socket(connection).may_send(), "{vlan:?}");
        assert_eq!(stations[0].socket(connection).send_slice(b"hello").unwrap(), 5);
        run(&mut switch, &mut stations, 2 * NOW, Duration::from_millis(200));
        let mut heard = [0; 16];
        assert_eq!(stations[1].socket(listening).recv_slice(&mut heard).unwrap(), 5);
        // Nobody listens at another port, and nobody has another address.
        let refused = stations[0].open(Ipv4Addr::new(10, 0, 0, 2), 444).unwrap();
        let silent = stations[0].open(Ipv4Addr::new(10, 0, 0, 9), 443).unwrap();
        run(&mut switch, &mut stations, 3 * NOW, Duration::from_millis(200));
        assert!(!stations[0].socket(refused).is_open());
        assert!(!stations[0].socket(silent).may_send());
    }
}

#[test]
fn owners_of_an_address_are_all_who_answer() {
    let mut switch = switch(3);
    let mut twice = site(3, None);
    twice.address = Ipv4Addr::new(10, 0, 0, 2);
    let mut stations = [Station::new(site(1, None)), Station::new(site(2, None)), Station::new(twice)];
    stations[0].ask(Ipv4Addr::new(10, 0, 0, 2));
    run(&mut switch, &mut stations, NOW, Duration::from_millis(50));
    let owners = stations[0].owners(Ipv4Addr::new(10, 0, 0, 2), NOW);
    assert_eq!(owners, [[2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 3]]);
    assert!(stations[0].owners(Ipv4Addr::new(10, 0, 0, 2), 2 * NOW).is_empty());
}

/// A machine's end of a socket: what QEMU would do.
struct Machine {
    stream: UnixStream,
    frames: Frames,
}

impl Machine {
    fn plug(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
        Self { stream, frames: Frames::default() }
    }

    fn send(&mut self, frame: &[u8]) {
        let mut bytes = Vec::new();
        append(&mut bytes, frame);
        self.stream.write_all(&bytes).unwrap();
    }

    /// The next frame, if one comes in time.
    fn hear(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(frame) = self.frames.next().unwrap() {
                return Some(frame.to_vec());
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(length @ 1..) => self.frames.add(&buffer[..length]),
                _ => return None,
            }
        }
    }
}

/// Two machines' sockets and one station, on one segment.
fn fabric(folder: &Path) -> (Fabric, [std::path::PathBuf; 2]) {
    let paths = ["0.0", "1.0"].map(|name| folder.join(name));
    let words = Words {
        connected: || b"connected\n".to_vec(),
        refused: || b"refused\n".to_vec(),
        silent: || b"silent\n".to_vec(),
    };
    let cards = paths.iter().map(|path| (path.clone(), 0)).collect();
    let wiring = Wiring { cards, stations: vec![(site(254, None), 0)], seed: 1, words };
    (Fabric::start(&wiring).unwrap(), paths)
}

/// Both are known to the switch once each has heard the other.
fn pair(paths: &[std::path::PathBuf; 2]) -> [Machine; 2] {
    let (mut one, mut two) = (Machine::plug(&paths[0]), Machine::plug(&paths[1]));
    // The station takes the frame, too; what comes before the other is plugged in is lost.
    loop {
        one.send(&frame(1, 2, None, b"are you there"));
        if two.hear().is_some() {
            break;
        }
    }
    two.send(&frame(2, 1, None, b"yes"));
    assert_eq!(one.hear().unwrap(), frame(2, 1, None, b"yes"));
    while two.hear().is_some() {}
    [one, two]
}

#[test]
fn machines_talk_over_sockets_until_they_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    let (fabric, paths) = fabric(folder.path());
    let [mut one, mut two] = pair(&paths);
    fabric.fault(PortId(0), Way::Out, Faults { cut: true, ..Faults::default() });
    std::thread::sleep(Duration::from_millis(50));
    one.send(&frame(1, 2, None, b"lost"));
    two.send(&frame(2, 1, None, b"heard"));
    assert_eq!(two.hear(), None);
    assert_eq!(one.hear().unwrap(), frame(2, 1, None, b"heard"));
    fabric.heal();
    std::thread::sleep(Duration::from_millis(50));
    one.send(&frame(1, 2, None, b"again"));
    assert_eq!(two.hear().unwrap(), frame(1, 2, None, b"again"));
}

#[test]
fn the_newest_connection_is_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let (_fabric, paths) = fabric(folder.path());
    let [mut one, mut two] = pair(&paths);
    let mut newer = Machine::plug(&paths[1]);
    newer.send(&frame(2, ALL, None, b"restarted"));
    assert_eq!(one.hear().unwrap(), frame(2, ALL, None, b"restarted"));
    one.send(&frame(1, 2, None, b"welcome"));
    assert_eq!(newer.hear().unwrap(), frame(1, 2, None, b"welcome"));
    assert_eq!(two.hear(), None);
}

#[test]
fn a_machine_that_sends_nonsense_is_hung_up_on_and_may_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let (_fabric, paths) = fabric(folder.path());
    let [one, mut two] = pair(&paths);
    (&one.stream).write_all(&[0xff; 64]).unwrap();
    // The end of the stream, not silence.
    assert!(matches!((&one.stream).read(&mut [0; 16]), Ok(0) | Err(_)));
    let mut again = Machine::plug(&paths[0]);
    again.send(&frame(1, ALL, None, b"back"));
    assert_eq!(two.hear().unwrap(), frame(1, ALL, None, b"back"));
}

/// What a station's own machine at a socket answers: a second stack, driven here.
fn serve(path: &Path, until: &std::sync::atomic::AtomicBool) {
    let mut machine = Machine::plug(path);
    machine.stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let mut station = Station::new(site(1, None));
    let listening = station.listen(22);
    let began = std::time::Instant::now();
    while !until.load(std::sync::atomic::Ordering::Relaxed) {
        let now = began.elapsed();
        while let Some(frame) = machine.hear() {
            station.receive(&frame, now);
        }
        station.poll(now);
        let mut heard = [0; 64];
        let socket = station.socket(listening);
        if let Ok(length @ 1..) = socket.recv_slice(&mut heard) {
            socket.send_slice(&heard[..length]).unwrap();
            socket.close();
        }
        station.poll(now);
        while let Some(frame) = station.send() {
            machine.send(&frame);
        }
    }
}

#[test]
fn a_stream_of_this_host_reaches_a_machines_port() {
    let folder = tempfile::tempdir().unwrap();
    let (fabric, paths) = fabric(folder.path());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| serve(&paths[0], &done));
        std::thread::sleep(Duration::from_millis(100));
        let ask = |last, port, text: &[u8]| {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            fabric.connect(0, Ipv4Addr::new(10, 0, 0, last), port, theirs);
            let _ = ours.write_all(text);
            let mut heard = Vec::new();
            let _ = ours.read_to_end(&mut heard);
            String::from_utf8(heard).unwrap()
        };
        assert_eq!(ask(1, 22, b"hello"), "connected\nhello");
        assert_eq!(ask(1, 23, b"hello"), "refused\n");
        assert_eq!(ask(9, 22, b"hello"), "silent\n");
        let owners = fabric.owners(0, Ipv4Addr::new(10, 0, 0, 1), Duration::from_millis(300)).unwrap();
        assert_eq!(owners, [[2, 0, 0, 0, 0, 1]]);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// A stream to the stand-in, once it is connected.
fn call(fabric: &Fabric) -> UnixStream {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    fabric.connect(0, Ipv4Addr::new(10, 0, 0, 7), 6443, theirs);
    let mut word = [0; 10];
    ours.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"connected\n");
    ours
}

#[test]
fn a_stand_in_answers_every_connection_once_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let (fabric, _paths) = fabric(folder.path());
    fabric.stand_in(site(7, None), 0, 6443, identity().unwrap());
    for words in [&HELLO[..], b"GET / HTTP/1.0\r\n\r\n"].into_iter().cycle().take(60) {
        let mut stream = call(&fabric);
        stream.write_all(words).unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        // An alert, and that was all.
        assert_eq!((heard[0], heard.len()), (0x15, 7));
    }
}

/// Takes any certificate, as health checks do that verify none.
#[derive(Debug)]
struct Trusting(rustls::crypto::WebPkiSupportedAlgorithms);

impl rustls::client::danger::ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[test]
fn a_stand_in_is_well_over_tls_of_either_version() {
    let folder = tempfile::tempdir().unwrap();
    let (fabric, _paths) = fabric(folder.path());
    fabric.stand_in(site(7, None), 0, 6443, identity().unwrap());
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (path, status) in [("/readyz", "HTTP/1.1 200 OK"), ("/", "HTTP/1.1 404 Not Found")] {
            let trusting = std::sync::Arc::new(Trusting(provider.signature_verification_algorithms));
            let client = rustls::ClientConfig::builder_with_provider(provider.clone())
                .with_protocol_versions(&[version])
                .unwrap()
                .dangerous()
                .with_custom_certificate_verifier(trusting)
                .with_no_client_auth();
            let name = "stand-in.lab.internal".try_into().unwrap();
            let connection = rustls::ClientConnection::new(client.into(), name).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, call(&fabric));
            write!(stream, "GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").unwrap();
            let mut heard = String::new();
            stream.read_to_string(&mut heard).unwrap();
            assert_eq!(heard.lines().next(), Some(status), "{version:?}");
        }
    }
}

/// A station that has to borrow its address.
fn borrower(last: u8) -> Station {
    let mut station = Station::new(Site { address: Ipv4Addr::UNSPECIFIED, ..site(last, None) });
    station.borrow();
    station
}

#[test]
fn the_outside_lends_addresses_and_sees_who_comes() {
    let mut switch = switch(3);
    let mut outside = Station::new(Site { address: outside::ROUTER, ..site(1, None) });
    outside.be_outside(&[(Ipv4Addr::new(10, 0, 0, 0), 24)]);
    let mut stations = [outside, borrower(2), borrower(3)];
    run(&mut switch, &mut stations, NOW, Duration::from_secs(3));
    let mut lent: Vec<Ipv4Addr> = Vec::new();
    for station in &stations[1..] {
        let lease = station.lease().unwrap();
        assert_eq!((lease.prefix, lease.router), (24, Some(outside::ROUTER)));
        assert!(lease.servers.is_empty());
        lent.push(lease.address);
    }
    lent.sort_unstable();
    assert_eq!(lent, [outside::LENT, Ipv4Addr::new(198, 18, 0, 3)]);
    // The server is not in their network: the way there is what they were lent.
    let own = stations[1].lease().unwrap().address;
    let connection = stations[1].open(outside::SERVER, MIRROR).unwrap();
    run(&mut switch, &mut stations, 10 * NOW, Duration::from_millis(300));
    let mut heard = [0; 64];
    let length = stations[1].socket(connection).recv_slice(&mut heard).unwrap();
    assert_eq!(heard[..length], *format!("{own}\n").as_bytes());
}

#[test]
fn what_is_asked_by_udp_arrives_and_is_answered() {
    let mut switch = switch(2);
    let mut stations = [Station::new(site(1, None)), Station::new(site(2, None))];
    let (one, two) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    let asked = stations[0].inquire((two, 49_152), b"question").unwrap();
    let answering = stations[1].inquire((one, 49_152), b"answer").unwrap();
    run(&mut switch, &mut stations, NOW, Duration::from_millis(100));
    assert_eq!(stations[1].told(answering).unwrap(), b"question");
    assert_eq!(stations[0].told(asked).unwrap(), b"answer");
    assert_eq!(stations[0].told(asked), None);
}

#[test]
fn who_is_stubborn_believes_no_announcement() {
    for stubborn in [false, true] {
        let mut switch = switch(3);
        let mut heir = site(3, None);
        heir.address = Ipv4Addr::new(10, 0, 0, 2);
        let mut stations = [Station::new(site(1, None)), Station::new(site(2, None)), Station::new(heir)];
        if stubborn {
            stations[0].be_stubborn();
        }
        let first = stations[0].open(heir.address, 443).unwrap();
        stations[1].listen(443);
        // The heir is there only once it announces itself.
        switch.disconnect(PortId(2));
        run(&mut switch, &mut stations, NOW, Duration::from_millis(100));
        assert!(stations[0].socket(first).may_send());
        switch.disconnect(PortId(1));
        switch.connect(PortId(2));
        let _waiting = [stations[2].listen(443), stations[2].listen(443)];
        stations[2].ask(heir.address);
        run(&mut switch, &mut stations, 2 * NOW, Duration::from_millis(100));
        let second = stations[0].open(heir.address, 443).unwrap();
        run(&mut switch, &mut stations, 3 * NOW, Duration::from_millis(300));
        assert_eq!(stations[0].socket(second).may_send(), !stubborn);
        // In the end even its cache expires.
        let third = stations[0].open(heir.address, 443).unwrap();
        run(&mut switch, &mut stations, 100 * NOW, Duration::from_secs(3));
        assert!(stations[0].socket(third).may_send());
    }
}
