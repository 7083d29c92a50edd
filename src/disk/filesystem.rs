//! Makes one ext4 filesystem of a volume's members: what describes them in memory, their contents where they lie.

use super::DiskImage;
use super::split::Member;
use crate::base::epoch::Epoch;
use crate::base::files;
use crate::base::hint::hinted;
use crate::base::progress::Phase;
use crate::base::size::{Bytes, MIB};
use crate::base::tree::Kind;
use crate::format::ext4::write::{self, BLOCK_BYTES, Options, WriteError};
use crate::format::{FileSource, ReadAt as _, is_zero, usize_of};
use crate::plan::Volume;
use anyhow::{Context as _, Result, ensure};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a volume for each inode, mke2fs's own ratio for volumes of this size.
const BYTES_PER_INODE: u64 = 16 << 10;
/// Inodes beyond those of the tree that a full volume keeps for its machine.
const SPARE_INODES: u64 = 1024;
/// Files from this length on are looked through for holes; shorter ones cannot waste much.
const SEARCHED: u64 = 4 * MIB;
/// Fewer zeros in a row are no hole: so many blocks.
const HOLE: u64 = 16;
/// Bytes that are looked at together.
const PIECE: u64 = HOLE * BLOCK_BYTES;

/// Everything that filling a volume takes.
pub(super) struct Filler<'a> {
    pub(super) contents: &'a Path,
    pub(super) epoch: Epoch,
    pub(super) phase: &'a Phase<'a>,
}

impl Filler<'_> {
    /// The volume's filesystem, from byte 0 on; the disk's files are not opened again before they are written.
    ///
    /// # Errors
    /// When the volume is too small, something would be lost, or a file cannot be read.
    pub(super) fn fill(&self, volume: &Volume, members: &[Member<'_>]) -> Result<DiskImage> {
        let making = || format!("making the filesystem of volume `{}`", volume.name);
        let size = volume.extents.bytes().0;
        let mut listed = Vec::new();
        for Member { path, kind, entry } in members {
            let mut holes = Vec::new();
            if let Kind::File { size } = kind {
                if *size >= SEARCHED {
                    holes = self.holes(entry.path.as_slice(), *size).with_context(making)?;
                }
                self.phase.advance(*size);
            }
            let (mode, uid, gid, mtime, xattrs) = (entry.mode, entry.uid, entry.gid, entry.mtime, &entry.xattrs);
            listed.push(write::Member { path, kind, mode, uid, gid, mtime, xattrs, holes });
        }
        let own = listed.iter().filter(|member| !matches!(member.kind, Kind::HardLink { .. })).count() as u64;
        let inodes = (size / BYTES_PER_INODE).max(own * 5 / 4 + SPARE_INODES);
        let options = Options { size, inodes, uuid: volume.uuid, label: &volume.label, epoch: self.epoch };
        let written = match write::write(&options, &listed) {
            Err(WriteError::TooSmall { needed }) => return Err(too_small(volume, needed)),
            written => written.with_context(making)?,
        };
        let mut image = DiskImage { size, extents: Vec::new() };
        for run in written.runs {
            image.add_bytes(run.offset, run.bytes);
        }
        let mut last: Option<(usize, Arc<Path>)> = None;
        for part in written.contents {
            let path = match &last {
                Some((member, path)) if *member == part.member => Arc::clone(path),
                _ => self.place(&members[part.member].entry.path).into(),
            };
            last = Some((part.member, Arc::clone(&path)));
            let Kind::File { size } = members[part.member].kind else { continue };
            image.add_contents(part.offset, part.length, path, part.from, size);
        }
        image.seal()
    }

    /// Where the contents of an entry are read.
    fn place(&self, path: &[u8]) -> PathBuf {
        self.contents.join(std::ffi::OsStr::from_bytes(path))
    }

    /// Runs of zeros in a large file, in whole blocks. What the host's filesystem calls a hole is only not read.
    fn holes(&self, path: &[u8], size: u64) -> Result<Vec<Range<u64>>> {
        let path = self.place(path);
        let source = FileSource::new(files::open(&path)?)?;
        let found = source.size();
        ensure!(found == size, "{} has {found} bytes, {size} were expected", path.display());
        let mut holes: Vec<Range<u64>> = Vec::new();
        let mut buffer = vec![0; usize_of(PIECE)];
        for offset in (0..size / PIECE * PIECE).step_by(usize_of(PIECE)) {
            if !source.is_hole(offset, PIECE) {
                source.read_at(&mut buffer, offset).with_context(|| format!("reading {}", path.display()))?;
                if !is_zero(&buffer) {
                    continue;
                }
            }
            let hole = offset / BLOCK_BYTES..(offset + PIECE) / BLOCK_BYTES;
            match holes.last_mut() {
                Some(before) if before.end == hole.start => before.end = hole.end,
                _ => holes.push(hole),
            }
        }
        Ok(holes)
    }
}

fn too_small(volume: &Volume, needed: u64) -> anyhow::Error {
    let (name, size) = (&volume.name, volume.extents.bytes());
    let needed = Bytes(needed.next_multiple_of(MIB));
    hinted(
        format!("volume `{name}` has {size}, its files need {needed}"),
        format!("give volume `{name}` a larger `size` in the recipe or in the role"),
    )
}
