//! `control.tar` in memory: the control file, maintainer scripts, conffiles, triggers, md5sums, ...

use super::{DebError, MemberError, MemberKind, Members};
use crate::base::limits::DEB_CONTROL_FILES;
use crate::package::control::{self, Stanza};
use std::collections::BTreeMap;
use std::io::Read;

/// One control file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlFile {
    /// Its contents.
    pub bytes: Vec<u8>,
    /// Permission bits (07777).
    pub mode: u32,
}

/// All control files of a package, by name without `./`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlArchive {
    /// The files; `control` is always there.
    pub files: BTreeMap<String, ControlFile>,
}

impl ControlArchive {
    pub(super) fn read(stream: impl Read) -> Result<Self, DebError> {
        let damaged = |error: MemberError| match error {
            MemberError::Read(error) => DebError::Control(error.to_string()),
            other => DebError::Control(other.to_string()),
        };
        let mut members = Members::new(stream);
        let mut files = BTreeMap::new();
        while let Some(member) = members.member().map_err(damaged)? {
            let name = String::from_utf8_lossy(&member.path).into_owned();
            match member.kind {
                MemberKind::Directory if member.path.is_empty() => continue,
                MemberKind::File => {}
                _ => return Err(DebError::Control(format!("`{}` is not a plain file", name.escape_debug()))),
            }
            let sane = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
            if name.is_empty() || name.starts_with('.') || !name.bytes().all(sane) {
                return Err(DebError::Control(format!("`{}` is no name of a control file", name.escape_debug())));
            }
            if files.len() == DEB_CONTROL_FILES {
                return Err(DebError::Control(format!("there are more than {DEB_CONTROL_FILES} files")));
            }
            let mut bytes = Vec::new();
            members.read_to_end(&mut bytes).map_err(|error| damaged(error.into()))?;
            files.insert(name, ControlFile { bytes, mode: member.mode });
        }
        if !files.contains_key("control") {
            return Err(DebError::Control("the file `control` is missing".to_owned()));
        }
        Ok(Self { files })
    }

    /// The stanza of the file `control`: `stanza()?.get("Package")`.
    ///
    /// # Errors
    /// When it is malformed or not exactly one stanza.
    pub fn stanza(&self) -> Result<Stanza<'_>, DebError> {
        let bytes = self.files.get("control").map_or(&[][..], |file| &file.bytes);
        Ok(control::single(bytes)?)
    }

    /// A control file's contents as text lines, empty when there is no such file (`conffiles`, `triggers`, ...).
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn lines(&self, name: &str) -> Result<Vec<&str>, DebError> {
        let Some(file) = self.files.get(name) else { return Ok(Vec::new()) };
        let text = std::str::from_utf8(&file.bytes).map_err(|_| DebError::Control(format!("`{name}` is not UTF-8")))?;
        Ok(text.lines().collect())
    }
}
