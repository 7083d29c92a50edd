//! Unpacks a pinned download (tar: plain, gz, xz or zst) into a folder of the root; everything becomes root's.

use super::incoming::normalised;
use super::root::{Root, shown};
use crate::base::files;
use crate::base::limits::{ARCHIVE_BYTES, ARCHIVE_DECODER_MEMORY_BYTES, ARCHIVE_MEMBERS};
use crate::plan::Download;
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Takes the wanted members, all when none are named, without their first components.
pub(super) fn unpack(root: &Root, source: &Path, download: &Download) -> Result<()> {
    let stream = decoder(BufReader::new(files::open(source)?)).context("opening the archive")?;
    let mut archive = tar::Archive::new(stream.take(ARCHIVE_BYTES));
    let mut missing: BTreeSet<&str> = download.members.iter().map(String::as_str).collect();
    for (count, member) in archive.entries().context("reading the archive")?.enumerate() {
        ensure!(count < ARCHIVE_MEMBERS, "the archive has more than {ARCHIVE_MEMBERS} members");
        let mut member = member.context("reading the archive")?;
        let raw = member.path_bytes().into_owned();
        let path = normalised(&raw).with_context(|| format!("`{}` is no path", String::from_utf8_lossy(&raw)))?;
        let text = std::str::from_utf8(&path).with_context(|| format!("reading the name {}", shown(&path)))?.to_owned();
        if !download.members.is_empty() {
            let wanted = download.members.iter().find(|wanted| covers(wanted, &text));
            let Some(wanted) = wanted else { continue };
            missing.remove(wanted.as_str());
        }
        if let Some(place) = stripped(&text, download.strip) {
            place_member(root, &mut member, &format!("{}/{place}", download.path.trim_end_matches('/')), download)
                .with_context(|| format!("unpacking {}", shown(&path)))?;
        }
    }
    if let Some(missing) = missing.first() {
        bail!("the archive has no member `{missing}`");
    }
    Ok(())
}

fn covers(wanted: &str, path: &str) -> bool {
    let wanted = wanted.trim_start_matches("./").trim_end_matches('/');
    path == wanted || path.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('/'))
}

fn stripped(path: &str, components: u32) -> Option<&str> {
    let mut rest = path;
    for _ in 0..components {
        rest = rest.split_once('/')?.1;
    }
    (!rest.is_empty()).then_some(rest)
}

fn place_member<R: Read>(root: &Root, member: &mut tar::Entry<'_, R>, place: &str, download: &Download) -> Result<()> {
    let mode = member.header().mode()? & 0o755;
    match member.header().entry_type() {
        tar::EntryType::Directory => root.make_directory(place, mode | 0o700, (0, 0)),
        tar::EntryType::Regular | tar::EntryType::Continuous => root.copy(place, member, mode, (0, 0)),
        tar::EntryType::Symlink => {
            let target = member.link_name()?.context("the link has no target")?.into_owned();
            root.link(place, target.to_str().context("the link's target is not UTF-8")?, (0, 0))
        }
        tar::EntryType::Link => {
            let target = member.link_name_bytes().context("the link has no target")?.into_owned();
            let target = normalised(&target).context("the hard link leaves the archive")?;
            let target = String::from_utf8(target).context("the link's target is not UTF-8")?;
            let target = stripped(&target, download.strip).context("the hard link's target is not unpacked")?;
            root.hard_link(place, &format!("{}/{target}", download.path.trim_end_matches('/')))
        }
        tar::EntryType::XGlobalHeader => Ok(()),
        other => bail!("members of type {other:?} are not unpacked"),
    }
}

/// A decoder by the stream's first bytes.
fn decoder(mut input: impl BufRead + 'static) -> Result<Box<dyn Read>> {
    let start = input.fill_buf()?;
    Ok(if start.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(input))
    } else if start.starts_with(b"\xfd7zXZ\0") {
        let stream =
            liblzma::stream::Stream::new_stream_decoder(ARCHIVE_DECODER_MEMORY_BYTES, liblzma::stream::CONCATENATED)?;
        Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(zstd::stream::read::Decoder::with_buffer(input)?)
    } else {
        Box::new(input)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_chosen_by_whole_components_and_stripped() {
        assert!(covers("a/b", "a/b/c") && covers("./a/b/", "a/b") && !covers("a/b", "a/bc"));
        assert_eq!(stripped("a/b/c", 1), Some("b/c"));
        assert_eq!(stripped("a", 1), None);
    }
}
