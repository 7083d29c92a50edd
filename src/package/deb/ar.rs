//! The common ar format as far as deb(5) uses it: a magic line, then headers of 60 bytes with contents padded to even.

use super::{DebError, Source};
use crate::base::limits::DEB_MEMBERS;
use std::io::Read as _;

/// First bytes of the archive.
pub(super) const MAGIC: &[u8; 8] = b"!<arch>\n";
/// Length of a member's header.
pub(super) const HEADER_LENGTH: u64 = 60;

/// Where a member's contents lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// Lists the members, checking that they fill the file exactly.
pub(super) fn members(source: &Source) -> Result<Vec<Member>, DebError> {
    let refuse = |offset: u64, problem: String| DebError::Archive { offset, problem };
    let end = source.length();
    let mut magic = [0; MAGIC.len()];
    if end < magic.len() as u64 {
        return Err(refuse(0, format!("{end} bytes are too short for a package")));
    }
    source.range(0, magic.len() as u64).read_exact(&mut magic)?;
    if &magic != MAGIC {
        return Err(refuse(0, "the magic line `!<arch>` of an ar archive is missing".to_owned()));
    }
    let mut found: Vec<Member> = Vec::new();
    let mut offset = magic.len() as u64;
    while offset < end {
        if end - offset < HEADER_LENGTH {
            return Err(refuse(offset, format!("{} bytes are left where a header of 60 begins", end - offset)));
        }
        let mut header = [0; HEADER_LENGTH as usize];
        source.range(offset, HEADER_LENGTH).read_exact(&mut header)?;
        let (name, length) = parse(&header).map_err(|problem| refuse(offset, problem))?;
        let start = offset + HEADER_LENGTH;
        if length > end - start {
            return Err(refuse(
                offset,
                format!("member `{name}` claims {length} bytes, {} bytes are left", end - start),
            ));
        }
        if found.iter().any(|member| member.name == name) {
            return Err(refuse(offset, format!("member `{name}` is there twice")));
        }
        if found.len() == DEB_MEMBERS {
            return Err(refuse(offset, format!("there are more than {DEB_MEMBERS} members")));
        }
        found.push(Member { name, offset: start, length });
        offset = (start + length).next_multiple_of(2);
    }
    Ok(found)
}

fn parse(header: &[u8; HEADER_LENGTH as usize]) -> Result<(String, u64), String> {
    if &header[58..] != b"`\n" {
        return Err("the header's last two bytes are not \"`\\n\"".to_owned());
    }
    let name = trimmed(&header[..16])?;
    let name = name.strip_suffix('/').unwrap_or(name);
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte)) {
        return Err(format!("`{}` is no member name", name.escape_debug()));
    }
    let digits = trimmed(&header[48..58])?;
    let length = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
    length.map(|length| (name.to_owned(), length)).ok_or_else(|| format!("`{}` is no length", digits.escape_debug()))
}

fn trimmed(field: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(field).ok().filter(|text| text.is_ascii());
    text.map(|text| text.trim_end_matches(' ')).ok_or_else(|| "the header is not ASCII".to_owned())
}
