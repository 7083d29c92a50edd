//! The finished root as a sorted value: nothing downstream reads a directory in whatever order it comes.

use super::byte_text::to_text;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// A finished root filesystem.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// Sorted by path, bytewise per component; the first entry is the root itself (empty path).
    pub entries: Vec<Entry>,
    /// The folder (within the sandbox) below which the contents of regular files are read.
    pub contents: PathBuf,
}

/// One inode's name, with true ownership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Relative to the root, without leading slash; empty for the root itself.
    #[serde(with = "super::byte_text")]
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid, sticky (07777).
    pub mode: u32,
    /// Owner, as the image will see it.
    pub uid: u32,
    /// Group, as the image will see it.
    pub gid: u32,
    /// Whole seconds, never newer than the epoch.
    pub mtime: i64,
    /// Extended attributes, sorted by name; capabilities in their plain form (revision 2).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<(String, Vec<u8>)>,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A folder.
    Directory,
    /// A regular file of this length, contents below [`Tree::contents`] at the entry's path.
    File {
        /// Length in bytes.
        size: u64,
    },
    /// A further name of the regular file at this path, which sorts earlier.
    HardLink {
        /// The earlier path.
        #[serde(with = "super::byte_text")]
        target: Vec<u8>,
    },
    /// A symbolic link.
    SymbolicLink {
        /// What the link says.
        #[serde(with = "super::byte_text")]
        target: Vec<u8>,
    },
    /// A character device.
    CharacterDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

impl Tree {
    /// Checks what every user of a tree relies on: the root first, sorted by components, no name twice, every entry in
    /// a folder that came before it, hard links to regular files that came before, plain names.
    ///
    /// # Errors
    /// Which entry breaks which rule.
    pub fn check(&self) -> Result<(), TreeError> {
        let refuse = |entry: &Entry, rule| Err(TreeError { path: to_text(&entry.path).into_owned(), rule });
        let mut files = BTreeSet::new();
        let mut folders: BTreeSet<&[u8]> = BTreeSet::new();
        let mut previous: Option<&Entry> = None;
        for entry in &self.entries {
            let path = entry.path.as_slice();
            match previous {
                None if !path.is_empty() => return refuse(entry, "comes first, which only the root may"),
                None => {}
                Some(_) if path.split(|byte| *byte == b'/').any(|name| !is_name(name)) => {
                    return refuse(entry, "is no relative path of plain names");
                }
                Some(before) if !components(&before.path).lt(components(path)) => {
                    return refuse(entry, "is not sorted after the entry before it");
                }
                Some(_) => {
                    let parent = path.iter().rposition(|byte| *byte == b'/').map_or(&path[..0], |at| &path[..at]);
                    if !folders.contains(parent) {
                        return refuse(entry, "is in no folder that came before it");
                    }
                }
            }
            match &entry.kind {
                Kind::Directory => drop(folders.insert(path)),
                Kind::File { .. } => drop(files.insert(path)),
                Kind::HardLink { target } if !files.contains(target.as_slice()) => {
                    return refuse(entry, "is a hard link to no file that came before it");
                }
                _ if path.is_empty() => return refuse(entry, "is the root and no folder"),
                _ => {}
            }
            if path.is_empty() && entry.kind != Kind::Directory {
                return refuse(entry, "is the root and no folder");
            }
            if entry.mode > 0o7777 {
                return refuse(entry, "has a mode beyond 07777");
            }
            previous = Some(entry);
        }
        Ok(())
    }
}

/// Why a tree is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the entry `{path}` {rule}")]
pub struct TreeError {
    /// Which entry, as text.
    pub path: String,
    /// What it breaks.
    pub rule: &'static str,
}

/// The order of a tree: by components, bytewise; the root has none.
fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').skip(usize::from(path.is_empty()))
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name != b"." && name != b".." && !name.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(entries: &[(&str, Kind)]) -> Tree {
        let entry = |(path, kind): &(&str, Kind)| Entry {
            path: path.as_bytes().to_vec(),
            kind: kind.clone(),
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: 0,
            xattrs: Vec::new(),
        };
        Tree { entries: entries.iter().map(entry).collect(), contents: PathBuf::new() }
    }

    #[test]
    fn trees_in_order_pass() {
        let file = Kind::File { size: 0 };
        let link = Kind::HardLink { target: b"a/b".to_vec() };
        let good =
            tree(&[("", Kind::Directory), ("a", Kind::Directory), ("a/b", file.clone()), ("a-b", file), ("c", link)]);
        assert_eq!(good.check(), Ok(()));
        assert_eq!(Tree::default().check(), Ok(()));
    }

    #[test]
    fn trees_that_break_a_rule_are_refused_by_entry() {
        let (folder, file) = (Kind::Directory, Kind::File { size: 0 });
        let link = Kind::HardLink { target: b"z".to_vec() };
        let root = ("", folder.clone());
        let cases: [(&[(&str, Kind)], &str); 9] = [
            (&[("a", folder.clone())], "`a` comes first"),
            (&[("", file.clone())], "`` is the root and no folder"),
            (&[root.clone(), ("..", file.clone())], "`..` is no relative path"),
            (&[root.clone(), ("/a", file.clone())], "`/a` is no relative path"),
            (&[root.clone(), ("b", file.clone()), ("a", file.clone())], "`a` is not sorted"),
            (&[root.clone(), ("a", file.clone()), ("a", file.clone())], "`a` is not sorted"),
            (&[root.clone(), ("a", file.clone()), ("a/b", file.clone())], "`a/b` is in no folder"),
            (&[root.clone(), ("", folder)], "`` is no relative path"),
            (&[root, ("a", link)], "`a` is a hard link to no file"),
        ];
        for (entries, expected) in cases {
            let text = tree(entries).check().unwrap_err().to_string();
            assert!(text.contains(expected), "{text} should say {expected}");
        }
    }
}
