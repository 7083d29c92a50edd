//! The index at a bundle's front: strict, since everything else is judged by it.

use super::error::BundleError;
use super::{FORMAT_VERSION, INDICES, LOCK, PROJECT, package_path};
use crate::base::digest::Digest;
use crate::base::limits::{
    BUNDLE_FILES, BUNDLE_INDEX_BYTES, BUNDLE_PATH_BYTES, DOWNLOAD_BYTES, LOCK_BYTES, PATH_BYTES,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// bundle.json.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contents {
    /// The version of this form: 1.
    pub version: u64,
    /// The program that wrote it.
    pub builder: String,
    /// The recipe.
    pub recipe: String,
    /// The kernel flavour that was chosen, when one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Values that were given to the roles' parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// The images that can be built from it.
    pub images: Vec<Image>,
    /// Built-in documents that count, by path: they are not in the bundle, but in the program.
    pub builtin: BTreeMap<String, Digest>,
    /// Symbolic links of the roles' trees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// Everything that follows, sorted by path.
    pub files: Vec<Entry>,
}

/// An image that can be built from the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Its name: roles joined by `+`.
    pub name: String,
    /// What the writer's imgbuild calls it.
    pub image_id: String,
}

/// A symbolic link in a role's tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Its name, as those of files.
    pub path: String,
    /// What it says.
    pub target: String,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Digest,
    /// Whether it may be executed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

#[derive(Deserialize)]
struct Head {
    version: u64,
}

impl Contents {
    /// Reads the index and checks every name and size in it.
    ///
    /// # Errors
    /// When it is malformed, of another version, or names what no bundle holds.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let explained = |error: serde_json::Error| match serde_json::from_slice(bytes) {
            Ok(Head { version }) if version != FORMAT_VERSION => BundleError::Version { found: version },
            _ => BundleError::Index(error.to_string()),
        };
        let contents: Self = serde_json::from_slice(bytes).map_err(explained)?;
        contents.check()?;
        Ok(contents)
    }

    /// Whether it is an index as the reader takes it.
    ///
    /// # Errors
    /// As for [`Contents::parse`].
    pub fn check(&self) -> Result<(), BundleError> {
        if self.version != FORMAT_VERSION {
            return Err(BundleError::Version { found: self.version });
        }
        if self.files.len() + self.links.len() > BUNDLE_FILES {
            return Err(BundleError::Count { found: self.files.len() + self.links.len() });
        }
        sorted(self.files.iter().map(|entry| entry.path.as_str()))?;
        sorted(self.links.iter().map(|link| link.path.as_str()))?;
        for entry in &self.files {
            let limit = if entry.path == LOCK { LOCK_BYTES } else { DOWNLOAD_BYTES };
            if entry.size > limit {
                return Err(BundleError::Size { path: entry.path.clone(), size: entry.size, limit });
            }
            let refuse = |problem| BundleError::Path { path: entry.path.clone(), problem };
            place(entry).map_err(refuse)?;
        }
        let files: BTreeSet<&str> = self.files.iter().map(|entry| entry.path.as_str()).collect();
        let links: BTreeSet<&str> = self.links.iter().map(|link| link.path.as_str()).collect();
        for link in &self.links {
            let refuse = |problem| BundleError::Path { path: link.path.clone(), problem };
            plain(&link.path).map_err(refuse)?;
            if !below_tree(&link.path) {
                return Err(refuse("symbolic links are part of a role's tree only"));
            }
            if link.target.is_empty() || link.target.len() >= PATH_BYTES || link.target.chars().any(char::is_control) {
                return Err(refuse("its target is no path"));
            }
            if files.contains(link.path.as_str()) {
                return Err(refuse("it is a file already"));
            }
        }
        // What lies below a link or a file would lead elsewhere when it is unpacked.
        for path in files.iter().chain(&links) {
            let above = path.match_indices('/').map(|(at, _)| &path[..at]);
            for folder in above {
                if files.contains(folder) || links.contains(folder) {
                    let problem = "it lies below a name that is no folder";
                    return Err(BundleError::Path { path: (*path).to_owned(), problem });
                }
            }
        }
        if !files.contains(LOCK) {
            return Err(BundleError::Index(format!("it names no {LOCK}")));
        }
        Ok(())
    }

    /// The file of this name.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<(usize, &Entry)> {
        let at = self.files.binary_search_by(|entry| entry.path.as_str().cmp(path)).ok()?;
        Some((at, &self.files[at]))
    }

    /// The names of its images, as people write lists.
    #[must_use]
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.images.iter().map(|image| image.name.as_str()).collect();
        names.join(", ")
    }

    /// The text of the index.
    ///
    /// # Errors
    /// When it does not pass [`Contents::check`], or is longer than the reader takes.
    pub fn text(&self) -> Result<Vec<u8>, BundleError> {
        self.check()?;
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| BundleError::Index(error.to_string()))?;
        text.push(b'\n');
        let size = text.len() as u64;
        match size > BUNDLE_INDEX_BYTES {
            true => Err(BundleError::Size { path: super::INDEX.to_owned(), size, limit: BUNDLE_INDEX_BYTES }),
            false => Ok(text),
        }
    }
}

fn sorted<'a>(paths: impl Iterator<Item = &'a str>) -> Result<(), BundleError> {
    let mut before: Option<&str> = None;
    for path in paths {
        if let Some(before) = before.filter(|before| *before >= path) {
            return Err(BundleError::Order { path: path.to_owned(), before: before.to_owned() });
        }
        before = Some(path);
    }
    Ok(())
}

/// Whether a path stays where it belongs.
fn plain(path: &str) -> Result<(), &'static str> {
    let sane =
        |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\\') && !part.chars().any(char::is_control);
    if path.len() > BUNDLE_PATH_BYTES {
        return Err("names in a bundle have at most 250 bytes");
    }
    // A tar header splits a long name at a slash: 155 bytes before it, 100 behind.
    let fits = path.len() <= 100 || path.match_indices('/').any(|(at, _)| at <= 155 && path.len() - at - 1 <= 100);
    match path.split('/').all(sane) {
        true if fits => Ok(()),
        true => Err("a part of it is longer than the 100 bytes that a tar archive has for it"),
        false => Err("it is no plain path below the bundle"),
    }
}

/// Whether a file is one of those that bundles have.
fn place(entry: &Entry) -> Result<(), &'static str> {
    plain(&entry.path)?;
    if entry.path == LOCK || entry.path == package_path(&entry.sha256) {
        return Ok(());
    }
    if entry.path.starts_with("packages/") {
        return Err("packages are named after their digest");
    }
    if let Some(below) = entry.path.strip_prefix(INDICES) {
        let parts: Vec<&str> = below.split('/').collect();
        let named = |part: &str| part.bytes().all(|c| c.is_ascii_alphanumeric() || b"._+-".contains(&c));
        let file = |name: &str| {
            let packed = name.strip_suffix(".zst").and_then(Digest::parse).is_some();
            packed || matches!(name, "InRelease" | "Release" | "Release.gpg")
        };
        return match parts[..] {
            [repository, suite, name] if named(repository) && named(suite) && file(name) => Ok(()),
            _ => Err("it is neither a Release file nor an index that is named after its digest"),
        };
    }
    match entry.path.strip_prefix(PROJECT) {
        Some(below) if below.starts_with("recipes/") || below.starts_with("roles/") => Ok(()),
        _ => Err("nothing of this name belongs into a bundle"),
    }
}

fn below_tree(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    matches!(parts[..], ["project", "roles", _, "tree", _, ..])
}
