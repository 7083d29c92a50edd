//! Folders, linear or indexed: their entries in the order on disk, each block's checksum verified.

use super::checksum::crc32c;
use super::inode::{Inode, Kind};
use super::layout::{DirectoryHead, TAIL, TAIL_TYPE};
use super::{Ext4Error, Filesystem};
use crate::base::limits;
use crate::format::{ReadAt as _, usize_of};
use zerocopy::FromBytes as _;

const HEAD: usize = size_of::<DirectoryHead>();
/// Where the counts of an index stand: behind `.`, `..` and the root's own fields, or behind an empty entry.
const ROOT_COUNTS: usize = 32;
const NODE_COUNTS: usize = 8;

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The name: no `/`, no zero byte, neither `.` nor `..`.
    pub name: Vec<u8>,
    /// The inode's number.
    pub inode: u32,
    /// The type that the entry tells (1 file, 2 folder, ...).
    pub file_type: u8,
}

impl Filesystem<'_> {
    /// The entries of a folder in the order on disk, without `.` and `..`, which must be right.
    ///
    /// # Errors
    /// When the inode is no folder, or a block of it is damaged.
    pub fn directory(&self, inode: &Inode, parent: u32) -> Result<Vec<DirectoryEntry>, Ext4Error> {
        let wrong = |what| Ext4Error::Inode { number: inode.number, what };
        if inode.kind != Kind::Directory || inode.size == 0 || !inode.size.is_multiple_of(self.block) {
            return Err(wrong("no usable entries of a folder"));
        }
        if inode.size > limits::EXT4_FOLDER_BYTES {
            return Err(Ext4Error::Limit { limit: limits::EXT4_FOLDER_BYTES, what: "bytes in one folder" });
        }
        let contents = self.contents(inode)?;
        let mut found = Vec::new();
        for number in 0..inode.size / self.block {
            let bytes = contents.read_vec(number * self.block, usize_of(self.block))?;
            if contents.is_hole(number * self.block, self.block) {
                return Err(wrong("a hole in its entries"));
            }
            let own = self.block_entries(inode, number, &bytes)?;
            let mut own = own.into_iter();
            if number == 0 {
                let expected = [(&b"."[..], inode.number), (b"..", parent)];
                for (name, points) in expected {
                    if !own.next().is_some_and(|entry| entry.name == name && entry.inode == points) {
                        return Err(wrong("a wrong `.` or `..`"));
                    }
                }
            }
            found.extend(own);
        }
        let special = |entry: &DirectoryEntry| entry.name == b"." || entry.name == b"..";
        if found.iter().any(special) {
            return Err(wrong("a second `.` or `..`"));
        }
        Ok(found)
    }

    /// The entries of one block that are in use.
    fn block_entries(&self, inode: &Inode, number: u64, bytes: &[u8]) -> Result<Vec<DirectoryEntry>, Ext4Error> {
        let wrong = |what| Ext4Error::Inode { number: inode.number, what };
        let length = |head: &DirectoryHead| match head.rec_len.get() {
            // Blocks of 64 KiB: the length does not fit its field.
            0 | 0xffff if bytes.len() > 0xffff => bytes.len(),
            length => usize::from(length),
        };
        let (first, _) = DirectoryHead::read_from_prefix(bytes).map_err(|_| wrong("a short folder"))?;
        let is_node = number > 0 && first.inode.get() == 0 && length(&first) == bytes.len();
        let tail = match inode.is_indexed() {
            true if number == 0 => self.check_index(inode, bytes, ROOT_COUNTS)?,
            true if is_node => self.check_index(inode, bytes, NODE_COUNTS)?,
            _ => self.check_leaf(inode, bytes)?,
        };
        let mut found = Vec::new();
        let mut at = 0;
        while at < bytes.len() - tail {
            let (head, rest) = DirectoryHead::read_from_prefix(&bytes[at..]).map_err(|_| wrong("a short folder"))?;
            let (length, name) = (length(&head), usize::from(head.name_len));
            let fits = length >= HEAD + name && length.is_multiple_of(4) && length <= bytes.len() - tail - at;
            if !fits {
                return Err(wrong("a folder's entry that does not fit its block"));
            }
            if head.inode.get() != 0 {
                let name = &rest[..name];
                if name.is_empty() || name.iter().any(|byte| matches!(byte, 0 | b'/')) {
                    return Err(wrong("a name that no file can have"));
                }
                let (inode, file_type) = (head.inode.get(), head.file_type);
                found.push(DirectoryEntry { name: name.to_vec(), inode, file_type });
            }
            at += length;
        }
        Ok(found)
    }

    /// A block of entries ends with its checksum; gives the length of that end.
    fn check_leaf(&self, inode: &Inode, bytes: &[u8]) -> Result<usize, Ext4Error> {
        let Some(seed) = self.inode_seed(inode.number, inode.generation) else { return Ok(0) };
        let (entries, tail) = bytes.split_at(bytes.len() - TAIL);
        let shape = [0, 0, 0, 0, 12, 0, 0, TAIL_TYPE];
        if tail[..8] != shape || crc32c(seed, entries).to_le_bytes() != tail[8..] {
            return Err(Ext4Error::Checksum(format!("folder {}", inode.number)));
        }
        Ok(TAIL)
    }

    /// A block of the index looks like one with no entries but `.` and `..`; its checksum stands behind the index.
    fn check_index(&self, inode: &Inode, bytes: &[u8], counts: usize) -> Result<usize, Ext4Error> {
        let Some(seed) = self.inode_seed(inode.number, inode.generation) else { return Ok(0) };
        let word = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        let (limit, count) = (word(counts), word(counts + 2));
        let tail = bytes.get(counts + limit * 8..counts + limit * 8 + 8).filter(|_| count <= limit);
        let tail = tail.ok_or(Ext4Error::Inode { number: inode.number, what: "a malformed index" })?;
        let sum = crc32c(seed, &bytes[..counts + count * 8]);
        let sum = crc32c(crc32c(sum, &tail[..4]), &[0; 4]);
        if sum.to_le_bytes() != tail[4..] {
            return Err(Ext4Error::Checksum(format!("the index of folder {}", inode.number)));
        }
        Ok(0)
    }
}
