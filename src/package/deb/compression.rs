//! Decoders for what deb(5) allows inside a package, each bounded in memory and output.

use crate::base::limits::{DEB_DECODER_MEMORY_BYTES, ZSTD_WINDOW_LOG};
use std::io::{self, BufReader, Read};

/// How a member is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, also of several members.
    Gzip,
    /// xz, also of several streams.
    Xz,
    /// zstd, also of several frames.
    Zstd,
}

impl Compression {
    /// By the ending of a file name: ``, `.gz`, `.xz`, `.zst`.
    #[must_use]
    pub fn of_suffix(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "" => Self::None,
            ".gz" => Self::Gzip,
            ".xz" => Self::Xz,
            ".zst" => Self::Zstd,
            _ => return None,
        })
    }

    /// A decoder over `input` that fails after `limit` bytes of output.
    ///
    /// # Errors
    /// When the decoder cannot be made; whatever is wrong with the input shows when it is read.
    pub fn decoder(self, input: impl Read + Send + 'static, limit: u64) -> io::Result<Box<dyn Read + Send + 'static>> {
        let input = BufReader::with_capacity(64 << 10, input);
        Ok(match self {
            Self::None => Box::new(Limited::new(input, limit)),
            Self::Gzip => Box::new(Limited::new(flate2::bufread::MultiGzDecoder::new(input), limit)),
            Self::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(
                    DEB_DECODER_MEMORY_BYTES,
                    liblzma::stream::CONCATENATED,
                )?;
                Box::new(Limited::new(liblzma::bufread::XzDecoder::new_stream(input, stream), limit))
            }
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Box::new(Limited::new(decoder, limit))
            }
        })
    }
}

/// Fails, instead of ending, when more than the limit comes.
struct Limited<R> {
    inner: R,
    left: u64,
    limit: u64,
}

impl<R> Limited<R> {
    fn new(inner: R, limit: u64) -> Self {
        Self { inner, left: limit, limit }
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(taken as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("unpacks to more than the {} bytes allowed", self.limit))
        })?;
        Ok(taken)
    }
}
