//! LVM2: one physical volume that carries one volume group of linear volumes, with one metadata area.
//!
//! ```text
//! 0        sector 0, unused
//! 512      label "LABELONE", PV header, its extension
//! 4096     metadata area header, then from 4608 on the text that describes the group
//! 1 MiB    first extent (pe_start)
//! ...      extents of 4 MiB
//! ```
//!
//! The text is what LVM 2.03 writes and what GRUB reads: GRUB's parser wants `key = value` with exactly these spaces,
//! the `contents`/`version` trailer behind the group, and `striped` segments of one stripe instead of `linear`.
//! GRUB checks no checksum, LVM all of them.
//! On disk: <https://gitlab.com/lvmteam/lvm2/-/blob/main/lib/format_text/layout.h>

mod dump;
mod layout;
mod read;
mod text;
mod write;

pub use read::{ReadError, read, read_text};
pub use write::{WriteError, write};

use crate::base::ids::LvmId;
use crate::base::size::{EXTENT, MIB};

/// Where the first extent begins within the physical volume.
pub const DATA_START: u64 = MIB;

/// A volume group on one physical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeGroup {
    /// Its name.
    pub name: String,
    /// Its identifier.
    pub id: LvmId,
    /// How often the metadata was changed; 1 when new.
    pub sequence: u64,
    /// The physical volume.
    pub physical: PhysicalVolume,
    /// Logical volumes in the order of the text.
    pub volumes: Vec<LogicalVolume>,
}

/// The physical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhysicalVolume {
    /// Its identifier.
    pub id: LvmId,
    /// Bytes of the partition.
    pub size: u64,
    /// Extents of [`EXTENT`] bytes from [`DATA_START`] on.
    pub extents: u64,
}

/// A linear logical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicalVolume {
    /// Its name.
    pub name: String,
    /// Its identifier.
    pub id: LvmId,
    /// Its parts, in order; growing adds more.
    pub segments: Vec<Segment>,
}

/// Some extents in a row on the physical volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First extent on the physical volume.
    pub start: u64,
    /// How many.
    pub extents: u64,
}

impl Segment {
    /// Where it begins on the physical volume, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        DATA_START + self.start * EXTENT
    }

    /// Its length in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.extents * EXTENT
    }
}

impl LogicalVolume {
    /// Its length in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.segments.iter().map(Segment::size).sum()
    }
}

/// Why a group makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlacementError {
    /// Not LVM's characters.
    #[error("`{0}` is no name for LVM: letters, digits, `_`, `.`, `+` and `-`, not `-` in front, at most 64")]
    Name(String),
    /// Not 32 letters and digits.
    #[error("`{0}` is no LVM identifier: 32 letters and digits are wanted")]
    Id(String),
    /// Used more than once.
    #[error("{what} {value} is used twice")]
    Twice {
        /// `name` or `identifier`.
        what: &'static str,
        /// Which.
        value: String,
    },
    /// The physical volume cannot hold its extents.
    #[error("{extents} extents need {needed} bytes, the physical volume has {size}")]
    Extents {
        /// How many.
        extents: u64,
        /// Bytes they need.
        needed: u128,
        /// Bytes there are.
        size: u64,
    },
    /// A segment leaves the physical volume, or is empty.
    #[error("volume {volume} spans extents {start} to {end}, the physical volume has {extents}")]
    Bounds {
        /// Which.
        volume: String,
        /// Its first extent.
        start: u64,
        /// Its end.
        end: u128,
        /// How many there are.
        extents: u64,
    },
    /// Two segments share an extent.
    #[error("volumes {one} and {other} share extent {extent}")]
    Overlap {
        /// The one that begins earlier.
        one: String,
        /// The other.
        other: String,
        /// The first shared extent.
        extent: u64,
    },
}

impl VolumeGroup {
    /// Checks names, identifiers, bounds and overlaps.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn validate(&self) -> Result<(), PlacementError> {
        let mut ids = std::collections::BTreeSet::new();
        let mut names = std::collections::BTreeSet::new();
        for id in [&self.id, &self.physical.id].into_iter().chain(self.volumes.iter().map(|volume| &volume.id)) {
            if id.0.len() != 32 || !id.0.bytes().all(|c| c.is_ascii_alphanumeric()) {
                return Err(PlacementError::Id(id.0.clone()));
            }
            if !ids.insert(id) {
                return Err(PlacementError::Twice { what: "identifier", value: id.0.clone() });
            }
        }
        check_name(&self.name)?;
        let PhysicalVolume { size, extents, .. } = self.physical;
        let needed = u128::from(DATA_START) + u128::from(extents) * u128::from(EXTENT);
        if needed > u128::from(size) {
            return Err(PlacementError::Extents { extents, needed, size });
        }
        let mut taken: Vec<(u64, u64, &str)> = Vec::new();
        for volume in &self.volumes {
            check_name(&volume.name)?;
            if !names.insert(&volume.name) {
                return Err(PlacementError::Twice { what: "name", value: volume.name.clone() });
            }
            for segment in &volume.segments {
                let end = u128::from(segment.start) + u128::from(segment.extents);
                if segment.extents == 0 || end > u128::from(extents) {
                    let volume = volume.name.clone();
                    return Err(PlacementError::Bounds { volume, start: segment.start, end, extents });
                }
                taken.push((segment.start, segment.extents, &volume.name));
            }
            if volume.segments.is_empty() {
                let volume = volume.name.clone();
                return Err(PlacementError::Bounds { volume, start: 0, end: 0, extents });
            }
        }
        taken.sort_unstable();
        for pair in taken.windows(2) {
            if pair[0].0 + pair[0].1 > pair[1].0 {
                let (one, other) = (pair[0].2.to_owned(), pair[1].2.to_owned());
                return Err(PlacementError::Overlap { one, other, extent: pair[1].0 });
            }
        }
        Ok(())
    }
}

/// LVM's own rule for names, short enough for device-mapper with doubled dashes.
fn check_name(name: &str) -> Result<(), PlacementError> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"_.+-".contains(&c);
    let good = (1..=64).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with(['-', '.']);
    if good { Ok(()) } else { Err(PlacementError::Name(name.to_owned())) }
}

#[cfg(test)]
mod tests;
