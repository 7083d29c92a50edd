//! Signed seeds, made here with the values that builder and guest share, and with another implementation of SSHSIG
//! than the guest's.

use crate::seed;
use imgbuild::base::digest::Digest;
use imgbuild::base::epoch::Epoch;
use imgbuild::format::iso9660;
use imgbuild::format::seed::{
    CLUSTER_KEY, Cluster, DOCUMENTS, Document, ENDORSEMENT, Effect, FILES, MANIFEST, Manifest, NAMESPACE_CLUSTER,
    NAMESPACE_SEED, Node, PayloadFile, SIGNATURE, Unit, VERSION, Write,
};
use ssh_key::private::Ed25519Keypair;
use ssh_key::{HashAlg, LineEnding, PrivateKey};
use std::path::{Path, PathBuf};

/// Signs clusters that images trust.
pub(crate) const OWNER: u8 = 9;
/// The cluster's own key.
pub(crate) const CLUSTER: u8 = 1;

/// What a seed is like.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) generation: u64,
    pub(crate) cluster: &'static str,
    pub(crate) key: u8,
    pub(crate) mac: &'static str,
    pub(crate) endorsed: bool,
    /// Number in cloud-init's instance-id.
    pub(crate) instance: u64,
}

impl Order {
    /// A good one.
    pub(crate) fn good(generation: u64) -> Self {
        Self { generation, cluster: "c1", key: CLUSTER, mac: seed::MAC, endorsed: false, instance: 1 }
    }
}

pub(crate) fn key(number: u8) -> PrivateKey {
    Ed25519Keypair::from_seed(&[number; 32]).into()
}

fn signature(key: &PrivateKey, namespace: &str, bytes: &[u8]) -> String {
    key.sign(namespace, HashAlg::Sha512, bytes).unwrap().to_pem(LineEnding::LF).unwrap()
}

const UNIT: &str = "[Unit]\nDescription=Payload of generation GENERATION\n\n[Service]\nExecStart=/bin/sleep infinity\n\n\
                    [Install]\nWantedBy=multi-user.target\n";

/// Writes a signed seed into a new folder.
pub(crate) fn write(folder: &Path, order: &Order) {
    if folder.exists() {
        std::fs::remove_dir_all(folder).unwrap();
    }
    seed::write_instance(folder, false, order.instance);
    put(folder, "vendor-data", "#cloud-config\n{}\n".as_bytes());
    let generation = order.generation;
    let mut files = Vec::new();
    let mut file = |path: &str, text: String, mode: &str, write: Write, effects: Vec<Effect>| {
        put(folder, &format!("{FILES}{path}"), text.as_bytes());
        files.push(PayloadFile {
            path: path.to_owned(),
            sha256: Digest::of(text.as_bytes()).to_string(),
            size: text.len() as u64,
            owner: "root".to_owned(),
            group: "adm".to_owned(),
            mode: mode.to_owned(),
            write,
            effects,
        });
    };
    file("/etc/boot-test/payload", format!("payload {generation}\n"), "0640", Write::Always, Vec::new());
    let unit = UNIT.replace("GENERATION", &generation.to_string());
    let restart = Effect::Restart("boot-test.service".to_owned());
    let effects = vec![Effect::DaemonReload, restart];
    file("/etc/systemd/system/boot-test.service", unit, "0644", Write::Always, effects);
    file("/var/lib/boot-test/once", format!("once {generation}\n"), "0600", Write::Once, Vec::new());
    let manifest = Manifest {
        version: VERSION,
        cluster: Cluster { name: "boot".to_owned(), id: order.cluster.to_owned() },
        node: Node {
            name: seed::HOST.to_owned(),
            domain: "example.internal".to_owned(),
            roles: vec!["base".to_owned()],
            macs: vec![order.mac.to_owned()],
        },
        generation,
        documents: DOCUMENTS
            .iter()
            .map(|name| {
                let bytes = std::fs::read(folder.join(name)).unwrap();
                Document { name: (*name).to_owned(), sha256: Digest::of(&bytes).to_string(), size: bytes.len() as u64 }
            })
            .collect(),
        files,
        units: vec![Unit { name: "boot-test.service".to_owned(), run: true }],
    };
    let text = serde_json::to_string_pretty(&manifest).unwrap();
    let cluster = key(order.key);
    put(folder, MANIFEST, text.as_bytes());
    put(folder, SIGNATURE, signature(&cluster, NAMESPACE_SEED, text.as_bytes()).as_bytes());
    let line = format!("{}\n", cluster.public_key().to_openssh().unwrap());
    put(folder, CLUSTER_KEY, line.as_bytes());
    if order.endorsed {
        put(folder, ENDORSEMENT, signature(&key(OWNER), NAMESPACE_CLUSTER, line.as_bytes()).as_bytes());
    }
}

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// A folder's files as a volume with the seed's label; nothing is demanded of them.
pub(crate) fn volume(folder: &Path) -> PathBuf {
    labelled(folder, "cidata")
}

/// The same with another label.
pub(crate) fn labelled(folder: &Path, label: &str) -> PathBuf {
    let mut volume = iso9660::Volume::new(label, Epoch(0));
    collect(folder, folder, &mut volume);
    let file = folder.with_extension("iso");
    std::fs::write(&file, iso9660::write(&volume).unwrap()).unwrap();
    file
}

fn collect(root: &Path, folder: &Path, volume: &mut iso9660::Volume) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            volume.entries.insert(name, iso9660::Entry { mode: 0o755, content: iso9660::Content::Folder });
            collect(root, &path, volume);
        } else {
            volume.file(name, 0o644, std::fs::read(&path).unwrap());
        }
    }
}
