//! Reads where packages and further files come from: repositories, .debs, downloads, debconf answers.

use super::check;
use super::content::{DebEntry, DebconfEntry, DownloadEntry, RepositoryEntry, key_checked};
use super::decode::{Fields, Refusal, Report, one_of};
use super::problem::Fault;
use super::yaml::{Key, Node};
use crate::base::digest::Digest;

pub(crate) fn repository(report: &Report, key: &Key, node: &Node) -> Option<RepositoryEntry> {
    let name = key_checked(report, key, check::name);
    let mut fields = Fields::open(report, node, "a repository")?;
    let url = fields.require("url").and_then(|node| {
        report.checked(node, |text| if text == "host" { Ok(None) } else { check::url(text).map(Some) })
    });
    let flat = fields.get("flat").and_then(|node| report.boolean(node)).unwrap_or(false);
    let words = |node: &Node, noun| -> Vec<String> {
        report.texts(node, noun, check::word).into_iter().map(|word| word.value).collect()
    };
    let suites: Vec<String> = fields.require("suites").map(|node| words(node, "suite")).unwrap_or_default();
    let components = if flat {
        if fields.has("components") {
            let fault = Fault::new(fields.key_place("components"), "a flat repository has no components");
            report.add(fault.hint("leave `components` out, or `flat: true`"));
        }
        fields.get("components");
        Vec::new()
    } else {
        fields.require("components").map(|node| words(node, "component")).unwrap_or_default()
    };
    let keyring_name = fields.require("keyring").and_then(|node| report.checked(node, check::name));
    let priority = fields.get("priority").and_then(|node| report.integer(node, -1, 10_000));
    let check_valid_until = fields.get("check_valid_until").and_then(|node| report.boolean(node)).unwrap_or(true);
    let snapshot = fields.get("snapshot").and_then(|node| report.checked(node, check::url)).map(|url| url.value);
    fields.close();
    Some(RepositoryEntry {
        name: name?,
        url: url?.value,
        suites,
        components,
        flat,
        keyring_name,
        keyring: None,
        priority: priority.and_then(|number| i32::try_from(number.value).ok()).unwrap_or(500),
        check_valid_until,
        snapshot,
    })
}

fn sha256(text: &str) -> Result<Digest, Refusal> {
    Digest::parse(text).ok_or_else(|| {
        let message = if text.len() == 64 {
            "the SHA-256 has characters that are no hexadecimal digits".to_owned()
        } else {
            format!("the SHA-256 has {} characters, 64 are wanted", text.chars().count())
        };
        Refusal::new(message).hint("`sha256sum FILE` prints it")
    })
}

pub(super) fn deb(report: &Report, node: &Node) -> Option<DebEntry> {
    let file = |node: &Node| {
        let path = report.checked(node, |text| {
            let path = check::relative_path(text)?;
            if path.ends_with(".deb") {
                return Ok(path);
            }
            Err(Refusal::new(format!("`{path}` does not end in `.deb`")).hint("name the package's file"))
        })?;
        Some(DebEntry::File { path, sha256: None })
    };
    if !matches!(node.value, super::yaml::Value::Map(_)) {
        return file(node);
    }
    let mut fields = Fields::open(report, node, "a .deb")?;
    let entry = match (fields.get("file"), fields.get("url"), fields.get("sha256")) {
        (Some(path), None, None) => file(path),
        (None, Some(url), Some(digest)) => match (report.checked(url, check::url), report.checked(digest, sha256)) {
            (Some(url), Some(sha256)) => Some(DebEntry::Url { url, sha256: sha256.value }),
            _ => None,
        },
        _ => {
            let fault = Fault::new(node.place, "a .deb is given by `file`, or by `url` and `sha256`");
            report.add(fault.hint("a file beside role.yaml is pinned by its own digest, an address needs one"));
            None
        }
    };
    fields.close();
    entry
}

pub(super) fn download(report: &Report, node: &Node) -> Option<DownloadEntry> {
    let mut fields = Fields::open(report, node, "a download")?;
    let url = fields.require("url").and_then(|node| report.checked(node, check::url));
    let sha256 = fields.require("sha256").and_then(|node| report.checked(node, sha256));
    let path = fields.require("path").and_then(|node| report.checked(node, check::overlay_path));
    let unpack = fields.get("unpack").and_then(|node| report.boolean(node)).unwrap_or(false);
    let member = |text: &str| {
        check::relative_path(text).map_err(|_| {
            Refusal::new(format!("`{text}` is no member's path")).hint("write it as `tar --list` shows it")
        })
    };
    let members = fields.get("members").map(|node| report.texts(node, "member", member)).unwrap_or_default();
    let strip = fields.get("strip").and_then(|node| report.integer(node, 0, 32));
    let mode = fields.get("mode").and_then(|node| report.mode(node));
    for (key, wrong) in [("members", !unpack), ("strip", !unpack), ("mode", unpack)] {
        if fields.has(key) && wrong {
            let (what, remedy) = if unpack {
                ("an archive's files keep their own modes", "leave `mode` out")
            } else {
                ("it concerns archives only", "add `unpack: true`, or leave it out")
            };
            report.add(Fault::new(fields.key_place(key), format!("`{key}` has no effect here: {what}")).hint(remedy));
        }
    }
    fields.close();
    Some(DownloadEntry {
        place: node.place,
        url: url?.value,
        sha256: sha256?.value,
        path: path?,
        unpack,
        members: members.into_iter().map(|member| member.value).collect(),
        strip: strip.and_then(|number| u32::try_from(number.value).ok()).unwrap_or(0),
        mode: mode.unwrap_or(0o644),
    })
}

pub(super) fn debconf(report: &Report, node: &Node) -> Option<DebconfEntry> {
    const KINDS: &[(&str, &str)] = &[
        ("boolean", "boolean"),
        ("select", "select"),
        ("multiselect", "multiselect"),
        ("string", "string"),
        ("note", "note"),
        ("text", "text"),
        ("password", "password"),
    ];
    let mut fields = Fields::open(report, node, "a debconf answer")?;
    let package = fields.require("package").and_then(|node| report.checked(node, check::package));
    let question = fields.require("question").and_then(|node| report.checked(node, check::word));
    let kind = fields.require("type").and_then(|node| report.checked(node, |text| one_of(text, "debconf type", KINDS)));
    let value = fields.require("value").and_then(|node| report.checked(node, check::line));
    fields.close();
    if kind.as_ref().is_some_and(|kind| kind.value == "password") {
        let fault = Fault::new(node.place, "a debconf password would stand readable in the image").hide();
        report.add(fault.hint("secrets live in seeds: leave it out here"));
        return None;
    }
    Some(DebconfEntry {
        place: node.place,
        package: package?.value,
        question: question?.value,
        kind: kind?.value.to_owned(),
        value: value?.value,
    })
}
