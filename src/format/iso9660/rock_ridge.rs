//! System use entries of Rock Ridge: true names, modes and times behind the identifier of a directory record.

use super::layout::{epoch_of, short_time};
use crate::base::epoch::Epoch;

/// `stat` type bits of a folder.
const S_IFDIR: u32 = 0o040_000;
/// `stat` type bits of a regular file.
const S_IFREG: u32 = 0o100_000;
/// `stat` type bits.
const S_IFMT: u32 = 0o170_000;
/// The protocol's name in the ER entry.
const PROTOCOL: &[u8; 10] = b"RRIP_1991A";
/// TF flags: modification, access and attribute change time, 7 bytes each.
const TIMES: u8 = 0x0e;

/// What the entries of one record say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    /// The name; empty for `.` and `..`.
    pub(super) name: Vec<u8>,
    /// Type and permission bits.
    pub(super) mode: Option<u32>,
    /// Modification time.
    pub(super) modified: Option<Epoch>,
    /// Where more entries are: sector, offset and length.
    pub(super) continued: Option<(u32, u32, u32)>,
    /// Whether SP was there: the mark of a volume that has such entries at all.
    pub(super) marked: bool,
    /// Bytes that SP says to skip in every other record.
    pub(super) skip: usize,
}

/// Type and permission bits of a folder or file.
pub(super) fn mode(permissions: u32, folder: bool) -> u32 {
    (permissions & 0o7777) | if folder { S_IFDIR } else { S_IFREG }
}

/// Whether these bits are a folder's; none when they are neither a folder's nor a file's.
pub(super) fn is_folder(mode: u32) -> Option<bool> {
    match mode & S_IFMT {
        S_IFDIR => Some(true),
        S_IFREG => Some(false),
        _ => None,
    }
}

/// The entries of one record. `first` is set for the root's own record, which announces the protocol.
pub(super) fn entries(name: &str, mode: u32, links: u32, epoch: Epoch, first: bool) -> Vec<u8> {
    let mut out = Vec::new();
    if first {
        out.extend(*b"SP\x07\x01\xbe\xef\x00");
    }
    out.extend(*b"PX\x24\x01");
    for value in [mode, links, 0, 0] {
        out.extend(value.to_le_bytes());
        out.extend(value.to_be_bytes());
    }
    out.extend(*b"TF\x1a\x01");
    out.push(TIMES);
    for _ in 0..3 {
        out.extend(short_time(epoch));
    }
    if first {
        let length = u8::try_from(8 + PROTOCOL.len()).unwrap_or(u8::MAX);
        out.extend([b'E', b'R', length, 1, u8::try_from(PROTOCOL.len()).unwrap_or(u8::MAX), 0, 0, 1]);
        out.extend(PROTOCOL);
    }
    if !name.is_empty() {
        out.extend([b'N', b'M', u8::try_from(5 + name.len()).unwrap_or(u8::MAX), 1, 0]);
        out.extend(name.as_bytes());
    }
    out
}

/// Adds what these entries say; none when one of them is malformed. Unknown ones are passed over, as the protocol
/// asks.
pub(super) fn parse(mut area: &[u8], into: &mut Attributes) -> Option<()> {
    // Padding after the last entry is shorter than an entry's head, or zeros.
    while area.len() >= 4 && area[0] != 0 {
        let length = usize::from(area[2]);
        if length < 4 || length > area.len() {
            return None;
        }
        let (entry, rest) = area.split_at(length);
        let body = &entry[4..];
        match &entry[..2] {
            b"SP" => {
                (body.get(..2)? == [0xbe, 0xef]).then_some(())?;
                into.marked = true;
                into.skip = usize::from(*body.get(2)?);
            }
            b"PX" => into.mode = Some(both(body, 0)?),
            b"TF" => into.modified = Some(modified(body)?),
            // CONTINUE (1) is fine, CURRENT (2) and PARENT (4) are `.` and `..`.
            b"NM" if *body.first()? & 0x06 == 0 => into.name.extend(body.get(1..)?),
            b"CE" => into.continued = Some((both(body, 0)?, both(body, 8)?, both(body, 16)?)),
            b"ST" => return Some(()),
            _ => {}
        }
        area = rest;
    }
    Some(())
}

/// A number in both byte orders that agree.
fn both(body: &[u8], at: usize) -> Option<u32> {
    let little = u32::from_le_bytes(body.get(at..at + 4)?.try_into().ok()?);
    let big = u32::from_be_bytes(body.get(at + 4..at + 8)?.try_into().ok()?);
    (little == big).then_some(little)
}

/// The modification time of a TF entry with short times.
fn modified(body: &[u8]) -> Option<Epoch> {
    let flags = *body.first()?;
    // Bit 0 is the creation time, which comes first; bit 7 says that times are long.
    (flags & 0x82 == 0x02).then_some(())?;
    let at = 1 + 7 * usize::from(flags & 1);
    epoch_of(body.get(at..at + 7)?.try_into().ok()?)
}
