//! The world outside, where a lab leads out to nobody: whoever is plugged in there is lent an address, and finds one server.

use super::lending;
use crate::base::limits::LAB_LEASES;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame,
    EthernetProtocol, EthernetRepr, IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};
use std::net::Ipv4Addr;

/// The network between the machines and the outside (RFC 2544: for measuring, nobody's). Clusters have those for documentation
/// themselves, and an address must say in which network it is.
pub(in crate::lab) const NETWORK: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
/// Bits of it that name the network.
pub(in crate::lab) const PREFIX: u8 = 24;
/// The lab's own end, which leads on.
pub(in crate::lab) const ROUTER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// What the first card is lent; the next ones follow.
pub(in crate::lab) const LENT: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
/// A server further out: not in the network that the machines are in (RFC 5737: for documentation).
pub(in crate::lab) const SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// How long an address is lent (seconds).
const LEASE: u32 = 3600;
/// Bytes before what a UDP packet carries.
const HEADERS: usize = 14 + 20 + 8;

/// Who was lent what: cards in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Leases(Vec<[u8; 6]>);

impl Leases {
    fn of(&mut self, card: [u8; 6]) -> Option<Ipv4Addr> {
        let known = self.0.iter().position(|known| *known == card);
        let place = known.or_else(|| {
            (self.0.len() < LAB_LEASES).then(|| {
                self.0.push(card);
                self.0.len() - 1
            })
        })?;
        Some(Ipv4Addr::from(u32::from(LENT).checked_add(u32::try_from(place).ok()?)?))
    }

    /// The answer to an untagged frame, if it asks for an address.
    pub(super) fn answer(&mut self, own: [u8; 6], frame: &[u8]) -> Option<Vec<u8>> {
        lending::said(frame, DHCP_SERVER_PORT, |asked| self.reply(own, asked))
    }

    fn reply(&mut self, own: [u8; 6], asked: &DhcpRepr<'_>) -> Option<Vec<u8>> {
        let address = self.of(asked.client_hardware_address.0)?;
        let message_type = match asked.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request => {
                let wanted = asked.requested_ip.unwrap_or(asked.client_ip);
                if wanted == address { DhcpMessageType::Ack } else { DhcpMessageType::Nak }
            }
            _ => return None,
        };
        let granted = message_type != DhcpMessageType::Nak;
        let reply = DhcpRepr {
            message_type,
            transaction_id: asked.transaction_id,
            secs: 0,
            client_hardware_address: asked.client_hardware_address,
            client_ip: Ipv4Addr::UNSPECIFIED,
            your_ip: if granted { address } else { Ipv4Addr::UNSPECIFIED },
            server_ip: ROUTER,
            router: granted.then_some(ROUTER),
            subnet_mask: granted.then(|| Ipv4Addr::from(u32::MAX << (32 - u32::from(PREFIX)))),
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: true,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(ROUTER),
            parameter_request_list: None,
            dns_servers: None,
            max_size: None,
            lease_duration: granted.then_some(LEASE),
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        };
        Some(envelope(own, &reply))
    }
}

/// A reply as a frame to everybody: who has no address yet could not be sent it otherwise.
fn envelope(own: [u8; 6], reply: &DhcpRepr<'_>) -> Vec<u8> {
    let length = reply.buffer_len();
    let mut bytes = vec![0; HEADERS + length];
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(own),
        dst_addr: EthernetAddress::BROADCAST,
        ethertype: EthernetProtocol::Ipv4,
    };
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    ethernet.emit(&mut frame);
    let (source, target) = (ROUTER, Ipv4Addr::BROADCAST);
    let checksums = ChecksumCapabilities::default();
    let payload_len = 8 + length;
    let ip = Ipv4Repr { src_addr: source, dst_addr: target, next_header: IpProtocol::Udp, payload_len, hop_limit: 64 };
    let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
    ip.emit(&mut packet, &checksums);
    let udp = UdpRepr { src_port: DHCP_SERVER_PORT, dst_port: DHCP_CLIENT_PORT };
    let mut datagram = UdpPacket::new_unchecked(packet.payload_mut());
    let write = |room: &mut [u8]| {
        // The room is as long as the reply said itself.
        let _ = reply.emit(&mut DhcpPacket::new_unchecked(room));
    };
    udp.emit(&mut datagram, &source.into(), &target.into(), length, write, &checksums);
    bytes
}
