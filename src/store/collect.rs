//! A folder as a sorted tree value, nothing of it lost: owners, modes, attributes, hard links.

use crate::base::limits::ATTRIBUTE_BYTES;
use crate::base::tree::{Entry, Kind, Tree};
use anyhow::{Context as _, Result, bail};
use rustix::fs::{AtFlags, CWD, FileType, Stat};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Walks a folder. Inside a worker, ids and capabilities are those that the image will have.
///
/// # Errors
/// When something cannot be read, or is a socket.
pub fn collect(folder: &Path) -> Result<Tree> {
    let mut walk = Walk { folder, entries: Vec::new(), first_names: BTreeMap::new() };
    walk.visit(Vec::new())?;
    Ok(Tree { entries: walk.entries, contents: folder.to_owned() })
}

struct Walk<'a> {
    folder: &'a Path,
    entries: Vec<Entry>,
    /// Device and inode of every file with several names, and its first one.
    first_names: BTreeMap<(u64, u64), Vec<u8>>,
}

impl Walk<'_> {
    fn visit(&mut self, path: Vec<u8>) -> Result<()> {
        let place = if path.is_empty() { self.folder.to_owned() } else { self.folder.join(OsStr::from_bytes(&path)) };
        let failed = || format!("reading {}", place.display());
        let stat = rustix::fs::statat(CWD, &place, AtFlags::SYMLINK_NOFOLLOW).with_context(failed)?;
        let kind = self.kind(&path, &place, &stat).with_context(failed)?;
        let xattrs = if matches!(kind, Kind::HardLink { .. }) { Vec::new() } else { attributes(&place)? };
        let is_folder = kind == Kind::Directory;
        self.entries.push(Entry {
            path: path.clone(),
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: stat.st_mtime,
            xattrs,
        });
        if !is_folder {
            return Ok(());
        }
        let mut names = Vec::new();
        for item in std::fs::read_dir(&place).with_context(failed)? {
            names.push(item.with_context(failed)?.file_name());
        }
        names.sort();
        for name in names {
            let mut below = path.clone();
            if !below.is_empty() {
                below.push(b'/');
            }
            below.extend_from_slice(name.as_bytes());
            self.visit(below)?;
        }
        Ok(())
    }

    fn kind(&mut self, path: &[u8], place: &Path, stat: &Stat) -> Result<Kind> {
        let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Directory,
            FileType::Symlink => {
                Kind::SymbolicLink { target: std::fs::read_link(place)?.as_os_str().as_bytes().to_vec() }
            }
            FileType::CharacterDevice => Kind::CharacterDevice { major, minor },
            FileType::BlockDevice => Kind::BlockDevice { major, minor },
            FileType::Fifo => Kind::Fifo,
            FileType::RegularFile => {
                let size = u64::try_from(stat.st_size).context("its length is negative")?;
                if stat.st_nlink < 2 {
                    return Ok(Kind::File { size });
                }
                let identity = (stat.st_dev, stat.st_ino);
                if let Some(first) = self.first_names.get(&identity) {
                    return Ok(Kind::HardLink { target: first.clone() });
                }
                self.first_names.insert(identity, path.to_vec());
                Kind::File { size }
            }
            _ => bail!("it is a socket, and an image holds none"),
        })
    }
}

fn attributes(place: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let failed = || format!("reading the attributes of {}", place.display());
    let mut buffer = vec![0; ATTRIBUTE_BYTES];
    let length = match rustix::fs::llistxattr(place, &mut buffer[..]) {
        // This filesystem has none.
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        other => other.with_context(failed)?,
    };
    let names = buffer[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let names: Vec<String> =
        names.map(|name| String::from_utf8(name.to_vec())).collect::<Result<_, _>>().with_context(failed)?;
    let mut found = Vec::new();
    for name in names {
        let length = rustix::fs::lgetxattr(place, &name, &mut buffer[..]).with_context(failed)?;
        found.push((name, buffer[..length].to_vec()));
    }
    found.sort();
    Ok(found)
}
