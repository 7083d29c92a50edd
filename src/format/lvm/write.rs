//! Writes the label and the metadata area of a new physical volume.

use super::layout::{
    AREA_HEADER, AREA_MAGIC, AREA_OFFSET, AREA_SIZE, EXTENSION_USED, EXTENSION_VERSION, HEADER_OFFSET,
    LABEL_CHECKED_FROM, LABEL_ID, LABEL_KIND, LABEL_SECTOR, Label, Location, MetadataArea, RawLocation, checksum,
};
use super::{DATA_START, PlacementError, VolumeGroup};
use crate::base::size::{EXTENT, SECTOR};
use crate::format::Run;
use std::fmt::Write as _;
use zerocopy::IntoBytes as _;

/// Why a group could not be written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WriteError {
    /// It makes no sense.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// The text has no room.
    #[error("the metadata has {length} bytes, {room} fit")]
    Long {
        /// Its length.
        length: u64,
        /// The room for it.
        room: u64,
    },
}

/// The label's sector and the metadata area, as runs within the physical volume.
///
/// # Errors
/// When the group is not valid or its text too long.
pub fn write(group: &VolumeGroup) -> Result<[Run; 2], WriteError> {
    group.validate()?;
    let mut text = text(group).into_bytes();
    text.push(0);
    let length = text.len() as u64;
    // LVM itself keeps old and new text side by side: no more than half the area each.
    let room = (AREA_SIZE - AREA_HEADER) / 2;
    if length > room {
        return Err(WriteError::Long { length, room });
    }
    let mut area = MetadataArea {
        checksum: 0.into(),
        magic: AREA_MAGIC,
        version: 1.into(),
        start: AREA_OFFSET.into(),
        size: AREA_SIZE.into(),
        raw_locns: [
            RawLocation {
                offset: AREA_HEADER.into(),
                size: length.into(),
                checksum: checksum(&text).into(),
                flags: 0.into(),
            },
            RawLocation { offset: 0.into(), size: 0.into(), checksum: 0.into(), flags: 0.into() },
        ],
        rest: [0; 424],
    };
    area.checksum = checksum(&area.as_bytes()[4..]).into();
    let mut metadata = area.as_bytes().to_vec();
    metadata.extend(text);
    Ok([Run { offset: LABEL_SECTOR * SECTOR, bytes: label(group) }, Run { offset: AREA_OFFSET, bytes: metadata }])
}

fn label(group: &VolumeGroup) -> Vec<u8> {
    let mut pv_uuid = [0; 32];
    pv_uuid.copy_from_slice(group.physical.id.0.as_bytes());
    let end = Location::default();
    let label = Label {
        id: LABEL_ID,
        sector: LABEL_SECTOR.into(),
        crc: 0.into(),
        offset: HEADER_OFFSET.into(),
        kind: LABEL_KIND,
        pv_uuid,
        device_size: group.physical.size.into(),
        data_areas: [Location { offset: DATA_START.into(), size: 0.into() }, end],
        metadata_areas: [Location { offset: AREA_OFFSET.into(), size: AREA_SIZE.into() }, end],
        extension_version: EXTENSION_VERSION.into(),
        extension_flags: EXTENSION_USED.into(),
        bootloader_areas: [end],
    };
    let mut sector = label.as_bytes().to_vec();
    sector.resize(crate::format::usize_of(SECTOR), 0);
    let crc = checksum(&sector[LABEL_CHECKED_FROM..]);
    sector[16..20].copy_from_slice(&crc.to_le_bytes());
    sector
}

/// The text form of the group. Every space matters to GRUB.
pub(super) fn text(group: &VolumeGroup) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_text(&mut out, group);
    out
}

fn write_text(out: &mut String, group: &VolumeGroup) -> std::fmt::Result {
    let physical = &group.physical;
    writeln!(out, "{} {{", group.name)?;
    writeln!(out, "id = \"{}\"", group.id.dashed())?;
    writeln!(out, "seqno = {}", group.sequence)?;
    writeln!(out, "format = \"lvm2\"\nstatus = [\"RESIZEABLE\", \"READ\", \"WRITE\"]\nflags = []")?;
    writeln!(out, "extent_size = {}", EXTENT / SECTOR)?;
    writeln!(out, "max_lv = 0\nmax_pv = 0\nmetadata_copies = 0\n\nphysical_volumes {{\n\npv0 {{")?;
    writeln!(out, "id = \"{}\"", physical.id.dashed())?;
    // The device is only a hint; the machine finds the volume by its identifier.
    writeln!(out, "device = \"/dev/imgbuild\"\n\nstatus = [\"ALLOCATABLE\"]\nflags = []")?;
    writeln!(out, "dev_size = {}", physical.size / SECTOR)?;
    writeln!(out, "pe_start = {}", DATA_START / SECTOR)?;
    writeln!(out, "pe_count = {}\n}}\n}}\n", physical.extents)?;
    if !group.volumes.is_empty() {
        writeln!(out, "logical_volumes {{")?;
        for volume in &group.volumes {
            writeln!(out, "\n{} {{", volume.name)?;
            writeln!(out, "id = \"{}\"", volume.id.dashed())?;
            writeln!(out, "status = [\"READ\", \"WRITE\", \"VISIBLE\"]\nflags = []")?;
            writeln!(out, "creation_time = 0\ncreation_host = \"imgbuild\"")?;
            writeln!(out, "segment_count = {}", volume.segments.len())?;
            let mut start = 0;
            for (number, segment) in (1..).zip(&volume.segments) {
                writeln!(out, "\nsegment{number} {{\nstart_extent = {start}\nextent_count = {}", segment.extents)?;
                writeln!(out, "\ntype = \"striped\"\nstripe_count = 1\n\nstripes = [")?;
                writeln!(out, "\"pv0\", {}\n]\n}}", segment.start)?;
                start += segment.extents;
            }
            writeln!(out, "}}")?;
        }
        writeln!(out, "}}\n")?;
    }
    writeln!(out, "}}\n# Generated by imgbuild\n")?;
    writeln!(out, "contents = \"Text Format Volume Group\"\nversion = 1\n\ndescription = \"imgbuild\"\n")?;
    writeln!(out, "creation_host = \"imgbuild\"\ncreation_time = 0\n")
}
