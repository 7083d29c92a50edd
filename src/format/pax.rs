//! The tar stream (POSIX pax) from which `mke2fs -d -` fills a filesystem.
//!
//! Headers are plain ustar; what does not fit (long names, big numbers, attributes) goes into pax records before them.
//! `mke2fs` keeps `security.*` attributes and silently drops all others, so others are refused here by name.
//! Specification: POSIX.1-2017, `pax`, "pax Interchange Format"; attributes as `SCHILY.xattr.NAME` (star, libarchive).

use crate::base::byte_text::to_text;
use crate::base::tree::{Entry, Kind};
use std::io::{self, Read, Write};
use tar::{EntryType, Header};

/// Bytes that are copied at a time.
const BUFFER: usize = 128 << 10;
/// Longest name, and longest link target, of a ustar header.
const NAME: usize = 100;
/// Largest number of a seven-digit octal field (owners, devices).
const SEVEN_DIGITS: u64 = 0o777_7777;
/// Largest number of an eleven-digit octal field (sizes, times).
const ELEVEN_DIGITS: u64 = 0o777_7777_7777;

/// Why an entry could not be written.
#[derive(Debug, thiserror::Error)]
pub enum PaxError {
    /// The sink failed.
    #[error("the stream of files could not be written on")]
    Sink(#[source] io::Error),
    /// The contents could not be read.
    #[error("the contents of `/{path}` could not be read")]
    Contents {
        /// Whose.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The contents are not as long as the entry says.
    #[error("`/{path}` has {found} bytes, {expected} were expected")]
    Length {
        /// Whose.
        path: String,
        /// How many there are, as far as they were read.
        found: u64,
        /// How many there should be.
        expected: u64,
    },
    /// An attribute that would be lost.
    #[error(
        "`/{path}` has the extended attribute `{name}`, which the filesystem would not get; only `security.*` is kept"
    )]
    Attribute {
        /// Whose.
        path: String,
        /// Which.
        name: String,
    },
    /// A device number beyond 21 bits.
    #[error("`/{path}` is a device with a number above {SEVEN_DIGITS}")]
    Device {
        /// Whose.
        path: String,
    },
}

/// Writes entries one after another.
pub struct Writer<W> {
    out: W,
    buffer: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// A writer into this sink, which is best buffered.
    pub fn new(out: W) -> Self {
        Self { out, buffer: vec![0; BUFFER] }
    }

    /// Writes one entry. `path` and `kind` stand for the entry's own, so that a part of a tree can be written as a whole;
    /// an empty path is the root. `contents` is read for regular files only.
    ///
    /// # Errors
    /// When something would be lost, the contents are not as said, or reading or writing fails.
    pub fn entry(&mut self, path: &[u8], kind: &Kind, entry: &Entry, contents: &mut dyn Read) -> Result<(), PaxError> {
        let said = || to_text(&entry.path).into_owned();
        if let Some((name, _)) = entry.xattrs.iter().find(|(name, _)| !name.starts_with("security.")) {
            return Err(PaxError::Attribute { path: said(), name: name.clone() });
        }
        let mut name = if path.is_empty() { b".".to_vec() } else { path.to_vec() };
        let (entry_type, size, link, device) = match kind {
            Kind::Directory => {
                name.push(b'/');
                (EntryType::Directory, 0, &[][..], (0, 0))
            }
            Kind::File { size } => (EntryType::Regular, *size, &[][..], (0, 0)),
            Kind::HardLink { target } => (EntryType::Link, 0, target.as_slice(), (0, 0)),
            Kind::SymbolicLink { target } => (EntryType::Symlink, 0, target.as_slice(), (0, 0)),
            Kind::CharacterDevice { major, minor } => (EntryType::Char, 0, &[][..], (*major, *minor)),
            Kind::BlockDevice { major, minor } => (EntryType::Block, 0, &[][..], (*major, *minor)),
            Kind::Fifo => (EntryType::Fifo, 0, &[][..], (0, 0)),
        };
        if u64::from(device.0.max(device.1)) > SEVEN_DIGITS {
            return Err(PaxError::Device { path: said() });
        }
        self.records(&name, link, size, entry)?;
        let mut header = Header::new_ustar();
        header.set_entry_type(entry_type);
        header.set_mode(entry.mode);
        header.set_uid(u64::from(entry.uid).min(SEVEN_DIGITS));
        header.set_gid(u64::from(entry.gid).min(SEVEN_DIGITS));
        header.set_mtime(u64::try_from(entry.mtime).unwrap_or(0).min(ELEVEN_DIGITS));
        header.set_size(size.min(ELEVEN_DIGITS));
        let old = header.as_old_mut();
        let (fits, link_fits) = (name.len().min(NAME), link.len().min(NAME));
        old.name[..fits].copy_from_slice(&name[..fits]);
        old.linkname[..link_fits].copy_from_slice(&link[..link_fits]);
        if let Some(ustar) = header.as_ustar_mut() {
            ustar.set_device_major(device.0);
            ustar.set_device_minor(device.1);
        }
        header.set_cksum();
        self.put(header.as_bytes())?;
        if let Kind::File { size } = kind { self.contents(*size, contents, said) } else { Ok(()) }
    }

    /// Ends the stream and gives the sink back, flushed.
    ///
    /// # Errors
    /// When the sink fails.
    pub fn finish(mut self) -> Result<W, PaxError> {
        self.put(&[0; 1024])?;
        self.out.flush().map_err(PaxError::Sink)?;
        Ok(self.out)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), PaxError> {
        self.out.write_all(bytes).map_err(PaxError::Sink)
    }

    /// The pax records of an entry, as an entry of their own, if there are any.
    fn records(&mut self, name: &[u8], link: &[u8], size: u64, entry: &Entry) -> Result<(), PaxError> {
        let mut records = Vec::new();
        if name.len() > NAME || link.len() > NAME {
            // Names are bytes; without this, readers take them for UTF-8 and convert.
            record(&mut records, "hdrcharset", b"BINARY");
        }
        if name.len() > NAME {
            record(&mut records, "path", name);
        }
        if link.len() > NAME {
            record(&mut records, "linkpath", link);
        }
        let numbers = [("uid", u64::from(entry.uid), SEVEN_DIGITS), ("gid", u64::from(entry.gid), SEVEN_DIGITS)];
        for (key, number, limit) in numbers.into_iter().chain([("size", size, ELEVEN_DIGITS)]) {
            if number > limit {
                record(&mut records, key, number.to_string().as_bytes());
            }
        }
        if !(0..=ELEVEN_DIGITS.cast_signed()).contains(&entry.mtime) {
            record(&mut records, "mtime", entry.mtime.to_string().as_bytes());
        }
        for (name, value) in &entry.xattrs {
            record(&mut records, &format!("SCHILY.xattr.{name}"), value);
        }
        if records.is_empty() {
            return Ok(());
        }
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(records.len() as u64);
        header.as_old_mut().name[..4].copy_from_slice(b"@pax");
        header.set_cksum();
        self.put(header.as_bytes())?;
        let padding = records.len().next_multiple_of(512) - records.len();
        records.resize(records.len() + padding, 0);
        self.put(&records)
    }

    fn contents(&mut self, size: u64, from: &mut dyn Read, said: impl Fn() -> String) -> Result<(), PaxError> {
        let mut found = 0;
        loop {
            let length = match from.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(PaxError::Contents { path: said(), source }),
            };
            found += length as u64;
            if found > size {
                return Err(PaxError::Length { path: said(), found, expected: size });
            }
            self.out.write_all(&self.buffer[..length]).map_err(PaxError::Sink)?;
        }
        if found != size {
            return Err(PaxError::Length { path: said(), found, expected: size });
        }
        let padding = super::usize_of(size.next_multiple_of(512) - size);
        self.put(&[0; 512][..padding])
    }
}

/// Appends `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend(length.to_string().as_bytes());
    records.extend([b" ", key.as_bytes(), b"=", value, b"\n"].concat());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: Kind) -> Entry {
        Entry { path: b"some/path".to_vec(), kind, mode: 0o4755, uid: 0, gid: 42, mtime: 1_700_000_000, xattrs: vec![] }
    }

    /// Path, type, size, link, owner, mode, time and attributes as another reader has them.
    fn read_back(bytes: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(bytes);
        let mut seen = Vec::new();
        for file in archive.entries().unwrap() {
            let mut file = file.unwrap();
            let records: Vec<_> = file
                .pax_extensions()
                .unwrap()
                .into_iter()
                .flatten()
                .map(|record| record.unwrap())
                .map(|record| format!("{}={:?}", record.key().unwrap(), record.value_bytes().len()))
                .collect();
            let header = file.header();
            seen.push(format!(
                "{} {:?} {} {} {:o} {} {} {:?} {:?} {records:?}",
                String::from_utf8_lossy(&file.path_bytes()).len(),
                header.entry_type(),
                file.size(),
                file.link_name_bytes().map_or(0, |link| link.len()),
                header.mode().unwrap(),
                header.uid().unwrap(),
                header.gid().unwrap(),
                header.device_major().unwrap(),
                header.device_minor().unwrap(),
            ));
        }
        seen
    }

    #[test]
    fn entries_of_all_kinds_are_read_back_by_the_tar_crate() {
        let mut writer = Writer::new(Vec::new());
        let mut put = |path: &[u8], entry: Entry, mut contents: &[u8]| {
            writer.entry(path, &entry.kind, &entry, &mut contents).unwrap();
        };
        put(b"", entry(Kind::Directory), b"");
        put(b"etc/x", entry(Kind::File { size: 5 }), b"12345");
        put(&[b'n'; 250], entry(Kind::SymbolicLink { target: vec![b't'; 101] }), b"");
        put(b"link", entry(Kind::HardLink { target: b"etc/x".to_vec() }), b"");
        put(b"null", entry(Kind::CharacterDevice { major: 1, minor: 3 }), b"");
        let capability = ("security.capability".to_owned(), vec![1, 0, 2, 255, 0]);
        put(b"ping", Entry { uid: 3_000_000, xattrs: vec![capability], ..entry(Kind::File { size: 0 }) }, b"");
        put(b"pipe", entry(Kind::Fifo), b"");
        let bytes = writer.finish().unwrap();
        assert_eq!(
            read_back(&bytes),
            [
                "2 Directory 0 0 4755 0 42 Some(0) Some(0) []",
                "5 Regular 5 0 4755 0 42 Some(0) Some(0) []",
                "250 Symlink 0 101 4755 0 42 Some(0) Some(0) [\"hdrcharset=6\", \"path=250\", \"linkpath=101\"]",
                "4 Link 0 5 4755 0 42 Some(0) Some(0) []",
                "4 Char 0 0 4755 0 42 Some(1) Some(3) []",
                "4 Regular 0 0 4755 3000000 42 Some(0) Some(0) [\"uid=7\", \"SCHILY.xattr.security.capability=5\"]",
                "4 Fifo 0 0 4755 0 42 Some(0) Some(0) []",
            ]
        );
    }

    #[test]
    fn what_would_be_lost_is_refused() {
        let refuse = |entry: &Entry, mut contents: &[u8]| {
            let mut writer = Writer::new(Vec::new());
            writer.entry(b"x", &entry.kind, entry, &mut contents).unwrap_err().to_string()
        };
        let attribute = vec![("user.note".to_owned(), vec![])];
        assert_eq!(
            refuse(&Entry { xattrs: attribute, ..entry(Kind::Directory) }, b""),
            "`/some/path` has the extended attribute `user.note`, which the filesystem would not get; only `security.*` is kept"
        );
        for (contents, found) in [(&b"12"[..], 2), (b"1234", 4)] {
            let said = refuse(&entry(Kind::File { size: 3 }), contents);
            assert_eq!(said, format!("`/some/path` has {found} bytes, 3 were expected"));
        }
    }

    #[test]
    fn records_count_their_own_length() {
        for length in [1, 5, 84, 85, 86, 87, 88, 89, 90, 91, 985, 990, 991, 9_990] {
            let mut records = Vec::new();
            record(&mut records, "path", &vec![b'x'; length]);
            let text = String::from_utf8(records.clone()).unwrap();
            assert_eq!(text.split(' ').next().unwrap().parse(), Ok(records.len()));
        }
    }
}
