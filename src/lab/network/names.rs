//! Questions to a name server, and its answers (RFC 1035): as much as it takes to see whether names lead where they should.

use crate::base::limits::LAB_NAME_JUMPS;
use std::net::Ipv4Addr;

/// A name to its IPv4 addresses.
const ADDRESS: u16 = 1;
/// An address to its name.
const POINTER: u16 = 12;
/// The Internet's class.
const INTERNET: u16 = 1;
/// Bytes before the question.
const HEADER: usize = 12;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::lab) enum Question {
    /// Which addresses a name has.
    Forward(String),
    /// Which name an address has.
    Backward(Ipv4Addr),
}

impl Question {
    fn name(&self) -> (String, u16) {
        match self {
            Self::Forward(name) => (name.clone(), ADDRESS),
            Self::Backward(address) => {
                let [a, b, c, d] = address.octets();
                (format!("{d}.{c}.{b}.{a}.in-addr.arpa"), POINTER)
            }
        }
    }

    /// The packet that asks it; nothing when a name is none.
    pub(in crate::lab) fn packet(&self, id: u16) -> Option<Vec<u8>> {
        let (name, kind) = self.name();
        let mut packet = id.to_be_bytes().to_vec();
        // One question; recursion is wanted.
        packet.extend([0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]);
        for label in name.trim_end_matches('.').split('.') {
            let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
            packet.push(length);
            packet.extend(label.as_bytes());
        }
        packet.push(0);
        packet.extend(kind.to_be_bytes());
        packet.extend(INTERNET.to_be_bytes());
        // A name has 255 bytes at most, its lengths included.
        (packet.len() <= HEADER + 255 + 4).then_some(packet)
    }

    /// What a packet answers to it: addresses or names; none when there is no such name. Nothing when it is no answer to it.
    pub(in crate::lab) fn answers(&self, id: u16, packet: &[u8]) -> Option<Vec<String>> {
        let answered = number(packet, 0)? == id && packet.get(2)? & 0x80 != 0;
        // No error, or no such name.
        if !answered || !matches!(packet.get(3)? & 0x0f, 0 | 3) || number(packet, 4)? != 1 {
            return None;
        }
        let (asked, kind) = self.name();
        let (name, mut at) = name(packet, HEADER)?;
        if !name.eq_ignore_ascii_case(asked.trim_end_matches('.')) || number(packet, at)? != kind {
            return None;
        }
        at += 4;
        let mut answers = Vec::new();
        for _ in 0..number(packet, 6)? {
            let (_, after) = self::name(packet, at)?;
            let (found, length) = (number(packet, after)?, usize::from(number(packet, after + 8)?));
            let data = after + 10;
            let bytes = packet.get(data..data + length)?;
            match found {
                ADDRESS => answers.push(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string()),
                POINTER => answers.push(self::name(packet, data)?.0),
                // Such as where another name leads on to.
                _ => {}
            }
            at = data + length;
        }
        Some(answers)
    }
}

fn number(packet: &[u8], at: usize) -> Option<u16> {
    packet.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

/// The name at a place, and where it ends.
fn name(packet: &[u8], mut at: usize) -> Option<(String, usize)> {
    let (mut labels, mut end, mut jumps) = (Vec::new(), None, 0);
    loop {
        let length = usize::from(*packet.get(at)?);
        match length {
            0 => break,
            1..=63 => {
                labels.push(String::from_utf8_lossy(packet.get(at + 1..at + 1 + length)?).into_owned());
                at += 1 + length;
            }
            0xc0.. => {
                end = end.or(Some(at + 2));
                at = usize::from(number(packet, at)? & 0x3fff);
                jumps += 1;
                if jumps > LAB_NAME_JUMPS {
                    return None;
                }
            }
            _ => return None,
        }
        if labels.len() > 127 {
            return None;
        }
    }
    Some((labels.join("."), end.unwrap_or(at + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward() -> Question {
        Question::Forward("balancer1.demo".into())
    }

    /// The question with one answer, whose name is a pointer to the question's.
    fn answer(question: &Question, kind: u16, data: &[u8]) -> Vec<u8> {
        let mut packet = question.packet(7).unwrap();
        packet[2] = 0x81;
        packet[7] = 1;
        packet.extend([0xc0, 12]);
        packet.extend(kind.to_be_bytes());
        packet.extend([0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
        packet.extend(data);
        packet
    }

    #[test]
    fn questions_are_what_a_server_reads() {
        let packet = forward().packet(7).unwrap();
        assert_eq!(packet, b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x09balancer1\x04demo\0\0\x01\0\x01");
        let backward = Question::Backward(Ipv4Addr::new(192, 168, 4, 10)).packet(0x1234).unwrap();
        assert!(backward.ends_with(b"\x0210\x014\x03168\x03192\x07in-addr\x04arpa\0\0\x0c\0\x01"));
        for name in ["", "a..b", &"x".repeat(64), &"x.".repeat(200)] {
            assert_eq!(Question::Forward(name.to_owned()).packet(1), None, "{name}");
        }
    }

    #[test]
    fn answers_are_addresses_and_names() {
        let found = answer(&forward(), ADDRESS, &[192, 168, 4, 11]);
        assert_eq!(forward().answers(7, &found), Some(vec!["192.168.4.11".to_owned()]));
        let backward = Question::Backward(Ipv4Addr::new(192, 168, 4, 11));
        let found = answer(&backward, POINTER, b"\x09balancer1\x04demo\0");
        assert_eq!(backward.answers(7, &found), Some(vec!["balancer1.demo".to_owned()]));
        // No such name is an answer, too.
        let mut none = forward().packet(7).unwrap();
        [none[2], none[3]] = [0x81, 0x83];
        assert_eq!(forward().answers(7, &none), Some(Vec::new()));
    }

    #[test]
    fn what_answers_something_else_is_no_answer() {
        let found = answer(&forward(), ADDRESS, &[192, 168, 4, 11]);
        assert_eq!(forward().answers(8, &found), None);
        assert_eq!(Question::Forward("balancer2.demo".into()).answers(7, &found), None);
        assert_eq!(forward().answers(7, &forward().packet(7).unwrap()), None);
        let mut refused = found.clone();
        refused[3] = 5;
        assert_eq!(forward().answers(7, &refused), None);
        for length in 0..found.len() {
            assert_eq!(forward().answers(7, &found[..length]), None);
        }
        // A name that leads to itself ends.
        let mut round = forward().packet(7).unwrap();
        [round[2], round[12], round[13]] = [0x81, 0xc0, 12];
        assert_eq!(forward().answers(7, &round), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            let mut packet = forward().packet(7).unwrap();
            [packet[2], packet[7]] = [0x81, 3];
            packet.extend(bytes);
            let _ = forward().answers(7, &packet);
        }
    }
}
