//! Splits a tree by mount points: which volume gets which entries, under which names.

use crate::base::byte_text::to_text;
use crate::base::hint::hinted;
use crate::base::tree::{Entry, Kind, Tree};
use crate::plan::{Filesystem, Volume};
use anyhow::{Result, bail};
use std::collections::BTreeMap;

/// An entry as one volume gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member<'a> {
    /// Path within the volume; empty for its root.
    pub(super) path: Vec<u8>,
    /// What it is there: a hard link whose file lies on another volume becomes a file of its own.
    pub(super) kind: Kind,
    /// The entry, whose path leads to the contents.
    pub(super) entry: &'a Entry,
}

/// The members of each volume that the builder fills, in the volumes' order; others get none.
/// A mount point's folder is the root of its volume and stays, empty, in the volume above.
///
/// # Errors
/// When no volume is mounted at `/`, or a mount point is no folder of the tree.
pub(super) fn split<'a>(tree: &'a Tree, volumes: &[Volume]) -> Result<Vec<Vec<Member<'a>>>> {
    let mut mounts: Vec<(&[u8], usize)> = Vec::new();
    for (number, volume) in volumes.iter().enumerate() {
        if volume.filesystem == Filesystem::Ext4 {
            mounts.push((volume.mount.trim_matches('/').as_bytes(), number));
        }
    }
    // The longest first, so that the first match is the deepest.
    mounts.sort_by_key(|(mount, number)| (std::cmp::Reverse(mount.len()), *number));
    if mounts.last().is_none_or(|(mount, _)| !mount.is_empty()) {
        bail!("no volume is mounted at `/`");
    }
    let is_file = |entry: &&Entry| matches!(entry.kind, Kind::File { .. });
    let files: BTreeMap<&[u8], &Entry> =
        tree.entries.iter().filter(is_file).map(|entry| (entry.path.as_slice(), entry)).collect();
    let mut members = vec![Vec::new(); volumes.len()];
    let mut copies: BTreeMap<(usize, &[u8]), Vec<u8>> = BTreeMap::new();
    for entry in &tree.entries {
        let path = entry.path.as_slice();
        let (mount, number) = volume_of(&mounts, path);
        let within = path.get(mount.len() + usize::from(!mount.is_empty())..).unwrap_or_default();
        if within.is_empty() && !mount.is_empty() {
            if entry.kind != Kind::Directory {
                bail!(
                    "`/{}` is no folder, so volume `{}` cannot be mounted there",
                    to_text(path),
                    volumes[number].name
                );
            }
            let (above, parent) = volume_of(&mounts, &path[..path.iter().rposition(|c| *c == b'/').unwrap_or(0)]);
            let name = path[above.len() + usize::from(!above.is_empty())..].to_vec();
            members[parent].push(Member { path: name, kind: Kind::Directory, entry });
        }
        // All names of a file have one owner and mode, the file's, whatever the last name says.
        let (kind, entry) = match &entry.kind {
            Kind::HardLink { target } => match files.get(target.as_slice()) {
                Some(file) => (hard_link(&mounts, number, file, within, &mut copies), *file),
                None => bail!("`/{}` is a further name of `/{}`, which is no file", to_text(path), to_text(target)),
            },
            kind => (kind.clone(), entry),
        };
        members[number].push(Member { path: within.to_vec(), kind, entry });
    }
    for (mount, number) in &mounts {
        if members[*number].first().is_none_or(|first| !first.path.is_empty()) {
            let (name, mount) = (&volumes[*number].name, to_text(mount));
            return Err(hinted(
                format!("the root has no folder `/{mount}` on which volume `{name}` could be mounted"),
                format!("let the recipe or the role lay the folder `/{mount}` over the root"),
            ));
        }
    }
    Ok(members)
}

fn volume_of<'m>(mounts: &[(&'m [u8], usize)], path: &[u8]) -> (&'m [u8], usize) {
    let below = |mount: &[u8]| {
        path.strip_prefix(mount).is_some_and(|rest| mount.is_empty() || rest.is_empty() || rest[0] == b'/')
    };
    mounts.iter().find(|(mount, _)| below(mount)).copied().unwrap_or((&[], 0))
}

/// A hard link within its volume, or, when its file lies on another one, a file for all links that share it there.
fn hard_link<'t>(
    mounts: &[(&[u8], usize)],
    number: usize,
    file: &'t Entry,
    within: &[u8],
    copies: &mut BTreeMap<(usize, &'t [u8]), Vec<u8>>,
) -> Kind {
    let target = file.path.as_slice();
    let (mount, home) = volume_of(mounts, target);
    if home == number {
        let start = mount.len() + usize::from(!mount.is_empty());
        return Kind::HardLink { target: target[start..].to_vec() };
    }
    if let Some(copy) = copies.get(&(number, target)) {
        return Kind::HardLink { target: copy.clone() };
    }
    copies.insert((number, target), within.to_vec());
    file.kind.clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{LvmId, Uuid};
    use crate::base::size::Extents;

    fn volume(name: &str, mount: &str) -> Volume {
        Volume {
            name: name.to_owned(),
            id: LvmId::derive("test", name),
            start: Extents(0),
            extents: Extents(1),
            filesystem: Filesystem::Ext4,
            mount: mount.to_owned(),
            options: "defaults".to_owned(),
            uuid: Uuid::derive("test", name),
            label: name.to_owned(),
            weight: 0,
            maximum: None,
        }
    }

    fn tree(entries: &[(&str, Kind)]) -> Tree {
        let entry = |(path, kind): &(&str, Kind)| Entry {
            path: path.as_bytes().to_vec(),
            kind: kind.clone(),
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: 0,
            xattrs: vec![],
        };
        let tree = Tree { entries: entries.iter().map(entry).collect(), contents: "/nowhere".into() };
        tree.check().unwrap();
        tree
    }

    fn link(target: &str) -> Kind {
        Kind::HardLink { target: target.as_bytes().to_vec() }
    }

    #[test]
    fn subtrees_go_to_their_volumes_and_mount_points_stay() {
        let file = Kind::File { size: 3 };
        let tree = tree(&[
            ("", Kind::Directory),
            ("a", file.clone()),
            ("var", Kind::Directory),
            ("var/b", link("a")),
            ("var/c", link("a")),
            ("var/lib", Kind::Directory),
            ("var/lib/db", Kind::Directory),
            ("var/lib/db/d", file),
            ("var/lib/db/e", link("var/lib/db/d")),
            ("var/library", Kind::Directory),
            ("vary", Kind::Directory),
        ]);
        let volumes = [volume("db", "/var/lib/db"), volume("root", "/"), volume("var", "/var")];
        let members = split(&tree, &volumes).unwrap();
        let shown: Vec<Vec<String>> = members
            .iter()
            .map(|part| {
                let show = |member: &Member<'_>| {
                    let path = String::from_utf8_lossy(&member.path).into_owned();
                    match &member.kind {
                        Kind::File { size } => format!("{path} {size}"),
                        Kind::HardLink { target } => format!("{path} = {}", String::from_utf8_lossy(target)),
                        _ => format!("{path}/"),
                    }
                };
                part.iter().map(show).collect()
            })
            .collect();
        assert_eq!(shown[0], ["/", "d 3", "e = d"]);
        assert_eq!(shown[1], ["/", "a 3", "var/", "vary/"]);
        assert_eq!(shown[2], ["/", "b 3", "c = b", "lib/", "lib/db/", "library/"]);
    }

    #[test]
    fn mount_points_that_are_missing_or_no_folders_are_refused() {
        let tree = tree(&[("", Kind::Directory), ("srv", Kind::Fifo)]);
        let refused = |volumes: &[Volume]| split(&tree, volumes).unwrap_err().to_string();
        assert_eq!(refused(&[volume("var", "/var")]), "no volume is mounted at `/`");
        let root = volume("root", "/");
        assert_eq!(
            refused(&[root.clone(), volume("var", "/var")]),
            "the root has no folder `/var` on which volume `var` could be mounted"
        );
        assert_eq!(
            refused(&[root, volume("data", "/srv")]),
            "`/srv` is no folder, so volume `data` cannot be mounted there"
        );
    }
}
