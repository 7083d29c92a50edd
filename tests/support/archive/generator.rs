//! A small archive in a temporary folder: packages, indices, Release files, signed as wanted.

use super::keys::{Keys, NOW, Signing};
use imgbuild::base::digest::Digest;
use imgbuild::base::epoch::Epoch;
use imgbuild::package::Pin;
use imgbuild::plan::{Blob, Keyring, Location, Repository};
use pgp::composed::ArmorOptions;
use pgp::packet::SignatureType;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// How a suite is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    Clear,
    Detached,
    Unsigned,
}

/// One suite about to be published.
#[derive(Clone, Debug)]
pub struct Suite {
    pub name: &'static str,
    pub codename: Option<&'static str>,
    pub date: &'static str,
    pub valid_until: Option<&'static str>,
    pub components: Vec<(&'static str, Vec<Package>)>,
    pub extra: &'static str,
    pub by_hash: bool,
    pub flat: bool,
    /// Endings of the index that are published and listed; the plain one is always listed unless it is left out.
    pub packings: Vec<&'static str>,
    pub list_plain: bool,
    pub signed: Signed,
    /// Changes the Release file's text before it is signed.
    pub edit: fn(String) -> String,
}

impl Suite {
    pub fn new(name: &'static str, packages: Vec<Package>) -> Self {
        Self {
            name,
            codename: Some(name),
            date: "Sun, 30 Jun 2024 12:00:00 UTC",
            valid_until: Some("Sun, 07 Jul 2024 12:00:00 UTC"),
            components: vec![("main", packages)],
            extra: "",
            by_hash: false,
            flat: false,
            packings: vec![".xz"],
            list_plain: true,
            signed: Signed::Clear,
            edit: |text| text,
        }
    }
}

/// A file of a package, by its path without a leading slash.
#[derive(Clone, Debug)]
pub struct Entry {
    pub path: String,
    pub mode: u32,
    pub content: Vec<u8>,
}

impl Entry {
    pub fn file(path: &str, mode: u32, content: Vec<u8>) -> Self {
        Self { path: path.to_owned(), mode, content }
    }
}

/// A package of the archive.
#[derive(Clone, Debug)]
pub struct Package {
    pub pin: Pin,
    pub stanza: String,
}

/// The archive.
pub struct Archive {
    folder: tempfile::TempDir,
    pub keys: Keys,
}

impl Archive {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), keys: Keys::fixture("first") }
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Puts a real `.deb` into the pool.
    pub fn package(&self, name: &str, version: &str, payload: &[u8]) -> Package {
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Nobody <nobody@mirror.example>\n\
             Description: made for a test\n"
        );
        let bytes = deb(&control, &[(&format!("./usr/share/{name}/payload"), payload)]);
        self.keep(name, version, &control, &bytes)
    }

    /// Puts a `.deb` into the pool that can be installed: further fields of its control file, maintainer scripts, files.
    pub fn package_of(
        &self,
        name: &str,
        version: &str,
        fields: &str,
        scripts: &[(&str, &str)],
        files: &[Entry],
    ) -> Package {
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Nobody <nobody@mirror.example>\n\
             {fields}Description: made for a test\n"
        );
        let mut parts = vec![Entry::file("control", 0o644, control.clone().into_bytes())];
        parts.extend(scripts.iter().map(|(name, text)| Entry::file(name, 0o755, text.as_bytes().to_vec())));
        let bytes = ar(&[("control.tar.zst", &tar_zst(&parts)), ("data.tar.zst", &tar_zst(files))]);
        self.keep(name, version, &control, &bytes)
    }

    fn keep(&self, name: &str, version: &str, control: &str, bytes: &[u8]) -> Package {
        let path = format!("pool/main/{}/{name}/{name}_{version}_amd64.deb", &name[..1]);
        self.write(&path, bytes);
        let sha256 = Digest::of(bytes);
        let size = bytes.len() as u64;
        let stanza = format!("{control}Filename: {path}\nSize: {size}\nSHA256: {sha256}\n");
        let pin = Pin {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: "amd64".to_owned(),
            repository: "test".to_owned(),
            path,
            size,
            sha256,
        };
        Package { pin, stanza }
    }

    pub fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub fn remove(&self, path: &str) {
        std::fs::remove_file(self.root().join(path)).unwrap();
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// Writes indices and Release file of a suite.
    pub fn publish(&self, suite: &Suite) {
        let folder = if suite.flat { String::new() } else { format!("dists/{}/", suite.name) };
        let mut listed = BTreeMap::new();
        for (component, packages) in &suite.components {
            let parent = if suite.flat { String::new() } else { format!("{component}/binary-amd64/") };
            let text: Vec<&str> = packages.iter().map(|package| package.stanza.as_str()).collect();
            let text = text.join("\n");
            if suite.list_plain {
                listed.insert(format!("{parent}Packages"), text.clone().into_bytes());
            }
            for packing in &suite.packings {
                let packed = pack(packing, text.as_bytes());
                let path = format!("{parent}Packages{packing}");
                if suite.by_hash {
                    self.write(&format!("{folder}{parent}by-hash/SHA256/{}", Digest::of(&packed)), &packed);
                }
                self.write(&format!("{folder}{path}"), &packed);
                listed.insert(path, packed);
            }
        }
        let mut release = format!("Origin: Test\nLabel: Test\nDate: {}\n", suite.date);
        if !suite.flat {
            let components: Vec<&str> = suite.components.iter().map(|(name, _)| *name).collect();
            release.push_str(&format!(
                "Suite: {}\nArchitectures: amd64 arm64\nComponents: {}\n",
                suite.name,
                components.join(" ")
            ));
        }
        for (field, value) in [("Codename", suite.codename), ("Valid-Until", suite.valid_until)] {
            release.extend(value.map(|value| format!("{field}: {value}\n")));
        }
        if suite.by_hash {
            release.push_str("Acquire-By-Hash: yes\n");
        }
        release.push_str(suite.extra);
        release.push_str("SHA256:\n");
        for (path, bytes) in &listed {
            release.push_str(&format!(" {} {} {path}\n", Digest::of(bytes), bytes.len()));
        }
        self.sign(&folder, suite, &(suite.edit)(release));
    }

    fn sign(&self, folder: &str, suite: &Suite, release: &str) {
        match suite.signed {
            Signed::Clear => {
                self.write(
                    &format!("{folder}InRelease"),
                    self.keys.clear_sign(&Signing::default(), release).as_bytes(),
                );
            }
            Signed::Detached => {
                let signing = Signing { kind: SignatureType::Binary, ..Signing::default() };
                let signature = self.keys.detached(&signing, release.as_bytes());
                let armoured = signature.to_armored_string(ArmorOptions::default()).unwrap();
                self.write(&format!("{folder}Release"), release.as_bytes());
                self.write(&format!("{folder}Release.gpg"), armoured.as_bytes());
            }
            Signed::Unsigned => self.write(&format!("{folder}Release"), release.as_bytes()),
        }
    }

    /// The repository as a document would describe it, at this URL.
    pub fn repository(&self, url: &str, suites: &[&str]) -> Repository {
        Repository {
            name: "test".to_owned(),
            location: Location::Url(url.to_owned()),
            suites: suites.iter().map(|suite| (*suite).to_owned()).collect(),
            components: vec!["main".to_owned()],
            flat: false,
            keyring: Keyring { name: "test".to_owned(), content: Blob::new(self.keys.armoured().into_bytes()) },
            priority: 500,
            check_valid_until: true,
            snapshot: None,
        }
    }
}

/// 2024-07-01.
pub fn now() -> Epoch {
    Epoch(NOW)
}

pub fn pack(packing: &str, bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    match packing {
        ".xz" => {
            liblzma::read::XzEncoder::new(bytes, 6).read_to_end(&mut packed).unwrap();
        }
        ".gz" => {
            flate2::read::GzEncoder::new(bytes, flate2::Compression::default()).read_to_end(&mut packed).unwrap();
        }
        ".zst" => packed = zstd::encode_all(bytes, 3).unwrap(),
        "" => packed.extend_from_slice(bytes),
        other => panic!("no such packing: {other}"),
    }
    packed
}

/// A `.deb`: an ar archive of `debian-binary`, `control.tar.gz` and `data.tar.gz`.
pub fn deb(control: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let control = tar_gz(&[("./control", control.as_bytes())]);
    let data = tar_gz(files);
    ar(&[("control.tar.gz", &control), ("data.tar.gz", &data)])
}

/// The members of a `.deb` behind `debian-binary`.
fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, bytes) in [("debian-binary", b"2.0\n".as_slice())].iter().chain(members) {
        writeln!(out, "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, "100644", bytes.len()).unwrap();
        out.extend_from_slice(bytes);
        if bytes.len() % 2 == 1 {
            out.push(b'\n');
        }
    }
    out
}

fn tar_gz(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *bytes).unwrap();
    }
    pack(".gz", &builder.into_inner().unwrap())
}

/// Files with the folders above them, as packages ship them.
fn tar_zst(files: &[Entry]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut folders = std::collections::BTreeSet::new();
    let mut add = |path: String, kind: tar::EntryType, mode: u32, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        builder.append_data(&mut header, path, bytes).unwrap();
    };
    add("./".to_owned(), tar::EntryType::Directory, 0o755, &[]);
    for file in files {
        let parts: Vec<&str> = file.path.split('/').collect();
        for depth in 1..parts.len() {
            let folder = parts[..depth].join("/");
            if folders.insert(folder.clone()) {
                add(format!("./{folder}/"), tar::EntryType::Directory, 0o755, &[]);
            }
        }
        add(format!("./{}", file.path), tar::EntryType::Regular, file.mode, &file.content);
    }
    zstd::encode_all(builder.into_inner().unwrap().as_slice(), 1).unwrap()
}
