//! A filesystem as lines that a reviewer can compare.

use super::inode::Kind;
use super::{Ext4Error, Filesystem, Node};
use crate::base::byte_text::to_text;
use crate::base::digest::Digest;
use crate::format::ReadAt;
use std::fmt::Write as _;
use std::io::{self, Read};

/// Reads a source from front to back.
struct Front<'a>(&'a dyn ReadAt, u64);

impl Read for Front<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = usize::try_from(self.0.size() - self.1).unwrap_or(usize::MAX).min(buffer.len());
        self.0.read_at(&mut buffer[..length], self.1)?;
        self.1 += length as u64;
        Ok(length)
    }
}

impl Filesystem<'_> {
    /// One line for the filesystem, then one for every name: type, mode, owners, size or device, time, path, digest or
    /// target, attributes.
    ///
    /// # Errors
    /// When anything is damaged.
    pub fn dump(&self) -> Result<String, Ext4Error> {
        let summary = self.summary()?;
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "ext4 {} `{}` bytes {} free {} inodes {} free {}",
            summary.uuid, summary.label, summary.size, summary.free, summary.inodes, summary.free_inodes
        );
        for node in self.walk()? {
            self.line(&node, &mut out)?;
        }
        Ok(out)
    }

    fn line(&self, node: &Node, out: &mut String) -> Result<(), Ext4Error> {
        let inode = &node.inode;
        let (kind, what) = match inode.kind {
            // A file may claim any length; who reads all of its zeros never ends.
            Kind::File if inode.size > self.source.size() => ('-', format!("{} sparse", inode.size)),
            Kind::File => {
                let (digest, _) = Digest::of_reader(Front(&self.contents(inode)?, 0))?;
                ('-', format!("{} {digest}", inode.size))
            }
            Kind::Directory => ('d', String::new()),
            Kind::SymbolicLink => ('l', format!("-> {}", to_text(&self.target(inode)?))),
            Kind::CharacterDevice(major, minor) => ('c', format!("{major}:{minor}")),
            Kind::BlockDevice(major, minor) => ('b', format!("{major}:{minor}")),
            Kind::Fifo => ('p', String::new()),
            Kind::Socket => ('s', String::new()),
        };
        let [_, _, changed, _] = inode.times;
        let (path, super::Inode { mode, uid, gid, links, .. }) = (to_text(&node.path), inode);
        let _ = write!(out, "{kind}{mode:04o} {uid}:{gid} links {links} mtime {} /{path} {what}", changed.seconds);
        for (name, value) in self.attributes(inode)? {
            let _ = write!(out, " {name}={}", value.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
        Ok(())
    }
}
