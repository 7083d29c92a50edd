//! Extended attributes: in the inode where all of them fit there, otherwise in a block of their own.

use super::super::checksum::crc32c;
use super::super::layout::{ATTRIBUTE_MAGIC, AttributeBlock, AttributeEntry};
use super::WriteError;
use super::geometry::BLOCK;
use crate::base::byte_text::to_text;
use crate::format::usize_of;
use zerocopy::IntoBytes as _;

/// Bytes of an inode behind its fixed fields.
pub(super) const ROOM: usize = 96;
const ENTRY: usize = size_of::<AttributeEntry>();
const HEADER: usize = size_of::<AttributeBlock>();
/// Names, values and their places are multiples of it.
const PAD: usize = 4;
/// What stands before the attributes in an inode, and behind the last entry in both places.
const WORD: usize = 4;
const LONGEST_NAME: usize = 255;

/// What is kept, and the number that stands for the beginning of the name. ACLs have another form on disk than in
/// a program's hands, `trusted.*` belongs to whoever mounts: neither is made by what images are built from.
const PREFIXES: [(&str, u8); 2] = [("user.", 1), ("security.", 6)];

/// The attributes of one inode.
#[derive(Debug)]
pub(super) enum Attributes {
    /// In the inode: the bytes behind its fixed fields, or none.
    Inside(Vec<u8>),
    /// In a block, whose checksum has its number in it.
    Block(Vec<u8>),
}

impl Attributes {
    /// Encodes attributes; `path` is for messages.
    pub(super) fn new(path: &[u8], attributes: &[(String, Vec<u8>)]) -> Result<Self, WriteError> {
        let mut parts = Vec::new();
        for (whole, value) in attributes {
            let known = PREFIXES.iter().find_map(|(prefix, index)| Some((*index, whole.strip_prefix(prefix)?)));
            match known.filter(|(_, name)| (1..=LONGEST_NAME).contains(&name.len())) {
                Some((index, name)) => parts.push((index, name.as_bytes(), value.as_slice())),
                None => return Err(WriteError::Attribute { path: to_text(path).into_owned(), name: whole.clone() }),
            }
        }
        if parts.is_empty() {
            return Ok(Self::Inside(Vec::new()));
        }
        // The kernel searches a block by number, length and bytes.
        parts.sort_by_key(|(index, name, _)| (*index, name.len(), *name));
        let length: usize = parts
            .iter()
            .map(|(_, name, value)| ENTRY + name.len().next_multiple_of(PAD) + value.len().next_multiple_of(PAD))
            .sum();
        if WORD + length + WORD <= ROOM {
            let mut bytes = ATTRIBUTE_MAGIC.to_le_bytes().to_vec();
            bytes.extend(area(&parts, ROOM - WORD, 0).0);
            return Ok(Self::Inside(bytes));
        }
        if HEADER + length + WORD > usize_of(BLOCK) {
            return Err(WriteError::Attributes { path: to_text(path).into_owned(), length: length as u64 });
        }
        let (area, hashes) = area(&parts, usize_of(BLOCK) - HEADER, HEADER);
        let header = AttributeBlock {
            h_magic: ATTRIBUTE_MAGIC.into(),
            h_refcount: 1.into(),
            h_blocks: 1.into(),
            h_hash: hashes.iter().fold(0_u32, |sum, hash| sum.rotate_left(16) ^ hash).into(),
            h_checksum: 0.into(),
            h_reserved: [0.into(); 3],
        };
        Ok(Self::Block([header.as_bytes(), &area].concat()))
    }
}

/// Puts the checksum into a block of attributes that lies at this block.
pub(super) fn seal(bytes: &mut [u8], block: u64, seed: u32) {
    let sum = crc32c(crc32c(seed, &block.to_le_bytes()), bytes);
    bytes[16..20].copy_from_slice(&sum.to_le_bytes());
}

/// Entries from the front, values from the back. Places of values count from `before` bytes ahead of the area.
fn area(parts: &[(u8, &[u8], &[u8])], length: usize, before: usize) -> (Vec<u8>, Vec<u32>) {
    let mut bytes = vec![0; length];
    let (mut front, mut back) = (0, length);
    let mut hashes = Vec::new();
    for (index, name, value) in parts {
        back -= value.len().next_multiple_of(PAD);
        bytes[back..back + value.len()].copy_from_slice(value);
        let hash = hash(name, &bytes[back..back + value.len().next_multiple_of(PAD)]);
        let place = if value.is_empty() { 0 } else { before + back };
        let entry = AttributeEntry {
            e_name_len: u8::try_from(name.len()).unwrap_or(u8::MAX),
            e_name_index: *index,
            e_value_offs: u16::try_from(place).unwrap_or(u16::MAX).into(),
            e_value_inum: 0.into(),
            e_value_size: u32::try_from(value.len()).unwrap_or(u32::MAX).into(),
            e_hash: hash.into(),
        };
        bytes[front..front + ENTRY].copy_from_slice(entry.as_bytes());
        bytes[front + ENTRY..front + ENTRY + name.len()].copy_from_slice(name);
        front += ENTRY + name.len().next_multiple_of(PAD);
        hashes.push(hash);
    }
    (bytes, hashes)
}

/// Over the name's bytes and the value's words.
fn hash(name: &[u8], value: &[u8]) -> u32 {
    // Bytes of names count as unsigned, as the kernel has it since 6.2; ASCII names are the same either way.
    let sum = name.iter().fold(0_u32, |sum, byte| sum.rotate_left(5) ^ u32::from(*byte));
    let words = value.chunks_exact(PAD).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    words.fold(sum, |sum, word| sum.rotate_left(16) ^ word)
}
