//! What lends and borrows addresses on a network (DHCP, RFC 2131), as both ends read it.

use smoltcp::wire::{
    DHCP_CLIENT_PORT, DhcpPacket, DhcpRepr, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, UdpPacket,
};

/// How long an address is lent that comes without a time: the stack's own default (seconds).
const UNSAID: u32 = 120;

/// Looks at what an untagged frame says to this port; nothing when it says nothing of the kind.
pub(super) fn said<T>(frame: &[u8], port: u16, look: impl FnOnce(&DhcpRepr<'_>) -> Option<T>) -> Option<T> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    if frame.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
    if packet.next_header() != IpProtocol::Udp {
        return None;
    }
    let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
    if datagram.dst_port() != port {
        return None;
    }
    let packet = DhcpPacket::new_checked(datagram.payload()).ok()?;
    look(&DhcpRepr::parse(&packet).ok()?)
}

/// Whether a frame lends an address that is to be renewed after it was taken back: the stack would count below zero, and
/// panics.
pub(super) fn is_absurd(frame: &[u8]) -> bool {
    let renewed_late = |lent: &DhcpRepr<'_>| Some(lent.renew_duration? > lent.lease_duration.unwrap_or(UNSAID));
    said(frame, DHCP_CLIENT_PORT, renewed_late).unwrap_or_default()
}
