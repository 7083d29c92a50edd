//! Writes an image whose clusters come in order, already encoded (which any number of threads may do).

use super::layout::{
    CLUSTER, CLUSTER_BITS, COMPRESSED, COMPRESSED_OFFSET_BITS, COMPRESSED_UNIT, COPIED, Compression, Header,
    INCOMPATIBLE_COMPRESSION, L2_ENTRIES, MAGIC, REFCOUNT_ORDER, REFCOUNTS_PER_BLOCK,
};
use crate::base::limits::QCOW2_L1_BYTES;
use crate::format::{is_zero, usize_of};
use std::collections::BTreeMap;
use std::io::{self, Seek, SeekFrom, Write};
use zerocopy::IntoBytes as _;

/// zstd's own default; higher levels gain little on 64 KiB.
const ZSTD_LEVEL: i32 = 3;
const ZLIB_LEVEL: u32 = 6;
/// The widest window with which QEMU inflates.
const ZLIB_WINDOW_BITS: u8 = 12;
const REFCOUNT_TABLE_OFFSET: u64 = CLUSTER;
const L1_OFFSET: u64 = 2 * CLUSTER;

/// Why an image could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The sink failed.
    #[error("the qcow2 image could not be written")]
    Io(#[from] io::Error),
    /// Too large, or no whole sectors.
    #[error("{0} bytes are no size for a qcow2 image: whole sectors, at most 2 PiB, are wanted")]
    Size(u64),
    /// A cluster out of order, or outside the image.
    #[error("cluster {given} came when cluster {wanted} or a later one of {all} was wanted")]
    Order {
        /// Which came.
        given: u64,
        /// The first that might have come.
        wanted: u64,
        /// How many there are.
        all: u64,
    },
}

/// One cluster, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encoded {
    /// Nothing but zeros.
    Zero,
    /// Compressed, shorter than a cluster.
    Compressed(Vec<u8>),
    /// As it is: compressing did not pay.
    Plain(Vec<u8>),
}

impl Encoded {
    /// Bytes that it takes in the file.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Zero => 0,
            Self::Compressed(bytes) | Self::Plain(bytes) => bytes.len() as u64,
        }
    }
}

/// Compresses clusters; one for each thread. The result depends on the cluster alone.
pub struct Encoder {
    inner: Inner,
    buffer: Vec<u8>,
}

enum Inner {
    Zstd(zstd::bulk::Compressor<'static>),
    Zlib(Box<flate2::Compress>),
}

impl Encoder {
    /// An encoder.
    ///
    /// # Errors
    /// When zstd has no memory.
    pub fn new(compression: Compression) -> io::Result<Self> {
        let inner = match compression {
            Compression::Zstd => Inner::Zstd(zstd::bulk::Compressor::new(ZSTD_LEVEL)?),
            Compression::Zlib => Inner::Zlib(Box::new(flate2::Compress::new_with_window_bits(
                flate2::Compression::new(ZLIB_LEVEL),
                false,
                ZLIB_WINDOW_BITS,
            ))),
        };
        Ok(Self { inner, buffer: vec![0; usize_of(CLUSTER)] })
    }

    /// Encodes one cluster; a shorter one at the image's end is filled up with zeros first by the caller.
    ///
    /// # Errors
    /// When the compressor fails, which no input makes it do.
    pub fn encode(&mut self, cluster: &[u8]) -> io::Result<Encoded> {
        if is_zero(cluster) {
            return Ok(Encoded::Zero);
        }
        let length = match &mut self.inner {
            // An output that does not fit is no failure: the cluster stays as it is.
            Inner::Zstd(zstd) => zstd.compress_to_buffer(cluster, &mut self.buffer[..cluster.len() - 1]).ok(),
            Inner::Zlib(zlib) => {
                zlib.reset();
                let end = cluster.len() - 1;
                let status = zlib.compress(cluster, &mut self.buffer[..end], flate2::FlushCompress::Finish)?;
                let written = usize_of(zlib.total_out());
                (status == flate2::Status::StreamEnd).then_some(written)
            }
        };
        Ok(match length {
            Some(length) => Encoded::Compressed(self.buffer[..length].to_vec()),
            None => Encoded::Plain(cluster.to_vec()),
        })
    }
}

/// Writes the clusters that come in order; memory grows with the tables only.
pub struct Writer<W> {
    sink: W,
    size: u64,
    compression: Compression,
    /// L2 tables by number, only those that have data.
    tables: BTreeMap<u64, Vec<u64>>,
    /// References of each cluster of the file.
    references: Vec<u16>,
    /// Where the next compressed cluster goes.
    position: u64,
    next: u64,
}

impl<W: Write + Seek> Writer<W> {
    /// Begins an image of `size` bytes in an empty sink.
    ///
    /// # Errors
    /// When the size is impossible or the sink fails.
    pub fn new(mut sink: W, size: u64, compression: Compression) -> Result<Self, WriteError> {
        let l1_entries = size.div_ceil(CLUSTER * L2_ENTRIES);
        if !size.is_multiple_of(512) || size == 0 || l1_entries > QCOW2_L1_BYTES / 8 {
            return Err(WriteError::Size(size));
        }
        let position = L1_OFFSET + (l1_entries * 8).next_multiple_of(CLUSTER);
        sink.seek(SeekFrom::Start(position))?;
        let references = vec![1; usize_of(position / CLUSTER)];
        Ok(Self { sink, size, compression, tables: BTreeMap::new(), references, position, next: 0 })
    }

    /// Adds a cluster; those left out are zeros.
    ///
    /// # Errors
    /// When clusters come out of order, or the sink fails.
    pub fn push(&mut self, cluster: u64, encoded: &Encoded) -> Result<(), WriteError> {
        let all = self.size.div_ceil(CLUSTER);
        if cluster < self.next || cluster >= all {
            return Err(WriteError::Order { given: cluster, wanted: self.next, all });
        }
        self.next = cluster + 1;
        let entry = match encoded {
            Encoded::Zero => return Ok(()),
            Encoded::Compressed(bytes) => self.compressed(bytes)?,
            Encoded::Plain(bytes) => {
                self.align()?;
                let at = self.append(bytes)?;
                self.align()?;
                at | COPIED
            }
        };
        let table = self.tables.entry(cluster / L2_ENTRIES).or_insert_with(|| vec![0; usize_of(L2_ENTRIES)]);
        table[usize_of(cluster % L2_ENTRIES)] = entry;
        Ok(())
    }

    fn compressed(&mut self, bytes: &[u8]) -> Result<u64, WriteError> {
        let at = self.append(bytes)?;
        // Sectors beyond the first one that are touched.
        let further = (at + bytes.len() as u64 - 1) / COMPRESSED_UNIT - at / COMPRESSED_UNIT;
        Ok(COMPRESSED | further << COMPRESSED_OFFSET_BITS | at)
    }

    /// Writes bytes at the end and counts one reference to each cluster that they touch.
    fn append(&mut self, bytes: &[u8]) -> Result<u64, WriteError> {
        let at = self.position;
        self.sink.write_all(bytes)?;
        self.position += bytes.len() as u64;
        let last = usize_of((self.position - 1) / CLUSTER);
        self.references.resize(self.references.len().max(last + 1), 0);
        for references in &mut self.references[usize_of(at / CLUSTER)..=last] {
            // A compressed cluster has more than one byte: fewer than 2^16 of them begin in 64 KiB.
            *references = references.saturating_add(1);
        }
        Ok(at)
    }

    fn align(&mut self) -> Result<(), WriteError> {
        let gap = self.position.next_multiple_of(CLUSTER) - self.position;
        self.sink.write_all(&vec![0; usize_of(gap)])?;
        self.position += gap;
        Ok(())
    }

    /// Writes the tables, then the header, and gives the sink back, flushed.
    ///
    /// # Errors
    /// When the sink fails.
    pub fn finish(mut self) -> Result<W, WriteError> {
        self.align()?;
        let mut l1 = vec![0_u64; usize_of(self.size.div_ceil(CLUSTER * L2_ENTRIES))];
        for (number, table) in std::mem::take(&mut self.tables) {
            let at = self.append(&big_endian(&table))?;
            l1[usize_of(number)] = at | COPIED;
        }
        let table = self.refcount_blocks()?;
        let header = Header {
            magic: MAGIC,
            version: 3.into(),
            backing_file_offset: 0.into(),
            backing_file_size: 0.into(),
            cluster_bits: CLUSTER_BITS.into(),
            size: self.size.into(),
            crypt_method: 0.into(),
            l1_size: u32::try_from(l1.len()).unwrap_or(u32::MAX).into(),
            l1_table_offset: L1_OFFSET.into(),
            refcount_table_offset: REFCOUNT_TABLE_OFFSET.into(),
            refcount_table_clusters: 1.into(),
            nb_snapshots: 0.into(),
            snapshots_offset: 0.into(),
            incompatible_features: match self.compression {
                Compression::Zstd => INCOMPATIBLE_COMPRESSION.into(),
                Compression::Zlib => 0.into(),
            },
            compatible_features: 0.into(),
            autoclear_features: 0.into(),
            refcount_order: REFCOUNT_ORDER.into(),
            header_length: 112.into(),
            compression_type: self.compression.number(),
            padding: [0; 7],
        };
        self.sink.seek(SeekFrom::Start(REFCOUNT_TABLE_OFFSET))?;
        self.sink.write_all(&big_endian(&table))?;
        self.sink.seek(SeekFrom::Start(L1_OFFSET))?;
        self.sink.write_all(&big_endian(&l1))?;
        self.sink.seek(SeekFrom::Start(0))?;
        // Behind the header an empty extension ends their list: zeros, as the sink has them.
        self.sink.write_all(header.as_bytes())?;
        self.sink.flush()?;
        Ok(self.sink)
    }

    /// Blocks count themselves too, hence the loop.
    fn refcount_blocks(&mut self) -> Result<Vec<u64>, WriteError> {
        let data = self.references.len() as u64;
        let mut blocks = 1;
        while blocks * REFCOUNTS_PER_BLOCK < data + blocks {
            blocks += 1;
        }
        if blocks > CLUSTER / 8 {
            return Err(WriteError::Size(self.size));
        }
        self.references.resize(usize_of(data + blocks), 1);
        self.references.resize(usize_of(blocks * REFCOUNTS_PER_BLOCK), 0);
        let table = (0..blocks).map(|block| self.position + block * CLUSTER).collect();
        let bytes: Vec<u8> = self.references.iter().flat_map(|count| count.to_be_bytes()).collect();
        self.sink.write_all(&bytes)?;
        Ok(table)
    }
}

fn big_endian(entries: &[u64]) -> Vec<u8> {
    entries.iter().flat_map(|entry| entry.to_be_bytes()).collect()
}
