//! The signature of a Linux swap area: one page of 4096 bytes, the rest is whatever it is.
//!
//! Layout: `union swap_header` of <https://github.com/torvalds/linux/blob/master/include/linux/swap.h>.

use super::ReadAt;
use crate::base::ids::Uuid;
use std::io;
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a page; the only size that is written.
pub const PAGE: u64 = 4096;
const HEADER_OFFSET: usize = 1024;
const MAGIC: &[u8; 10] = b"SWAPSPACE2";
const MAGIC_OFFSET: usize = 4086;
const MINIMUM_PAGES: u64 = 10;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    version: U32,
    last_page: U32,
    nr_badpages: U32,
    sws_uuid: [u8; 16],
    sws_volume: [u8; 16],
}

const _: () = assert!(size_of::<Header>() == 44);

/// A swap area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// Its length in bytes, whole pages.
    pub size: u64,
    /// Its UUID.
    pub uuid: Uuid,
    /// Its label, at most 15 bytes.
    pub label: String,
}

/// Why a swap area could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// Too small, too large, or no whole pages.
    #[error("{0} bytes are no size for a swap area: whole pages of 4096 bytes, 10 to 2^32, are wanted")]
    Size(u64),
    /// The label does not fit.
    #[error("label `{0}` is too long for a swap area, 15 bytes fit")]
    Label(String),
    /// Not what it should be.
    #[error("the swap header has a wrong {0}")]
    Field(&'static str),
    /// The source failed or is too short.
    #[error("the swap area could not be read")]
    Io(#[from] io::Error),
}

/// The first page.
///
/// # Errors
/// When size or label do not fit.
pub fn write(swap: &Swap) -> Result<Vec<u8>, SwapError> {
    let pages = swap.size / PAGE;
    let last = u32::try_from(pages.saturating_sub(1)).map_err(|_| SwapError::Size(swap.size))?;
    if pages < MINIMUM_PAGES || !swap.size.is_multiple_of(PAGE) {
        return Err(SwapError::Size(swap.size));
    }
    if swap.label.len() > 15 || swap.label.contains('\0') {
        return Err(SwapError::Label(swap.label.clone()));
    }
    let mut label = [0; 16];
    label[..swap.label.len()].copy_from_slice(swap.label.as_bytes());
    let header = Header {
        version: 1.into(),
        last_page: last.into(),
        nr_badpages: 0.into(),
        sws_uuid: swap.uuid.0,
        sws_volume: label,
    };
    let mut page = vec![0; 4096];
    page[HEADER_OFFSET..HEADER_OFFSET + size_of::<Header>()].copy_from_slice(header.as_bytes());
    page[MAGIC_OFFSET..].copy_from_slice(MAGIC);
    Ok(page)
}

/// Reads the first page of a swap area.
///
/// # Errors
/// When it is none.
pub fn read(source: &dyn ReadAt) -> Result<Swap, SwapError> {
    let page = source.read_vec(0, 4096)?;
    if page[MAGIC_OFFSET..] != *MAGIC {
        return Err(SwapError::Field("signature"));
    }
    let (header, _) = Header::read_from_prefix(&page[HEADER_OFFSET..]).map_err(|_| SwapError::Field("length"))?;
    if header.version.get() != 1 || header.nr_badpages.get() != 0 {
        return Err(SwapError::Field("version or list of bad pages"));
    }
    let size = (u64::from(header.last_page.get()) + 1) * PAGE;
    if size > source.size() || size < MINIMUM_PAGES * PAGE {
        return Err(SwapError::Field("last page"));
    }
    let end = header.sws_volume.iter().position(|byte| *byte == 0).ok_or(SwapError::Field("label"))?;
    let label = std::str::from_utf8(&header.sws_volume[..end]).map_err(|_| SwapError::Field("label"))?;
    Ok(Swap { size, uuid: Uuid(header.sws_uuid), label: label.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn swap_written_and_read_is_the_same() {
        let swap = Swap { size: 1 << 20, uuid: Uuid::derive("test", "swap"), label: "swap".to_owned() };
        let mut bytes = write(&swap).unwrap();
        bytes.resize(1 << 20, 0);
        assert_eq!(read(&bytes).unwrap(), swap);
        bytes.truncate(1 << 19);
        assert_eq!(read(&bytes).unwrap_err().to_string(), "the swap header has a wrong last page");
    }

    #[test]
    fn sizes_and_labels_that_do_not_fit_are_refused() {
        let swap = |size, label: &str| Swap { size, uuid: Uuid([1; 16]), label: label.to_owned() };
        assert!(matches!(write(&swap(4095 * 20, "")), Err(SwapError::Size(_))));
        assert!(matches!(write(&swap(4096, "")), Err(SwapError::Size(_))));
        assert!(matches!(write(&swap(1 << 46, "")), Err(SwapError::Size(_))));
        assert!(matches!(write(&swap(1 << 20, "sixteen letters!")), Err(SwapError::Label(_))));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..8192)) {
            prop_assert!(read(&bytes).is_err());
        }
    }
}
