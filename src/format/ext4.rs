//! The superblock of an ext4 filesystem, read only: `mke2fs` of the tools root writes it.
//!
//! Layout: <https://docs.kernel.org/filesystems/ext4/globals.html#super-block>

use super::ReadAt;
use crate::base::ids::Uuid;
use std::io;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

const SUPERBLOCK_OFFSET: u64 = 1024;
const MAGIC: u16 = 0xef53;
/// Inodes that ext4 keeps for itself; the eleventh is lost+found.
pub const RESERVED_INODES: u64 = 10;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Superblock {
    s_inodes_count: U32,
    s_blocks_count_lo: U32,
    s_r_blocks_count_lo: U32,
    s_free_blocks_count_lo: U32,
    s_free_inodes_count: U32,
    s_first_data_block: U32,
    s_log_block_size: U32,
    between_1: [u8; 28],
    s_magic: U16,
    s_state: U16,
    between_2: [u8; 36],
    s_feature_incompat: U32,
    s_feature_ro_compat: U32,
    s_uuid: [u8; 16],
    s_volume_name: [u8; 16],
    between_3: [u8; 200],
    s_blocks_count_hi: U32,
    s_r_blocks_count_hi: U32,
    s_free_blocks_count_hi: U32,
    rest: [u8; 676],
}

const _: () = assert!(size_of::<Superblock>() == 1024);
const _: () = assert!(std::mem::offset_of!(Superblock, s_magic) == 0x38);
const _: () = assert!(std::mem::offset_of!(Superblock, s_uuid) == 0x68);
const _: () = assert!(std::mem::offset_of!(Superblock, s_blocks_count_hi) == 0x150);

/// What a superblock says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Filesystem UUID.
    pub uuid: Uuid,
    /// Its label.
    pub label: String,
    /// Bytes of the filesystem.
    pub size: u64,
    /// Bytes of free blocks.
    pub free: u64,
    /// Inodes there are.
    pub inodes: u64,
    /// Inodes that are free.
    pub free_inodes: u64,
}

/// Why a superblock could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Ext4Error {
    /// The source failed or is too short.
    #[error("the superblock could not be read")]
    Io(#[from] io::Error),
    /// Not what it should be.
    #[error("the ext4 superblock has a wrong {0}")]
    Field(&'static str),
}

/// Reads the superblock.
///
/// # Errors
/// When there is none, or its numbers contradict one another or the source's size.
pub fn read(source: &dyn ReadAt) -> Result<Summary, Ext4Error> {
    let bytes = source.read_vec(SUPERBLOCK_OFFSET, size_of::<Superblock>())?;
    let superblock = Superblock::read_from_bytes(&bytes).map_err(|_| Ext4Error::Field("length"))?;
    if superblock.s_magic.get() != MAGIC {
        return Err(Ext4Error::Field("signature"));
    }
    let block = match superblock.s_log_block_size.get() {
        log @ 0..=6 => 1024_u64 << log,
        _ => return Err(Ext4Error::Field("block size")),
    };
    let wide = |low: U32, high: U32| u64::from(low.get()) | u64::from(high.get()) << 32;
    let bytes_of = |blocks: u64, field| blocks.checked_mul(block).ok_or(Ext4Error::Field(field));
    let size = bytes_of(wide(superblock.s_blocks_count_lo, superblock.s_blocks_count_hi), "number of blocks")?;
    let free = bytes_of(wide(superblock.s_free_blocks_count_lo, superblock.s_free_blocks_count_hi), "free blocks")?;
    let (inodes, free_inodes) = (superblock.s_inodes_count.get().into(), superblock.s_free_inodes_count.get().into());
    if size > source.size() || size == 0 {
        return Err(Ext4Error::Field("number of blocks"));
    }
    if free > size || free_inodes > inodes {
        return Err(Ext4Error::Field("number of free blocks or inodes"));
    }
    let name = &superblock.s_volume_name;
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    let label = String::from_utf8_lossy(&name[..end]).into_owned();
    Ok(Summary { uuid: Uuid(superblock.s_uuid), label, size, free, inodes, free_inodes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn arbitrary_superblocks_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 2048..4096)) {
            bytes[1024 + 0x38..1024 + 0x3a].copy_from_slice(&MAGIC.to_le_bytes());
            if let Ok(summary) = read(&bytes) {
                prop_assert!(summary.size <= bytes.len() as u64);
            }
        }
    }
}
