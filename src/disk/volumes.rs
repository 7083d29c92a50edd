//! The filesystems of a disk, each readable as a whole, and where its own table of mounts puts them.

use crate::base::ids::Uuid;
use crate::base::limits;
use crate::base::size::SECTOR;
use crate::format::{Joined, ReadAt, Window, ext4, fat, gpt, lvm};
use anyhow::{Context as _, Result, bail};

/// The table of mounts.
const TABLE: &[u8] = b"etc/fstab";

/// A partition or logical volume that may hold a filesystem.
pub struct Volume<'a> {
    /// GPT name of the partition, or name of the logical volume.
    pub name: String,
    /// Number of the partition, from 1.
    pub partition: u32,
    /// Where the root's table of mounts puts it, without leading slash; nothing when it does not.
    pub mount: Option<String>,
    /// Its bytes.
    pub bytes: Joined<'a>,
    /// What it holds.
    pub kind: VolumeKind,
}

/// What a volume holds, by its own signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeKind {
    /// FAT32.
    Fat,
    /// ext4.
    Ext4,
    /// Anything else.
    Other,
}

/// The filesystems of a disk in order.
///
/// # Errors
/// When partition table or volume group are damaged.
pub fn volumes(disk: &dyn ReadAt) -> Result<Vec<Volume<'_>>> {
    let mut found = Vec::new();
    for (number, partition) in (1_u32..).zip(&gpt::read(disk)?.partitions) {
        let (offset, size) = (partition.first * SECTOR, (partition.last + 1 - partition.first) * SECTOR);
        let mut add = |name: &str, parts: Vec<(u64, u64)>| -> Result<()> {
            let bytes = Joined::new(disk, parts)?;
            let kind = match partition.kind {
                gpt::kind::ESP => VolumeKind::Fat,
                gpt::kind::LVM if ext4::read(&bytes).is_ok() => VolumeKind::Ext4,
                _ => VolumeKind::Other,
            };
            found.push(Volume { name: name.to_owned(), partition: number, mount: None, bytes, kind });
            Ok(())
        };
        if partition.kind == gpt::kind::LVM {
            let group = lvm::read(&Window::new(disk, offset, size)?);
            for volume in &group.with_context(|| format!("reading partition {number}"))?.volumes {
                add(&volume.name, volume.segments.iter().map(|part| (offset + part.offset(), part.size())).collect())?;
            }
        } else {
            add(&partition.name, vec![(offset, size)])?;
        }
    }
    mounts(&mut found);
    Ok(found)
}

/// Fills in the places of mounts, by the table of the volume that has one.
fn mounts(volumes: &mut [Volume<'_>]) {
    let table = volumes.iter().filter(|volume| volume.kind == VolumeKind::Ext4).find_map(|volume| {
        let filesystem = ext4::Filesystem::open(&volume.bytes).ok()?;
        let inode = filesystem.find(TABLE).ok().filter(|inode| inode.size <= limits::DOCUMENT_BYTES)?;
        let bytes = filesystem.contents(&inode).ok()?.read_vec(0, crate::format::usize_of(inode.size)).ok()?;
        String::from_utf8(bytes).ok()
    });
    let table = table.unwrap_or_default();
    for volume in volumes {
        let names = names(volume);
        let mut lines = table.lines().map(str::split_whitespace).filter_map(|mut words| words.next().zip(words.next()));
        let place = lines.find(|(device, _)| names.iter().any(|name| name.eq_ignore_ascii_case(device)));
        volume.mount =
            place.filter(|(_, place)| place.starts_with('/')).map(|(_, place)| place.trim_matches('/').to_owned());
    }
}

/// What a table of mounts may call a volume.
fn names(volume: &Volume<'_>) -> Vec<String> {
    let mut names = vec![format!("PARTLABEL={}", volume.name)];
    let (id, label) = match volume.kind {
        VolumeKind::Ext4 => match ext4::read(&volume.bytes) {
            Ok(summary) => (summary.uuid.to_string(), summary.label),
            Err(_) => return names,
        },
        VolumeKind::Fat => match fat::read(&volume.bytes) {
            Ok(contents) => (format!("{:04X}-{:04X}", contents.id >> 16, contents.id & 0xffff), contents.label),
            Err(_) => return names,
        },
        VolumeKind::Other => return names,
    };
    names.extend([format!("UUID={id}"), format!("LABEL={label}")]);
    names
}

/// What a path of a disk leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A regular file's contents.
    File(Vec<u8>),
    /// A folder's names with what they are: one line each.
    Folder(Vec<String>),
}

/// Looks for a path as the running machine would see it, through the volumes that are mounted along the way.
///
/// # Errors
/// When there is none, it is a file of more than `limit` bytes, or neither file nor folder.
pub fn look_up(disk: &dyn ReadAt, path: &str, limit: u64) -> Result<Found> {
    let disk = &crate::format::Cached::new(disk, 256);
    let volumes = volumes(disk)?;
    let path = path.trim_matches('/');
    let below = |mount: &str| match path.strip_prefix(mount) {
        Some(rest) if mount.is_empty() || rest.is_empty() || rest.starts_with('/') => Some(rest.trim_matches('/')),
        _ => None,
    };
    let fits =
        |volume: &Volume<'_>| volume.mount.as_deref().and_then(|mount| Some((mount.len(), below(mount)?.to_owned())));
    let deepest =
        volumes.iter().filter_map(|volume| Some((fits(volume)?, volume))).max_by_key(|((length, _), _)| *length);
    let Some(((_, rest), volume)) = deepest else {
        bail!("no volume of this disk holds `/{path}`: none has a table of mounts that says so");
    };
    match volume.kind {
        VolumeKind::Ext4 => in_ext4(&ext4::Filesystem::open(&volume.bytes)?, &rest, limit),
        VolumeKind::Fat => in_fat(&volume.bytes, &rest, limit),
        VolumeKind::Other => bail!("volume `{}` holds no filesystem that can be read", volume.name),
    }
}

fn in_ext4(filesystem: &ext4::Filesystem<'_>, path: &str, limit: u64) -> Result<Found> {
    let inode = filesystem.find(path.as_bytes())?;
    match inode.kind {
        ext4::Kind::File if inode.size > limit => {
            bail!("`{path}` has {} bytes, and {limit} are shown at most", inode.size)
        }
        ext4::Kind::File => {
            let contents = filesystem.contents(&inode)?;
            Ok(Found::File(contents.read_vec(0, crate::format::usize_of(inode.size))?))
        }
        ext4::Kind::Directory => {
            let mut lines = Vec::new();
            // Its parent does not matter for what is in it, but its `..` must be right.
            let parent = filesystem.find(format!("{path}/..").as_bytes())?.number;
            for entry in filesystem.directory(&inode, parent)? {
                lines.push((entry.name.clone(), line(filesystem, &entry)?));
            }
            lines.sort();
            Ok(Found::Folder(lines.into_iter().map(|(_, line)| line).collect()))
        }
        _ => bail!("`{path}` is neither a file nor a folder"),
    }
}

/// A name as `ls -ln` would show it.
fn line(filesystem: &ext4::Filesystem<'_>, entry: &ext4::DirectoryEntry) -> Result<String> {
    let inode = filesystem.inode(entry.inode)?;
    let name = crate::base::byte_text::to_text(&entry.name);
    let (letter, size, more) = match inode.kind {
        ext4::Kind::File => ('-', inode.size.to_string(), String::new()),
        ext4::Kind::Directory => ('d', String::new(), String::new()),
        ext4::Kind::SymbolicLink => {
            let target = filesystem.target(&inode)?;
            ('l', String::new(), format!(" -> {}", crate::base::byte_text::to_text(&target)))
        }
        ext4::Kind::CharacterDevice(major, minor) => ('c', format!("{major}, {minor}"), String::new()),
        ext4::Kind::BlockDevice(major, minor) => ('b', format!("{major}, {minor}"), String::new()),
        ext4::Kind::Fifo => ('p', String::new(), String::new()),
        ext4::Kind::Socket => ('s', String::new(), String::new()),
    };
    Ok(format!("{letter}{:04o} {:>5} {:>5} {size:>10} {name}{more}", inode.mode, inode.uid, inode.gid))
}

fn in_fat(bytes: &Joined<'_>, path: &str, limit: u64) -> Result<Found> {
    let contents = fat::read(bytes)?;
    let same = |entry: &&fat::Entry| entry.path.eq_ignore_ascii_case(path);
    let entry = contents.entries.iter().find(same);
    if entry.is_some_and(|entry| !entry.directory) {
        return Ok(Found::File(fat::read_file(bytes, &contents, path, limit)?));
    }
    if entry.is_none() && !path.is_empty() {
        bail!("there is no `{path}` in the filesystem");
    }
    let inside = |entry: &&fat::Entry| match entry.path.rsplit_once('/') {
        Some((folder, _)) => folder.eq_ignore_ascii_case(path),
        None => path.is_empty(),
    };
    let shown = |entry: &fat::Entry| {
        let name = entry.path.rsplit('/').next().unwrap_or_default();
        let (letter, size) = if entry.directory { ('d', String::new()) } else { ('-', entry.size.to_string()) };
        format!("{letter} {size:>10} {name}")
    };
    let mut lines: Vec<String> = contents.entries.iter().filter(inside).map(shown).collect();
    lines.sort();
    Ok(Found::Folder(lines))
}

/// UUID of a volume's ext4 filesystem, if it has one.
#[must_use]
pub fn uuid(volume: &Volume<'_>) -> Option<Uuid> {
    (volume.kind == VolumeKind::Ext4).then(|| ext4::read(&volume.bytes).ok()).flatten().map(|summary| summary.uuid)
}
