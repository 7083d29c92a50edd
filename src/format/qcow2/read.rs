//! Reads images of this kind, and what QEMU makes of them as long as nothing foreign (backing file, encryption,
//! snapshots, external data) comes in.

use super::layout::{
    CLUSTER, CLUSTER_BITS, COMPRESSED, COMPRESSED_OFFSET_BITS, COMPRESSED_UNIT, COPIED, Compression, Header,
    INCOMPATIBLE_COMPRESSION, L2_ENTRIES, MAGIC, OFFSET_MASK, REFCOUNT_ORDER,
};
use crate::base::limits::QCOW2_L1_BYTES;
use crate::format::{ReadAt, usize_of};
use std::io;
use std::sync::{Mutex, PoisonError};
use zerocopy::FromBytes as _;

/// A cluster that reads as zeros, whatever its offset says.
const ZERO: u64 = 1;

/// Why an image could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The source failed or is too short.
    #[error("the qcow2 image could not be read")]
    Io(#[from] io::Error),
    /// A field of the header is wrong.
    #[error("the qcow2 header has a wrong {0}")]
    Field(&'static str),
    /// Something that this reader does not do.
    #[error("the qcow2 image uses {0}, which is not supported")]
    Unsupported(&'static str),
}

/// An open image; reads as its disk.
pub struct Reader<S> {
    source: S,
    size: u64,
    compression: Compression,
    l1: Vec<u64>,
    /// The table and the cluster that were used last, by number.
    recent: Mutex<Recent>,
}

#[derive(Default)]
struct Recent {
    table: Option<(u64, Vec<u64>)>,
    cluster: Option<(u64, Vec<u8>)>,
}

/// How many clusters of each kind an image has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Compressed ones.
    pub compressed: u64,
    /// Plain ones.
    pub plain: u64,
    /// Those that are not there: zeros.
    pub absent: u64,
}

impl<S: ReadAt> Reader<S> {
    /// Whether the source begins as a qcow2 image does.
    pub fn is_qcow2(source: &S) -> bool {
        source.read_vec(0, 4).is_ok_and(|magic| magic == MAGIC)
    }

    /// Checks the header and takes the L1 table.
    ///
    /// # Errors
    /// When the header is wrong or asks for what is not supported.
    pub fn open(source: S) -> Result<Self, ReadError> {
        let bytes = source.read_vec(0, size_of::<Header>())?;
        let header = Header::read_from_bytes(&bytes).map_err(|_| ReadError::Field("length"))?;
        if header.magic != MAGIC || header.version.get() != 3 {
            return Err(ReadError::Field("signature or version"));
        }
        let unsupported = [
            (header.backing_file_offset.get() != 0, "a backing file"),
            (header.crypt_method.get() != 0, "encryption"),
            (header.nb_snapshots.get() != 0, "snapshots"),
            (header.cluster_bits.get() != CLUSTER_BITS, "clusters of other than 64 KiB"),
            (header.refcount_order.get() != REFCOUNT_ORDER, "reference counts of other than 16 bits"),
            (header.incompatible_features.get() & !INCOMPATIBLE_COMPRESSION != 0, "an unknown feature"),
        ];
        if let Some((_, what)) = unsupported.iter().find(|(found, _)| *found) {
            return Err(ReadError::Unsupported(what));
        }
        let flagged = header.incompatible_features.get() & INCOMPATIBLE_COMPRESSION != 0;
        let compression = match (flagged, header.header_length.get(), header.compression_type) {
            (false, 104, _) | (false, 105.., 0) => Compression::Zlib,
            (true, 105.., 1) => Compression::Zstd,
            _ => return Err(ReadError::Field("compression type")),
        };
        let size = header.size.get();
        let entries = size.div_ceil(CLUSTER * L2_ENTRIES);
        if size == 0 || u64::from(header.l1_size.get()) < entries || entries * 8 > QCOW2_L1_BYTES {
            return Err(ReadError::Field("size"));
        }
        let l1 = words(&source.read_vec(header.l1_table_offset.get(), usize_of(entries * 8))?);
        // One table that stands for many parts of the disk would make a small file a walk without end.
        let mut tables: Vec<u64> = l1.iter().map(|entry| entry & OFFSET_MASK).filter(|offset| *offset != 0).collect();
        tables.sort_unstable();
        if tables.iter().any(|offset| !offset.is_multiple_of(CLUSTER)) {
            return Err(ReadError::Field("place of an L2 table"));
        }
        if tables.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(ReadError::Field("L1 table: it names an L2 table twice"));
        }
        Ok(Self { source, size, compression, l1, recent: Mutex::default() })
    }

    /// How clusters are compressed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Counts the clusters by kind.
    ///
    /// # Errors
    /// When a table cannot be read.
    pub fn count(&self) -> io::Result<Count> {
        let mut count = Count::default();
        let clusters = self.size.div_ceil(CLUSTER);
        for (number, table) in (0..).zip(&self.l1) {
            let first = number * L2_ENTRIES;
            let end = clusters.min(first + L2_ENTRIES);
            if table & OFFSET_MASK == 0 {
                count.absent += end - first;
                continue;
            }
            for cluster in first..end {
                match self.entry(cluster)? {
                    entry if entry & COMPRESSED != 0 => count.compressed += 1,
                    entry if entry & OFFSET_MASK == 0 || entry & ZERO != 0 => count.absent += 1,
                    _ => count.plain += 1,
                }
            }
        }
        Ok(count)
    }

    fn entry(&self, cluster: u64) -> io::Result<u64> {
        let number = cluster / L2_ENTRIES;
        let at = self.l1.get(usize_of(number)).ok_or_else(|| damaged("a cluster beyond the L1 table"))?;
        if at & OFFSET_MASK == 0 {
            return Ok(0);
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.table.as_ref().is_none_or(|(known, _)| *known != number) {
            let table = self.source.read_vec(at & OFFSET_MASK, usize_of(CLUSTER))?;
            recent.table = Some((number, words(&table)));
        }
        let table = recent.table.as_ref().map(|(_, table)| table.as_slice()).unwrap_or_default();
        table.get(usize_of(cluster % L2_ENTRIES)).copied().ok_or_else(|| damaged("a short L2 table"))
    }

    fn cluster(&self, cluster: u64) -> io::Result<Option<Vec<u8>>> {
        let entry = self.entry(cluster)?;
        let length = usize_of(CLUSTER);
        if entry & COMPRESSED != 0 {
            let at = entry & ((1 << COMPRESSED_OFFSET_BITS) - 1);
            let further = (entry & !COPIED & !COMPRESSED) >> COMPRESSED_OFFSET_BITS;
            let end = (at / COMPRESSED_UNIT + further + 1) * COMPRESSED_UNIT;
            let stored = self.source.read_vec(at, usize_of(end.min(self.source.size()).saturating_sub(at)))?;
            return decompress(self.compression, &stored, length).map(Some);
        }
        if entry & OFFSET_MASK == 0 || entry & ZERO != 0 {
            return Ok(None);
        }
        self.source.read_vec(entry & OFFSET_MASK, length).map(Some)
    }
}

impl<S: ReadAt> ReadAt for Reader<S> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.size);
        let end = end.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let mut at = offset;
        while at < end {
            let number = at / CLUSTER;
            let within = usize_of(at % CLUSTER);
            let length = usize_of((CLUSTER - at % CLUSTER).min(end - at));
            let to = &mut buffer[usize_of(at - offset)..][..length];
            let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, bytes)) = recent.cluster.as_ref().filter(|(known, _)| *known == number) {
                to.copy_from_slice(&bytes[within..within + length]);
            } else {
                drop(recent);
                match self.cluster(number)? {
                    None => to.fill(0),
                    Some(bytes) => {
                        to.copy_from_slice(&bytes[within..within + length]);
                        self.recent.lock().unwrap_or_else(PoisonError::into_inner).cluster = Some((number, bytes));
                    }
                }
            }
            at += length as u64;
        }
        Ok(())
    }

    fn is_hole(&self, offset: u64, length: u64) -> bool {
        let end = offset.saturating_add(length).min(self.size);
        let absent = |entry: u64| entry & COMPRESSED == 0 && (entry & OFFSET_MASK == 0 || entry & ZERO != 0);
        (offset / CLUSTER..end.div_ceil(CLUSTER)).all(|number| self.entry(number).is_ok_and(absent))
    }
}

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the qcow2 image has {what}"))
}

fn words(bytes: &[u8]) -> Vec<u64> {
    let word = |chunk: &[u8]| chunk.iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
    bytes.chunks_exact(8).map(word).collect()
}

/// Decompresses one cluster; what follows it in its last sector is left alone.
fn decompress(compression: Compression, stored: &[u8], length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    match compression {
        Compression::Zlib => {
            let mut inflate = flate2::Decompress::new_with_window_bits(false, 12);
            inflate.decompress(stored, &mut bytes, flate2::FlushDecompress::Finish)?;
            if inflate.total_out() != length as u64 {
                return Err(damaged("a compressed cluster of wrong length"));
            }
        }
        Compression::Zstd => {
            let mut decoder = zstd::stream::raw::Decoder::new()?;
            let mut input = zstd::stream::raw::InBuffer::around(stored);
            let mut output = zstd::stream::raw::OutBuffer::around(bytes.as_mut_slice());
            while output.pos() < length {
                let before = (input.pos(), output.pos());
                zstd::stream::raw::Operation::run(&mut decoder, &mut input, &mut output)?;
                if before == (input.pos(), output.pos()) {
                    return Err(damaged("a compressed cluster of wrong length"));
                }
            }
        }
    }
    Ok(bytes)
}
