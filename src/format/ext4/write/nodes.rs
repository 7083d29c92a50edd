//! From a sorted list of names to inodes: their numbers, how many names they have, what each folder holds.

use super::super::ROOT;
use super::directory::{Entry, FOLDER};
use super::{Member, WriteError};
use crate::base::byte_text::to_text;
use crate::base::tree::Kind;
use std::collections::BTreeMap;

/// The inode of lost+found, the first that is not reserved.
pub(super) const LOST_FOUND: u32 = 11;
const LOST_FOUND_NAME: &[u8] = b"lost+found";
const LONGEST_NAME: usize = 255;
/// Most names of a file, and most folders in one that are counted.
const COUNTED_LINKS: u32 = 65_000;

/// An inode to be.
pub(super) struct Node<'a> {
    pub(super) inode: u32,
    pub(super) parent: u32,
    /// Which member it is; lost+found may be none.
    pub(super) member: Option<usize>,
    pub(super) links: u16,
    /// What a folder holds, in the tree's order.
    pub(super) entries: Vec<Entry<'a>>,
}

/// Numbers the members in order; the root comes first, lost+found second.
pub(super) fn number<'a>(members: &[Member<'a>]) -> Result<Vec<Node<'a>>, WriteError> {
    let order = |member: &Member<'_>| WriteError::Order { path: to_text(member.path).into_owned() };
    if let Some(first) = members.first().filter(|first| !first.path.is_empty() || *first.kind != Kind::Directory) {
        return Err(order(first));
    }
    let targets = members.iter().filter_map(|member| match member.kind {
        Kind::HardLink { target } => Some((target.as_slice(), None)),
        _ => None,
    });
    // Files with further names: which node each is, once it was seen.
    let mut linked: BTreeMap<&[u8], Option<usize>> = targets.collect();
    let new = |inode, parent, member| Node { inode, parent, member, links: 1, entries: Vec::new() };
    let mut nodes = vec![new(ROOT, ROOT, Some(0)), new(LOST_FOUND, ROOT, None)];
    nodes[0].entries.push(Entry { name: LOST_FOUND_NAME, inode: LOST_FOUND, file_type: FOLDER });
    // The folders on the way to the last name: path and node.
    let mut way: Vec<(&[u8], usize)> = vec![(b"", 0)];
    for (at, member) in members.iter().enumerate().skip(1) {
        let cut = member.path.iter().rposition(|byte| *byte == b'/');
        let (above, name) = (&member.path[..cut.unwrap_or(0)], &member.path[cut.map_or(0, |cut| cut + 1)..]);
        while way.len() > 1 && way.last().is_some_and(|(path, _)| *path != above) {
            way.pop();
        }
        let parent =
            way.last().filter(|(path, _)| *path == above).map(|(_, node)| *node).ok_or_else(|| order(member))?;
        if name.is_empty() || name.len() > LONGEST_NAME {
            return Err(WriteError::Name { path: to_text(member.path).into_owned() });
        }
        let node = match member.kind {
            Kind::HardLink { target } => {
                let node = linked.get(target.as_slice()).copied().flatten().ok_or_else(|| order(member))?;
                nodes[node].links = u16::try_from(u32::from(nodes[node].links) + 1)
                    .ok()
                    .filter(|links| u32::from(*links) <= COUNTED_LINKS)
                    .ok_or_else(|| WriteError::Links { path: to_text(target).into_owned() })?;
                node
            }
            Kind::Directory if parent == 0 && name == LOST_FOUND_NAME => {
                nodes[1].member = Some(at);
                way.push((member.path, 1));
                continue;
            }
            _ if parent == 0 && name == LOST_FOUND_NAME => return Err(order(member)),
            _ => {
                let inode = u32::try_from(nodes.len() + 10).map_err(|_| WriteError::TooLarge)?;
                nodes.push(new(inode, nodes[parent].inode, Some(at)));
                nodes.len() - 1
            }
        };
        if let Some(found) = linked.get_mut(member.path) {
            *found = Some(node);
        }
        if *member.kind == Kind::Directory {
            way.push((member.path, node));
        }
        let of = nodes[node].member.and_then(|at| members.get(at)).map_or(member.kind, |first| first.kind);
        let entry = Entry { name, inode: nodes[node].inode, file_type: file_type(of) };
        nodes[parent].entries.push(entry);
    }
    for node in &mut nodes {
        let folders = node.entries.iter().filter(|entry| entry.file_type == FOLDER).count();
        let is_folder = node.member.is_none_or(|at| *members[at].kind == Kind::Directory);
        if is_folder {
            // `.`, the name above and each `..` below; 1 means that they were not counted.
            let links = u32::try_from(folders + 2).unwrap_or(u32::MAX);
            node.links = u16::try_from(links).ok().filter(|links| u32::from(*links) <= COUNTED_LINKS).unwrap_or(1);
        }
    }
    Ok(nodes)
}

fn file_type(kind: &Kind) -> u8 {
    match kind {
        Kind::File { .. } | Kind::HardLink { .. } => 1,
        Kind::Directory => FOLDER,
        Kind::CharacterDevice { .. } => 3,
        Kind::BlockDevice { .. } => 4,
        Kind::Fifo => 5,
        Kind::SymbolicLink { .. } => 7,
    }
}
