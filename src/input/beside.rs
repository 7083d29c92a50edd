//! Reads what lies beside the documents: trees, .debs, build scripts, keyrings. Nothing secret passes.

use super::LocalFile;
use super::chain::Level;
use super::check;
use super::content::{Content, DebEntry, FileKind, RepositoryEntry, TreeEntry, TreeKind};
use super::decode::Located;
use super::load::Loader;
use super::problem::{Fault, Place, Problem, Problems};
use super::settings::shebang;
use super::sources::{Found, Origin, display_name};
use crate::base::limits::{TREE_BYTES, TREE_FILE_BYTES};
use std::collections::BTreeMap;

impl Loader<'_> {
    /// Reads what lies beside the documents: trees, .debs, scripts, keyrings.
    pub(super) fn finish(&mut self, content: &mut Content, levels: &[Level]) {
        self.keyrings(&mut content.repositories);
        self.debs(&mut content.debs);
        if let Some(build) = &mut content.build
            && let Some(file) = &build.file
        {
            let script = self.read_beside(file);
            if let Some(script) = &script
                && let Err(refusal) = shebang(script)
            {
                self.report.add(refusal.at(file.place));
            }
            build.script = script;
        }
        content.tree = self.tree(levels);
        for file in &content.files {
            if let FileKind::Content { text, .. } = &file.kind
                && is_secret(text.value.as_bytes())
            {
                self.report.add(secret(text.place));
            }
        }
    }

    fn read_beside(&mut self, file: &Located<String>) -> Option<Vec<u8>> {
        let (origin, folder) = self.beside(file.place);
        let path = format!("{folder}/{}", file.value);
        match self.sources.read(origin, &path, TREE_FILE_BYTES) {
            Ok(Some(content)) => return Some(content),
            Ok(None) => self.report.add(no_file(file.place, &path)),
            Err(problems) => self.others.merge(problems),
        }
        None
    }

    fn beside(&self, place: Place) -> (Origin, String) {
        let at = usize::try_from(place.file).unwrap_or(usize::MAX);
        self.beside.get(at).cloned().unwrap_or((Origin::Builtin, String::new()))
    }

    fn debs(&mut self, debs: &mut [DebEntry]) {
        for deb in debs {
            let DebEntry::File { path, sha256 } = deb else { continue };
            let (_, folder) = self.beside(path.place);
            let below = format!("{folder}/{}", path.value);
            match self.sources.digest(&below) {
                Ok(Some((digest, absolute))) => {
                    *sha256 = Some(digest);
                    self.debs.push(LocalFile { sha256: digest, path: absolute });
                }
                Ok(None) => self.report.add(no_file(path.place, &below)),
                Err(problems) => self.others.merge(problems),
            }
        }
    }

    /// Keyrings lie in `keyrings/` beside the document, or among those of the recipes.
    pub(super) fn keyrings(&mut self, repositories: &mut [RepositoryEntry]) {
        for repository in repositories {
            let Some(name) = repository.keyring_name.clone() else { continue };
            let (origin, folder) = self.beside(name.place);
            let folders = [
                (origin, format!("{folder}/keyrings")),
                (Origin::Project, "recipes/keyrings".to_owned()),
                (Origin::Builtin, "recipes/keyrings".to_owned()),
            ];
            let mut found = None;
            for (origin, folder) in &folders {
                for ending in ["asc", "gpg", "pgp"] {
                    let path = format!("{folder}/{}.{ending}", name.value);
                    match self.sources.read(*origin, &path, TREE_FILE_BYTES) {
                        Ok(content) => found = found.or(content),
                        Err(problems) => self.others.merge(problems),
                    }
                }
            }
            match found {
                Some(content) if is_secret(&content) => {
                    let message = format!("the keyring `{}` holds a private key", name.value);
                    let hint = "a repository's public key is wanted here: `gpg --armor --export KEY`";
                    self.report.add(Fault::new(name.place, message).hint(hint));
                }
                Some(content) => repository.keyring = Some(content),
                None => {
                    let fault = Fault::new(name.place, format!("there is no keyring `{}`", name.value));
                    let wanted = format!("{folder}/keyrings/{}.asc", name.value);
                    self.report.add(fault.hint(format!("put the repository's public key (armoured) into {wanted}")));
                }
            }
        }
    }

    fn tree(&mut self, levels: &[Level]) -> Vec<TreeEntry> {
        let (mut entries, mut total): (BTreeMap<String, TreeEntry>, usize) = (BTreeMap::new(), 0);
        for level in levels {
            let folder = format!("{}/tree", level.folder);
            let files = match self.sources.tree(level.origin, &folder, TREE_FILE_BYTES) {
                Ok(files) => files,
                Err(problems) => {
                    self.others.merge(problems);
                    continue;
                }
            };
            for (below, found) in &files {
                let shown = display_name(level.origin, &format!("{folder}/{below}"));
                let stem = below.strip_suffix(".j2").filter(|_| matches!(found, Found::File { .. }));
                let text = match (stem, found) {
                    (Some(_), Found::File { content, .. }) => String::from_utf8(content.clone()).ok(),
                    _ => Some(String::new()),
                };
                let file = self.add(level.origin, &shown, &level.folder, text.as_deref().unwrap_or(""));
                let place = Place { file, line: 0, column: 0, width: 1 };
                let path = match check::overlay_path(&format!("/{}", stem.unwrap_or(below))) {
                    Ok(path) => path,
                    Err(refusal) => {
                        self.report.add(refusal.at(place));
                        continue;
                    }
                };
                if stem.is_some_and(|stem| files.contains_key(stem)) {
                    let message = format!("{path} is there twice, as a file and as a template (`.j2`)");
                    self.report.add(Fault::new(place, message).hint("keep one of the two"));
                }
                let kind = match found {
                    Found::Link(target) => TreeKind::Link(target.clone()),
                    Found::File { content, .. } if is_secret(content) => {
                        self.report.add(secret(place));
                        continue;
                    }
                    Found::File { content, executable } => {
                        total += content.len();
                        match (stem, text) {
                            (None, _) => TreeKind::File { content: content.clone(), executable: *executable },
                            (Some(_), Some(text)) => TreeKind::Template { text, executable: *executable },
                            (Some(_), None) => {
                                self.report
                                    .add(Fault::new(place, "the template is not UTF-8").hint("save it as UTF-8"));
                                continue;
                            }
                        }
                    }
                };
                entries.insert(path.clone(), TreeEntry { place, path, kind });
            }
            if total > TREE_BYTES {
                let limit = crate::base::size::Bytes(TREE_BYTES as u64);
                let message = format!("its files exceed {limit} together");
                let remedy = "larger things belong into a .deb or among the role's `downloads`".to_owned();
                let problem = Problem::whole(&display_name(level.origin, &folder), message, None, Some(remedy));
                self.others.merge(Problems { problems: vec![problem] });
            }
        }
        entries.into_values().collect()
    }
}

fn no_file(place: Place, path: &str) -> Fault {
    Fault::new(place, format!("there is no file {path}")).hint("put it there, or correct the path")
}

/// Private keys have a shape that is known.
fn is_secret(content: &[u8]) -> bool {
    const MARK: &[u8] = b"PRIVATE KEY";
    content.windows(MARK.len() + 5).any(|part| part.starts_with(MARK) && part[MARK.len()..].starts_with(b"-----"))
        || content.windows(11).any(|part| part == b"KEY BLOCK--") && content.windows(7).any(|part| part == b"PRIVATE")
}

fn secret(place: Place) -> Fault {
    Fault::new(place, "this holds a private key, and images can be published")
        .hint("secrets live in seeds: have it written at first boot")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_keys_are_recognised() {
        assert!(is_secret(b"-----BEGIN OPENSSH PRIVATE KEY-----\nabc"));
        assert!(is_secret(b"-----BEGIN PGP PRIVATE KEY BLOCK-----\nabc"));
        assert!(!is_secret(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\nabc"));
        assert!(!is_secret(b"# put the PRIVATE KEY elsewhere"));
    }
}
