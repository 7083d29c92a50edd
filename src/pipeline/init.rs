//! `imgbuild init`: writes the built-in recipes and roles into a project folder, to be changed there.

use crate::base::files;
use crate::base::hint::hinted;
use crate::base::limits::SMALL_FILE_BYTES;
use crate::cli::outcome::Outcome;
use crate::input::builtin_files;
use anyhow::{Context as _, Result};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Results are not for version control; the folder is.
const GITIGNORE: (&str, &[u8]) = (".gitignore", b"/out/*\n!/out/.gitkeep\n");
/// Keeps the folder of results in version control.
const GITKEEP: (&str, &[u8]) = ("out/.gitkeep", b"");

/// Writes what is not there yet. A file that differs is refused (and then nothing is written) unless forced; an
/// existing `.gitignore` is left alone.
///
/// # Errors
/// When files differ, or cannot be read or written.
pub(super) fn run(project: &Path, force: bool) -> Result<Outcome> {
    let mut waiting = Vec::new();
    let mut differing = Vec::new();
    for (path, content) in builtin_files() {
        match standing(&project.join(path))? {
            Some(bytes) if bytes == *content => {}
            Some(_) if !force => differing.push(*path),
            _ => waiting.push((*path, *content)),
        }
    }
    if !differing.is_empty() {
        return Err(hinted(
            format!("these files differ from the built-in ones: {}", differing.join(", ")),
            "`imgbuild init --force` replaces them; nothing was written now",
        ));
    }
    for (path, content) in [GITIGNORE, GITKEEP] {
        if standing(&project.join(path))?.is_none() {
            waiting.push((path, content));
        }
    }
    waiting.sort_unstable();
    for (path, content) in &waiting {
        let file = project.join(path);
        files::write_atomic(&file, content)?;
        // Scripts are known by their first line.
        if content.starts_with(b"#!") {
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755))
                .with_context(|| format!("making {} executable", file.display()))?;
        }
    }
    let written: Vec<&str> = waiting.iter().map(|(path, _)| *path).collect();
    let text = if written.is_empty() { "everything is there already".to_owned() } else { written.join("\n") };
    Ok(Outcome::new(text, &written))
}

/// What stands at this path now.
fn standing(path: &Path) -> Result<Option<Vec<u8>>> {
    if path.try_exists().with_context(|| format!("examining {}", path.display()))? {
        files::read(path, SMALL_FILE_BYTES).map(Some)
    } else {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hint::hints;

    #[test]
    fn an_empty_folder_becomes_a_project_and_a_second_run_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let outcome = run(folder.path(), false).unwrap();
        assert!(outcome.text.lines().any(|line| line == "roles/haproxy/role.yaml"), "{}", outcome.text);
        for (path, content) in builtin_files() {
            assert_eq!(fs::read(folder.path().join(path)).unwrap(), *content, "{path}");
            let mode = fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, if content.starts_with(b"#!") { 0o755 } else { 0o644 }, "{path}");
        }
        assert_eq!(run(folder.path(), false).unwrap().text, "everything is there already");
    }

    #[test]
    fn a_changed_file_is_kept_and_nothing_else_is_written_unless_forced() {
        let folder = tempfile::tempdir().unwrap();
        let changed = folder.path().join("roles/base/role.yaml");
        files::write_atomic(&changed, b"mine").unwrap();
        let error = run(folder.path(), false).unwrap_err();
        assert_eq!(error.to_string(), "these files differ from the built-in ones: roles/base/role.yaml");
        assert_eq!(hints(&error), ["`imgbuild init --force` replaces them; nothing was written now"]);
        assert_eq!(fs::read(&changed).unwrap(), b"mine");
        assert!(!folder.path().join("recipes").exists());
        fs::write(folder.path().join(".gitignore"), "own").unwrap();
        run(folder.path(), true).unwrap();
        assert_ne!(fs::read(&changed).unwrap(), b"mine");
        assert_eq!(fs::read(folder.path().join(".gitignore")).unwrap(), b"own");
    }
}
