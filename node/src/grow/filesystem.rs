//! How large the filesystem on a device is, from its superblock: whether growing or formatting is needed at all.

use std::os::unix::fs::FileExt;

/// What a device holds, as far as growing is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// ext2, ext3 or ext4 of so many bytes.
    Ext4(u64),
    /// XFS of so many bytes.
    Xfs(u64),
    /// Something else, or nothing.
    Other,
}

/// Bytes of the device that are looked at.
const HEAD: usize = 4096;

/// Reads the superblock.
pub(crate) fn read(device: &impl FileExt) -> std::io::Result<Content> {
    let mut head = [0; HEAD];
    device.read_exact_at(&mut head, 0)?;
    Ok(ext4(&head).map(Content::Ext4).or_else(|| xfs(&head).map(Content::Xfs)).unwrap_or(Content::Other))
}

/// The superblock at byte 1024: <https://docs.kernel.org/filesystems/ext4/globals.html#super-block>.
fn ext4(head: &[u8; HEAD]) -> Option<u64> {
    const INCOMPAT_64BIT: u32 = 0x80;
    let field = |at: usize| head.get(1024 + at..1028 + at)?.try_into().ok().map(u32::from_le_bytes);
    if head.get(1024 + 0x38..1024 + 0x3a)? != [0x53, 0xef] {
        return None;
    }
    let low = u64::from(field(0x4)?);
    let high = if field(0x60)? & INCOMPAT_64BIT == 0 { 0 } else { u64::from(field(0x150)?) };
    let shift = 10_u32.checked_add(field(0x18)?).filter(|shift| *shift <= 16)?;
    (high << 32 | low).checked_mul(1 << shift)
}

/// The superblock at byte 0, big endian: magic, u32 block size, u64 data blocks.
fn xfs(head: &[u8; HEAD]) -> Option<u64> {
    if !head.starts_with(b"XFSB") {
        return None;
    }
    let size = u32::from_be_bytes(head.get(4..8)?.try_into().ok()?);
    let blocks = u64::from_be_bytes(head.get(8..16)?.try_into().ok()?);
    blocks.checked_mul(u64::from(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn superblocks_give_the_size_in_bytes() {
        let mut head = [0_u8; HEAD];
        assert_eq!((ext4(&head), xfs(&head)), (None, None));
        head[1024 + 0x38..1024 + 0x3a].copy_from_slice(&[0x53, 0xef]);
        head[1028..1032].copy_from_slice(&1000_u32.to_le_bytes());
        head[1024 + 0x18] = 2;
        assert_eq!(ext4(&head), Some(4_096_000));
        head[1024 + 0x60] = 0x80;
        head[1024 + 0x150] = 1;
        assert_eq!(ext4(&head), Some((1 << 44) + 4_096_000));
        head[1024 + 0x18] = 200;
        assert_eq!(ext4(&head), None);
        head[..16].copy_from_slice(b"XFSB\0\0\x10\0\0\0\0\0\0\0\0\x05");
        assert_eq!(xfs(&head), Some(20_480));
    }
}
