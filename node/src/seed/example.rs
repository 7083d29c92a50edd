//! Seeds for tests: made and signed as the builder makes them.

use super::base64;
use crate::digest;
use crate::format::{
    CLUSTER_KEY, Cluster, DOCUMENTS, Document, ENDORSEMENT, Effect, FILES, MANIFEST, Manifest, NAMESPACE_CLUSTER,
    NAMESPACE_SEED, Node, PayloadFile, SIGNATURE, Unit, VERSION, Write,
};
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha512};
use std::collections::BTreeMap;
use std::path::Path;

pub(crate) const MAC: &str = "52:54:00:00:04:0b";

/// A key of a test.
pub(crate) struct Signer(SigningKey);

impl Signer {
    pub(crate) fn new(number: u8) -> Self {
        Self(SigningKey::from_bytes(&[number; 32]))
    }

    fn blob(&self) -> Vec<u8> {
        fields(&[b"ssh-ed25519", self.0.verifying_key().as_bytes()])
    }

    pub(crate) fn line(&self) -> String {
        format!("ssh-ed25519 {}\n", padded(&self.blob()))
    }

    pub(crate) fn sign(&self, namespace: &str, bytes: &[u8]) -> String {
        let mut signed = b"SSHSIG".to_vec();
        signed.extend(fields(&[namespace.as_bytes(), b"", b"sha512", &Sha512::digest(bytes)]));
        let signature = fields(&[b"ssh-ed25519", &self.0.sign(&signed).to_bytes()]);
        let mut blob = b"SSHSIG\0\0\0\x01".to_vec();
        blob.extend(fields(&[&self.blob(), namespace.as_bytes(), b"", b"sha512", &signature]));
        let text = padded(&blob);
        let lines: Vec<&str> = text.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
    }
}

fn padded(bytes: &[u8]) -> String {
    let mut text = base64::encode_unpadded(bytes);
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

fn fields(all: &[&[u8]]) -> Vec<u8> {
    all.iter().flat_map(|field| [&(field.len() as u32).to_be_bytes(), *field].concat()).collect()
}

/// A seed in the making.
pub(crate) struct Seed {
    pub(crate) manifest: Manifest,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) signer: Signer,
    pub(crate) endorser: Option<Signer>,
    /// Whether the manifest is written without line ends.
    pub(crate) compact: bool,
}

impl Seed {
    /// A balancer's, with two files.
    pub(crate) fn new(generation: u64) -> Self {
        let mut seed = Self {
            manifest: Manifest {
                version: VERSION,
                cluster: Cluster { name: "demo".to_owned(), id: "c1".to_owned() },
                node: Node {
                    name: "balancer1".to_owned(),
                    domain: "demo.internal".to_owned(),
                    roles: vec!["haproxy".to_owned()],
                    macs: vec![MAC.to_owned()],
                },
                generation,
                documents: Vec::new(),
                files: Vec::new(),
                units: vec![Unit { name: "corosync.service".to_owned(), run: true }],
            },
            files: BTreeMap::new(),
            signer: Signer::new(1),
            endorser: None,
            compact: false,
        };
        for name in DOCUMENTS {
            let bytes = format!("{name} of generation {generation}\n").into_bytes();
            seed.files.insert(name.to_owned(), bytes);
        }
        let restart = Effect::Restart("corosync.service".to_owned());
        seed.file("/etc/corosync/corosync.conf", &format!("generation {generation}"), Write::Always, vec![restart]);
        seed.file("/var/lib/pacemaker/cib/cib.xml", &format!("cib {generation}"), Write::Once, Vec::new());
        seed
    }

    pub(crate) fn file(&mut self, path: &str, text: &str, write: Write, effects: Vec<Effect>) {
        self.files.insert(format!("{FILES}{path}"), text.as_bytes().to_vec());
        self.manifest.files.retain(|file| file.path != path);
        self.manifest.files.push(PayloadFile {
            path: path.to_owned(),
            sha256: digest::of(text.as_bytes()),
            size: text.len() as u64,
            owner: "root".to_owned(),
            group: "root".to_owned(),
            mode: "0640".to_owned(),
            write,
            effects,
        });
        self.manifest.files.sort_by(|a, b| a.path.cmp(&b.path));
    }

    /// The volume's files, signed.
    pub(crate) fn tree(&self) -> BTreeMap<String, Vec<u8>> {
        let mut manifest = self.manifest.clone();
        manifest.documents = DOCUMENTS
            .iter()
            .map(|name| {
                let bytes = &self.files[*name];
                Document { name: (*name).to_owned(), sha256: digest::of(bytes), size: bytes.len() as u64 }
            })
            .collect();
        let text =
            if self.compact { serde_json::to_string(&manifest) } else { serde_json::to_string_pretty(&manifest) };
        let text = text.unwrap();
        let mut tree = self.files.clone();
        tree.insert(SIGNATURE.to_owned(), self.signer.sign(NAMESPACE_SEED, text.as_bytes()).into_bytes());
        tree.insert(MANIFEST.to_owned(), text.into_bytes());
        let line = self.signer.line();
        if let Some(endorser) = &self.endorser {
            tree.insert(ENDORSEMENT.to_owned(), endorser.sign(NAMESPACE_CLUSTER, line.as_bytes()).into_bytes());
        }
        tree.insert(CLUSTER_KEY.to_owned(), line.into_bytes());
        tree
    }
}

/// Writes files below a folder.
pub(crate) fn write(folder: &Path, tree: &BTreeMap<String, Vec<u8>>) {
    for (path, bytes) in tree {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}
