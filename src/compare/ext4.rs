//! Two ext4 filesystems: superblocks, then files by path, then, where all files are equal, where they lie.

use super::bytes::{first_difference, hex_lines, spot};
use super::{Difference, Findings};
use crate::base::byte_text::to_text;
use crate::base::epoch::Epoch;
use crate::format::ReadAt;
use crate::format::ext4::{Filesystem, Inode, Kind, Node, ROOT, Time};
use anyhow::{Context as _, Result};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The inode of the journal.
const JOURNAL: u32 = 8;

/// Compares two filesystems that are mounted at `mount` (without leading slash).
pub(super) fn volumes(a: &dyn ReadAt, b: &dyn ReadAt, mount: &str, found: &mut Findings) -> Result<()> {
    let (one, other) = (Filesystem::open(a)?, Filesystem::open(b)?);
    for ((name, own), (_, its)) in one.fields().into_iter().zip(other.fields()) {
        found.value(&format!("superblock: {name}"), own, its);
    }
    let (own, its) = (one.walk().context("walking the first filesystem")?, other.walk().context("walking the second")?);
    let mut pair = Pair { a: &one, b: &other, mount, first: (names(&own), names(&its)) };
    let before = found.count();
    let (mut left, mut right) = (own.iter().peekable(), its.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) => components(&a.path).cmp(components(&b.path)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => break,
        };
        match order {
            Ordering::Less => pair.only(left.next(), true, found),
            Ordering::Greater => pair.only(right.next(), false, found),
            Ordering::Equal => {
                if let (Some(a), Some(b)) = (left.next(), right.next()) {
                    pair.both(a, b, found)?;
                }
            }
        }
    }
    if found.count() == before {
        pair.places(&own, &its, found)?;
    }
    Ok(())
}

/// The first name of each inode that has several.
fn names(nodes: &[Node]) -> BTreeMap<u32, Vec<u8>> {
    let mut names = BTreeMap::new();
    for node in nodes.iter().filter(|node| node.inode.links > 1 && node.inode.kind != Kind::Directory) {
        names.entry(node.inode.number).or_insert_with(|| node.path.clone());
    }
    names
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').skip(usize::from(path.is_empty()))
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::File => "file".to_owned(),
        Kind::Directory => "folder".to_owned(),
        Kind::SymbolicLink => "symbolic link".to_owned(),
        Kind::CharacterDevice(major, minor) => format!("character device {major}, {minor}"),
        Kind::BlockDevice(major, minor) => format!("block device {major}, {minor}"),
        Kind::Fifo => "named pipe".to_owned(),
        Kind::Socket => "socket".to_owned(),
    }
}

fn time(time: Time) -> String {
    let whole = Epoch(time.seconds).rfc3339();
    if time.nanoseconds == 0 { whole } else { format!("{whole} and {} ns", time.nanoseconds) }
}

struct Pair<'a> {
    a: &'a Filesystem<'a>,
    b: &'a Filesystem<'a>,
    mount: &'a str,
    first: (BTreeMap<u32, Vec<u8>>, BTreeMap<u32, Vec<u8>>),
}

impl Pair<'_> {
    /// The path as the machine would name it.
    fn path(&self, path: &[u8]) -> String {
        let path = to_text(path);
        let parts: Vec<&str> = [self.mount, &*path].into_iter().filter(|part| !part.is_empty()).collect();
        format!("/{}", parts.join("/"))
    }

    fn only(&self, node: Option<&Node>, first: bool, found: &mut Findings) {
        let Some(node) = node else { return };
        let kind = kind(node.inode.kind);
        let (a, b) = if first { (kind, String::new()) } else { (String::new(), kind) };
        let file = Some(self.path(&node.path));
        found.push(Difference { file, what: "only there".to_owned(), a, b, ..Difference::default() });
    }

    fn both(&self, a: &Node, b: &Node, found: &mut Findings) -> Result<()> {
        let (one, other) = (&a.inode, &b.inode);
        let file = self.path(&a.path);
        let mut value = |what: &str, a: String, b: String| {
            if a != b {
                let (what, file) = (what.to_owned(), Some(file.clone()));
                found.push(Difference { file, what, a, b, ..Difference::default() });
            }
        };
        value("type", kind(one.kind), kind(other.kind));
        value("mode", format!("{:04o}", one.mode), format!("{:04o}", other.mode));
        value("owner", format!("{}:{}", one.uid, one.gid), format!("{}:{}", other.uid, other.gid));
        value("mtime", time(one.times[2]), time(other.times[2]));
        for (at, name) in [(0, "atime"), (1, "ctime"), (3, "crtime")] {
            value(name, time(one.times[at]), time(other.times[at]));
        }
        value("flags", format!("{:#x}", one.flags), format!("{:#x}", other.flags));
        let first = |names: &BTreeMap<u32, Vec<u8>>, node: &Node| match names.get(&node.inode.number) {
            Some(name) if *name != node.path => format!("of {}", self.path(name)),
            _ => "first or only".to_owned(),
        };
        value("name", first(&self.first.0, a), first(&self.first.1, b));
        let (own, its) = (self.a.attributes(one)?, self.b.attributes(other)?);
        for name in own.iter().chain(&its).map(|(name, _)| name).collect::<std::collections::BTreeSet<_>>() {
            let hex = |attributes: &[(String, Vec<u8>)]| {
                let value = attributes.iter().find(|(own, _)| own == name).map(|(_, value)| value);
                value.map_or_else(String::new, |value| value.iter().map(|byte| format!("{byte:02x}")).collect())
            };
            value(&format!("attribute {name}"), hex(&own), hex(&its));
        }
        match (one.kind, other.kind) {
            (Kind::SymbolicLink, Kind::SymbolicLink) => {
                let target =
                    |filesystem: &Filesystem<'_>, inode| filesystem.target(inode).map(|t| to_text(&t).into_owned());
                value("target", target(self.a, one)?, target(self.b, other)?);
            }
            (Kind::File, Kind::File) => {
                if let Some(spot) = spot(&self.a.contents(one)?, &self.b.contents(other)?)? {
                    let size = |inode: &Inode| format!("{} bytes", inode.size);
                    let what = format!("contents from byte {} on", spot.offset);
                    let (a, b, lines) = (size(one), size(other), spot.lines);
                    found.push(Difference { file: Some(file), what, a, b, lines, place: Vec::new() });
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// All files are equal: what else may differ is where they lie.
    fn places(&mut self, own: &[Node], its: &[Node], found: &mut Findings) -> Result<()> {
        let pairs = || own.iter().zip(its);
        let moved = |what: &str, nodes: Vec<&Node>, found: &mut Findings| {
            if let Some(first) = nodes.first() {
                let (what, file) = (format!("{what} of {} files", nodes.len()), Some(self.path(&first.path)));
                found.push(Difference { what, file, a: "one".into(), b: "another".into(), ..Difference::default() });
            }
        };
        let order = pairs().filter(|(a, b)| a.place != b.place).map(|(a, _)| a).collect();
        moved("place in the folder", order, found);
        let numbers = pairs().filter(|(a, b)| a.inode.number != b.inode.number).map(|(a, _)| a).collect();
        moved("inode number", numbers, found);
        let generations = pairs().filter(|(a, b)| a.inode.generation != b.inode.generation).map(|(a, _)| a).collect();
        moved("generation", generations, found);
        let mut blocks = Vec::new();
        for (one, other) in pairs() {
            if self.extents(self.a, &one.inode)? != self.extents(self.b, &other.inode)? {
                blocks.push(one);
            }
        }
        moved("blocks", blocks, found);
        let (a, b) = (self.a.source(), self.b.source());
        if let Some(offset) = first_difference(a, b, 0)? {
            let what = format!("first byte, in {}", self.belongs(offset, own)?);
            let place = format!("byte {offset}");
            found.push(Difference {
                what,
                a: place.clone(),
                b: place,
                lines: hex_lines(a, b, offset)?,
                ..Difference::default()
            });
        }
        Ok(())
    }

    fn extents(&self, filesystem: &Filesystem<'_>, inode: &Inode) -> Result<Vec<(u64, u64, u64)>> {
        if !matches!(inode.kind, Kind::File | Kind::Directory) {
            return Ok(Vec::new());
        }
        Ok(filesystem.extents(inode)?.iter().map(|extent| (extent.logical, extent.physical, extent.blocks)).collect())
    }

    /// What a byte of the first filesystem belongs to.
    fn belongs(&self, offset: u64, nodes: &[Node]) -> Result<String> {
        if let Some(structure) = self.a.structure_at(offset) {
            return Ok(structure.to_owned());
        }
        let block = offset / self.a.block_size();
        let holds = |extents: &[(u64, u64, u64)]| {
            extents.iter().any(|(_, start, length)| (*start..start + length).contains(&block))
        };
        if let Ok(journal) = self.a.inode(JOURNAL)
            && holds(&self.extents(self.a, &journal)?)
        {
            return Ok("the journal".to_owned());
        }
        for node in nodes {
            if holds(&self.extents(self.a, &node.inode)?) {
                let folder = node.inode.kind == Kind::Directory;
                let kind = if folder { "the entries of" } else { "the last block of" };
                let kind = if node.inode.number == ROOT { "the entries of" } else { kind };
                return Ok(format!("{kind} {}", self.path(&node.path)));
            }
        }
        Ok("a block of an extent tree, of attributes, or of nothing".to_owned())
    }
}
