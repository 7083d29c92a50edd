//! The list of software in SPDX 2.3 JSON (<https://spdx.github.io/spdx-spec/v2.3/>): deterministic, mirrors unnamed.

use crate::base::digest::Digest;
use crate::package::{BuildPlan, BuiltFrom, Pin, SourceVersion};
use crate::plan::PinnedFile;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How the sentence about a package's source begins.
const SOURCE: &str = "built package from: ";
/// What stands before further sources in it.
const USING: &str = "; using: ";
/// What SPDX says where nothing is claimed.
const NO_ASSERTION: &str = "NOASSERTION";
/// How the ids of pinned downloads begin.
const DOWNLOAD: &str = "SPDXRef-Download-";
/// The image's own element.
const IMAGE: &str = "SPDXRef-Image";

/// The document's bytes. `built_from` says of packages in the image what they were built from.
///
/// # Panics
/// Never: all keys are strings.
#[must_use]
pub fn sbom(build: &BuildPlan, built_from: &[BuiltFrom]) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(&document(build, built_from)).expect("plain values always serialise");
    bytes.push(b'\n');
    bytes
}

fn document(build: &BuildPlan, built_from: &[BuiltFrom]) -> Value {
    let image = &build.image;
    // One element per package and role of it; by id, so that the same package in both lists appears once.
    let mut packages = BTreeMap::new();
    let mut relations = vec![relation("SPDXRef-DOCUMENT", "DESCRIBES", IMAGE)];
    for pin in build.base.iter().chain(&build.role) {
        let id = format!("SPDXRef-Package-{}", identifier(&format!("{}-{}", pin.name, pin.architecture)));
        let mut element = package(&id, pin, build);
        let same = |one: &&BuiltFrom| one.package == pin.name && one.architecture == pin.architecture;
        if let Some(built) = built_from.iter().find(same) {
            element["sourceInfo"] = Value::from(source_info(built));
        }
        if packages.insert(id.clone(), element).is_none() {
            relations.push(relation(IMAGE, "CONTAINS", &id));
        }
    }
    for pin in &build.tools {
        let id = format!("SPDXRef-Tool-{}", identifier(&format!("{}-{}", pin.name, pin.architecture)));
        packages.insert(id.clone(), package(&id, pin, build));
        relations.push(relation(&id, "BUILD_TOOL_OF", IMAGE));
    }
    for download in image.base.downloads.iter().chain(&image.role.downloads) {
        let id = format!("{DOWNLOAD}{}", &download.file.sha256.to_string()[..16]);
        if packages.insert(id.clone(), file(&id, &download.file)).is_none() {
            relations.push(relation(IMAGE, "CONTAINS", &id));
        }
    }
    let whole = json!({
        "SPDXID": IMAGE,
        "name": image.name,
        "versionInfo": build.image_id,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        "downloadLocation": NO_ASSERTION,
        "filesAnalyzed": false,
        "licenseConcluded": NO_ASSERTION,
        "licenseDeclared": NO_ASSERTION,
        "copyrightText": NO_ASSERTION,
    });
    let packages: Vec<Value> = std::iter::once(whole).chain(packages.into_values()).collect();
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("imgbuild {} {}", image.name, build.image_id),
        // Unique by the image id; never fetched. `.invalid` is reserved for such names (RFC 6761).
        "documentNamespace": format!("https://imgbuild.invalid/spdx/{}/{}", percent(&image.name), percent(&build.image_id)),
        "creationInfo": {
            "created": build.epoch.rfc3339(),
            "creators": [concat!("Tool: imgbuild-", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": relations,
    })
}

fn source_info(built: &BuiltFrom) -> String {
    let one = |source: &SourceVersion| format!("{} {}", source.name, source.version);
    let using: Vec<String> = built.using.iter().map(one).collect();
    let rest = if using.is_empty() { String::new() } else { format!("{USING}{}", using.join(", ")) };
    format!("{SOURCE}{}{rest}", one(&built.source))
}

/// What such a document says of where software comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Software {
    /// What packages were built from, where it is known.
    pub built_from: Vec<BuiltFrom>,
    /// Names of pinned downloads.
    pub downloads: Vec<String>,
}

/// Reads such a document.
///
/// # Errors
/// When it is no such document.
pub fn read_sbom(document: &[u8]) -> anyhow::Result<Software> {
    let document: Document = serde_json::from_slice(document)?;
    let downloads = document.packages.iter().filter(|element| element.id.starts_with(DOWNLOAD));
    let downloads = downloads.map(|element| element.name.clone()).collect();
    Ok(Software { built_from: document.packages.iter().filter_map(Element::built_from).collect(), downloads })
}

#[derive(Deserialize)]
struct Document {
    packages: Vec<Element>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Element {
    #[serde(rename = "SPDXID")]
    id: String,
    name: String,
    #[serde(default)]
    source_info: Option<String>,
    #[serde(default)]
    external_refs: Vec<Reference>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    reference_locator: String,
}

impl Element {
    fn built_from(&self) -> Option<BuiltFrom> {
        let one = |text: &str| {
            let (name, version) = text.trim().split_once(' ')?;
            Some(SourceVersion { name: name.to_owned(), version: version.to_owned() })
        };
        let text = self.source_info.as_deref()?.strip_prefix(SOURCE)?;
        let (source, using) = text.split_once(USING).unwrap_or((text, ""));
        let locator = self.external_refs.iter().find_map(|found| found.reference_locator.split_once("?arch="));
        let (_, rest) = locator?;
        let architecture = rest.split('&').next().unwrap_or_default().to_owned();
        let using = using.split(", ").filter_map(one).collect();
        Some(BuiltFrom { package: self.name.clone(), architecture, source: one(source)?, using })
    }
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}

fn package(id: &str, pin: &Pin, build: &BuildPlan) -> Value {
    let distribution = &build.image.distribution;
    // Third parties' packages are theirs, not the distribution's.
    let vendor =
        if pin.repository.starts_with(&distribution.id) { distribution.id.as_str() } else { pin.repository.as_str() };
    let suite = if build.tools.contains(pin) { &build.image.tools.suite } else { &distribution.suite };
    let locator = format!(
        "pkg:deb/{}/{}@{}?arch={}&distro={}",
        percent(vendor),
        percent(&pin.name),
        percent(&pin.version),
        percent(&pin.architecture),
        percent(suite)
    );
    json!({
        "SPDXID": id,
        "name": pin.name,
        "versionInfo": pin.version,
        "packageFileName": pin.path,
        "supplier": NO_ASSERTION,
        "downloadLocation": NO_ASSERTION,
        "filesAnalyzed": false,
        "licenseConcluded": NO_ASSERTION,
        "licenseDeclared": NO_ASSERTION,
        "copyrightText": NO_ASSERTION,
        "checksums": checksums(&pin.sha256),
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator},
        ],
    })
}

fn file(id: &str, file: &PinnedFile) -> Value {
    json!({
        "SPDXID": id,
        "name": file.name,
        "packageFileName": file.name,
        "downloadLocation": file.url.as_deref().unwrap_or(NO_ASSERTION),
        "filesAnalyzed": false,
        "licenseConcluded": NO_ASSERTION,
        "licenseDeclared": NO_ASSERTION,
        "copyrightText": NO_ASSERTION,
        "checksums": checksums(&file.sha256),
    })
}

fn checksums(digest: &Digest) -> Value {
    json!([{"algorithm": "SHA256", "checksumValue": digest.to_string()}])
}

/// SPDX identifiers hold letters, digits, `.` and `-`; anything else becomes `-` and its code, so that no two names meet.
fn identifier(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "-{byte:02x}");
        }
    }
    out
}

/// Percent encoding of a purl's component: all but unreserved characters (RFC 3986).
fn percent(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::example;

    #[test]
    fn package_urls_escape_what_versions_hold() {
        let document = document(&example::build_plan(), &[]);
        let locators: Vec<&str> = document["packages"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|package| package["externalRefs"][0]["referenceLocator"].as_str())
            .collect();
        assert_eq!(
            locators,
            [
                "pkg:deb/debian/bash@5.2.37-2%2Bb5?arch=amd64&distro=trixie",
                "pkg:deb/kubernetes/kubeadm@1%3A1.36.0-1.1?arch=amd64&distro=trixie",
                "pkg:deb/debian/libstdc%2B%2B6@14.2.0-19~x1?arch=amd64&distro=trixie",
                "pkg:deb/debian/e2fsprogs@1.47.2-3?arch=amd64&distro=trixie",
            ]
        );
    }

    #[test]
    fn every_relation_names_elements_of_the_document() {
        let document = document(&example::build_plan(), &[]);
        let mut known: Vec<&str> =
            document["packages"].as_array().unwrap().iter().map(|p| p["SPDXID"].as_str().unwrap()).collect();
        known.push("SPDXRef-DOCUMENT");
        let count = known.len();
        known.sort_unstable();
        known.dedup();
        assert_eq!(known.len(), count, "identifiers are unique");
        let relations = document["relationships"].as_array().unwrap();
        assert_eq!(relations.len(), count - 1, "every element but the document is the end of one relation");
        for relation in relations {
            for end in ["spdxElementId", "relatedSpdxElement"] {
                let id = relation[end].as_str().unwrap();
                assert!(known.contains(&id), "{id}");
                let rest = id.strip_prefix("SPDXRef-").unwrap();
                assert!(rest.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'.' || c == b'-'), "{id}");
            }
        }
    }

    #[test]
    fn the_document_is_the_same_every_time_and_says_when_by_the_epoch() {
        let build = example::build_plan();
        assert_eq!(sbom(&build, &[]), sbom(&build, &[]));
        assert_eq!(document(&build, &[])["creationInfo"]["created"], "2023-11-14T22:13:20Z");
    }

    #[test]
    fn sources_are_told_and_read_back() {
        let source = |name: &str, version: &str| SourceVersion { name: name.to_owned(), version: version.to_owned() };
        let built = |package: &str, source, using| {
            let architecture = "amd64".to_owned();
            BuiltFrom { package: package.to_owned(), architecture, source, using }
        };
        let bash = built("bash", source("bash", "5.2.37-2"), vec![]);
        let library = built("libstdc++6", source("gcc-14", "14.2.0-19"), vec![source("a", "1"), source("b", "1:2+c")]);
        let other = BuiltFrom { architecture: "arm64".to_owned(), ..built("kubeadm", source("k", "1"), vec![]) };
        let document = sbom(&example::build_plan(), &[bash.clone(), other, library.clone()]);
        let text = String::from_utf8(document.clone()).unwrap();
        assert!(
            text.contains(r#""sourceInfo": "built package from: gcc-14 14.2.0-19; using: a 1, b 1:2+c""#),
            "{text}"
        );
        assert_eq!(read_sbom(&document).unwrap(), Software { built_from: vec![bash, library], downloads: vec![] });
        assert_eq!(read_sbom(&sbom(&example::build_plan(), &[])).unwrap(), Software::default());
        assert!(read_sbom(b"[]").is_err());
    }

    #[test]
    fn names_that_differ_in_odd_characters_keep_different_identifiers() {
        assert_eq!(identifier("libstdc++6"), "libstdc-2b-2b6");
        assert_ne!(identifier("a+b"), identifier("a-b"));
    }
}
