//! Everything in a filesystem, sorted by path; and the way to one file.

use super::directory::DirectoryEntry;
use super::inode::{Inode, Kind};
use super::{Ext4Error, Filesystem, ROOT};
use crate::base::byte_text::to_text;
use crate::base::limits;
use std::collections::BTreeSet;

/// One name of an inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Path without leading slash; empty for the root.
    pub path: Vec<u8>,
    /// What it names.
    pub inode: Inode,
    /// Place among the entries of its folder on disk, from 0.
    pub place: usize,
}

impl Filesystem<'_> {
    /// All names, sorted by components, the root first.
    ///
    /// # Errors
    /// When anything is damaged, a folder has two names, or there is more than is believed.
    pub fn walk(&self) -> Result<Vec<Node>, Ext4Error> {
        let mut nodes = vec![Node { path: Vec::new(), inode: self.inode(ROOT)?, place: 0 }];
        let mut folders = BTreeSet::from([ROOT]);
        // Folders to be read: path, inode, parent, depth.
        let mut waiting = vec![(Vec::new(), nodes[0].inode.clone(), ROOT, 0)];
        while let Some((path, folder, parent, depth)) = waiting.pop() {
            if depth > limits::EXT4_DEPTH {
                return Err(Ext4Error::Limit { limit: limits::EXT4_DEPTH as u64, what: "folders in one another" });
            }
            for (place, entry) in self.directory(&folder, parent)?.into_iter().enumerate() {
                let child = self.inode(entry.inode)?;
                if entry.file_type != file_type(child.kind) {
                    return Err(Ext4Error::Inode { number: entry.inode, what: "another type than its name tells" });
                }
                let path = joined(&path, &entry.name);
                if child.kind == Kind::Directory {
                    if !folders.insert(entry.inode) {
                        return Err(Ext4Error::Inode { number: entry.inode, what: "two names, yet it is a folder" });
                    }
                    waiting.push((path.clone(), child.clone(), folder.number, depth + 1));
                }
                if nodes.len() >= limits::EXT4_NAMES {
                    return Err(Ext4Error::Limit { limit: limits::EXT4_NAMES as u64, what: "names" });
                }
                nodes.push(Node { path, inode: child, place });
            }
        }
        nodes.sort_by(|a, b| components(&a.path).cmp(components(&b.path)));
        if nodes.windows(2).any(|pair| pair[0].path == pair[1].path) {
            return Err(Ext4Error::Inode { number: ROOT, what: "a name twice below it" });
        }
        Ok(nodes)
    }

    /// The inode of a path (with or without leading slash); symbolic links on the way are followed, the last one too.
    ///
    /// # Errors
    /// When there is none, links lead in a circle, or a folder on the way is damaged.
    pub fn find(&self, path: &[u8]) -> Result<Inode, Ext4Error> {
        let missing = || Ext4Error::NotFound(to_text(path).into_owned());
        let mut rest: Vec<Vec<u8>> = split(path);
        // Folders on the way down from the root, which is its own parent.
        let mut way = vec![self.inode(ROOT)?];
        let mut links = 0;
        while let Some(name) = rest.pop() {
            let here = way.last().ok_or_else(missing)?.clone();
            if name == b".." {
                way.truncate((way.len() - 1).max(1));
                continue;
            }
            if here.kind != Kind::Directory {
                return Err(missing());
            }
            let parent = way.get(way.len().wrapping_sub(2)).map_or(ROOT, |folder| folder.number);
            let is_it = |entry: &DirectoryEntry| entry.name == name;
            let entry = self.directory(&here, parent)?.into_iter().find(is_it).ok_or_else(missing)?;
            let inode = self.inode(entry.inode)?;
            if inode.kind == Kind::SymbolicLink {
                links += 1;
                if links > limits::EXT4_LINKS {
                    return Err(Ext4Error::Limit {
                        limit: limits::EXT4_LINKS as u64,
                        what: "symbolic links on the way",
                    });
                }
                let target = self.target(&inode)?;
                if target.starts_with(b"/") {
                    way.truncate(1);
                }
                rest.extend(split(&target));
                continue;
            }
            way.push(inode);
        }
        way.pop().ok_or_else(missing)
    }
}

/// The components of a path, the last first.
fn split(path: &[u8]) -> Vec<Vec<u8>> {
    let plain = |name: &&[u8]| !name.is_empty() && *name != b".";
    path.split(|byte| *byte == b'/').filter(plain).rev().map(<[u8]>::to_vec).collect()
}

fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

/// The order of paths: by components, bytewise; the root has none.
fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').skip(usize::from(path.is_empty()))
}

fn file_type(kind: Kind) -> u8 {
    match kind {
        Kind::File => 1,
        Kind::Directory => 2,
        Kind::CharacterDevice(..) => 3,
        Kind::BlockDevice(..) => 4,
        Kind::Fifo => 5,
        Kind::Socket => 6,
        Kind::SymbolicLink => 7,
    }
}
