//! The law of ext4's folders, extents, attributes and links.
//!
//! Changes are made to a small filesystem of our own writer: as it is, or without the feature of checksums, so that what
//! these guard is looked at.

use super::disk::{Sparse, changed};
use imgbuild::base::epoch::Epoch;
use imgbuild::base::ids::Uuid;
use imgbuild::base::limits::{EXT4_DEPTH, EXT4_EXTENTS, EXT4_NAMES};
use imgbuild::base::tree::Kind;
use imgbuild::format::ext4::write::{Member, Options, write};
use imgbuild::format::ext4::{Filesystem, Kind as Found, Node};
use imgbuild::format::{ReadAt as _, Run};
use std::sync::LazyLock;

/// Bytes of the filesystem.
const SIZE: u64 = 8 << 20;
/// Where the superblock tells of checksums over everything else (`s_feature_ro_compat`, 0x400).
const CHECKSUMS: (u64, u8) = (1024 + 0x64 + 1, 0x04);
/// Names that are looked up by their path.
const FOUND: usize = 12;

/// What the changes are made to: a filesystem with checksums, and the same without.
pub static FILESYSTEMS: LazyLock<[Vec<Run>; 2]> = LazyLock::new(|| {
    let whole = dense(filesystem());
    let mut plain = whole.clone();
    let (at, bit) = CHECKSUMS;
    let run = plain.iter_mut().find(|run| (run.offset..run.offset + run.bytes.len() as u64).contains(&at));
    let run = run.expect("the superblock is written");
    let byte = &mut run.bytes[(at - run.offset) as usize];
    assert!(*byte & bit != 0, "the writer keeps checksums");
    *byte &= !bit;
    [whole, plain]
});

/// The pieces that are more than zeros, so that changes hit structures.
fn dense(runs: Vec<Run>) -> Vec<Run> {
    let pieces = runs.into_iter().flat_map(|run| {
        let piece = |(at, bytes): (u64, &[u8])| Run { offset: run.offset + at * 64, bytes: bytes.to_vec() };
        let found: Vec<Run> = (0..).zip(run.bytes.chunks(64)).map(piece).collect();
        found
    });
    let mut pieces: Vec<Run> = pieces.filter(|run| run.bytes.iter().any(|byte| *byte != 0)).collect();
    pieces.sort_by_key(|run| run.offset);
    pieces
}

/// One of everything: long and short links, a device, attributes in and outside of the inode, a second name, a folder
/// that is indexed, a file with more extents than an inode holds.
fn filesystem() -> Vec<Run> {
    let folder = Kind::Directory;
    let mut entries: Vec<(String, Kind)> = vec![(String::new(), folder.clone())];
    let link = |target: &str| Kind::SymbolicLink { target: target.as_bytes().to_vec() };
    let mut add = |path: &str, kind: Kind| entries.push((path.to_owned(), kind));
    add("dev", folder.clone());
    add("dev/null", Kind::CharacterDevice { major: 1, minor: 3 });
    add("file", Kind::File { size: 5000 });
    add("holes", Kind::File { size: 40 << 12 });
    add("link", link("many/name-007"));
    add("long", link(&"far/".repeat(40)));
    add("many", folder.clone());
    for number in 0..150 {
        add(&format!("many/name-{number:03}-that-is-long-enough-for-an-index"), Kind::File { size: 0 });
    }
    add("noted", Kind::File { size: 1 });
    add("pipe", Kind::Fifo);
    add("second", Kind::HardLink { target: b"file".to_vec() });
    let small = vec![("user.note".to_owned(), b"abcd".to_vec())];
    let large = vec![("user.large".to_owned(), vec![7; 900])];
    let members: Vec<Member<'_>> = entries
        .iter()
        .map(|(path, kind)| Member {
            path: path.as_bytes(),
            kind,
            mode: if *kind == Kind::Directory { 0o755 } else { 0o644 },
            uid: 0,
            gid: 0,
            mtime: 1_600_000_000,
            xattrs: match path.as_str() {
                "file" => &small,
                "noted" => &large,
                _ => &[],
            },
            holes: if path == "holes" { (0..20).map(|at| at * 2..at * 2 + 1).collect() } else { Vec::new() },
        })
        .collect();
    let uuid = Uuid::derive("fuzz", "ext4");
    let options = Options { size: SIZE, inodes: 256, uuid, label: "fuzz", epoch: Epoch(1_700_000_000) };
    write(&options, &members).expect("it fits").runs
}

/// The input's first byte says which of both, and the rest are the changes.
pub fn source(input: &[u8]) -> Sparse {
    let (first, changes) = input.split_first().unwrap_or((&0, &[]));
    changed(SIZE, &FILESYSTEMS[usize::from(first % 2)], changes)
}

pub fn tree(input: &[u8]) {
    let source = source(input);
    let Ok(filesystem) = Filesystem::open(&source) else { return };
    let _ = (filesystem.summary(), filesystem.check_groups(), filesystem.fields());
    let Ok(nodes) = filesystem.walk() else { return };
    assert!(nodes.len() <= EXT4_NAMES);
    for node in &nodes {
        names(node);
        contents(&filesystem, node);
    }
    for node in nodes.iter().filter(|node| node.inode.kind != Found::SymbolicLink).take(FOUND) {
        let found = filesystem.find(&node.path).expect("what the walk met is found by its path");
        assert_eq!(found.number, node.inode.number, "{:?}", node.path);
    }
    let _ = filesystem.find(b"link");
    if nodes.len() > 160 {
        super::reached::the_end();
    }
}

fn names(node: &Node) {
    let parts: Vec<&[u8]> = node.path.split(|byte| *byte == b'/').collect();
    let sound = parts.iter().all(|part| !matches!(*part, b"" | b"." | b"..") && !part.contains(&0));
    assert!(sound || node.path.is_empty(), "{:?}", node.path);
    assert!(parts.len() <= EXT4_DEPTH + 2, "{:?}", node.path);
}

fn contents(filesystem: &Filesystem<'_>, node: &Node) {
    let inode = &node.inode;
    let _ = filesystem.attributes(inode);
    match inode.kind {
        Found::SymbolicLink => {
            let _ = filesystem.target(inode);
        }
        Found::File | Found::Directory => {
            let Ok(extents) = filesystem.extents(inode) else { return };
            assert!(extents.len() as u64 <= EXT4_EXTENTS);
            let apart = extents.windows(2).all(|pair| pair[0].logical + pair[0].blocks <= pair[1].logical);
            assert!(apart, "{extents:?}");
            let last = SIZE / filesystem.block_size();
            assert!(extents.iter().all(|extent| extent.physical + extent.blocks <= last), "{extents:?}");
            let contents = filesystem.contents(inode).expect("the extents were read");
            assert_eq!(contents.size(), inode.size);
            let length = inode.size.min(64 << 10);
            let _ = contents.read_vec(inode.size - length, length as usize);
        }
        _ => {}
    }
}
