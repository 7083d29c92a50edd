//! From which source package a binary package was built: vulnerabilities are known by source.

use super::control::Stanza;
use serde::{Deserialize, Serialize};

/// What a binary package was built from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BuiltFrom {
    /// The binary package.
    pub package: String,
    /// Its architecture.
    pub architecture: String,
    /// The source package.
    pub source: SourceVersion,
    /// Others whose code is in it too: those of a signed kernel or of a static program.
    pub using: Vec<SourceVersion>,
}

/// A version of a source package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceVersion {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl BuiltFrom {
    /// As a package's stanza says: `Source: name (version)` where that is not the package's own, `Built-Using` and
    /// `Static-Built-Using`. `None` when the stanza is of no package.
    #[must_use]
    pub fn of(stanza: &Stanza<'_>) -> Option<Self> {
        let (package, version) = (stanza.get("Package")?, stanza.get("Version")?);
        let source = stanza.get("Source").unwrap_or(package);
        let (name, given) = match source.split_once('(') {
            Some((name, rest)) => (name.trim(), rest.strip_suffix(')').map(str::trim)),
            None => (source.trim(), None),
        };
        // Where they differ (after a rebuild on the archive's machines too), the source's version is given.
        let version = given.filter(|given| !given.is_empty()).unwrap_or(version);
        let mut using: Vec<SourceVersion> = ["Built-Using", "Static-Built-Using"]
            .iter()
            .filter_map(|field| stanza.get(field))
            .flat_map(|list| list.split(','))
            .filter_map(exactly)
            .collect();
        using.sort();
        using.dedup();
        let source = SourceVersion { name: name.to_owned(), version: version.to_owned() };
        using.retain(|other| *other != source);
        let architecture = stanza.get("Architecture").unwrap_or_default().to_owned();
        Some(Self { package: package.to_owned(), architecture, source, using })
    }
}

/// `name (= version)`.
fn exactly(one: &str) -> Option<SourceVersion> {
    let (name, rest) = one.trim().split_once('(')?;
    let version = rest.trim().strip_prefix('=')?.trim().strip_suffix(')')?.trim();
    let name = name.trim();
    (!name.is_empty() && !version.is_empty())
        .then(|| SourceVersion { name: name.to_owned(), version: version.to_owned() })
}

/// A binary package's version without what a rebuild on the archive's machines added (`1.2-3+b1` is `1.2-3`): the best guess
/// at the source's version where nothing says it.
#[must_use]
pub fn without_rebuild(version: &str) -> &str {
    match version.rsplit_once("+b") {
        Some((before, number)) if !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit()) => before,
        _ => version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::control::single;

    fn of(text: &str) -> String {
        let built = BuiltFrom::of(&single(text.as_bytes()).unwrap()).unwrap();
        let shown = |one: &SourceVersion| format!("{} {}", one.name, one.version);
        let using: Vec<String> = built.using.iter().map(shown).collect();
        format!("{}; {}", shown(&built.source), using.join(", "))
    }

    #[test]
    fn source_is_the_package_itself_unless_another_is_named() {
        let cases = [
            ("Package: bash\nVersion: 5.2-1\n", "bash 5.2-1; "),
            ("Package: bash\nVersion: 5.2-1+b2\nSource: bash (5.2-1)\n", "bash 5.2-1; "),
            ("Package: libssl3\nVersion: 1:3.5-1\nSource: openssl\n", "openssl 1:3.5-1; "),
            ("Package: a\nVersion: 1\nSource: b ()\n", "b 1; "),
            (
                "Package: linux-image\nVersion: 6.12.1-1\nSource: linux-signed-amd64 (6.12.1+1)\nBuilt-Using: linux (= 6.12.1-1)\n",
                "linux-signed-amd64 6.12.1+1; linux 6.12.1-1",
            ),
            (
                "Package: etcd\nVersion: 3-1\nBuilt-Using: b (= 2), a (= 1), odd, worse (>= 1)\nStatic-Built-Using: b (= 2)\n",
                "etcd 3-1; a 1, b 2",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(of(text), expected, "{text}");
        }
        assert_eq!(BuiltFrom::of(&single(b"Package: a\n").unwrap()), None);
    }

    #[test]
    fn rebuilds_are_cut_off_versions() {
        let cases =
            [("1.2-3+b1", "1.2-3"), ("1.2-3", "1.2-3"), ("1+b", "1+b"), ("1+deb12u1", "1+deb12u1"), ("1+b2x", "1+b2x")];
        for (version, expected) in cases {
            assert_eq!(without_rebuild(version), expected);
        }
    }
}
