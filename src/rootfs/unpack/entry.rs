//! One member of `data.tar` onto disk.

use super::claims::{FolderMetadata, Verdict};
use super::{Listing, Unpacker, times};
use crate::rootfs::incoming::{Incoming, normalised};
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
/// Prefix of extended attributes in PAX headers.
const PAX_ATTRIBUTE: &str = "SCHILY.xattr.";

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

    pub(super) fn member<R: Read>(&mut self, member: &mut tar::Entry<'_, R>) -> Result<()> {
        let raw = member.path_bytes().into_owned();
        let path = normalised(&raw)
            .with_context(|| format!("the archive has the path `{}`", String::from_utf8_lossy(&raw).escape_debug()))?;
        let metadata =
            self.metadata(member, &path).with_context(|| format!("reading the header of {}", shown(&path)))?;
        let writing = || format!("unpacking {}", shown(&path));
        let diverted = self.unpacker.diversions.target(&path, &self.package.pin.name).to_owned();
        let target = self.unpacker.canonical(&diverted);
        if self.only.is_some_and(|only| !only.contains(&target)) {
            return Ok(());
        }
        match member.header().entry_type() {
            tar::EntryType::Directory => {
                let metadata = FolderMetadata { mode: metadata.mode, owner: metadata.owner, mtime: metadata.mtime };
                self.folder(&target, metadata).with_context(writing)?;
            }
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                self.file(&path, &target, &metadata, member).with_context(writing)?;
            }
            tar::EntryType::Symlink => {
                let to = member.link_name_bytes().context("the link has no target")?.into_owned();
                self.link(&target, &to, &metadata).with_context(writing)?;
            }
            tar::EntryType::Link => {
                let to = member.link_name_bytes().context("the link has no target")?.into_owned();
                self.hard_link(&target, &to).with_context(writing)?;
            }
            tar::EntryType::XGlobalHeader => return Ok(()),
            other => bail!("{} is of type {other:?}, which packages may not ship", shown(&path)),
        }
        self.listing.paths.push(path);
        Ok(())
    }

    fn metadata<R: Read>(&self, member: &mut tar::Entry<'_, R>, path: &[u8]) -> Result<Metadata> {
        let header = member.header();
        let owners = &self.unpacker.owners;
        let number = |id: u64| u32::try_from(id).with_context(|| format!("the id {id} does not fit 32 bits"));
        let owner = (
            owners.user(header.username_bytes().unwrap_or_default(), number(header.uid()?)?),
            owners.group(header.groupname_bytes().unwrap_or_default(), number(header.gid()?)?),
        );
        let mode = header.mode()? & 0o7777;
        let mtime = self.unpacker.epoch.clamp(i64::try_from(header.mtime()?).unwrap_or(i64::MAX));
        let (mode, owner) = self.unpacker.overrides.get(path).unwrap_or((mode, owner));
        let mut attributes = BTreeMap::new();
        if let Some(extensions) = member.pax_extensions()? {
            for extension in extensions {
                let extension = extension?;
                if let Some(name) = extension.key().ok().and_then(|key| key.strip_prefix(PAX_ATTRIBUTE)) {
                    attributes.insert(name.to_owned(), extension.value_bytes().to_owned());
                }
            }
        }
        Ok(Metadata { mode, owner, mtime, attributes })
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
        if to.is_empty() || to.contains(&0) {
            bail!("the link's target is no path");
        }
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
        let to = normalised(to).context("the hard link leaves the root")?;
        let to = self.unpacker.diversions.target(&to, &self.package.pin.name).to_owned();
        let to = self.unpacker.canonical(&to);
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
