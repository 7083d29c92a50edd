//! Makes one ext4 filesystem: the tools root's `mke2fs`, fed with a sorted stream of files.

use super::split::Member;
use crate::base::epoch::Epoch;
use crate::base::files;
use crate::base::hint::{Remedy as _, hinted};
use crate::base::progress::{Phase, Progress};
use crate::base::size::{Bytes, GIB, MIB};
use crate::base::tree::Kind;
use crate::boot::{Call, Tools};
use crate::format::{FileSource, ext4, pax};
use crate::plan::Volume;
use anyhow::{Context as _, Result, ensure};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

const BLOCK: u64 = 4096;
const INODE: u64 = 256;
/// Bytes of a volume for each inode, mke2fs's own ratio for volumes of this size.
const BYTES_PER_INODE: u64 = 16 << 10;
/// Inodes beyond those of the tree that a full volume keeps for its machine.
const SPARE_INODES: u64 = 1024;
/// Bytes that are collected before the stream is written to.
const BUFFER: usize = 256 << 10;

/// Everything that filling a volume takes.
pub(super) struct Filler<'a> {
    pub(super) contents: &'a Path,
    pub(super) tools: &'a dyn Tools,
    pub(super) work: &'a Path,
    pub(super) epoch: Epoch,
    pub(super) progress: &'a dyn Progress,
    pub(super) phase: &'a Phase<'a>,
}

impl Filler<'_> {
    /// A new sparse file in the work folder that holds the volume's filesystem.
    ///
    /// # Errors
    /// When the volume is too small, or `mke2fs` fails or made something other than it was told.
    pub(super) fn fill(&self, volume: &Volume, members: &[Member<'_>]) -> Result<File> {
        let making = || format!("making the filesystem of volume `{}`", volume.name);
        let size = volume.extents.bytes().0;
        let needed = estimate(size, members);
        if needed > size {
            return Err(too_small(volume, needed));
        }
        let name = format!("{}.ext4", volume.name);
        let file = files::create_new(&self.work.join(&name))?;
        file.set_len(size).with_context(making)?;
        let call = Call {
            program: "mke2fs",
            arguments: arguments(volume, members, &name),
            environment: vec![("SOURCE_DATE_EPOCH".to_owned(), self.epoch.0.to_string())],
            folder: self.work,
        };
        let feed = |sink: &mut dyn Write| self.feed(members, sink);
        let said = match self.tools.run(&call, Some(Box::new(feed))) {
            Err(error) if format!("{error:#}").contains("Could not allocate") => {
                return Err(error).context(too_small(volume, needed)).hint(remedy(volume));
            }
            said => said.with_context(making)?,
        };
        for line in said.lines().filter(|line| !line.trim().is_empty()) {
            self.progress.log(format!("mke2fs, volume {}: {line}", volume.name));
        }
        check(&file, volume, members).with_context(making)?;
        Ok(file)
    }

    fn feed(&self, members: &[Member<'_>], sink: &mut dyn Write) -> Result<()> {
        let mut writer = pax::Writer::new(BufWriter::with_capacity(BUFFER, sink));
        for member in members {
            if let Kind::File { size } = member.kind {
                let path = self.contents.join(std::ffi::OsStr::from_bytes(&member.entry.path));
                writer.entry(&member.path, &member.kind, member.entry, &mut files::open(&path)?)?;
                self.phase.advance(size);
            } else {
                writer.entry(&member.path, &member.kind, member.entry, &mut std::io::empty())?;
            }
        }
        writer.finish()?;
        Ok(())
    }
}

/// Features that every supported GRUB reads; nothing that depends on clock, host or chance.
fn arguments(volume: &Volume, members: &[Member<'_>], file: &str) -> Vec<String> {
    let uuid = volume.uuid.to_string();
    let size = volume.extents.bytes().0;
    let inodes = (size / BYTES_PER_INODE).max(inodes(members) * 5 / 4 + SPARE_INODES);
    let extended = format!("hash_seed={uuid},nodiscard,lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0");
    let fixed = ["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", "1"];
    let features = "^metadata_csum_seed,^orphan_file";
    let mut arguments: Vec<String> = fixed.map(str::to_owned).to_vec();
    arguments.extend(["-O", features, "-U", &uuid, "-L", &volume.label, "-E", &extended].map(str::to_owned));
    arguments.extend(["-N", &inodes.to_string(), "-d", "-", file, &(size / BLOCK).to_string()].map(str::to_owned));
    arguments
}

/// Inodes that the members take; further names of a file take none.
fn inodes(members: &[Member<'_>]) -> u64 {
    members.iter().filter(|member| !matches!(member.kind, Kind::HardLink { .. })).count() as u64
}

/// Bytes that a volume of this size needs at least: contents in blocks, folders, inode table, journal.
fn estimate(size: u64, members: &[Member<'_>]) -> u64 {
    let blocks: u64 = members
        .iter()
        .map(|member| match &member.kind {
            Kind::File { size } => size.next_multiple_of(BLOCK),
            Kind::Directory => BLOCK,
            // Short targets stand in the inode.
            Kind::SymbolicLink { target } if target.len() >= 60 => BLOCK,
            _ => 0,
        })
        .sum();
    // mke2fs's own choice of journal sizes.
    let journal = match size {
        size if size < 128 * MIB => 4 * MIB,
        size if size < GIB => 16 * MIB,
        size if size < 2 * GIB => 32 * MIB,
        size if size < 16 * GIB => 64 * MIB,
        _ => 128 * MIB,
    };
    blocks + journal + (size / BYTES_PER_INODE).max(inodes(members)) * INODE
}

fn too_small(volume: &Volume, needed: u64) -> anyhow::Error {
    let (name, size) = (&volume.name, volume.extents.bytes());
    let needed = Bytes(needed.next_multiple_of(MIB));
    hinted(format!("volume `{name}` has {size}, its files need more than {needed}"), remedy(volume))
}

fn remedy(volume: &Volume) -> String {
    format!("give volume `{}` a larger `size` in the recipe or in the role", volume.name)
}

/// What `mke2fs` made, by its superblock: an empty stream makes it succeed with an empty filesystem.
fn check(file: &File, volume: &Volume, members: &[Member<'_>]) -> Result<()> {
    let summary = ext4::read(&FileSource::new(file.try_clone()?)?)?;
    let lost_found = u64::from(!members.iter().any(|member| member.path == b"lost+found"));
    // The root's inode is one of the reserved ones.
    let expected = ext4::RESERVED_INODES + lost_found + inodes(members).saturating_sub(1);
    let found = summary.inodes - summary.free_inodes;
    ensure!(found == expected, "the new filesystem has {found} inodes in use, the tree makes {expected}");
    ensure!(summary.uuid == volume.uuid, "the new filesystem has UUID {}, not {}", summary.uuid, volume.uuid);
    let size = volume.extents.bytes().0;
    ensure!(summary.size == size, "the new filesystem has {} bytes, the volume {size}", summary.size);
    Ok(())
}
