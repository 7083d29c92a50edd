//! Waiting until the disk has what was written: for these files and folders alone, not for what others write meanwhile.

use super::{files, parallel};
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// How many are waited for at once. Waiting is no work, and a filesystem commits together what is waited for together.
const WAITS: usize = 16;

/// Makes a folder durable with all that is below it: files before the folders that name them, itself last.
///
/// # Errors
/// When something cannot be opened or synchronised, or holds more than `limit` names.
pub fn sync_tree(folder: &Path, limit: usize) -> Result<()> {
    let (files, folders) = everything(folder, limit)?;
    sync(&files)?;
    sync(&folders)
}

/// Makes each of these durable: files by their contents, folders by the names in them.
///
/// # Errors
/// When one cannot be opened or synchronised.
pub fn sync(paths: &[PathBuf]) -> Result<()> {
    let begin = |path: &PathBuf| -> Result<()> {
        let opened = files::open(path)?;
        // Whoever says that it needs no cache makes the kernel begin to write. Where that means nothing, it is no loss.
        let _ = rustix::fs::fadvise(&opened, 0, None, rustix::fs::Advice::DontNeed);
        Ok(())
    };
    // First all of them, so that a filesystem that gives places when it writes does so for all in one transaction: waiting
    // for one after another costs one for each.
    parallel::map_on(WAITS, paths, begin)?;
    let wait =
        |path: &PathBuf| files::open(path)?.sync_all().with_context(|| format!("synchronising {}", path.display()));
    parallel::map_on(WAITS, paths, wait).map(drop)
}

/// Makes the names of a folder and of those above it durable, as far up as they can be opened: what is closed to us was not
/// made by us.
pub fn sync_names_above(folder: &Path) {
    for above in folder.ancestors().skip(1) {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        if !files::open(above).is_ok_and(|opened| opened.sync_all().is_ok()) {
            break;
        }
    }
}

/// The files below a folder, and the folders, deepest first.
fn everything(folder: &Path, limit: usize) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    for listed in files::list(folder, limit)? {
        match listed.kind {
            files::ListedKind::Folder => folders.push(folder.join(listed.path)),
            files::ListedKind::File { .. } => files.push(folder.join(listed.path)),
            // They have no contents but their names.
            files::ListedKind::Link(_) | files::ListedKind::Other => {}
        }
    }
    folders.reverse();
    Ok((files, folders))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn everything_is_waited_for_and_folders_after_what_is_in_them() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("a/b")).unwrap();
        fs::create_dir(home.path().join("c")).unwrap();
        for name in ["a/b/file", "a/file", "file"] {
            fs::write(home.path().join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("gone", home.path().join("link")).unwrap();
        let (files, folders) = everything(home.path(), 100).unwrap();
        let names = |paths: &[PathBuf]| -> Vec<String> {
            paths.iter().map(|path| path.strip_prefix(home.path()).unwrap().display().to_string()).collect()
        };
        assert_eq!(names(&files), ["a/b/file", "a/file", "file"]);
        assert_eq!(names(&folders), ["c", "a/b", "a", ""]);
        sync_tree(home.path(), 100).unwrap();
        sync_names_above(&home.path().join("a/b"));
        assert!(sync_tree(home.path(), 3).is_err());
        let error = sync(&[home.path().join("file"), home.path().join("gone")]).unwrap_err();
        assert!(format!("{error:#}").contains("gone: No such file"), "{error:#}");
    }
}
