//! One member of `data.tar` onto disk, already judged by `package::deb`.

use super::claims::{FolderMetadata, Verdict};
use super::{Listing, Unpacker, times};
use crate::package::deb::{Member, MemberKind};
use crate::rootfs::incoming::Incoming;
use crate::rootfs::md5::Md5;
use crate::rootfs::root::{chown, create, finish, found, remove_name, shown, split};
use anyhow::{Context as _, Result, bail};
use rustix::fs::{self as sys, AtFlags, FileType, Mode, XattrFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::PoisonError;

/// How much of a file is held in memory at a time.
const BUFFER: usize = 128 << 10;

/// What a member's header says.
struct Metadata {
    mode: u32,
    owner: (u32, u32),
    mtime: i64,
    attributes: BTreeMap<String, Vec<u8>>,
}

/// One thread's work on one package.
pub(super) struct Worker<'w, 'a> {
    unpacker: &'w Unpacker<'a>,
    at: usize,
    package: &'w Incoming,
    only: Option<&'w BTreeSet<Vec<u8>>>,
    conffiles: BTreeSet<&'w str>,
    listing: Listing,
    /// The folder of the last member: archives go folder by folder.
    parent: Option<(Vec<u8>, OwnedFd)>,
    buffer: Vec<u8>,
}

impl<'w, 'a> Worker<'w, 'a> {
    pub(super) fn new(
        unpacker: &'w Unpacker<'a>,
        at: usize,
        package: &'w Incoming,
        only: Option<&'w BTreeSet<Vec<u8>>>,
    ) -> Self {
        let conffiles = package.conffiles.iter().filter(|file| !file.obsolete).map(|file| file.path.as_str()).collect();
        let buffer = vec![0; BUFFER];
        Self { unpacker, at, package, only, conffiles, listing: Listing::default(), parent: None, buffer }
    }

    pub(super) fn finish(self) -> Listing {
        self.listing
    }

    /// Unpacks one member, whose contents the stream gives.
    pub(super) fn member(&mut self, member: &Member, contents: &mut impl Read) -> Result<()> {
        let path = &member.path;
        let metadata = self.metadata(member);
        let writing = || format!("unpacking {}", shown(path));
        let target = self.target(path);
        if self.only.is_some_and(|only| !only.contains(&target)) {
            return Ok(());
        }
        if self.only.is_none() && self.parent.as_ref().is_none_or(|(held, _)| held != split(&target).0) {
            self.unpacker.claims.above(&target, self.at, self.unpacker.wave);
        }
        match &member.kind {
            MemberKind::Directory => {
                let metadata = FolderMetadata { mode: metadata.mode, owner: metadata.owner, mtime: metadata.mtime };
                self.folder(&target, metadata).with_context(writing)?;
            }
            MemberKind::File => self.file(path, &target, &metadata, contents).with_context(writing)?,
            MemberKind::SymbolicLink(to) => self.link(&target, to, &metadata).with_context(writing)?,
            MemberKind::HardLink(to) => self.hard_link(&target, to).with_context(writing)?,
        }
        self.listing.paths.push(path.clone());
        Ok(())
    }

    /// Where a path of the package lies on disk.
    fn target(&self, path: &[u8]) -> Vec<u8> {
        self.unpacker.canonical(self.unpacker.diversions.target(path, &self.package.pin.name))
    }

    fn metadata(&self, member: &Member) -> Metadata {
        let owners = &self.unpacker.owners;
        let owner = (owners.user(&member.names.0, member.owner.0), owners.group(&member.names.1, member.owner.1));
        let mtime = self.unpacker.epoch.clamp(i64::try_from(member.mtime).unwrap_or(i64::MAX));
        let (mode, owner) = self.unpacker.overrides.get(&member.path).unwrap_or((member.mode, owner));
        Metadata { mode, owner, mtime, attributes: member.attributes.clone() }
    }

    /// Opens the folder of a path, keeping it for the next member.
    fn enter<'p>(&mut self, path: &'p [u8]) -> Result<(&OwnedFd, &'p [u8])> {
        let (folder, name) = split(path);
        if self.parent.as_ref().is_none_or(|(held, _)| held != folder) {
            let (handle, _) = self.unpacker.root.parent(path)?;
            self.parent = Some((folder.to_owned(), handle));
        }
        let (_, handle) = self.parent.as_ref().context("the parent was just opened")?;
        Ok((handle, name))
    }

    fn folder(&mut self, path: &[u8], metadata: FolderMetadata) -> Result<()> {
        let (claims, at, wave) = (&self.unpacker.claims, self.at, self.unpacker.wave);
        claims.folder(path, at, wave, metadata);
        if path.is_empty() {
            claims.made_folder(path);
            return Ok(());
        }
        let (parent, name) = self.enter(path)?;
        match sys::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => {
                // The umask must not keep other threads' scripts out until the metadata is settled.
                sys::chmodat(parent, name, Mode::from_raw_mode(0o755), AtFlags::empty())?;
                claims.made_folder(path);
                Ok(())
            }
            // A folder, or a link to one, stays as it is; anything else is no folder.
            Err(Errno::EXIST) => match self.unpacker.root.directory(path) {
                Ok(_) => Ok(()),
                Err(_) => bail!("{} exists already and is no folder", shown(path)),
            },
            Err(error) => Err(error.into()),
        }
    }

    fn file(&mut self, path: &[u8], target: &[u8], metadata: &Metadata, member: &mut impl Read) -> Result<()> {
        let conffile = std::str::from_utf8(path).ok().filter(|path| self.conffiles.contains(path)).map(str::to_owned);
        let mut hash = conffile.as_ref().map(|_| Md5::default());
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.write_file(target, metadata, member, &mut hash, &mut buffer);
        self.buffer = buffer;
        result?;
        if let (Some(path), Some(hash)) = (conffile, hash) {
            self.listing.conffiles.insert(path, hash.finish());
        }
        Ok(())
    }

    fn write_file(
        &mut self,
        path: &[u8],
        metadata: &Metadata,
        member: &mut impl Read,
        hash: &mut Option<Md5>,
        buffer: &mut [u8],
    ) -> Result<()> {
        let mut file = None;
        if self.take(path, false)? && !self.keep_conffile(path, hash.is_some())? {
            let (parent, name) = self.enter(path)?;
            file = Some(create(parent, name)?);
        }
        if file.is_none() && hash.is_none() {
            return Ok(());
        }
        loop {
            let length = member.read(buffer).context("reading data.tar")?;
            if length == 0 {
                break;
            }
            if let Some(hash) = hash {
                hash.write_all(&buffer[..length])?;
            }
            if let Some(file) = &mut file {
                file.write_all(&buffer[..length])?;
            }
        }
        let Some(file) = file else { return Ok(()) };
        finish(&file, metadata.mode, metadata.owner)?;
        for (name, value) in &metadata.attributes {
            sys::fsetxattr(&file, name.as_str(), value, XattrFlags::empty())
                .with_context(|| format!("setting the attribute {name}"))?;
        }
        sys::futimens(&file, &times(metadata.mtime))?;
        Ok(())
    }

    /// A configuration file that is there already and belongs to no package stays (`--force-confold`).
    fn keep_conffile(&mut self, path: &[u8], conffile: bool) -> Result<bool> {
        if !conffile || self.only.is_some() {
            return Ok(false);
        }
        let (parent, name) = self.enter(path)?;
        let there = found(parent, name)?.is_some();
        Ok(there && !self.unpacker.installed.owners.contains_key(path))
    }

    /// Claims a path for a file or link; what stands there must be ours to replace.
    fn take(&mut self, path: &[u8], link: bool) -> Result<bool> {
        if self.only.is_some() {
            return Ok(true);
        }
        let verdict = self.unpacker.claims.other(path, self.at, self.unpacker.wave, link);
        if verdict != Verdict::Take {
            return Ok(false);
        }
        let package = self.package;
        let installed = self.unpacker.installed;
        let (parent, name) = self.enter(path)?;
        match found(parent, name)?.map(|found| found.kind) {
            None => return Ok(true),
            Some(FileType::Directory) if link => return Ok(false),
            Some(FileType::Directory) => bail!("{} exists already and is a folder", shown(path)),
            Some(_) => {}
        }
        let Some(owner) = installed.owners.get(path) else { return Ok(true) };
        let name = owner.split(':').next().unwrap_or(owner);
        if name != package.pin.name
            && !package.replaces(name, installed.provides.get(owner).unwrap_or(&BTreeSet::new()))
        {
            bail!("the file belongs to the package {owner}, which {} does not replace", package.pin.name);
        }
        let mut taken = self.unpacker.taken_over.lock().unwrap_or_else(PoisonError::into_inner);
        taken.insert(path.to_owned(), owner.clone());
        Ok(true)
    }

    fn link(&mut self, path: &[u8], to: &[u8], metadata: &Metadata) -> Result<()> {
        if !self.take(path, true)? {
            return Ok(());
        }
        let (parent, name) = self.enter(path)?;
        remove_name(parent, name)?;
        sys::symlinkat(to, parent, name)?;
        chown(parent, name, metadata.owner)?;
        sys::utimensat(parent, name, &times(metadata.mtime), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    fn hard_link(&mut self, path: &[u8], to: &[u8]) -> Result<()> {
        let to = self.target(to);
        if self.unpacker.claims.owner(&to) != Some(self.at) {
            bail!("the hard link's target {} is no file of this package", shown(&to));
        }
        if !self.take(path, false)? {
            return Ok(());
        }
        let (folder, from) = self.unpacker.root.parent(&to)?;
        let (parent, name) = self.enter(path)?;
        remove_name(parent, name)?;
        sys::linkat(&folder, from, parent, name, AtFlags::empty())?;
        Ok(())
    }
}
