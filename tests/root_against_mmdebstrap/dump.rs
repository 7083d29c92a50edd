//! A root as a tar archive tells it: every path with all that a filesystem keeps of it.

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;

/// Files up to this length are kept whole, so that a difference can be shown.
const KEPT: u64 = 8 << 20;
/// How pax calls extended attributes.
const ATTRIBUTE: &str = "SCHILY.xattr.";

/// A root, by path without leading slash; the root itself is `.`.
#[derive(Clone, Default)]
pub(crate) struct Dump(pub(crate) BTreeMap<String, Entry>);

/// One path.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) attributes: BTreeMap<String, Vec<u8>>,
}

/// What is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File {
        digest: String,
        /// What is in it, when it is not too long.
        bytes: Option<Vec<u8>>,
    },
    /// A further name of the file of this path, the first of its names.
    HardLink(String),
    Link(String),
    Character(u32, u32),
    Block(u32, u32),
    Pipe,
}

impl Kind {
    /// A word for it.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Directory => "folder",
            Self::File { .. } => "file",
            Self::HardLink(_) => "hard link",
            Self::Link(_) => "link",
            Self::Character(..) => "character device",
            Self::Block(..) => "block device",
            Self::Pipe => "pipe",
        }
    }

    /// A regular file with these contents.
    pub(crate) fn file(bytes: &[u8]) -> Self {
        Self::File { digest: hexadecimal(&Sha256::digest(bytes)), bytes: Some(bytes.to_vec()) }
    }
}

impl Dump {
    /// Reads an archive to its end.
    pub(crate) fn read(stream: impl Read) -> Result<Self> {
        let mut archive = tar::Archive::new(stream);
        let mut entries = BTreeMap::new();
        for member in archive.entries().context("reading the archive")? {
            let mut member = member.context("reading the archive")?;
            let path = plain(&member.path_bytes());
            let mut attributes = BTreeMap::new();
            if let Some(extensions) = member.pax_extensions().context("reading attributes")? {
                for extension in extensions {
                    let extension = extension.with_context(|| format!("reading attributes of {path}"))?;
                    if let Some(name) = extension.key()?.strip_prefix(ATTRIBUTE) {
                        attributes.insert(name.to_owned(), extension.value_bytes().to_vec());
                    }
                }
            }
            let header = member.header();
            let (mode, uid, gid) = (header.mode()? & 0o7777, header.uid()?, header.gid()?);
            let device = |header: &tar::Header| -> Result<(u32, u32)> {
                Ok((header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0)))
            };
            let target = |member: &tar::Entry<'_, _>| -> Result<String> {
                let target = member.link_name_bytes().with_context(|| format!("{path} has no target"))?;
                Ok(String::from_utf8_lossy(&target).into_owned())
            };
            let kind = match member.header().entry_type() {
                tar::EntryType::Directory => Kind::Directory,
                tar::EntryType::Regular | tar::EntryType::Continuous => contents(&mut member)?,
                tar::EntryType::Symlink => Kind::Link(target(&member)?),
                tar::EntryType::Link => Kind::HardLink(plain(target(&member)?.as_bytes())),
                tar::EntryType::Char => {
                    let (major, minor) = device(member.header())?;
                    Kind::Character(major, minor)
                }
                tar::EntryType::Block => {
                    let (major, minor) = device(member.header())?;
                    Kind::Block(major, minor)
                }
                tar::EntryType::Fifo => Kind::Pipe,
                tar::EntryType::XGlobalHeader => continue,
                other => bail!("{path} is of type {other:?}"),
            };
            let before = entries.insert(path.clone(), Entry { kind, mode, uid, gid, attributes });
            ensure!(before.is_none(), "{path} is there twice");
        }
        ensure!(!entries.is_empty(), "the archive is empty");
        let mut dump = Self(entries);
        dump.name_links()?;
        Ok(dump)
    }

    /// Archives name whichever of a file's names came first: here it is the one that sorts first.
    fn name_links(&mut self) -> Result<()> {
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (path, entry) in &self.0 {
            if let Kind::HardLink(target) = &entry.kind {
                names.entry(target.clone()).or_default().push(path.clone());
            }
        }
        for (target, mut others) in names {
            let entry = self.0.get(&target).with_context(|| format!("{target} has further names and is not there"))?;
            let entry = entry.clone();
            ensure!(matches!(entry.kind, Kind::File { .. }), "{target} has further names and is no file");
            others.push(target);
            others.sort();
            for name in &others[1..] {
                self.0.insert(name.clone(), Entry { kind: Kind::HardLink(others[0].clone()), ..entry.clone() });
            }
            self.0.insert(others[0].clone(), entry);
        }
        Ok(())
    }

    /// A text file, empty when there is none.
    pub(crate) fn text(&self, path: &str) -> String {
        match self.0.get(path).map(|entry| &entry.kind) {
            Some(Kind::File { bytes: Some(bytes), .. }) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        }
    }
}

fn contents(member: &mut impl Read) -> Result<Kind> {
    let (mut hash, mut kept, mut length) = (Sha256::new(), Vec::new(), 0_u64);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = member.read(&mut buffer).context("reading the archive")?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
        length += count as u64;
        if length <= KEPT {
            kept.extend_from_slice(&buffer[..count]);
        }
    }
    Ok(Kind::File { digest: hexadecimal(&hash.finalize()), bytes: (length <= KEPT).then_some(kept) })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `./usr/bin/` as `usr/bin`.
fn plain(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    let text = text.strip_prefix("./").unwrap_or(&text).trim_end_matches('/');
    if text.is_empty() { ".".to_owned() } else { text.to_owned() }
}
