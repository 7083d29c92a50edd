//! Laws of what the lab's stations are told: which address they are lent (DHCP), what a name server answers (DNS), and
//! what the lab's world outside lends to those who ask.

use super::names::Question;
use super::outside::{Leases, NETWORK, PREFIX, ROUTER};
use super::station::{Site, Station};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// The number of the question.
const ID: u16 = 7;
/// Bytes before what a DHCP packet carries in UDP.
const HEADERS: usize = 14 + 20 + 8;
/// The card of the station that borrows.
const CARD: [u8; 6] = [2, 0, 0, 0, 0, 5];
/// Where the options of a DHCP packet begin, behind four bytes that say that there are some.
const OPTIONS: usize = 240;

/// The questions that are asked: their answers must not be taken for each other's.
fn questions() -> [Question; 2] {
    [Question::Forward("balancer1.demo".to_owned()), Question::Backward(Ipv4Addr::new(192, 168, 4, 11))]
}

/// The first byte says which question, the second how many answers its repetition claims; what follows are the answers,
/// and by itself a whole packet.
pub(crate) fn names(input: &[u8]) {
    let [first, count, rest @ ..] = input else { return };
    let [one, other] = questions();
    let (asked, another) = if first % 2 == 0 { (one, other) } else { (other, one) };
    let mut repeated = asked.packet(ID).expect("it is a name");
    (repeated[2], repeated[7]) = (0x81, *count);
    repeated.extend(rest);
    for packet in [&repeated[..], rest] {
        let Some(answers) = asked.answers(ID, packet) else { continue };
        assert!(
            answers.len() <= usize::from(u16::from_be_bytes([packet[6], packet[7]])),
            "more answers than there are"
        );
        assert_eq!(asked.answers(ID + 1, packet), None, "it answers another number");
        assert_eq!(another.answers(ID, packet), None, "it answers another question");
        for answer in answers {
            // Labels have 63 bytes and a name 127 of them; a byte that is no text takes three.
            assert!(answer.len() <= 127 * 64 * 3, "{answer:?}");
            crate::laws::reached::the_end();
        }
    }
}

/// A DHCP packet: `kind` 1 asks, 2 answers; four bytes are the address that it lends, the rest are its options.
fn packet(kind: u8, transaction: [u8; 4], card: [u8; 6], message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; OPTIONS];
    bytes[..4].copy_from_slice(&[kind, 1, 6, 0]);
    bytes[4..8].copy_from_slice(&transaction);
    let (address, options) = message.split_at(message.len().min(4));
    bytes[16..16 + address.len()].copy_from_slice(address);
    bytes[28..34].copy_from_slice(&card);
    bytes[236..].copy_from_slice(&[99, 130, 83, 99]);
    bytes.extend(options);
    bytes
}

/// The packet as a frame to everybody, with all sums in order.
fn frame(card: [u8; 6], (src_port, dst_port): (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADERS + payload.len()];
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(card),
        dst_addr: EthernetAddress::BROADCAST,
        ethertype: EthernetProtocol::Ipv4,
    };
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    ethernet.emit(&mut frame);
    let (source, target) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::BROADCAST);
    let (sums, payload_len) = (ChecksumCapabilities::default(), 8 + payload.len());
    let ip = Ipv4Repr { src_addr: source, dst_addr: target, next_header: IpProtocol::Udp, payload_len, hop_limit: 64 };
    let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
    ip.emit(&mut packet, &sums);
    let mut datagram = UdpPacket::new_unchecked(packet.payload_mut());
    let write = |room: &mut [u8]| room.copy_from_slice(payload);
    let udp = UdpRepr { src_port, dst_port };
    udp.emit(&mut datagram, &source.into(), &target.into(), payload.len(), write, &sums);
    bytes
}

/// Messages with two bytes of length before each; one that is cut off ends with the input.
fn messages(mut input: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let [low, high, rest @ ..] = input {
        let (message, after) = rest.split_at(rest.len().min(usize::from(u16::from_le_bytes([*low, *high]))));
        found.push(message);
        input = after;
    }
    found
}

/// The first byte says how many minutes lie between the messages. Each is an answer to whoever borrows an address, and a
/// question to the world outside, which lends some.
pub(crate) fn leases(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else { return };
    let messages = messages(rest);
    let lent = lent(&messages);
    if borrowed(u64::from(*first), &messages) && lent > 0 {
        crate::laws::reached::the_end();
    }
}

/// Whether a station was lent an address.
fn borrowed(minutes: u64, messages: &[&[u8]]) -> bool {
    let site = Site { card: CARD, address: Ipv4Addr::UNSPECIFIED, prefix: 0, vlan: None, mtu: 1500 };
    let mut station = Station::new(site);
    station.borrow();
    let (mut transaction, mut sent, mut had) = ([0; 4], 0, false);
    // It asks before it is answered, and what comes of the last answer shows later.
    let (before, after) = ([&[][..]], [&[][..]; 3]);
    for (step, message) in (0..).zip(before.iter().chain(messages).chain(&after)) {
        let now = Duration::from_secs(step * (1 + minutes * 60));
        if !message.is_empty() {
            let ports = (DHCP_SERVER_PORT, DHCP_CLIENT_PORT);
            station.receive(&frame([2, 0, 0, 0, 0, 1], ports, &packet(2, transaction, CARD, message)), now);
        }
        station.poll(now);
        while let Some(asked) = station.send() {
            sent += 1;
            assert!(sent <= 64 * (messages.len() + 4), "it does not stop speaking");
            assert_eq!(asked[6..12], CARD, "it speaks in another's name");
            if let Some(number) = asked.get(HEADERS + 4..HEADERS + 8) {
                transaction.copy_from_slice(number);
            }
        }
        if let Some(lease) = station.lease() {
            let address = lease.address;
            assert!(!address.is_unspecified() && !address.is_broadcast() && !address.is_multicast(), "{lease:?}");
            assert!(lease.prefix <= 32 && lease.servers.len() <= 3, "{lease:?}");
            had = true;
        }
        let _ = station.idle(now);
    }
    had
}

/// How many messages were answered by whom lends.
fn lent(messages: &[&[u8]]) -> usize {
    let (mut leases, mut owners, mut answers) = (Leases::default(), BTreeMap::new(), 0);
    for message in messages {
        let mut card = [2, 0, 0, 0, 0, 0];
        card[2..].iter_mut().zip(*message).for_each(|(to, from)| *to = *from);
        let question = frame(card, (DHCP_CLIENT_PORT, DHCP_SERVER_PORT), &packet(1, [1, 2, 3, 4], card, message));
        let Some(answer) = leases.answer([2, 0, 0, 0, 0, 1], &question) else { continue };
        let answer = DhcpPacket::new_checked(&answer[HEADERS..]).expect("it is long enough");
        let answer = DhcpRepr::parse(&answer).expect("what was written is read");
        assert_eq!((answer.transaction_id, answer.client_hardware_address.0), (0x0102_0304, card));
        answers += 1;
        if answer.your_ip.is_unspecified() {
            continue;
        }
        let within = u32::from(answer.your_ip) >> (32 - PREFIX) == u32::from(NETWORK) >> (32 - PREFIX);
        assert!(within && answer.your_ip != ROUTER && !answer.your_ip.octets().ends_with(&[255]), "{answer:?}");
        assert_eq!(*owners.entry(answer.your_ip).or_insert(card), card, "two cards have {}", answer.your_ip);
    }
    answers
}

/// An offer, its confirmation, and questions of the two kinds that are answered: something to mutate.
pub(crate) fn lending() -> Vec<u8> {
    let mut bytes = vec![0];
    let lent =
        [&[1, 4, 255, 255, 255, 0, 3, 4, 10, 0, 0, 1, 6, 8, 10, 0, 0, 1, 10, 0, 0, 2][..], &[51, 4, 0, 0, 14, 16]];
    let by = [54, 4, 10, 0, 0, 1];
    let wanted = [50, 4, 203, 0, 113, 2, 255];
    for options in [
        [&[53, 1, 2][..], &by, &lent.concat(), &[255]].concat(),
        [&[53, 1, 5][..], &by, &lent.concat(), &[58, 4, 0, 0, 7, 8, 59, 4, 0, 0, 12, 78, 255]].concat(),
        [&[53, 1, 1][..], &wanted].concat(),
        [&[53, 1, 3][..], &wanted].concat(),
    ] {
        bytes.extend((4 + options.len() as u16).to_le_bytes());
        bytes.extend([10, 0, 0, 7]);
        bytes.extend(options);
    }
    bytes
}

/// An answer with an address and one with a name, both for names that point back to the question's.
pub(crate) fn answering() -> Vec<u8> {
    let address = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 168, 4, 11];
    let name =
        [0xc0, 12, 0, 12, 0, 1, 0, 0, 0, 60, 0, 12, 9, b'b', b'a', b'l', b'a', b'n', b'c', b'e', b'r', b'1', 0xc0, 22];
    [&[0, 2][..], &address, &name].concat()
}
