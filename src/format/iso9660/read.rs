//! Bytes to a description: strict about what we write, tolerant of what other writers add beside it.

use super::layout::{
    DirectoryRecord, FIRST_DESCRIPTOR, FLAG_DIRECTORY, JOLIET_LEVEL_3, SECTOR, VolumeDescriptor, epoch_of,
};
use super::rock_ridge::{Attributes, is_folder, parse};
use super::{Content, Entry, Volume};
use crate::base::epoch::Epoch;
use crate::base::limits::{ISO_CONTINUATIONS, ISO_DEPTH, ISO_DESCRIPTORS, ISO_ENTRIES};
use std::collections::{BTreeMap, BTreeSet};
use zerocopy::FromBytes as _;

/// Why bytes are no volume that imgbuild understands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No ISO 9660 at all.
    #[error("no ISO 9660 volume descriptor at byte 32768")]
    NoVolume,
    /// A descriptor contradicts itself or the file.
    #[error("the volume descriptor is damaged: {0}")]
    Descriptor(&'static str),
    /// The volume says that it is longer than the file.
    #[error("the volume has {volume} sectors, the file {file}")]
    Truncated {
        /// Sectors that the descriptor names.
        volume: u64,
        /// Whole sectors of the file.
        file: u64,
    },
    /// The label is not ASCII text.
    #[error("the volume's label is not text")]
    Label,
    /// True names are missing.
    #[error("the volume has no Rock Ridge names")]
    NoRockRidge,
    /// A directory record contradicts itself.
    #[error("a record of folder `/{folder}` is damaged: {what}")]
    Record {
        /// The folder's path.
        folder: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// More than a volume may hold.
    #[error("the volume holds more than {0}")]
    TooMuch(&'static str),
    /// Another set of files is shown to readers of Joliet.
    #[error("the Joliet tree shows other files than the Rock Ridge tree")]
    JolietDiffers,
}

/// Reads a volume.
///
/// # Errors
/// When the bytes are no such volume, or damaged.
pub fn read(bytes: &[u8]) -> Result<Volume, ReadError> {
    let mut primary = None;
    let mut joliet = None;
    for index in 0..ISO_DESCRIPTORS {
        let sector = sectors(bytes, (FIRST_DESCRIPTOR + index) as u64, SECTOR as u64).ok_or(ReadError::NoVolume)?;
        let (descriptor, _) = VolumeDescriptor::read_from_prefix(sector).map_err(|_| ReadError::NoVolume)?;
        if &descriptor.standard_identifier != b"CD001" || descriptor.version != 1 {
            return Err(ReadError::NoVolume);
        }
        match descriptor.kind {
            1 if primary.is_none() => primary = Some(descriptor),
            2 if descriptor.escape_sequences.starts_with(JOLIET_LEVEL_3) => joliet = Some(descriptor),
            255 => break,
            _ => {}
        }
    }
    let primary = primary.ok_or(ReadError::NoVolume)?;
    let label = std::str::from_utf8(&primary.volume_identifier).map_err(|_| ReadError::Label)?;
    let label = label.trim_end_matches([' ', '\0']).to_owned();
    if label.chars().any(|c| c.is_control()) {
        return Err(ReadError::Label);
    }
    let root = root(bytes, &primary)?;
    let mut walk = Walk::new(bytes, true);
    let top = walk.root(root)?;
    walk.folder("", root, 0)?;
    if let Some(joliet) = joliet {
        let root = self::root(bytes, &joliet)?;
        let mut other = Walk::new(bytes, false);
        other.skip = 0;
        other.folder("", root, 0)?;
        if walk.files != other.files {
            return Err(ReadError::JolietDiffers);
        }
    }
    Ok(Volume { label, epoch: top, entries: walk.entries })
}

fn sectors(bytes: &[u8], first: u64, length: u64) -> Option<&[u8]> {
    let start = usize::try_from(first.checked_mul(SECTOR as u64)?).ok()?;
    bytes.get(start..start.checked_add(usize::try_from(length).ok()?)?)
}

/// Checks a descriptor and gives the root folder's first sector and length.
fn root(bytes: &[u8], descriptor: &VolumeDescriptor) -> Result<(u32, u32), ReadError> {
    let damaged = ReadError::Descriptor;
    if descriptor.logical_block_size.get() != Some(2048) {
        return Err(damaged("its blocks are not 2048 bytes"));
    }
    let volume = u64::from(descriptor.volume_space_size.get().ok_or(damaged("its size differs in both byte orders"))?);
    let file = (bytes.len() / SECTOR) as u64;
    if volume > file {
        return Err(ReadError::Truncated { volume, file });
    }
    let record = &descriptor.root;
    match (record.extent.get(), record.data_length.get()) {
        (Some(extent), Some(length)) if record.file_flags & FLAG_DIRECTORY != 0 => Ok((extent, length)),
        _ => Err(damaged("its root is no folder")),
    }
}

/// A walk through one of the two trees.
struct Walk<'a> {
    bytes: &'a [u8],
    rock_ridge: bool,
    skip: usize,
    entries: BTreeMap<String, Entry>,
    /// Extent and length of every file that is not empty, and how many are: what both trees must agree on.
    files: BTreeMap<(u32, u32), usize>,
    folders: BTreeSet<u32>,
    read: u64,
    seen: usize,
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8], rock_ridge: bool) -> Self {
        Self {
            bytes,
            rock_ridge,
            skip: 0,
            entries: BTreeMap::new(),
            files: BTreeMap::new(),
            folders: BTreeSet::new(),
            read: 0,
            seen: 0,
        }
    }

    /// The time of the root, and how many bytes to skip before Rock Ridge entries.
    fn root(&mut self, place: (u32, u32)) -> Result<Epoch, ReadError> {
        let damaged = |what| ReadError::Record { folder: String::new(), what };
        let data = sectors(self.bytes, place.0.into(), place.1.into()).ok_or(damaged("it lies outside of the file"))?;
        let (record, _, area) = split(data).ok_or(damaged("it is cut off"))?;
        let mut attributes = Attributes::default();
        parse(area, &mut attributes).ok_or(damaged("its system use entries"))?;
        if !attributes.marked {
            return Err(ReadError::NoRockRidge);
        }
        self.skip = attributes.skip;
        let time = attributes.modified.or_else(|| epoch_of(record.recording_time));
        time.ok_or(damaged("its time is none"))
    }

    fn folder(&mut self, path: &str, place: (u32, u32), depth: usize) -> Result<(), ReadError> {
        let damaged = |what| ReadError::Record { folder: path.to_owned(), what };
        if depth > ISO_DEPTH || !self.folders.insert(place.0) {
            return Err(ReadError::TooMuch("folders within folders"));
        }
        self.count(u64::from(place.1))?;
        let mut data =
            sectors(self.bytes, place.0.into(), place.1.into()).ok_or(damaged("it lies outside of the file"))?;
        let mut index = 0;
        while let Some(first) = data.first() {
            if *first == 0 {
                // The rest of the sector is padding.
                let rest = data.len() % SECTOR;
                data = data.get(if rest == 0 { SECTOR } else { rest }..).unwrap_or_default();
                continue;
            }
            let (record, identifier, area) = split(data).ok_or(damaged("it is cut off"))?;
            data = data.get(usize::from(record.length)..).unwrap_or_default();
            index += 1;
            if index > 2 {
                self.child(path, &record, identifier, area, depth)?;
            }
        }
        Ok(())
    }

    fn child(
        &mut self,
        folder: &str,
        record: &DirectoryRecord,
        identifier: &[u8],
        area: &[u8],
        depth: usize,
    ) -> Result<(), ReadError> {
        let damaged = |what| ReadError::Record { folder: folder.to_owned(), what };
        self.seen += 1;
        if self.seen > ISO_ENTRIES {
            return Err(ReadError::TooMuch("files and folders that we would write"));
        }
        let place = record.extent.get().zip(record.data_length.get());
        let place = place.ok_or(damaged("its place differs in both byte orders"))?;
        let is_directory = record.file_flags & FLAG_DIRECTORY != 0;
        let (name, mode) = if self.rock_ridge {
            self.attributes(area, is_directory).map_err(damaged)?
        } else {
            // Joliet names may be changed and cut, so only where the contents lie is compared.
            (identifier.iter().map(|byte| format!("{byte:02x}")).collect(), 0)
        };
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        let content = if is_directory {
            self.folder(&path, place, depth + 1)?;
            Content::Folder
        } else {
            self.count(u64::from(place.1))?;
            *self.files.entry(if place.1 == 0 { (0, 0) } else { place }).or_default() += 1;
            let bytes =
                if place.1 == 0 { Some([].as_slice()) } else { sectors(self.bytes, place.0.into(), place.1.into()) };
            let bytes = bytes.ok_or(damaged("its file lies outside of the volume"))?;
            Content::File(if self.rock_ridge { bytes.to_vec() } else { Vec::new() })
        };
        match self.entries.insert(path, Entry { mode, content }) {
            None => Ok(()),
            Some(_) => Err(damaged("its name occurs twice")),
        }
    }

    /// Name and permission bits of a child.
    fn attributes(&self, area: &[u8], is_directory: bool) -> Result<(String, u32), &'static str> {
        let mut attributes = Attributes::default();
        parse(area.get(self.skip..).unwrap_or_default(), &mut attributes).ok_or("its system use entries")?;
        for _ in 0..ISO_CONTINUATIONS {
            let Some((sector, offset, length)) = attributes.continued.take() else { break };
            let all = sectors(self.bytes, sector.into(), SECTOR as u64).ok_or("its continuation")?;
            let end = u64::from(offset) + u64::from(length);
            let range = offset as usize..usize::try_from(end).map_err(|_| "its continuation")?;
            parse(all.get(range).ok_or("its continuation")?, &mut attributes).ok_or("its continuation")?;
        }
        let name = String::from_utf8(attributes.name).map_err(|_| "its name is not UTF-8")?;
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
            return Err("its name is none");
        }
        let mode = attributes.mode.ok_or("its mode is missing")?;
        match is_folder(mode) {
            Some(folder) if folder == is_directory => Ok((name, mode & 0o7777)),
            _ => Err("it is neither a file nor a folder"),
        }
    }

    /// Bounds the work by the file's size: no two things may share bytes so often that they outgrow it.
    fn count(&mut self, length: u64) -> Result<(), ReadError> {
        self.read = self.read.saturating_add(length);
        if self.read > self.bytes.len() as u64 { Err(ReadError::TooMuch("the file's own bytes")) } else { Ok(()) }
    }
}

/// Head, identifier and system use area of the first record.
fn split(data: &[u8]) -> Option<(DirectoryRecord, &[u8], &[u8])> {
    let (record, _) = DirectoryRecord::read_from_prefix(data).ok()?;
    let whole = data.get(..usize::from(record.length))?;
    let end = size_of::<DirectoryRecord>() + usize::from(record.identifier_length);
    let identifier = whole.get(size_of::<DirectoryRecord>()..end)?;
    Some((record, identifier, whole.get(end.next_multiple_of(2)..).unwrap_or_default()))
}
