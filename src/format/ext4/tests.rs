//! What needs no filesystem made by a tool; the rest is in tests/ext4.rs.

use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn arbitrary_superblocks_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 2048..8192), checked: bool) {
        bytes[1024 + 0x38..1024 + 0x3a].copy_from_slice(&layout::MAGIC.to_le_bytes());
        if !checked {
            // Without METADATA_CSUM, and with small numbers, more of the code is reached.
            bytes[1024 + 0x64..1024 + 0x68].fill(0);
            bytes[1024 + 0x18] &= 3;
            bytes[1024 + 0x19..1024 + 0x1c].fill(0);
            bytes[1024 + 5..1024 + 8].fill(0);
            bytes[1024 + 0x150..1024 + 0x154].fill(0);
        }
        if let Ok(summary) = read(&bytes) {
            prop_assert!(summary.size <= bytes.len() as u64);
        }
        if let Ok(filesystem) = Filesystem::open(&bytes) {
            let _ = filesystem.walk();
        }
    }
}
