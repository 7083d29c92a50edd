//! The finished disk as sparse extents, readable at any offset by any number of threads.

use std::fs::File;
use std::sync::Arc;

/// A disk's bytes: extents in order, gaps are zeros.
#[derive(Clone, Debug, Default)]
pub struct DiskImage {
    /// Length in bytes.
    pub size: u64,
    /// Sorted by offset, never overlapping.
    pub extents: Vec<Extent>,
}

/// A run of bytes.
#[derive(Clone, Debug)]
pub struct Extent {
    /// Where on the disk.
    pub offset: u64,
    /// How long.
    pub length: u64,
    /// Where the bytes come from.
    pub source: Source,
}

/// Where an extent's bytes come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// From memory (partition tables, metadata).
    Bytes(Arc<[u8]>),
    /// From a (sparse) file, from this offset on.
    File(Arc<File>, u64),
}
