//! The folders of one tree (primary or Joliet) in the order of its path table, with their children's identifiers.

use super::layout::{DirectoryRecord, SECTOR};
use super::names;
use super::{Content, Volume};
use std::collections::BTreeMap;

/// Which of the two trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// ISO level 1 identifiers with Rock Ridge entries.
    Primary,
    /// UCS-2 identifiers and nothing else.
    Joliet,
}

/// What a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The folder with this number.
    Folder(usize),
    /// The file with this number, in order of paths.
    File(usize),
}

/// A child of a folder.
#[derive(Clone, Debug)]
pub(super) struct Child {
    pub(super) identifier: Vec<u8>,
    pub(super) name: String,
    pub(super) mode: u32,
    pub(super) target: Target,
}

/// A folder; its number is its place in the list.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    pub(super) identifier: Vec<u8>,
    pub(super) parent: usize,
    pub(super) mode: u32,
    pub(super) children: Vec<Child>,
}

impl Folder {
    /// How many folders it holds.
    pub(super) fn folders(&self) -> usize {
        self.children.iter().filter(|child| matches!(child.target, Target::Folder(_))).count()
    }
}

/// A volume's paths as a tree.
#[derive(Default)]
struct Node<'a> {
    mode: Option<u32>,
    children: BTreeMap<&'a str, Node<'a>>,
    file: Option<usize>,
}

/// All folders, the root first, then level by level, as path tables want them.
pub(super) fn folders(volume: &Volume, side: Side) -> Vec<Folder> {
    let root = tree(volume);
    let mut nodes = vec![&root];
    let mut folders =
        vec![Folder { identifier: vec![0], parent: 0, mode: root.mode.unwrap_or(0o755), children: Vec::new() }];
    let mut at = 0;
    // Taking folders in the order in which they were found walks level by level, by parent, by identifier.
    while let Some(node) = nodes.get(at).copied() {
        let listed: Vec<(&str, bool)> = node.children.iter().map(|(name, node)| (*name, node.file.is_none())).collect();
        let identifiers = match side {
            Side::Primary => names::level1(&listed),
            Side::Joliet => names::joliet(&listed),
        };
        let mut children: Vec<(Vec<u8>, (&&str, &Node))> = identifiers.into_iter().zip(&node.children).collect();
        children.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (identifier, (name, child)) in children {
            let mode = child.mode.unwrap_or(0o755);
            let target = if let Some(number) = child.file {
                Target::File(number)
            } else {
                nodes.push(child);
                folders.push(Folder { identifier: identifier.clone(), parent: at, mode, children: Vec::new() });
                Target::Folder(folders.len() - 1)
            };
            folders[at].children.push(Child { identifier, name: (*name).to_owned(), mode, target });
        }
        at += 1;
    }
    folders
}

fn tree(volume: &Volume) -> Node<'_> {
    let mut root = Node::default();
    let mut files = 0;
    for (path, entry) in &volume.entries {
        let node = path.split('/').fold(&mut root, |node, part| node.children.entry(part).or_default());
        node.mode = Some(entry.mode);
        if matches!(entry.content, Content::File(_)) {
            node.file = Some(files);
            files += 1;
        }
    }
    root
}

/// Bytes of a record with this identifier and these system use entries.
pub(super) fn record_length(identifier: usize, system_use: usize) -> usize {
    let head = size_of::<DirectoryRecord>() + identifier;
    (head.next_multiple_of(2) + system_use).next_multiple_of(2)
}

/// Where each of these records begins within a folder, and the folder's length: none crosses a sector's end.
pub(super) fn place(lengths: impl Iterator<Item = usize>) -> (Vec<usize>, usize) {
    let mut places = Vec::new();
    let mut at = 0;
    for length in lengths {
        if at % SECTOR + length > SECTOR {
            at = at.next_multiple_of(SECTOR);
        }
        places.push(at);
        at += length;
    }
    (places, at.next_multiple_of(SECTOR))
}
