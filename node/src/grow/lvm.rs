//! Reads a volume group's layout straight from its physical volume, so that a boot on which nothing is to be done
//! costs a few reads instead of half a dozen lvm calls. Nothing is written here: changes are lvm's own affair.
//!
//! On disk: the label in one of the first four sectors points to the header, which points to the metadata area; its
//! header points to a text in a ring buffer that begins one sector after it.

use std::os::unix::fs::FileExt;

const SECTOR: u64 = 512;
/// The label is in one of these sectors.
const LABEL_SECTORS: u64 = 4;
/// LVM's own bound is the metadata area, one MiB by default; far beyond any group of ours.
const TEXT_LIMIT: u64 = 16 << 20;
/// Sections within sections; LVM writes four.
const DEPTH_LIMIT: u32 = 16;

/// A volume group as its metadata describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// Its name.
    pub name: String,
    /// Counts up with every change.
    pub seqno: u64,
    /// Bytes of an extent.
    pub extent_size: u64,
    /// Extents of every physical volume, with the first byte of its data, by LVM id.
    pub physical: Vec<Physical>,
    /// Every logical volume, internal ones too.
    pub logical: Vec<Logical>,
}

/// A logical volume in the metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Logical {
    /// Its name.
    pub name: String,
    /// Extents that it takes from physical volumes itself.
    pub extents: u64,
    /// Whether all its segments lie on physical volumes: no thin, mirrored or cached volume.
    pub plain: bool,
    /// Extents of the segment that is being read.
    segment: u64,
}

/// A physical volume in the metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Physical {
    /// Its LVM id, without dashes.
    pub id: String,
    /// Where its first extent begins, in bytes.
    pub start: u64,
    /// How many extents it has.
    pub extents: u64,
}

/// The LVM id of the physical volume on this device and the group it belongs to; none when it is no physical volume
/// or its metadata cannot be read.
pub(crate) fn read(device: &impl FileExt) -> Option<(String, Group)> {
    let (id, area) = label(device)?;
    let header = bytes(device, area, SECTOR)?;
    (header.get(4..20)? == b" LVM2 x[5A%r0N*>").then_some(())?;
    let (size, offset, length) = (u64_at(&header, 32)?, u64_at(&header, 40)?, u64_at(&header, 48)?);
    if offset < SECTOR || offset >= size || length > size - SECTOR || length > TEXT_LIMIT {
        return None;
    }
    let first = length.min(size - offset);
    let mut text = bytes(device, area.checked_add(offset)?, first)?;
    text.extend(bytes(device, area.checked_add(SECTOR)?, length - first)?);
    Some((id, parse(std::str::from_utf8(&text).ok()?)?))
}

/// The LVM id and where the first metadata area is.
fn label(device: &impl FileExt) -> Option<(String, u64)> {
    let start = bytes(device, 0, LABEL_SECTORS * SECTOR)?;
    let sector = start.chunks(512).find(|s| s.starts_with(b"LABELONE") && s.get(24..32) == Some(b"LVM2 001"))?;
    let header = sector.get(usize::try_from(u32_at(sector, 20)?).ok()?..)?;
    let id = String::from_utf8(header.get(..32)?.to_vec()).ok()?;
    // Two lists of (offset, size), each ended by a zero offset: data areas, then metadata areas.
    let mut at = 40;
    while u64_at(header, at)? != 0 {
        at += 16;
    }
    let area = u64_at(header, at + 16)?;
    (area != 0).then_some((id, area))
}

fn bytes(device: &impl FileExt, offset: u64, length: u64) -> Option<Vec<u8>> {
    let mut buffer = vec![0; usize::try_from(length).ok()?];
    device.read_exact_at(&mut buffer, offset).ok()?;
    Some(buffer)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

/// Reads LVM's text: `name { key = value ... section { ... } }`.
pub(crate) fn parse(text: &str) -> Option<Group> {
    let mut parser = Parser { words: words(text), at: 0 };
    let mut group = Group::default();
    parser.section(&mut Vec::new(), &mut group, 0)?;
    let whole = !group.name.is_empty() && group.extent_size > 0 && group.seqno > 0;
    whole.then_some(group)
}

#[derive(Debug, PartialEq)]
enum Word<'a> {
    Mark(char),
    Text(&'a str),
}

struct Parser<'a> {
    words: Vec<Word<'a>>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Option<&Word<'a>> {
        self.at += 1;
        self.words.get(self.at - 1)
    }

    /// One section's contents up to its `}` or the end.
    fn section(&mut self, path: &mut Vec<&'a str>, group: &mut Group, depth: u32) -> Option<()> {
        if depth > DEPTH_LIMIT {
            return None;
        }
        loop {
            let key = match self.next() {
                None => return (depth == 0).then_some(()),
                Some(Word::Mark('}')) => return (depth > 0).then_some(()),
                Some(Word::Mark(_)) => return None,
                Some(Word::Text(key)) => *key,
            };
            match self.next()? {
                Word::Mark('{') => {
                    path.push(key);
                    group.enter(path);
                    self.section(path, group, depth + 1)?;
                    path.pop();
                }
                Word::Mark('=') => {
                    if let Some(value) = self.value()? {
                        group.set(path, key, value)?;
                    }
                }
                _ => return None,
            }
        }
    }

    /// A plain value, or none for a list, which nothing here needs.
    fn value(&mut self) -> Option<Option<&'a str>> {
        match self.next()? {
            Word::Text(value) => Some(Some(*value)),
            Word::Mark('[') => loop {
                match self.next()? {
                    Word::Mark(']') => return Some(None),
                    Word::Mark('{' | '}' | '[') => return None,
                    _ => {}
                }
            },
            Word::Mark(_) => None,
        }
    }
}

fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = text.trim_end_matches('\0');
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '#' => rest.find('\n').map_or("", |end| &rest[end..]),
            '{' | '}' | '[' | ']' | '=' | ',' => {
                words.push(Word::Mark(first));
                &rest[1..]
            }
            '"' => {
                let inner = &rest[1..];
                // Escapes occur in descriptions only, whose text nobody reads here.
                let end = closing_quote(inner);
                words.push(Word::Text(&inner[..end]));
                inner.get(end + 1..).unwrap_or("")
            }
            c if c.is_whitespace() || c.is_control() => &rest[c.len_utf8()..],
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || "{}[]=,#\"".contains(c)).unwrap_or(rest.len());
                words.push(Word::Text(&rest[..end]));
                &rest[end..]
            }
        };
    }
    words
}

fn closing_quote(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            '"' if !escaped => return at,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

impl Group {
    fn enter(&mut self, path: &[&str]) {
        match path {
            [name] => self.name = (*name).to_owned(),
            [_, "physical_volumes", _] => self.physical.push(Physical::default()),
            [_, "logical_volumes", name] => {
                self.logical.push(Logical { name: (*name).to_owned(), plain: true, ..Logical::default() });
            }
            _ => {}
        }
    }

    fn set(&mut self, path: &[&str], key: &str, value: &str) -> Option<()> {
        let number = || value.parse::<u64>().ok();
        match (path, key) {
            ([_], "seqno") => self.seqno = number()?,
            ([_], "extent_size") => self.extent_size = number()?.checked_mul(SECTOR)?,
            ([_, "physical_volumes", _], "id") => self.physical.last_mut()?.id = value.replace('-', ""),
            ([_, "physical_volumes", _], "pe_start") => {
                self.physical.last_mut()?.start = number()?.checked_mul(SECTOR)?;
            }
            ([_, "physical_volumes", _], "pe_count") => self.physical.last_mut()?.extents = number()?,
            ([_, "logical_volumes", _, _], "extent_count") => self.logical.last_mut()?.segment = number()?,
            ([_, "logical_volumes", _, _], "type") => {
                let volume = self.logical.last_mut()?;
                if matches!(value, "striped" | "linear") {
                    volume.extents = volume.extents.checked_add(volume.segment)?;
                } else {
                    volume.plain = false;
                }
            }
            _ => {}
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    const TEXT: &str = r#"vg0 {
id = "xZbDQc-p8eZ-n9ut-xB9A-I8c7-npFW-xJmhTO"
seqno = 7
format = "lvm2"
status = ["RESIZEABLE", "READ", "WRITE"]
extent_size = 8192
physical_volumes {
pv0 {
id = "qHGXsy-2Dgx-GzrI-9YPc-ZzGi-tTV5-NHzfnX"
pe_start = 2048
pe_count = 735
}
}
logical_volumes {
root {
id = "2LnaJ3-T1xK-Wj0M-whjg-prZw-4muM-BxNZec"
segment_count = 2
segment1 {
start_extent = 0
extent_count = 200
type = "striped"
stripes = [
"pv0", 0
]
}
segment2 {
start_extent = 200
extent_count = 55
type = "striped"
}
}
thin {
segment1 {
extent_count = 16
type = "thin"
}
}
}
}
# Generated by a person
contents = "Text Format Volume Group"
version = 1
description = "a \"quoted\" { word"
"#;

    /// A physical volume whose text begins `offset` bytes into a metadata area of `size` bytes, wrapping round.
    fn device(offset: usize, size: usize) -> tempfile_like::File {
        let mut image = vec![0_u8; 4096 + size];
        image[512..520].copy_from_slice(b"LABELONE");
        image[532..536].copy_from_slice(&32_u32.to_le_bytes());
        image[536..544].copy_from_slice(b"LVM2 001");
        image[544..576].copy_from_slice(b"qHGXsy2DgxGzrI9YPcZzGitTV5NHzfnX");
        image[584..592].copy_from_slice(&0x10_0000_u64.to_le_bytes());
        image[616..624].copy_from_slice(&4096_u64.to_le_bytes());
        image[624..632].copy_from_slice(&(size as u64).to_le_bytes());
        image[4100..4116].copy_from_slice(b" LVM2 x[5A%r0N*>");
        image[4128..4136].copy_from_slice(&(size as u64).to_le_bytes());
        image[4136..4144].copy_from_slice(&(offset as u64).to_le_bytes());
        let text = format!("{TEXT}\0");
        image[4144..4152].copy_from_slice(&(text.len() as u64).to_le_bytes());
        for (at, byte) in text.bytes().enumerate() {
            let place = offset + at;
            let place = if place < size { place } else { place - size + 512 };
            image[4096 + place] = byte;
        }
        tempfile_like::file(&image)
    }

    mod tempfile_like {
        pub(super) use std::fs::File;

        /// An unlinked file with these bytes.
        pub(super) fn file(bytes: &[u8]) -> File {
            use std::sync::atomic::{AtomicU32, Ordering};
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!("imgbuild-node-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let path = std::env::temp_dir().join(name);
            let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            super::Write::write_all(&mut file, bytes).unwrap();
            file
        }
    }

    fn expected() -> Group {
        Group {
            name: "vg0".to_owned(),
            seqno: 7,
            extent_size: 4 << 20,
            physical: vec![Physical {
                id: "qHGXsy2DgxGzrI9YPcZzGitTV5NHzfnX".to_owned(),
                start: 1 << 20,
                extents: 735,
            }],
            logical: vec![
                Logical { name: "root".to_owned(), extents: 255, plain: true, segment: 55 },
                Logical { name: "thin".to_owned(), extents: 0, plain: false, segment: 16 },
            ],
        }
    }

    #[test]
    fn metadata_text_of_lvm_is_read() {
        assert_eq!(parse(TEXT), Some(expected()));
    }

    #[test]
    fn metadata_area_is_read_also_when_its_text_wraps_round() {
        for offset in [512, 4096, 8192 - 100] {
            let (id, group) = read(&device(offset, 8192)).unwrap();
            assert_eq!(id, "qHGXsy2DgxGzrI9YPcZzGitTV5NHzfnX");
            assert_eq!(group, expected(), "text at {offset}");
        }
    }

    #[test]
    fn metadata_that_is_cut_or_unbalanced_is_refused() {
        for text in ["", "vg0 {", "vg0 { seqno = 1 }", "}", "vg0 { seqno = ", &TEXT.replace("735", "x")] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(read(&tempfile_like::file(&[0; 4096])), None);
    }

    proptest! {
        #[test]
        fn metadata_of_any_bytes_never_panics(text in "[a-z0-9{}\\[\\]=,\"\\\\# \n]{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn devices_with_a_changed_byte_never_panic(at in 0_usize..5000, value in any::<u8>()) {
            let device = device(512, 8192);
            device.write_all_at(&[value], at as u64).unwrap();
            let _ = read(&device);
        }
    }
}
