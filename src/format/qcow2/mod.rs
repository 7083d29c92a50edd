//! qcow2, version 3, compressed: clusters of 64 KiB, zstd or raw deflate, no backing file, no snapshots.
//!
//! ```text
//! cluster 0    header
//! cluster 1    refcount table (one cluster: enough for 16 TiB of file)
//! clusters 2.. L1 table
//! then         data: compressed clusters byte after byte, plain ones aligned
//! then         L2 tables, then refcount blocks
//! ```
//!
//! Data goes out as it comes; only the first clusters are written last, so that an interrupted file is no image.
//! QEMU inflates with a window of 4 KiB: a wider one makes clusters that it cannot read.
//! Specification: <https://www.qemu.org/docs/master/interop/qcow2.html>

mod dump;
mod layout;
mod read;
mod write;

pub use layout::{CLUSTER, Compression};
pub use read::{ReadError, Reader};
pub use write::{Encoded, Encoder, WriteError, Writer};

#[cfg(test)]
mod tests;
