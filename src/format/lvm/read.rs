//! Reads a physical volume back: also one that LVM has rewritten since (grown volumes, several segments).

use super::layout::{
    AREA_HEADER, AREA_MAGIC, AREA_OFFSET, AREA_SIZE, EXTENSION_USED, EXTENSION_VERSION, HEADER_OFFSET,
    LABEL_CHECKED_FROM, LABEL_ID, LABEL_KIND, LABEL_SECTOR, Label, Location, MetadataArea, checksum,
};
use super::text::{Section, TextError, Value, parse};
use super::{DATA_START, LogicalVolume, PhysicalVolume, PlacementError, Segment, VolumeGroup};
use crate::base::ids::LvmId;
use crate::base::size::{EXTENT, SECTOR};
use crate::format::{ReadAt, usize_of};
use std::io;
use zerocopy::{FromBytes as _, IntoBytes as _};

/// Why a physical volume could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The source failed or is too short.
    #[error("the physical volume could not be read")]
    Io(#[from] io::Error),
    /// A field of the label or of the metadata area is wrong.
    #[error("the {structure} has a wrong {field}")]
    Structure {
        /// `label` or `metadata area`.
        structure: &'static str,
        /// Which field.
        field: &'static str,
    },
    /// The text cannot be parsed.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The text lacks something, or says something that is not supported.
    #[error("the metadata text has no usable {0}")]
    Missing(String),
    /// The group makes no sense.
    #[error(transparent)]
    Placement(#[from] PlacementError),
}

/// Reads the volume group of a physical volume.
///
/// # Errors
/// On a wrong checksum, a field out of place, or anything but linear volumes on this one physical volume.
pub fn read(volume: &dyn ReadAt) -> Result<VolumeGroup, ReadError> {
    let id = label(volume)?;
    let group = read_text(&committed_text(volume)?)?;
    if group.physical.id != id {
        return Err(ReadError::Missing("physical volume with the label's identifier".to_owned()));
    }
    if group.physical.size > volume.size() {
        return Err(ReadError::Missing("size of the physical volume".to_owned()));
    }
    Ok(group)
}

/// Reads a volume group from the text of its metadata alone.
///
/// # Errors
/// On anything but linear volumes on one physical volume.
pub fn read_text(text: &str) -> Result<VolumeGroup, ReadError> {
    let group = group(&parse(text)?)?;
    group.validate()?;
    Ok(group)
}

fn check(structure: &'static str, checks: &[(bool, &'static str)]) -> Result<(), ReadError> {
    match checks.iter().find(|(holds, _)| !holds) {
        Some((_, field)) => Err(ReadError::Structure { structure, field }),
        None => Ok(()),
    }
}

fn label(volume: &dyn ReadAt) -> Result<LvmId, ReadError> {
    let sector = volume.read_vec(LABEL_SECTOR * SECTOR, usize_of(SECTOR))?;
    let wrong = |field| ReadError::Structure { structure: "label", field };
    let (label, _) = Label::read_from_prefix(&sector).map_err(|_| wrong("length"))?;
    let area = Location { offset: AREA_OFFSET.into(), size: AREA_SIZE.into() };
    let end = Location::default();
    let checks = [
        (label.id == LABEL_ID, "signature"),
        (label.sector.get() == LABEL_SECTOR, "sector"),
        (label.crc.get() == checksum(&sector[LABEL_CHECKED_FROM..]), "checksum"),
        (label.offset.get() == HEADER_OFFSET, "offset of the header"),
        (label.kind == LABEL_KIND, "type"),
        (label.data_areas == [Location { offset: DATA_START.into(), size: 0.into() }, end], "data area"),
        (label.metadata_areas == [area, end], "metadata area"),
        (label.extension_version.get() == EXTENSION_VERSION, "version of the extension"),
        (label.extension_flags.get() == EXTENSION_USED, "flag"),
        (label.bootloader_areas == [end], "bootloader area"),
        (label.device_size.get() <= volume.size(), "device size"),
    ];
    check("label", &checks)?;
    let id = std::str::from_utf8(&label.pv_uuid).map_err(|_| wrong("identifier"))?;
    Ok(LvmId(id.to_owned()))
}

fn committed_text(volume: &dyn ReadAt) -> Result<String, ReadError> {
    let bytes = volume.read_vec(AREA_OFFSET, usize_of(AREA_SIZE))?;
    let wrong = |field| ReadError::Structure { structure: "metadata area", field };
    let (area, _) = MetadataArea::read_from_prefix(&bytes).map_err(|_| wrong("length"))?;
    let place = area.raw_locns[0];
    let (offset, size) = (place.offset.get(), place.size.get());
    let checks = [
        (area.magic == AREA_MAGIC, "signature"),
        (area.checksum.get() == checksum(&area.as_bytes()[4..]), "checksum"),
        (area.version.get() == 1, "version"),
        (area.start.get() == AREA_OFFSET, "start"),
        (area.size.get() == AREA_SIZE, "size"),
        (place.flags.get() == 0, "flag"),
        ((AREA_HEADER..AREA_SIZE).contains(&offset), "offset of the text"),
        ((1..=AREA_SIZE - AREA_HEADER).contains(&size), "length of the text"),
    ];
    check("metadata area", &checks)?;
    let straight = size.min(AREA_SIZE - offset);
    let mut text = bytes[usize_of(offset)..usize_of(offset + straight)].to_vec();
    // LVM writes around the end of the area, which goes on behind the header.
    text.extend(&bytes[usize_of(AREA_HEADER)..usize_of(AREA_HEADER + size - straight)]);
    check("metadata area", &[(checksum(&text) == place.checksum.get(), "checksum of the text")])?;
    if text.pop() != Some(0) {
        return Err(wrong("end of the text"));
    }
    String::from_utf8(text).map_err(|_| wrong("encoding of the text"))
}

fn missing(what: impl Into<String>) -> ReadError {
    ReadError::Missing(what.into())
}

fn group(root: &Section) -> Result<VolumeGroup, ReadError> {
    if root.text("contents") != Some("Text Format Volume Group") || root.number("version") != Some(1) {
        return Err(missing("contents and version"));
    }
    let mut sections = root.0.iter().filter_map(|(name, value)| match value {
        Value::Section(section) => Some((name, section)),
        _ => None,
    });
    let (Some((name, section)), None) = (sections.next(), sections.next()) else {
        return Err(missing("single volume group"));
    };
    if section.number("extent_size") != Some(EXTENT / SECTOR) {
        return Err(missing("extent_size"));
    }
    let physical = section.section("physical_volumes").ok_or_else(|| missing("physical_volumes"))?;
    let [(physical_name, Value::Section(physical))] = physical.0.as_slice() else {
        return Err(missing("single physical volume"));
    };
    if physical.number("pe_start") != Some(DATA_START / SECTOR) {
        return Err(missing("pe_start"));
    }
    let mut volumes = Vec::new();
    for (name, value) in section.section("logical_volumes").map_or(&[][..], |list| &list.0) {
        let Value::Section(volume) = value else { return Err(missing(format!("volume {name}"))) };
        volumes.push(logical(name, volume, physical_name)?);
    }
    Ok(VolumeGroup {
        name: name.clone(),
        id: id(section, "group")?,
        sequence: section.number("seqno").ok_or_else(|| missing("seqno"))?,
        physical: PhysicalVolume {
            id: id(physical, "physical volume")?,
            size: physical
                .number("dev_size")
                .and_then(|size| size.checked_mul(SECTOR))
                .ok_or_else(|| missing("dev_size"))?,
            extents: physical.number("pe_count").ok_or_else(|| missing("pe_count"))?,
        },
        volumes,
    })
}

fn logical(name: &str, section: &Section, physical: &str) -> Result<LogicalVolume, ReadError> {
    let lacking = |what: &str| missing(format!("{what} of volume {name}"));
    let count = section.number("segment_count").ok_or_else(|| lacking("segment_count"))?;
    let found = section.0.iter().filter(|(_, value)| matches!(value, Value::Section(_))).count();
    if found as u64 != count {
        return Err(lacking("segment_count"));
    }
    let mut segments: Vec<Segment> = Vec::new();
    let mut next = 0_u64;
    for number in 1..=count {
        let part = section.section(&format!("segment{number}")).ok_or_else(|| lacking("segment"))?;
        let extents = part.number("extent_count").ok_or_else(|| lacking("extent_count"))?;
        if part.number("start_extent") != Some(next) {
            return Err(lacking("start_extent"));
        }
        if part.text("type") != Some("striped") || part.number("stripe_count") != Some(1) {
            return Err(lacking("linear segment"));
        }
        match part.list("stripes") {
            Some([Value::Text(on), Value::Number(start)]) if on == physical => {
                segments.push(Segment { start: *start, extents });
            }
            _ => return Err(lacking("stripes")),
        }
        next = next.checked_add(extents).ok_or_else(|| lacking("extent_count"))?;
    }
    Ok(LogicalVolume { name: name.to_owned(), id: id(section, name)?, segments })
}

fn id(section: &Section, of: &str) -> Result<LvmId, ReadError> {
    let text = section.text("id").ok_or_else(|| missing(format!("id of {of}")))?;
    let id = LvmId(text.chars().filter(|c| *c != '-').collect());
    if id.dashed() == text { Ok(id) } else { Err(missing(format!("id of {of}"))) }
}
