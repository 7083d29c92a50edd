//! SHA256SUMS in the form that `sha256sum -c` reads.

use crate::base::digest::Digest;
use std::fmt::Write as _;

/// One line per file, sorted by name.
#[must_use]
pub fn checksums(files: &[(String, Digest)]) -> String {
    let mut files = files.to_vec();
    files.sort();
    let mut out = String::new();
    for (name, digest) in files {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{digest}  {name}");
    }
    out
}

/// Reads such a file.
///
/// # Errors
/// When a line is not a digest, two spaces and a plain file name.
pub fn read_checksums(text: &str) -> anyhow::Result<Vec<(String, Digest)>> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let parts = line.split_once("  ").and_then(|(digest, name)| Some((Digest::parse(digest)?, name)));
        match parts {
            Some((digest, name)) if !name.is_empty() && !name.contains('/') => found.push((name.to_owned(), digest)),
            _ => anyhow::bail!("line {} of SHA256SUMS is not a digest and a file name: `{line}`", at + 1),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_sorted_and_read_back() {
        let files = [("b.raw".to_owned(), Digest::of(b"b")), ("a b".to_owned(), Digest::of(b"a"))];
        let text = checksums(&files);
        assert_eq!(text.lines().next().unwrap(), format!("{}  a b", Digest::of(b"a")));
        let mut sorted = files.to_vec();
        sorted.sort();
        assert_eq!(read_checksums(&text).unwrap(), sorted);
    }

    #[test]
    fn lines_of_another_shape_are_refused() {
        let digest = Digest::of(b"");
        for text in ["x", &format!("{digest} a"), &format!("{digest}  ../a"), &format!("{digest}  ")] {
            assert!(read_checksums(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_real_tool_accepts_them_and_notices_damage() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "contents").unwrap();
        std::fs::write(folder.path().join("SHA256SUMS"), checksums(&[("a".into(), Digest::of(b"contents"))])).unwrap();
        let line = format!("cd '{}' && sha256sum --strict -c SHA256SUMS", folder.path().display());
        let check = crate::base::process::Run::new("sh").args(["-c", &line]);
        assert!(check.output().unwrap().status.success());
        std::fs::write(folder.path().join("a"), "Contents").unwrap();
        assert!(!check.output().unwrap().status.success());
    }
}
