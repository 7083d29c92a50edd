//! Packages as another distribution would have made them: members packed with zstd, fields and paths changed.

use super::generator::pack;
use std::io::{Read as _, Write as _};

/// What is changed beside the packing.
#[derive(Clone, Default)]
pub struct Changes {
    /// Fields set to another value.
    pub fields: Vec<(&'static str, String)>,
    /// Files given another path: from, to (`usr/lib/a`).
    pub paths: Vec<(&'static str, &'static str)>,
}

impl Changes {
    /// A control paragraph with the fields changed, in place or added at its end.
    pub fn applied(&self, control: &str) -> String {
        let mut fields: Vec<String> = Vec::new();
        for line in control.lines() {
            match fields.last_mut() {
                Some(last) if line.starts_with([' ', '\t']) => last.push_str(&format!("\n{line}")),
                _ => fields.push(line.to_owned()),
            }
        }
        for (name, value) in &self.fields {
            let start = format!("{name}:");
            let field = format!("{name}: {value}");
            match fields.iter_mut().find(|field| field.starts_with(&start)) {
                Some(known) => *known = field,
                None => fields.push(field),
            }
        }
        fields.join("\n") + "\n"
    }

    fn renamed(&self, text: &str) -> String {
        self.paths.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }
}

/// A package's members with zstd instead of what they were packed with.
pub fn repack(deb: &[u8], changes: &Changes) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, bytes) in members(deb) {
        let (stem, tar) = match name.split_once(".tar") {
            Some((stem, ending)) => (stem, unpack(ending, bytes)),
            None => {
                member(&mut out, &name, bytes);
                continue;
            }
        };
        let changed = !changes.fields.is_empty() || !changes.paths.is_empty();
        let tar = if changed { rewritten(&tar, stem, changes) } else { tar };
        member(&mut out, &format!("{stem}.tar.zst"), &pack(".zst", &tar));
    }
    out
}

/// A package of nothing but these fields.
pub fn meta(control: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    append(&mut builder, "./control", control.as_bytes());
    let control = pack(".zst", &builder.into_inner().unwrap());
    let data = pack(".zst", &tar::Builder::new(Vec::new()).into_inner().unwrap());
    let mut out = b"!<arch>\n".to_vec();
    for (name, bytes) in [("debian-binary", &b"2.0\n"[..]), ("control.tar.zst", &control), ("data.tar.zst", &data)] {
        member(&mut out, name, bytes);
    }
    out
}

fn member(out: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    writeln!(out, "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, "100644", bytes.len()).unwrap();
    out.extend_from_slice(bytes);
    if bytes.len() % 2 == 1 {
        out.push(b'\n');
    }
}

fn members(deb: &[u8]) -> Vec<(String, &[u8])> {
    let mut rest = deb.strip_prefix(b"!<arch>\n").unwrap();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let text = |range: std::ops::Range<usize>| std::str::from_utf8(&rest[range]).unwrap().trim();
        let (name, size) = (text(0..16).trim_end_matches('/').to_owned(), text(48..58).parse::<usize>().unwrap());
        found.push((name, &rest[60..60 + size]));
        rest = &rest[(60 + size + size % 2).min(rest.len())..];
    }
    found
}

fn unpack(ending: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match ending {
        ".xz" => liblzma::read::XzDecoder::new(bytes).read_to_end(&mut out).unwrap(),
        ".gz" => flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut out).unwrap(),
        ".zst" => zstd::Decoder::new(bytes).unwrap().read_to_end(&mut out).unwrap(),
        "" => bytes.to_vec().as_slice().read_to_end(&mut out).unwrap(),
        other => panic!("no such packing: {other}"),
    };
    out
}

fn rewritten(tar: &[u8], stem: &str, changes: &Changes) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in tar::Archive::new(tar).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut header = entry.header().clone();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        match (stem, path.trim_start_matches("./")) {
            ("control", "control") => bytes = changes.applied(&String::from_utf8(bytes).unwrap()).into_bytes(),
            ("control", "md5sums") => bytes = changes.renamed(&String::from_utf8(bytes).unwrap()).into_bytes(),
            _ => {}
        }
        let path = if stem == "data" { changes.renamed(&path) } else { path };
        header.set_size(bytes.len() as u64);
        match entry.link_name().unwrap() {
            Some(target) => builder.append_link(&mut header, path, target).unwrap(),
            None => builder.append_data(&mut header, path, bytes.as_slice()).unwrap(),
        }
    }
    builder.into_inner().unwrap()
}

fn append(builder: &mut tar::Builder<Vec<u8>>, path: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, path, bytes).unwrap();
}
