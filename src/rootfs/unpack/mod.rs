//! Unpacks packages natively and side by side, with dpkg's rules for who wins.
//!
//! Threads take packages in turn; who owns a path is decided in one table ([`claims`]), and what only the whole can
//! decide (a file that two packages ship, the metadata of shared folders) is settled after the threads have ended.
//! The result is the same whatever the order in which they run.

mod claims;
mod entry;
mod rules;

pub(super) use rules::{Diversions, StatOverrides};

use super::accounts::Owners;
use super::incoming::{Incoming, Order};
use super::modules::Modules;
use super::root::{Root, found, shown};
use crate::base::epoch::Epoch;
use crate::base::progress::Phase;
use crate::package::deb::Members;
use anyhow::{Context as _, Result, bail};
use claims::{Claims, Conflict};
use rustix::fs::{self as sys, AtFlags, FileType, Mode, Timespec, Timestamps};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufReader, Read, Seek as _, Write as _, copy, sink};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Links of a merged /usr: `lib` -> `usr/lib`, ...
const MERGED: [&str; 7] = ["bin", "lib", "lib32", "lib64", "libo32", "libx32", "sbin"];

/// Bytes of compressed contents from which on it pays to decompress them ahead.
const WORTH_DECOMPRESSING: u64 = 256 << 10;
/// Bytes of decompressed contents that are read at a time.
const BUFFER: usize = 256 << 10;

/// What dpkg's database says about an unpacked package's files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// Every path that the package ships, without leading slash, in the order of its archive; the root first.
    pub(super) paths: Vec<Vec<u8>>,
    /// MD5 of the conffiles that it ships.
    pub(super) conffiles: BTreeMap<String, String>,
}

/// Packages installed before, as far as unpacking others beside them asks.
#[derive(Debug, Default)]
pub(super) struct Installed {
    /// Which of them owns a path (file or folder), by package name as dpkg shows it.
    pub(super) owners: HashMap<Vec<u8>, String>,
    /// What each of them provides.
    pub(super) provides: BTreeMap<String, BTreeSet<String>>,
}

/// Unpacks the packages of one layer into a root, in waves.
pub(super) struct Unpacker<'a> {
    root: &'a Root,
    order: &'a Order,
    installed: &'a Installed,
    epoch: Epoch,
    claims: Claims,
    merged: Vec<&'static str>,
    wave: usize,
    listings: Mutex<BTreeMap<usize, Listing>>,
    taken_over: Mutex<BTreeMap<Vec<u8>, String>>,
    /// Contents that were decompressed ahead.
    plain: Mutex<BTreeMap<usize, File>>,
    owners: Owners,
    diversions: Diversions,
    overrides: StatOverrides,
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(root: &'a Root, order: &'a Order, installed: &'a Installed, epoch: Epoch) -> Self {
        Self {
            root,
            order,
            installed,
            epoch,
            claims: Claims::default(),
            merged: Vec::new(),
            wave: 0,
            listings: Mutex::default(),
            taken_over: Mutex::default(),
            plain: Mutex::default(),
            owners: Owners::default(),
            diversions: Diversions::default(),
            overrides: StatOverrides::default(),
        }
    }

    /// Unpacks these packages (places in the order). Owners, diversions and overrides are those in force now.
    pub(super) fn wave(&mut self, members: &[usize], owners: Owners, phase: &Phase<'_>) -> Result<()> {
        self.wave += 1;
        self.owners = owners;
        self.diversions = Diversions::read(self.root)?;
        self.overrides = StatOverrides::read(self.root, &self.owners)?;
        self.merged = self.merged_links();
        // Long ones first, so that no thread is left alone with the kernel at the end.
        let mut members = members.to_vec();
        members.sort_by_key(|at| (std::cmp::Reverse(self.order.packages[*at].deb.data_length()), *at));
        crate::base::parallel::map(&members, |at| -> Result<()> {
            let package = &self.order.packages[*at];
            let listing = self
                .package(*at, package, None)
                .with_context(|| format!("unpacking {} {}", package.pin.name, package.pin.version))?;
            self.listings.lock().unwrap_or_else(PoisonError::into_inner).insert(*at, listing);
            phase.item(1, package.pin.name.clone());
            Ok(())
        })?;
        if let Some(mixed) = self.claims.mixed() {
            bail!(
                "{} is a folder in one of the packages {} and {}, and something else in the other",
                shown(&mixed.path),
                self.order.packages[mixed.first].pin.name,
                self.order.packages[mixed.second].pin.name
            );
        }
        self.settle_conflicts()?;
        self.settle_folders()
    }

    /// Decompresses these packages, the longest first, into nameless files of a folder, so that their wave has little
    /// left to do: one of them (the kernel) takes longer than all others together, and one thread unpacks it. What passes
    /// by is shown to `modules`.
    pub(super) fn decompress(&self, members: &[usize], folder: &Path, modules: Option<&Modules>) -> Result<()> {
        let mut members = members.to_vec();
        members.retain(|at| self.order.packages[*at].deb.data_length() >= WORTH_DECOMPRESSING);
        members.sort_by_key(|at| (std::cmp::Reverse(self.order.packages[*at].deb.data_length()), *at));
        for at in members {
            let package = &self.order.packages[at];
            let unpacking = || format!("unpacking {} {}", package.pin.name, package.pin.version);
            let mut file = tempfile::tempfile_in(folder).context("making a file").with_context(unpacking)?;
            let mut data = package.deb.data().with_context(unpacking)?;
            if let Some(modules) = modules {
                let archive = Arc::new(file.try_clone().context("sharing a file").with_context(unpacking)?);
                let position = Cell::new(0);
                let mut members = Members::new(Copied { from: data, to: &mut file, position: &position });
                while let Some(member) = members.member().context("reading data.tar").with_context(unpacking)? {
                    let offset = position.get();
                    // Behind its contents, so that they lie in the file.
                    copy(&mut members, &mut sink()).context("reading data.tar").with_context(unpacking)?;
                    modules.member(&member, &archive, offset);
                }
            } else {
                copy(&mut data, &mut file).context("reading data.tar").with_context(unpacking)?;
            }
            file.rewind().context("returning to a file's beginning").with_context(unpacking)?;
            self.plain.lock().unwrap_or_else(PoisonError::into_inner).insert(at, file);
        }
        Ok(())
    }

    /// What an unpacked package owns.
    pub(super) fn listing(&self, at: usize) -> Result<Listing> {
        let listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        let name = || format!("{} was not unpacked", self.order.packages[at].pin.name);
        listings.get(&at).cloned().with_context(name)
    }

    /// What was taken over from packages installed before: path to owner.
    pub(super) fn taken_over(&self) -> BTreeMap<Vec<u8>, String> {
        self.taken_over.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn merged_links(&self) -> Vec<&'static str> {
        let is_link = |name: &&str| {
            let found = self.root.find(name.as_bytes());
            found.is_ok_and(|found| found.is_some_and(|found| found.kind == FileType::Symlink))
        };
        MERGED.into_iter().filter(is_link).collect()
    }

    /// A path as it lies on disk: `lib/x` is `usr/lib/x` where /usr is merged.
    fn canonical(&self, path: &[u8]) -> Vec<u8> {
        let first = path.iter().position(|byte| *byte == b'/').map(|at| &path[..at]);
        match first {
            Some(first) if self.merged.iter().any(|name| name.as_bytes() == first) => [b"usr/", path].concat(),
            _ => path.to_owned(),
        }
    }

    /// Unpacks one package; with `only`, nothing but these paths (already decided to be this package's).
    fn package(&self, at: usize, package: &Incoming, only: Option<&BTreeSet<Vec<u8>>>) -> Result<Listing> {
        let plain = self.plain.lock().unwrap_or_else(PoisonError::into_inner).remove(&at);
        let stream: Box<dyn Read + Send> = match plain {
            Some(file) => Box::new(BufReader::with_capacity(BUFFER, file)),
            None => package.deb.data()?,
        };
        let mut members = Members::new(stream);
        let mut worker = entry::Worker::new(self, at, package, only);
        while let Some(member) = members.member().context("reading data.tar")? {
            worker.member(&member, &mut members)?;
        }
        Ok(worker.finish())
    }

    /// Decides by Replaces who owns a file that several packages ship, as dpkg would.
    fn settle_conflicts(&self) -> Result<()> {
        let mut contenders: BTreeMap<Vec<u8>, BTreeSet<usize>> = BTreeMap::new();
        for Conflict { path, first, second } in self.claims.take_conflicts() {
            contenders.entry(path).or_default().extend([first, second]);
        }
        let mut again: BTreeMap<usize, BTreeSet<Vec<u8>>> = BTreeMap::new();
        for (path, contenders) in contenders {
            let winner = self.winner(&path, &contenders)?;
            let mut listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
            for loser in contenders.iter().filter(|at| **at != winner) {
                if let Some(listing) = listings.get_mut(loser) {
                    listing.paths.retain(|listed| self.canonical(listed) != path);
                    listing.conffiles.retain(|listed, _| self.canonical(listed.as_bytes()) != path);
                }
            }
            if self.claims.owner(&path) != Some(winner) {
                self.claims.transfer(&path, winner);
                again.entry(winner).or_default().insert(path);
            }
        }
        for (at, paths) in again {
            let package = &self.order.packages[at];
            self.package(at, package, Some(&paths)).with_context(|| format!("unpacking {}", package.pin.name))?;
        }
        Ok(())
    }

    fn winner(&self, path: &[u8], contenders: &BTreeSet<usize>) -> Result<usize> {
        let mut contenders = contenders.iter().copied();
        let mut winner = contenders.next().context("a conflict has contenders")?;
        for next in contenders {
            let (holder, other) = (&self.order.packages[winner], &self.order.packages[next]);
            let same = holder.pin.name == other.pin.name;
            if other.replaces(&holder.pin.name, holder.provides()) {
                winner = next;
            } else if !same && !holder.replaces(&other.pin.name, other.provides()) {
                bail!(
                    "the packages {} {} and {} {} both ship {}, and neither replaces the other",
                    holder.pin.name,
                    holder.pin.version,
                    other.pin.name,
                    other.pin.version,
                    shown(path)
                );
            }
        }
        Ok(winner)
    }

    /// Gives new folders their packages' metadata, now that nothing is added to them any more.
    fn settle_folders(&self) -> Result<()> {
        for (path, metadata) in self.claims.take_new_folders().into_iter().rev() {
            let setting = || format!("setting the metadata of {}", shown(&path));
            let (folder, name) = self.root.parent(&path).with_context(setting)?;
            let name = if name.is_empty() { b"." } else { name };
            if found(&folder, name).with_context(setting)?.is_some_and(|found| found.kind == FileType::Directory) {
                super::root::chown(&folder, name, metadata.owner).with_context(setting)?;
                sys::chmodat(&folder, name, Mode::from_raw_mode(metadata.mode), AtFlags::empty())
                    .with_context(setting)?;
                sys::utimensat(&folder, name, &times(metadata.mtime), AtFlags::SYMLINK_NOFOLLOW)
                    .with_context(setting)?;
            }
        }
        Ok(())
    }
}

/// Reads, and leaves a copy of all that was read.
struct Copied<'f, R> {
    from: R,
    to: &'f mut File,
    /// How much that is by now.
    position: &'f Cell<u64>,
}

impl<R: Read> Read for Copied<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let taken = self.from.read(buffer)?;
        self.to.write_all(&buffer[..taken])?;
        self.position.set(self.position.get() + taken as u64);
        Ok(taken)
    }
}

/// Access and modification time.
fn times(seconds: i64) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

#[cfg(test)]
mod tests;
