//! Patches GRUB's two images for BIOS: where boot.img finds core.img, and core.img the rest of itself.
//!
//! ```text
//! boot.img, 512 bytes                  core.img, first sector (diskboot.img)
//! 0x003..0x05a  BPB, left alone        0x1f4  u64  sector of core.img's second sector
//! 0x05c  u64    sector of core.img     0x1fc  u16  sectors that follow
//! 0x066  2      eb 05 -> 90 90         0x1fe  u16  segment to load them to (0x0820)
//! 0x1b8..       partition records, not ours
//! ```
//!
//! Structures: `struct grub_pc_bios_boot_blocklist` and `boot.S` of <https://git.savannah.gnu.org/cgit/grub.git>.

use crate::base::size::SECTOR;

/// Bytes of the MBR that belong to boot code; partition records and signatures follow.
pub const CODE_AREA: usize = 440;
const KERNEL_SECTOR: usize = 0x5c;
/// A jump over the check for buggy BIOSes; two no-operations make the check happen, as on any hard disk.
const DRIVE_CHECK: usize = 0x66;
const BLOCK_LIST: usize = 0x1f4;
const LOAD_SEGMENT: u16 = 0x0820;
/// core.img is loaded below the BIOS data area's end of low memory.
const MAXIMUM_CORE: usize = 0x78000;

/// Why an image cannot be patched.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GrubError {
    /// Not GRUB's boot.img.
    #[error("boot.img is not the 512 bytes of GRUB 2 that are known")]
    BootImage,
    /// Not GRUB's core.img.
    #[error("core.img does not begin with GRUB 2's diskboot.img")]
    CoreImage,
    /// It does not fit.
    #[error("core.img has {length} bytes, {room} fit")]
    Long {
        /// Its length.
        length: usize,
        /// The room for it.
        room: u64,
    },
}

/// The MBR's code area for a core.img at this sector.
///
/// # Errors
/// When the image is not the known one.
pub fn code_area(boot_img: &[u8], core_sector: u64) -> Result<[u8; CODE_AREA], GrubError> {
    let known = boot_img.len() == 512
        && boot_img[0] == 0xeb
        && boot_img[0x5a..0x5c] == [0x00, 0x80]
        && boot_img[KERNEL_SECTOR..KERNEL_SECTOR + 8] == 1_u64.to_le_bytes()
        && boot_img[DRIVE_CHECK..DRIVE_CHECK + 2] == [0xeb, 0x05]
        && boot_img[510..] == [0x55, 0xaa];
    if !known {
        return Err(GrubError::BootImage);
    }
    let mut code = [0; CODE_AREA];
    code.copy_from_slice(&boot_img[..CODE_AREA]);
    code[0x03..0x5a].fill(0);
    code[KERNEL_SECTOR..KERNEL_SECTOR + 8].copy_from_slice(&core_sector.to_le_bytes());
    code[DRIVE_CHECK..DRIVE_CHECK + 2].fill(0x90);
    Ok(code)
}

/// core.img, padded to whole sectors, for a BIOS boot partition of `room` bytes at this sector.
///
/// # Errors
/// When the image is not the known one or does not fit.
pub fn core(core_img: &[u8], sector: u64, room: u64) -> Result<Vec<u8>, GrubError> {
    let length = core_img.len();
    let sectors = (length as u64).div_ceil(SECTOR);
    if length > MAXIMUM_CORE || sectors * SECTOR > room {
        return Err(GrubError::Long { length, room: room.min(MAXIMUM_CORE as u64) });
    }
    let mut image = core_img.to_vec();
    image.resize(crate::format::usize_of(sectors * SECTOR), 0);
    let known = sectors > 1
        && image[BLOCK_LIST..BLOCK_LIST + 8] == 2_u64.to_le_bytes()
        && u64::from(u16::from_le_bytes([image[0x1fc], image[0x1fd]])) == sectors - 1
        && image[0x1fe..0x200] == LOAD_SEGMENT.to_le_bytes();
    if !known {
        return Err(GrubError::CoreImage);
    }
    image[BLOCK_LIST..BLOCK_LIST + 8].copy_from_slice(&(sector + 1).to_le_bytes());
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot_img() -> Vec<u8> {
        let mut image = vec![0xcc; 512];
        image[..2].copy_from_slice(&[0xeb, 0x63]);
        image[0x5a..0x5c].copy_from_slice(&[0, 0x80]);
        image[0x5c..0x64].copy_from_slice(&1_u64.to_le_bytes());
        image[0x66..0x68].copy_from_slice(&[0xeb, 0x05]);
        image[510..].copy_from_slice(&[0x55, 0xaa]);
        image
    }

    fn core_img() -> Vec<u8> {
        let mut image = vec![0xcc; 1025];
        image[0x1f4..0x1fc].copy_from_slice(&2_u64.to_le_bytes());
        image[0x1fc..0x1fe].copy_from_slice(&2_u16.to_le_bytes());
        image[0x1fe..0x200].copy_from_slice(&0x0820_u16.to_le_bytes());
        image
    }

    #[test]
    fn images_are_patched_where_they_should_be() {
        let code = code_area(&boot_img(), 2048).unwrap();
        assert_eq!(code[0x5c..0x64], 2048_u64.to_le_bytes());
        assert_eq!((code[0x66], code[0x67], code[3], code[0x68]), (0x90, 0x90, 0, 0xcc));
        let core = core(&core_img(), 2048, 1 << 20).unwrap();
        assert_eq!((core.len(), core[0x1f4..0x1fc].to_vec()), (1536, 2049_u64.to_le_bytes().to_vec()));
    }

    #[test]
    fn unknown_images_are_refused() {
        for at in [0, 0x5b, 0x5c, 0x66, 510] {
            let mut image = boot_img();
            image[at] ^= 1;
            assert_eq!(code_area(&image, 2048), Err(GrubError::BootImage), "{at:#x}");
        }
        assert_eq!(code_area(&[], 2048), Err(GrubError::BootImage));
        for at in [0x1f4, 0x1fc, 0x1fe] {
            let mut image = core_img();
            image[at] ^= 1;
            assert_eq!(core(&image, 2048, 1 << 20), Err(GrubError::CoreImage), "{at:#x}");
        }
        assert_eq!(core(&core_img(), 2048, 1024), Err(GrubError::Long { length: 1025, room: 1024 }));
        assert_eq!(core(&[], 2048, 1024), Err(GrubError::CoreImage));
    }
}
