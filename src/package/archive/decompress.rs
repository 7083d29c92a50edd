//! Indices come as xz, gz, zst or plain; all are bounded while they are unpacked.

use crate::base::digest::{Digest, Hasher};
use crate::base::limits::{INDEX_DECODER_MEMORY_BYTES, ZSTD_WINDOW_LOG};
use std::io::{self, BufReader, Read, Write};

/// How an index is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// `.xz`
    Xz,
    /// `.zst`
    Zstd,
    /// `.gz`
    Gzip,
    /// As it is.
    Plain,
}

/// In order of preference: the smallest first, since networks are slower than decoders.
pub(super) const PREFERRED: [Packing; 4] = [Packing::Xz, Packing::Zstd, Packing::Gzip, Packing::Plain];

/// Why an index could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It grows beyond what was promised or allowed.
    #[error("it unpacks to more than the {limit} bytes {why} for it")]
    TooLong {
        /// Bytes.
        limit: u64,
        /// `promised` or `allowed`.
        why: &'static str,
    },
    /// It is shorter than promised.
    #[error("it unpacks to {found} bytes, {wanted} were promised")]
    Size {
        /// Bytes.
        found: u64,
        /// Bytes promised.
        wanted: u64,
    },
    /// It is not what was promised.
    #[error("it unpacks to digest {found}, {wanted} was promised")]
    Digest {
        /// What it is.
        found: Digest,
        /// What was promised.
        wanted: Digest,
    },
    /// The packed bytes are damaged.
    #[error("it cannot be unpacked: {0}")]
    Damaged(io::Error),
    /// Our own disk failed.
    #[error("writing it: {0}")]
    Disk(io::Error),
}

impl Packing {
    /// What is appended to the file's name.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
            Self::Plain => "",
        }
    }

    fn reader<'a>(self, packed: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        let packed = BufReader::with_capacity(1 << 16, packed);
        Ok(match self {
            Self::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(
                    INDEX_DECODER_MEMORY_BYTES,
                    liblzma::stream::CONCATENATED,
                )?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(packed, stream))
            }
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Box::new(decoder)
            }
            // A single-member decoder would stop silently after the first of several members.
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
            Self::Plain => Box::new(packed),
        })
    }
}

/// Unpacks into `out`, which gets no byte beyond what is promised or allowed; gives size and digest.
///
/// # Errors
/// When the packed bytes are damaged or not what was promised, or `out` fails.
pub fn unpack(
    packing: Packing,
    packed: impl Read,
    out: &mut impl Write,
    promised: Option<(u64, Digest)>,
    allowed: u64,
) -> Result<(u64, Digest), UnpackError> {
    let (limit, why) = match promised {
        Some((size, _)) if size <= allowed => (size, "promised"),
        _ => (allowed, "allowed"),
    };
    let mut reader = packing.reader(packed).map_err(UnpackError::Damaged)?;
    let mut hasher = Hasher::default();
    let mut length = 0_u64;
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(UnpackError::Damaged(error)),
        };
        length += read as u64;
        if length > limit {
            return Err(UnpackError::TooLong { limit, why });
        }
        hasher.write_all(&buffer[..read]).map_err(UnpackError::Disk)?;
        out.write_all(&buffer[..read]).map_err(UnpackError::Disk)?;
    }
    let found = hasher.finish();
    match promised {
        Some((wanted, _)) if wanted != length => Err(UnpackError::Size { found: length, wanted }),
        Some((_, wanted)) if wanted != found => Err(UnpackError::Digest { found, wanted }),
        _ => Ok((length, found)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pack(packing: Packing, bytes: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        match packing {
            Packing::Xz => {
                liblzma::read::XzEncoder::new(bytes, 6).read_to_end(&mut packed).unwrap();
            }
            Packing::Zstd => packed = zstd::encode_all(bytes, 3).unwrap(),
            Packing::Gzip => {
                flate2::read::GzEncoder::new(bytes, flate2::Compression::default()).read_to_end(&mut packed).unwrap();
            }
            Packing::Plain => packed.extend_from_slice(bytes),
        }
        packed
    }

    #[test]
    fn every_packing_is_unpacked_also_in_several_members() {
        for packing in PREFERRED {
            let twice = [pack(packing, b"ab"), pack(packing, b"c")].concat();
            let mut out = Vec::new();
            let promised = Some((3, Digest::of(b"abc")));
            assert_eq!(
                unpack(packing, &twice[..], &mut out, promised, 10).unwrap(),
                (3, Digest::of(b"abc")),
                "{packing:?}"
            );
            assert_eq!(out, b"abc");
        }
    }

    #[test]
    fn bombs_and_other_contents_are_refused() {
        for packing in PREFERRED {
            let bomb = pack(packing, &vec![0; 1 << 20]);
            let cases = [
                (Some((5, Digest::of(b"abc"))), "it unpacks to more than the 5 bytes promised for it".to_owned()),
                (None, "it unpacks to more than the 1000 bytes allowed for it".to_owned()),
                (Some((5000, Digest::of(b""))), "it unpacks to more than the 1000 bytes allowed for it".to_owned()),
            ];
            for (promised, message) in cases {
                let mut out = Vec::new();
                let error = unpack(packing, &bomb[..], &mut out, promised, 1000).unwrap_err();
                assert_eq!(error.to_string(), message, "{packing:?}");
                assert!(out.len() <= 1000);
            }
            let error =
                unpack(packing, &pack(packing, b"abd")[..], &mut Vec::new(), Some((3, Digest::of(b"abc"))), 1000);
            assert!(matches!(error, Err(UnpackError::Digest { .. })), "{packing:?}");
            let error =
                unpack(packing, &pack(packing, b"ab")[..], &mut Vec::new(), Some((3, Digest::of(b"abc"))), 1000);
            assert!(matches!(error, Err(UnpackError::Size { found: 2, wanted: 3 })), "{packing:?}");
        }
    }

    #[test]
    fn cut_files_are_refused() {
        for packing in [Packing::Xz, Packing::Zstd, Packing::Gzip] {
            let packed = pack(packing, b"some text that is long enough");
            let cut = &packed[..packed.len() - 5];
            assert!(unpack(packing, cut, &mut Vec::new(), None, 1000).is_err(), "{packing:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for packing in PREFERRED {
                let _ = unpack(packing, &bytes[..], &mut Vec::new(), None, 1000);
            }
        }
    }
}
