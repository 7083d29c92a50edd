//! The document `audit.yaml`: vulnerabilities that a person has judged to be no concern, and why.

use super::decode::{Fields, Refusal};
use super::load::Loader;
use super::problem::Problems;
use super::sources::{Origin, Sources};
use crate::base::limits::{DOCUMENT_BYTES, REASON_CHARACTERS};
use std::collections::BTreeMap;

/// Its name in the project folder.
const DOCUMENT: &str = "audit.yaml";

/// Reads audit.yaml: reasons by vulnerability; none when there is no such document.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn judged(sources: &Sources) -> Result<BTreeMap<String, String>, Problems> {
    let mut loader = Loader::new(sources);
    let mut reasons = BTreeMap::new();
    let node = match sources.read(Origin::Project, DOCUMENT, DOCUMENT_BYTES)? {
        Some(bytes) => loader.parse(Origin::Project, DOCUMENT, "", bytes),
        None => None,
    };
    if let Some(node) = &node
        && let Some(mut fields) = Fields::open(&loader.report, node, "audit.yaml")
    {
        fields.get("version");
        if let Some(node) = fields.require("ignore") {
            for (key, node) in loader.report.map(node) {
                if let Err(refusal) = vulnerability(&key.text) {
                    loader.report.add(refusal.at(key.place));
                }
                if let Some(reason) = loader.report.checked(node, reason) {
                    reasons.insert(key.text.clone(), reason.value);
                }
            }
        }
        fields.close();
    }
    let problems = loader.into_problems();
    if problems.problems.is_empty() { Ok(reasons) } else { Err(problems) }
}

fn vulnerability(text: &str) -> Result<(), Refusal> {
    let mut parts = text.split('-');
    let kind = matches!(parts.next(), Some("CVE" | "TEMP"));
    let numbers: Vec<&str> = parts.collect();
    let shape = |part: &&str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase());
    if kind && numbers.len() == 2 && numbers.iter().all(shape) {
        return Ok(());
    }
    let upper = text.to_ascii_uppercase();
    let meant = (upper != text && vulnerability(&upper).is_ok()).then_some(upper);
    Err(Refusal::new(format!("`{text}` is no vulnerability's name"))
        .suggest(meant)
        .hint("write it as the list does, such as `CVE-2024-0001`"))
}

fn reason(text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    if text.len() < 3 || text.chars().count() > REASON_CHARACTERS {
        return Err(Refusal::new("this is no reason")
            .hint("say in a sentence why it is no concern: whoever reads it next wants to know"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(DOCUMENT), text).unwrap();
        match judged(&Sources::new(folder.path())) {
            Ok(reasons) => format!("{reasons:?}"),
            Err(problems) => problems.to_string(),
        }
    }

    #[test]
    fn reasons_are_read_by_vulnerability() {
        let text =
            "version: 1\nignore:\n  CVE-2024-0001: the module is not loaded\n  TEMP-0000000-ABCDEF: \" local only \"\n";
        assert_eq!(said(text), r#"{"CVE-2024-0001": "the module is not loaded", "TEMP-0000000-ABCDEF": "local only"}"#);
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(judged(&Sources::new(empty.path())).unwrap(), BTreeMap::new());
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let text = "version: 1\nignore:\n  cve-2024-0001: the module is not loaded\n  CVE-2024-0002: no\nignores: 1\n";
        insta::assert_snapshot!(said(text), @r"
        audit.yaml:3:3: `cve-2024-0001` is no vulnerability's name
           |
         3 |   cve-2024-0001: the module is not loaded
           |   ^^^^^^^^^^^^^
        hint: did you mean `CVE-2024-0001`?
        hint: write it as the list does, such as `CVE-2024-0001`

        audit.yaml:4:18: this is no reason
           |
         4 |   CVE-2024-0002: no
           |                  ^^
        hint: say in a sentence why it is no concern: whoever reads it next wants to know

        audit.yaml:5:1: unknown key `ignores` in audit.yaml
           |
         5 | ignores: 1
           | ^^^^^^^
        hint: did you mean `ignore`?

        3 problems
        ");
        let said: Vec<String> = ["version: 1\n", "version: 2\nignore: {}\n", ""].map(said).into();
        insta::assert_snapshot!(said.join("\n\n"), @r"
        audit.yaml:1:1: audit.yaml needs the key `ignore`
           |
         1 | version: 1
           | ^^^^^^^
        hint: add `ignore: ...`

        audit.yaml:1:10: the version is `2`; this imgbuild reads version 1
           |
         1 | version: 2
           |          ^
        hint: write `version: 1`, or use an imgbuild that knows the newer one

        audit.yaml: the document is empty
        hint: begin it with `version: 1`
        ");
    }
}
