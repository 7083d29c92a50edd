//! The folder of a cluster's seeds: written beside, made durable as a whole, then put in the place of the old one.
//!
//! ```text
//! out/clusters/<cluster>/seeds/<node>.iso   0600
//! out/clusters/<cluster>/seeds/<node>/      0700, the same files to read
//! out/clusters/<cluster>/seeds/nocloud.http/   0700, what a web server may serve, if that was asked for
//! ```

use super::{SERVED, SeedTree, Served};
use crate::base::interrupt::Hold;
use crate::base::private::{self, FolderLock};
use crate::base::{durable, files};
use crate::format::Run;
use anyhow::{Context as _, Result};
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// How the names of folders begin that are not yet what they will be, or are no longer.
const UNFINISHED: &str = ".seeds-";

/// What a seed is written as, beside the folder with its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A volume for a CD or a disk.
    Iso,
    /// A disk or a memory stick.
    Vfat,
    /// Only the folder.
    Folder,
}

/// A folder of seeds in the making; gone with all that is in it unless published.
#[derive(Debug)]
pub struct Staging {
    folder: TempDir,
    target: PathBuf,
    /// Other writers of the same cluster's seeds wait.
    _lock: FolderLock,
    _hold: Hold,
}

impl Staging {
    /// Begins beside the seeds that are in this folder now; waits, after saying so, for whoever writes there.
    ///
    /// # Errors
    /// When nothing can be written there.
    pub fn begin(home: &Path, waiting: impl FnOnce()) -> Result<Self> {
        let lock = private::lock(home, waiting)?;
        // What killed writers left: nobody else is here.
        for listed in fs::read_dir(home).with_context(|| format!("reading folder {}", home.display()))?.flatten() {
            if listed.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
                let left = listed.path();
                fs::remove_dir_all(&left).with_context(|| format!("removing {}", left.display()))?;
            }
        }
        let hold = Hold::brief();
        let folder = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(home);
        let folder = folder.with_context(|| format!("making a folder in {}", home.display()))?;
        Ok(Self { folder, target: home.join("seeds"), _lock: lock, _hold: hold })
    }

    /// Adds one machine's seed.
    ///
    /// # Errors
    /// When it does not fit its form, or cannot be written.
    pub fn add(&self, tree: &SeedTree, form: Form) -> Result<()> {
        let root = self.folder.path().join(&tree.node);
        for (path, file) in &tree.files {
            put(&root.join(path), file.mode, file.content.bytes())?;
        }
        let volume = |extension: &str| self.folder.path().join(format!("{}.{extension}", tree.node));
        match form {
            Form::Iso => {
                let target = volume("iso");
                private_file(&target, 0o600)?.write_all(&tree.iso()?).with_context(|| writing(&target))
            }
            Form::Vfat => {
                let (target, (runs, length)) = (volume("img"), tree.fat()?);
                let file = private_file(&target, 0o600)?;
                file.set_len(length).with_context(|| writing(&target))?;
                let put = |run: &Run| file.write_all_at(&run.bytes, run.offset).with_context(|| writing(&target));
                runs.iter().try_for_each(put)
            }
            Form::Folder => Ok(()),
        }
    }

    /// Adds what is served of one machine's seed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn serve(&self, tree: &SeedTree, served: &Served) -> Result<()> {
        let root = self.folder.path().join(SERVED);
        served.files(tree).into_iter().try_for_each(|(path, bytes)| put(&root.join(path), 0o600, bytes))
    }

    /// Keeps servers from listing what is served.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn close_listing(&self) -> Result<()> {
        put(&self.folder.path().join(SERVED).join("index.html"), 0o600, b"")
    }

    /// Puts the folder in the place of the old one, which goes with all that is no longer in the plan. Gives its path.
    ///
    /// # Errors
    /// When it cannot be made durable or renamed; the old one is then untouched.
    pub fn publish(self) -> Result<PathBuf> {
        let (new, target) = (self.folder.path(), &self.target);
        let putting = || format!("putting {} in place", target.display());
        durable::sync_tree(new, usize::MAX).with_context(putting)?;
        if target.exists() {
            // The old one is now the folder that is gone in the end.
            match rustix::fs::renameat_with(CWD, new, CWD, target, RenameFlags::EXCHANGE) {
                // Filesystems that cannot exchange: between the two there is no folder, and the next run mends it.
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    let old = new.with_extension("old");
                    fs::rename(target, &old).and_then(|()| fs::rename(new, target)).with_context(putting)?;
                    fs::remove_dir_all(&old).with_context(|| format!("removing {}", old.display()))?;
                }
                exchanged => exchanged.with_context(putting)?,
            }
        } else {
            fs::rename(new, target).with_context(putting)?;
        }
        target.parent().map_or(Ok(()), files::sync_directory)?;
        durable::sync_names_above(target);
        Ok(self.target)
    }
}

/// A new file, and the folders above it.
fn put(target: &Path, mode: u32, bytes: &[u8]) -> Result<()> {
    if let Some(parent) = target.parent() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
        made.with_context(|| format!("creating {}", parent.display()))?;
    }
    private_file(target, mode)?.write_all(bytes).with_context(|| writing(target))
}

fn private_file(path: &Path, mode: u32) -> Result<File> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    opened.with_context(|| format!("creating {}", path.display()))
}

fn writing(path: &Path) -> String {
    format!("writing {}", path.display())
}
