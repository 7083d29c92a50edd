//! The members of a package's tar archives, judged one by one before anything is written.
//!
//! dpkg's own subset of tar (deb(5)): old, ustar and GNU headers with long names, and of pax what carries extended
//! attributes. Sparse files and global headers are refused as dpkg refuses them. The stream is walked once; what is
//! kept in memory are the names, and these are bounded.
//!
//! Policy, beyond what dpkg demands, since every package of a real archive keeps to it:
//! - a path is relative, has no `..`, no control character, and is nowhere twice; nothing lies below a link or file;
//! - a hard link names an earlier file of the same package;
//! - devices, pipes and sockets are refused: a machine's own are made when it runs;
//! - programs with set-user-id or set-group-id lie where programs lie, can be executed, and can be written by their
//!   owner alone. That is how sudo, passwd and mount come; anywhere else such a bit is a way in, not a feature.

use crate::base::limits::{
    DEB_DATA_BYTES, DEB_DATA_MEMBERS, DEB_NAMES_BYTES, PATH_BYTES, PATH_DEPTH, TAR_EXTENSION_BYTES,
};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use tar::{EntryType, Header, PaxExtensions};

const BLOCK: u64 = 512;
/// Prefix of extended attributes in pax records.
const PAX_ATTRIBUTE: &str = "SCHILY.xattr.";
/// Folders in which programs with set-user-id or set-group-id may lie.
const PROGRAMS: [&str; 4] = ["usr", "opt", "bin", "sbin"];
/// Folders below /usr that hold no programs.
const NO_PROGRAMS: [&str; 5] = ["usr/share/", "usr/include/", "usr/src/", "usr/local/", "usr/etc/"];

/// Why a member was refused.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// The stream could not be read.
    #[error("reading the archive")]
    Read(#[from] io::Error),
    /// A header makes no sense.
    #[error("at byte {offset} of the archive: {problem}")]
    Header {
        /// Where it begins.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
    /// A member is not to be unpacked.
    #[error("`{path}` {problem}")]
    Member {
        /// Its path, control characters escaped.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// More than [`DEB_DATA_MEMBERS`].
    #[error("the archive has more than {DEB_DATA_MEMBERS} members")]
    TooMany,
    /// More than [`DEB_NAMES_BYTES`].
    #[error("the names in the archive take more than {DEB_NAMES_BYTES} bytes")]
    Names,
}

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// A folder.
    Directory,
    /// A regular file; the contents are read from [`Members`].
    File,
    /// A symbolic link and what it says.
    SymbolicLink(Vec<u8>),
    /// A hard link to an earlier file of the archive, by its path.
    HardLink(Vec<u8>),
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Relative, without `./`; empty for the root.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: MemberKind,
    /// Bytes of a file.
    pub size: u64,
    /// Permission bits (07777).
    pub mode: u32,
    /// Owner and group by number.
    pub owner: (u32, u32),
    /// Owner and group by name, empty when not given.
    pub names: (Vec<u8>, Vec<u8>),
    /// Seconds since 1970.
    pub mtime: u64,
    /// Extended attributes.
    pub attributes: BTreeMap<String, Vec<u8>>,
}

/// Walks the members of a tar stream. Between two calls of [`Members::member`], reads as the contents of the last one.
pub struct Members<R> {
    stream: R,
    offset: u64,
    /// Contents and padding of the last member that were not read yet.
    left: u64,
    padding: u64,
    count: usize,
    /// What every path is, implied folders included.
    seen: HashMap<Vec<u8>, Seen>,
    named: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Folder,
    File,
    /// A file with set-user-id or set-group-id.
    Privileged,
    Link,
}

/// What the headers before a member's own say of it.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Vec<u8>>,
}

impl<R: Read> Members<R> {
    /// A walk over this stream.
    pub fn new(stream: R) -> Self {
        Self { stream, offset: 0, left: 0, padding: 0, count: 0, seen: HashMap::new(), named: 0 }
    }

    /// The next member; nothing at the end, when the stream was read to its own end.
    ///
    /// # Errors
    /// When the archive is damaged, or the member is not one that a package may have.
    pub fn member(&mut self) -> Result<Option<Member>, MemberError> {
        self.pass()?;
        let mut extensions = Extensions::default();
        loop {
            let Some(header) = self.header()? else {
                // To the end, so that the decoder checks what is left and its own checksum.
                io::copy(&mut self.stream, &mut io::sink())?;
                return Ok(None);
            };
            let at = self.offset - BLOCK;
            let wrong = |problem: String| MemberError::Header { offset: at, problem };
            let size = header.entry_size().map_err(|error| wrong(error.to_string()))?;
            let (slot, what) = match header.entry_type() {
                EntryType::GNULongName => (&mut extensions.path, "long names"),
                EntryType::GNULongLink => (&mut extensions.link, "long link targets"),
                EntryType::XHeader => (&mut extensions.pax, "extended headers"),
                _ => {
                    if self.count == DEB_DATA_MEMBERS {
                        return Err(MemberError::TooMany);
                    }
                    self.count += 1;
                    let member = self.judge(&header, size, extensions, at)?;
                    self.left = member.size;
                    self.padding = member.size.next_multiple_of(BLOCK) - member.size;
                    return Ok(Some(member));
                }
            };
            if slot.is_some() {
                return Err(wrong(format!("a member has two {what}")));
            }
            if size > TAR_EXTENSION_BYTES {
                return Err(wrong(format!("{size} bytes of {what}, at most {TAR_EXTENSION_BYTES} are read")));
            }
            let mut bytes = vec![0; usize::try_from(size.next_multiple_of(BLOCK)).unwrap_or(usize::MAX)];
            self.exactly(&mut bytes)?;
            bytes.truncate(usize::try_from(size).unwrap_or(usize::MAX));
            *slot = Some(bytes);
        }
    }

    /// Skips what is left of the last member.
    fn pass(&mut self) -> Result<(), MemberError> {
        let left = self.left + self.padding;
        (self.left, self.padding) = (0, 0);
        let passed = io::copy(&mut (&mut self.stream).take(left), &mut io::sink())?;
        self.offset += passed;
        if passed < left { Err(self.ended()) } else { Ok(()) }
    }

    fn ended(&self) -> MemberError {
        MemberError::Header { offset: self.offset, problem: "the archive ends early".to_owned() }
    }

    fn exactly(&mut self, buffer: &mut [u8]) -> Result<(), MemberError> {
        match self.stream.read_exact(buffer) {
            Ok(()) => {
                self.offset += buffer.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.ended()),
            Err(error) => Err(error.into()),
        }
    }

    /// The next header; nothing where the archive says that it ends.
    fn header(&mut self) -> Result<Option<Header>, MemberError> {
        let mut header = Header::new_old();
        self.exactly(header.as_mut_bytes())?;
        let bytes = header.as_bytes();
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
        let found = sum(&bytes[..148]) + 8 * u32::from(b' ') + sum(&bytes[156..]);
        if header.cksum().ok() != Some(found) {
            let problem = "the header's checksum is wrong".to_owned();
            return Err(MemberError::Header { offset: self.offset - BLOCK, problem });
        }
        Ok(Some(header))
    }

    fn judge(&mut self, header: &Header, size: u64, extensions: Extensions, at: u64) -> Result<Member, MemberError> {
        let wrong = |problem: String| MemberError::Header { offset: at, problem };
        let number = |number: io::Result<u64>| {
            let number = number.map_err(|error| wrong(error.to_string()))?;
            u32::try_from(number).map_err(|_| wrong(format!("the id {number} does not fit 32 bits")))
        };
        let until_zero = |bytes: &[u8]| bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        let mut raw = extensions.path.as_deref().map_or_else(|| header.path_bytes().into_owned(), until_zero);
        let link = || header.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
        let mut target = extensions.link.as_deref().map_or_else(link, until_zero);
        let old = header.as_old();
        let mut owner = (number(octal(&old.uid, header.uid()))?, number(octal(&old.gid, header.gid()))?);
        let mut attributes = BTreeMap::new();
        for record in PaxExtensions::new(extensions.pax.as_deref().unwrap_or_default()) {
            let record = record.map_err(|_| wrong("a record of its extended header is malformed".to_owned()))?;
            let key = record.key().map_err(|_| wrong("a key of its extended header is not UTF-8".to_owned()))?;
            let id =
                || number(record.value().ok().and_then(|v| v.parse().ok()).ok_or(io::ErrorKind::InvalidData.into()));
            match key {
                "path" => raw = record.value_bytes().to_vec(),
                "linkpath" => target = record.value_bytes().to_vec(),
                "uid" => owner.0 = id()?,
                "gid" => owner.1 = id()?,
                "size" if record.value() != Ok(size.to_string().as_str()) => {
                    return Err(wrong("its extended header gives another size than its header".to_owned()));
                }
                _ if key.starts_with("GNU.sparse.") => {
                    return Err(wrong("sparse files are not packed into packages".to_owned()));
                }
                _ => {
                    if let Some(name) = key.strip_prefix(PAX_ATTRIBUTE) {
                        attributes.insert(name.to_owned(), record.value_bytes().to_vec());
                    }
                }
            }
        }
        let shown = String::from_utf8_lossy(&raw).escape_debug().to_string();
        let refuse = |problem: String| MemberError::Member { path: shown.clone(), problem };
        let path = sound(&raw).map_err(refuse)?;
        let mode = header.mode().map_err(|error| wrong(error.to_string()))? & 0o7777;
        let (kind, size) = match header.entry_type() {
            EntryType::Directory => (MemberKind::Directory, 0),
            EntryType::Regular | EntryType::Continuous if path.is_empty() => {
                return Err(refuse("is the root, and no folder".to_owned()));
            }
            EntryType::Regular | EntryType::Continuous => (MemberKind::File, size),
            EntryType::Symlink => {
                if target.is_empty() || target.len() > PATH_BYTES || target.iter().any(u8::is_ascii_control) {
                    return Err(refuse("is a link whose target is no path".to_owned()));
                }
                (MemberKind::SymbolicLink(target), 0)
            }
            EntryType::Link => {
                let to = sound(&target).map_err(|problem| refuse(format!("is a hard link to what {problem}")))?;
                let seen = self.seen.get(&to).copied();
                if seen == Some(Seen::Privileged) {
                    privileged(&path, 0o4755).map_err(refuse)?;
                } else if seen != Some(Seen::File) {
                    let to = String::from_utf8_lossy(&target).escape_debug().to_string();
                    return Err(refuse(format!("is a hard link to `{to}`, which is no earlier file of this package")));
                }
                (MemberKind::HardLink(to), 0)
            }
            EntryType::Char | EntryType::Block => {
                return Err(refuse("is a device, which packages may not ship".to_owned()));
            }
            EntryType::Fifo => return Err(refuse("is a pipe, which packages may not ship".to_owned())),
            EntryType::GNUSparse => return Err(refuse("is a sparse file, which packages may not ship".to_owned())),
            other => {
                let letter = char::from(other.as_byte()).escape_debug();
                return Err(refuse(format!("is of type `{letter}`, which packages may not ship")));
            }
        };
        if size > DEB_DATA_BYTES {
            return Err(refuse(format!("claims {size} bytes, at most {DEB_DATA_BYTES} are unpacked")));
        }
        if matches!(kind, MemberKind::File) {
            privileged(&path, mode).map_err(refuse)?;
        }
        let seen = match &kind {
            MemberKind::Directory => Seen::Folder,
            MemberKind::File if mode & 0o6000 != 0 => Seen::Privileged,
            MemberKind::HardLink(to) => self.seen.get(to).copied().unwrap_or(Seen::File),
            MemberKind::File => Seen::File,
            MemberKind::SymbolicLink(_) => Seen::Link,
        };
        self.claim(&path, seen, refuse)?;
        let name = |bytes: Option<&[u8]>| bytes.unwrap_or_default().to_vec();
        let names = (name(header.username_bytes()), name(header.groupname_bytes()));
        let mtime = octal(&old.mtime, header.mtime()).map_err(|error| wrong(error.to_string()))?;
        Ok(Member { path, kind, size, mode, owner, names, mtime, attributes })
    }

    /// Notes a path and the folders above it, of which none may be something else.
    fn claim(&mut self, path: &[u8], own: Seen, refuse: impl Fn(String) -> MemberError) -> Result<(), MemberError> {
        match self.seen.get(path) {
            Some(Seen::Folder) if own == Seen::Folder => return Ok(()),
            Some(_) => return Err(refuse("is there twice".to_owned())),
            None => {}
        }
        let mut rest = path;
        while let Some(slash) = rest.iter().rposition(|byte| *byte == b'/') {
            rest = &rest[..slash];
            match self.seen.get(rest) {
                Some(Seen::Folder) => break,
                Some(other) => {
                    let what = if *other == Seen::Link { "link" } else { "file" };
                    let above = String::from_utf8_lossy(rest).escape_debug().to_string();
                    return Err(refuse(format!("lies below `{above}`, which is a {what}")));
                }
                None => self.note(rest, Seen::Folder)?,
            }
        }
        self.note(path, own)
    }

    fn note(&mut self, path: &[u8], seen: Seen) -> Result<(), MemberError> {
        self.named += path.len();
        if self.named > DEB_NAMES_BYTES {
            return Err(MemberError::Names);
        }
        self.seen.insert(path.to_vec(), seen);
        Ok(())
    }
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.stream.read(&mut buffer[..wanted])?;
        if read == 0 && wanted > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends early"));
        }
        self.left -= read as u64;
        self.offset += read as u64;
        Ok(read)
    }
}

/// A number of a header; writers leave blank what is zero.
fn octal(field: &[u8], number: io::Result<u64>) -> io::Result<u64> {
    if field.iter().all(|byte| matches!(byte, 0 | b' ')) { Ok(0) } else { number }
}

/// A member's path without `./` and a trailing slash, or what is wrong with it.
fn sound(raw: &[u8]) -> Result<Vec<u8>, String> {
    if raw.starts_with(b"/") {
        return Err("is an absolute path".to_owned());
    }
    if raw.len() > PATH_BYTES {
        return Err(format!("is a path of {} bytes, at most {PATH_BYTES} are unpacked", raw.len()));
    }
    if raw.iter().any(u8::is_ascii_control) {
        return Err("has a control character in its name".to_owned());
    }
    let path = super::normalised(raw).filter(|_| !raw.is_empty());
    let path = path.ok_or_else(|| "is no path within the root".to_owned())?;
    let depth = path.split(|byte| *byte == b'/').count();
    if depth > PATH_DEPTH {
        return Err(format!("is {depth} folders deep, at most {PATH_DEPTH} are unpacked"));
    }
    Ok(path)
}

/// Refuses set-user-id and set-group-id where no program of a real archive has them.
fn privileged(path: &[u8], mode: u32) -> Result<(), String> {
    if mode & 0o6000 == 0 {
        return Ok(());
    }
    let bit = if mode & 0o4000 != 0 { "set-user-id" } else { "set-group-id" };
    let first = path.split(|byte| *byte == b'/').next().unwrap_or_default();
    let programs = PROGRAMS.iter().any(|name| name.as_bytes() == first) || first.starts_with(b"lib");
    if !programs || NO_PROGRAMS.iter().any(|folder| path.starts_with(folder.as_bytes())) {
        return Err(format!("has {bit} (mode {mode:04o}), and no programs belong there"));
    }
    if mode & 0o111 == 0 {
        return Err(format!("has {bit} (mode {mode:04o}), and cannot be executed"));
    }
    if mode & 0o022 != 0 {
        return Err(format!("has {bit} (mode {mode:04o}), and others than its owner may write to it"));
    }
    Ok(())
}
