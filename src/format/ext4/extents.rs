//! Where a file's contents lie: its extent tree, and the contents read through it.

use super::checksum::crc32c;
use super::inode::Inode;
use super::layout::{EXTENT_MAGIC, ExtentHeader, ExtentIndex, ExtentLeaf, FLAG_EXTENTS, UNWRITTEN};
use super::{Ext4Error, Filesystem};
use crate::base::limits;
use crate::format::{ReadAt, usize_of};
use std::io;
use zerocopy::FromBytes as _;

/// Deepest extent tree that there can be.
const DEEPEST: u16 = 5;
const ENTRY: usize = 12;

/// Some blocks in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Which block of the file comes first.
    pub logical: u64,
    /// Where that lies on the filesystem, in blocks.
    pub physical: u64,
    /// How many.
    pub blocks: u64,
    /// Whether they were written; otherwise they read as zeros.
    pub written: bool,
}

/// The contents of a file, readable at any offset; holes are zeros.
pub struct Contents<'a> {
    filesystem: &'a Filesystem<'a>,
    extents: Vec<Extent>,
    size: u64,
}

impl<'a> Filesystem<'a> {
    /// The extents of a file or folder in order.
    ///
    /// # Errors
    /// When the tree is damaged, or the inode maps its blocks in the old way.
    pub fn extents(&self, inode: &Inode) -> Result<Vec<Extent>, Ext4Error> {
        if inode.flags & FLAG_EXTENTS == 0 {
            let empty = inode.size == 0 && crate::format::is_zero(&inode.block);
            return if empty { Ok(Vec::new()) } else { Err(Ext4Error::Unsupported("block maps")) };
        }
        let mut found = Vec::new();
        self.node(inode, &inode.block, None, &mut found)?;
        Ok(found)
    }

    /// The contents of a file, folder or symbolic link.
    ///
    /// # Errors
    /// As [`Filesystem::extents`].
    pub fn contents(&'a self, inode: &Inode) -> Result<Contents<'a>, Ext4Error> {
        Ok(Contents { filesystem: self, extents: self.extents(inode)?, size: inode.size })
    }

    fn node(&self, inode: &Inode, bytes: &[u8], above: Option<u16>, found: &mut Vec<Extent>) -> Result<(), Ext4Error> {
        let wrong = |what| Ext4Error::Inode { number: inode.number, what };
        let (header, rest) = ExtentHeader::read_from_prefix(bytes).map_err(|_| wrong("a short extent tree"))?;
        let (entries, most, depth) = (header.eh_entries.get(), header.eh_max.get(), header.eh_depth.get());
        let is_deep = depth > DEEPEST || above.is_some_and(|above| depth.checked_add(1) != Some(above));
        if header.eh_magic.get() != EXTENT_MAGIC || entries > most || is_deep {
            return Err(wrong("a malformed extent tree"));
        }
        if above.is_some() {
            self.check_tail(inode, bytes, usize::from(most))?;
        }
        let entries = rest.chunks_exact(ENTRY).take(entries.into());
        if entries.len() != usize::from(header.eh_entries.get()) {
            return Err(wrong("a malformed extent tree"));
        }
        for entry in entries {
            let next = found.last().map_or(0, |last| last.logical + last.blocks);
            if depth == 0 {
                let leaf = ExtentLeaf::read_from_bytes(entry).map_err(|_| wrong("a short extent tree"))?;
                let extent = extent(&leaf);
                let end = extent.physical.checked_add(extent.blocks).filter(|end| *end <= self.blocks);
                if extent.logical < next || extent.blocks == 0 || extent.physical == 0 || end.is_none() {
                    return Err(wrong("extents out of order or outside of the filesystem"));
                }
                if found.len() as u64 >= limits::EXT4_EXTENTS {
                    return Err(Ext4Error::Limit { limit: limits::EXT4_EXTENTS, what: "extents of one file" });
                }
                found.push(extent);
            } else {
                let index = ExtentIndex::read_from_bytes(entry).map_err(|_| wrong("a short extent tree"))?;
                let before = found.len();
                let block = u64::from(index.ei_leaf_lo.get()) | u64::from(index.ei_leaf_hi.get()) << 32;
                let bytes = self.read_blocks(block, 1)?;
                self.node(inode, &bytes, Some(depth), found)?;
                // An empty node, or one whose extents come too early, could make the tree endless.
                if found.get(before).is_none_or(|first| first.logical < u64::from(index.ei_block.get()).max(next)) {
                    return Err(wrong("a malformed extent tree"));
                }
            }
        }
        Ok(())
    }

    fn check_tail(&self, inode: &Inode, bytes: &[u8], most: usize) -> Result<(), Ext4Error> {
        let Some(seed) = self.inode_seed(inode.number, inode.generation) else { return Ok(()) };
        let at = ENTRY + most * ENTRY;
        let Some(tail) = bytes.get(at..at + 4) else {
            return Err(Ext4Error::Inode { number: inode.number, what: "a malformed extent tree" });
        };
        if crc32c(seed, &bytes[..at]).to_le_bytes() == tail {
            return Ok(());
        }
        Err(Ext4Error::Checksum(format!("the extents of inode {}", inode.number)))
    }
}

fn extent(leaf: &ExtentLeaf) -> Extent {
    let length = leaf.ee_len.get();
    let written = length <= UNWRITTEN;
    Extent {
        logical: leaf.ee_block.get().into(),
        physical: u64::from(leaf.ee_start_lo.get()) | u64::from(leaf.ee_start_hi.get()) << 32,
        blocks: u64::from(if written { length } else { length - UNWRITTEN }),
        written,
    }
}

impl Contents<'_> {
    /// The extents from the one on that holds this block or comes after it.
    fn from(&self, block: u64) -> &[Extent] {
        let first = self.extents.partition_point(|extent| extent.logical + extent.blocks <= block);
        &self.extents[first..]
    }
}

impl ReadAt for Contents<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.size);
        let end = end.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        buffer.fill(0);
        let block = self.filesystem.block;
        for extent in self.from(offset / block) {
            let start = extent.logical * block;
            if start >= end {
                break;
            }
            let (from, to) = (offset.max(start), end.min(start + extent.blocks * block));
            if extent.written && from < to {
                let within = usize_of(from - offset)..usize_of(to - offset);
                self.filesystem.source.read_at(&mut buffer[within], extent.physical * block + from - start)?;
            }
        }
        Ok(())
    }

    fn is_hole(&self, offset: u64, length: u64) -> bool {
        let block = self.filesystem.block;
        let end = offset.saturating_add(length);
        self.from(offset / block).iter().take_while(|extent| extent.logical * block < end).all(|extent| !extent.written)
    }
}
