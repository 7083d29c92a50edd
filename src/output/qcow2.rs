//! The compressed qcow2 image, straight from the composed disk.

use super::head_start::HeadStart;
use super::parallel::in_order;
use crate::base::files;
use crate::base::progress::{Progress, Unit};
use crate::disk::DiskImage;
use crate::format::{ReadAt as _, qcow2, usize_of};
use anyhow::{Context as _, Result};
use std::io::BufWriter;
use std::path::Path;

use qcow2::{CLUSTER, Encoded, Encoder, Writer};

pub use qcow2::Compression;

/// Clusters that a thread takes at a time: 1 MiB.
const CLUSTERS_PER_PIECE: u64 = 16;
const PIECE: u64 = CLUSTERS_PER_PIECE * CLUSTER;
/// Bytes collected before the file is written to.
const BUFFER: usize = 1 << 20;

/// Writes the image to a new file, compressed by `jobs` threads; the bytes do not depend on their number.
/// Making it durable is left to whoever renames it.
///
/// # Errors
/// When the file exists or cannot be written, or a source cannot be read.
pub fn write_qcow2(
    image: &DiskImage,
    path: &Path,
    compression: Compression,
    jobs: usize,
    progress: &dyn Progress,
) -> Result<()> {
    let failed = || format!("writing {}", path.display());
    let file = files::create_new(path)?;
    let mut ahead = HeadStart::of(&file).with_context(failed)?;
    let sink = BufWriter::with_capacity(BUFFER, file);
    let mut writer = Writer::new(sink, image.size, compression).with_context(failed)?;
    let phase = progress.phase("write", image.size, Unit::Bytes);
    let start = || Ok((Encoder::new(compression)?, vec![0; usize_of(CLUSTER)]));
    let work = |(encoder, buffer): &mut (Encoder, Vec<u8>), piece: u64| encode_piece(image, piece, encoder, buffer);
    in_order(jobs, image.size.div_ceil(PIECE), start, work, |piece, clusters| {
        for (cluster, encoded) in clusters {
            writer.push(cluster, &encoded).with_context(failed)?;
            ahead.wrote(encoded.length());
        }
        phase.advance(PIECE.min(image.size - piece * PIECE));
        Ok(())
    })?;
    writer.finish().with_context(failed)?;
    ahead.end().with_context(failed)?;
    Ok(())
}

/// The clusters of one piece that are not zero.
fn encode_piece(
    image: &DiskImage,
    piece: u64,
    encoder: &mut Encoder,
    buffer: &mut [u8],
) -> Result<Vec<(u64, Encoded)>> {
    let mut clusters = Vec::new();
    let all = image.size.div_ceil(CLUSTER);
    for cluster in piece * CLUSTERS_PER_PIECE..all.min((piece + 1) * CLUSTERS_PER_PIECE) {
        let offset = cluster * CLUSTER;
        let length = CLUSTER.min(image.size - offset);
        if !image.may_hold_data(offset, length) {
            continue;
        }
        let (bytes, beyond) = buffer.split_at_mut(usize_of(length));
        beyond.fill(0);
        image.read_at(bytes, offset).context("reading the composed disk")?;
        match encoder.encode(buffer).context("compressing a cluster")? {
            Encoded::Zero => {}
            encoded => clusters.push((cluster, encoded)),
        }
    }
    Ok(clusters)
}
