//! A folder of files that nobody else may read: read whole and strictly, written so that an interruption loses nothing.

use super::hint::hinted;
use super::interrupt::Hold;
use super::limits::{SECRET_BYTES, SECRET_FILES};
use super::secret::{SecretBytes, private};
use super::{durable, files, files::ListedKind};
use anyhow::{Context as _, Result};
use rustix::fs::FlockOperation;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tempfile::TempPath;

/// Files by their paths below the folder, with `/` between components.
pub type PrivateFiles = BTreeMap<String, SecretBytes>;

/// Names that are not the owner's.
const OWN: &[&str] = &[".gitignore"];
/// How the names of files begin that are not yet what they will be.
const UNFINISHED: &str = ".imgbuild-";

/// All files of a folder; `None` when it is not there. Links, and files and folders that others may enter or read, are
/// refused.
///
/// # Errors
/// When that is so, or something cannot be read.
pub fn read(folder: &Path) -> Result<Option<PrivateFiles>> {
    if !folder.is_dir() {
        return Ok(None);
    }
    closed(folder)?;
    let mut found = PrivateFiles::new();
    for listed in files::list(folder, SECRET_FILES)? {
        let path = folder.join(&listed.path);
        let name = listed.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match listed.kind {
            ListedKind::Folder => closed(&path)?,
            ListedKind::File { .. } if OWN.contains(&name) || name.starts_with(UNFINISHED) => {}
            ListedKind::File { .. } => {
                private(&path)?;
                let below = listed.path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
                found.insert(below.to_owned(), SecretBytes::new(files::read(&path, SECRET_BYTES)?));
            }
            _ => {
                let message = format!("{} is no file and no folder", path.display());
                return Err(hinted(message, "put the file itself there"));
            }
        }
    }
    Ok(Some(found))
}

/// Writes files into a folder, replacing those of the same name and leaving others alone: first all of them beside their
/// names, durably, then each under its name. `ignored` says whether version control is told to leave the folder alone.
///
/// # Errors
/// When any step fails; what was there is then still there.
pub fn write(folder: &Path, changes: &PrivateFiles, ignored: bool) -> Result<()> {
    let _hold = Hold::brief();
    // Above the secrets, a folder is the project's own.
    folder.parent().map_or(Ok(()), files::create_dir_all)?;
    make_folder(folder)?;
    sweep(folder);
    let mut beside: Vec<(TempPath, PathBuf)> = Vec::with_capacity(changes.len() + 1);
    if ignored && !folder.join(OWN[0]).exists() {
        beside.push((
            unfinished(
                &folder.join(OWN[0]),
                b"# Secrets: `imgbuild secrets seal` makes a file for version control.\n*\n",
            )?,
            folder.join(OWN[0]),
        ));
    }
    for (below, bytes) in changes {
        let path = folder.join(below);
        if let Some(parent) = path.parent() {
            make_folder(parent)?;
        }
        beside.push((unfinished(&path, bytes.reveal())?, path));
    }
    durable::sync(&beside.iter().map(|(file, _)| file.to_path_buf()).collect::<Vec<_>>())?;
    let mut folders = BTreeSet::new();
    for (file, path) in beside {
        file.persist(&path).map_err(|error| error.error).with_context(|| format!("writing {}", path.display()))?;
        folders.extend(path.ancestors().skip(1).take_while(|above| above.starts_with(folder)).map(Path::to_owned));
    }
    // The deepest first: each names those below it.
    durable::sync(&folders.into_iter().rev().collect::<Vec<_>>())?;
    folder.parent().map_or(Ok(()), files::sync_directory)?;
    durable::sync_names_above(folder);
    Ok(())
}

/// Writes a file that must be new, with this mode whatever the umask says, in folders that are made closed to others.
///
/// # Errors
/// When it is there already, or cannot be written.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    // Nobody else may open it while it is being written.
    let opened = File::options().write(true).create_new(true).mode(0o600).open(path);
    let put = |mut file: File| {
        file.write_all(bytes)?;
        file.set_permissions(fs::Permissions::from_mode(mode))
    };
    opened.and_then(put).with_context(|| format!("writing {}", path.display()))
}

/// Removes a folder with all files below it.
///
/// # Errors
/// When that fails.
pub fn remove(folder: &Path) -> Result<()> {
    let _hold = Hold::brief();
    fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    folder.parent().map_or(Ok(()), files::sync_directory)
}

/// A folder held against other processes that ask for it.
#[derive(Debug)]
pub struct FolderLock {
    _folder: File,
}

/// Holds a folder, which is made if need be; calls `waiting` once if somebody else has it, then waits. A filesystem that
/// cannot lock folders (NFS) leaves it to people not to do two things at once.
///
/// # Errors
/// When the folder cannot be made or opened.
pub fn lock(folder: &Path, waiting: impl FnOnce()) -> Result<FolderLock> {
    files::create_dir_all(folder)?;
    let file = files::open(folder)?;
    let attempt = |operation| rustix::io::retry_on_intr(|| rustix::fs::flock(&file, operation));
    if attempt(FlockOperation::NonBlockingLockExclusive) == Err(rustix::io::Errno::WOULDBLOCK) {
        waiting();
        let _ = attempt(FlockOperation::LockExclusive);
    }
    Ok(FolderLock { _folder: file })
}

/// Refuses a folder that others may enter.
fn closed(folder: &Path) -> Result<()> {
    let mode = fs::metadata(folder).with_context(|| format!("examining {}", folder.display()))?.mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(hinted(
        format!("{} can be entered by others (mode {:04o})", folder.display(), mode & 0o7777),
        format!("keep it to yourself: `chmod -R go= {}`", folder.display()),
    ))
}

/// Makes a folder and those above it that are missing, closed to others.
fn make_folder(folder: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("creating {}", folder.display()))
}

/// A new file (0600) beside its name.
fn unfinished(path: &Path, bytes: &[u8]) -> Result<TempPath> {
    let failed = || format!("writing {}", path.display());
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder).with_context(failed)?;
    file.write_all(bytes).with_context(failed)?;
    Ok(file.into_temp_path())
}

/// Removes what writers left that were killed; the caller holds the lock.
fn sweep(folder: &Path) {
    for listed in files::list(folder, SECRET_FILES).unwrap_or_default() {
        let name = listed.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(UNFINISHED) && matches!(listed.kind, ListedKind::File { .. }) {
            let _ = fs::remove_file(folder.join(&listed.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hint::hints;

    fn files(list: &[(&str, &str)]) -> PrivateFiles {
        list.iter().map(|(path, text)| ((*path).to_owned(), SecretBytes::new(text.as_bytes().to_vec()))).collect()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn files_are_private_whole_and_not_versioned() {
        let project = tempfile::tempdir().unwrap();
        let folder = project.path().join("seeds/demo/secrets");
        assert_eq!(read(&folder).unwrap(), None);
        let first = files(&[("a", "one"), ("nodes/x/key", "two")]);
        write(&folder, &first, true).unwrap();
        assert_eq!(read(&folder).unwrap(), Some(first));
        fs::write(folder.join(".imgbuild-left"), "half").unwrap();
        write(&folder, &files(&[("a", "three")]), true).unwrap();
        assert_eq!(read(&folder).unwrap(), Some(files(&[("a", "three"), ("nodes/x/key", "two")])));
        assert!(!folder.join(".imgbuild-left").exists());
        assert!(fs::read_to_string(folder.join(".gitignore")).unwrap().ends_with("\n*\n"));
        assert_eq!((mode(&folder), mode(&folder.join("nodes/x"))), (0o700, 0o700));
        assert_eq!((mode(&folder.join("a")), mode(&folder.join("nodes/x/key"))), (0o600, 0o600));
    }

    #[test]
    fn a_created_file_has_its_mode_and_replaces_nothing() {
        let project = tempfile::tempdir().unwrap();
        let path = project.path().join("seed/files/run");
        create(&path, b"one", 0o755).unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o755, 0o700));
        let error = create(&path, b"two", 0o600).unwrap_err();
        assert_eq!(error.to_string(), format!("writing {}", path.display()));
        assert_eq!(fs::read(&path).unwrap(), b"one");
    }

    #[test]
    fn what_others_may_read_is_refused_with_the_remedy() {
        let project = tempfile::tempdir().unwrap();
        let folder = project.path().join("secrets");
        write(&folder, &files(&[("nodes/x/key", "two")]), false).unwrap();
        let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        allow(&folder.join("nodes/x/key"), 0o640);
        let error = read(&folder).unwrap_err();
        let path = folder.join("nodes/x/key");
        assert_eq!(error.to_string(), format!("{} can be read by others (mode 0640)", path.display()));
        allow(&path, 0o600);
        allow(&folder.join("nodes"), 0o750);
        let error = read(&folder).unwrap_err();
        let nodes = folder.join("nodes");
        assert_eq!(error.to_string(), format!("{} can be entered by others (mode 0750)", nodes.display()));
        assert_eq!(hints(&error), [format!("keep it to yourself: `chmod -R go= {}`", nodes.display())]);
        allow(&nodes, 0o700);
        std::os::unix::fs::symlink("/etc/passwd", folder.join("link")).unwrap();
        assert!(read(&folder).unwrap_err().to_string().ends_with("link is no file and no folder"));
    }

    #[test]
    fn a_folder_is_held_by_one_at_a_time() {
        let project = tempfile::tempdir().unwrap();
        let folder = project.path().join("seeds/demo");
        let held = lock(&folder, || panic!("nobody has it")).unwrap();
        let (said, heard) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| lock(&folder, || said.send(()).unwrap()).unwrap());
            heard.recv().unwrap();
            drop(held);
        });
        remove(&folder).unwrap();
        assert!(!folder.exists());
    }
}
