//! Extended attributes: those in the inode and those in a block of their own.

use super::checksum::crc32c;
use super::inode::Inode;
use super::layout::{ATTRIBUTE_MAGIC, AttributeBlock, AttributeEntry};
use super::{Ext4Error, Filesystem};
use crate::base::byte_text::to_text;
use zerocopy::FromBytes as _;

const BLOCK_HEADER: usize = size_of::<AttributeBlock>();
const ENTRY: usize = size_of::<AttributeEntry>();

/// An extended attribute: its full name and its value as it lies on disk.
pub type Attribute = (String, Vec<u8>);

impl Filesystem<'_> {
    /// The extended attributes of an inode, sorted by name.
    ///
    /// # Errors
    /// When they are damaged, or a value lies in an inode of its own.
    pub fn attributes(&self, inode: &Inode) -> Result<Vec<Attribute>, Ext4Error> {
        let mut found = Vec::new();
        if inode.behind.starts_with(&ATTRIBUTE_MAGIC.to_le_bytes()) {
            let within = &inode.behind[4..];
            entries(inode, within, within, &mut found)?;
        }
        if inode.attribute_block != 0 {
            let bytes = self.read_blocks(inode.attribute_block, 1)?;
            self.check_block(inode, &bytes)?;
            entries(inode, &bytes[BLOCK_HEADER..], &bytes, &mut found)?;
        }
        found.sort();
        if found.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(wrong(inode, "an extended attribute twice"));
        }
        Ok(found)
    }

    fn check_block(&self, inode: &Inode, bytes: &[u8]) -> Result<(), Ext4Error> {
        let header = AttributeBlock::read_from_prefix(bytes);
        let (header, _) = header.map_err(|_| wrong(inode, "a short block of attributes"))?;
        if header.h_magic.get() != ATTRIBUTE_MAGIC || header.h_blocks.get() != 1 {
            return Err(wrong(inode, "a malformed block of attributes"));
        }
        let Some(seed) = self.seed else { return Ok(()) };
        let mut plain = bytes.to_vec();
        plain[16..20].fill(0);
        let sum = crc32c(crc32c(seed, &inode.attribute_block.to_le_bytes()), &plain);
        if sum != header.h_checksum.get() {
            return Err(Ext4Error::Checksum(format!("the attributes of inode {}", inode.number)));
        }
        Ok(())
    }
}

fn wrong(inode: &Inode, what: &'static str) -> Ext4Error {
    Ext4Error::Inode { number: inode.number, what }
}

/// Reads entries until the four zero bytes behind the last; offsets of values count from the start of `values`.
fn entries(inode: &Inode, bytes: &[u8], values: &[u8], found: &mut Vec<Attribute>) -> Result<(), Ext4Error> {
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.get(..4).is_none_or(|end| end == [0; 4]) {
            return Ok(());
        }
        let entry = AttributeEntry::read_from_prefix(rest);
        let (entry, rest) = entry.map_err(|_| wrong(inode, "a malformed extended attribute"))?;
        if entry.e_value_inum.get() != 0 {
            return Err(Ext4Error::Unsupported("attributes in inodes of their own"));
        }
        let name = rest.get(..entry.e_name_len.into()).map(|name| to_text(name).into_owned());
        let prefix = prefix(entry.e_name_index);
        let (start, size) = (usize::from(entry.e_value_offs.get()), entry.e_value_size.get() as usize);
        let value = if size == 0 { Some(&[][..]) } else { values.get(start..).and_then(|rest| rest.get(..size)) };
        let (Some(name), Some(prefix), Some(value)) = (name, prefix, value) else {
            return Err(wrong(inode, "a malformed extended attribute"));
        };
        found.push((format!("{prefix}{name}"), value.to_vec()));
        at += (ENTRY + usize::from(entry.e_name_len)).next_multiple_of(4);
    }
}

fn prefix(index: u8) -> Option<&'static str> {
    Some(match index {
        0 => "",
        1 => "user.",
        2 => "system.posix_acl_access",
        3 => "system.posix_acl_default",
        4 => "trusted.",
        6 => "security.",
        7 => "system.",
        8 => "system.richacl",
        _ => return None,
    })
}
