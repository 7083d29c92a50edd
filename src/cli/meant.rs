//! What is meant: plain values that the pipeline walks through. No command-line type goes beyond this file.

pub use super::meant_lab::{Lab, LabCut, LabDirection, LabSsh, LabUp, LabVerb};
pub use crate::base::firmware::Firmware;
use crate::base::secret::Secret;
use crate::base::size::Bytes;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// One order to the pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Where everything lies.
    pub settings: Settings,
    /// What to do.
    pub command: Command,
}

/// What all commands share. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The project folder: `recipes/`, `roles/` and `imgbuild.lock` are looked for here.
    pub directory: PathBuf,
    /// Where results go (`images/...` below it).
    pub out: PathBuf,
    /// The cache.
    pub cache: PathBuf,
    /// How many things are done at once.
    pub jobs: NonZeroUsize,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Build role images.
    Role(Role),
    /// Show what would be built; no network, no writing.
    Plan {
        /// Which images.
        names: Names,
        /// How their plans are drawn.
        selection: Selection,
    },
    /// Show what a cluster would be; no network, no writing.
    PlanCluster {
        /// Its name, or a path.
        cluster: String,
    },
    /// Write a cluster's seeds.
    Seed(Seed),
    /// Check every input.
    Check {
        /// This cluster alone, by name or path; everything when not given.
        cluster: Option<String>,
        /// Whether the cluster's documents are shown to the programs that will read them.
        deep: bool,
        /// How plans are drawn.
        selection: Selection,
    },
    /// Write or refresh the pins.
    Lock {
        /// For which images.
        names: Names,
        /// Resolve everything anew instead of keeping what is pinned.
        update: bool,
        /// How plans are drawn.
        selection: Selection,
    },
    /// Compare the pins with what the repositories carry now; writes nothing.
    LockDiff {
        /// How plans are drawn.
        selection: Selection,
    },
    /// Start one machine in QEMU, its console on this terminal.
    Boot(Boot),
    /// A whole cluster on this machine.
    Lab(Lab),
    /// The process behind a running lab.
    LabServe {
        /// Its run folder.
        folder: PathBuf,
    },
    /// Provide the root with the emulator.
    MachineTools {
        /// Where its packages come from.
        selection: Selection,
    },
    /// Show what a file holds, from its bytes.
    Inspect {
        /// The image.
        file: PathBuf,
        /// A path within the image, from its root.
        path: Option<String>,
    },
    /// Show why two images or results differ.
    Diff {
        /// Name, folder or file, as typed.
        a: String,
        /// The other.
        b: String,
    },
    /// Read everything of a result again.
    Verify(Verify),
    /// A shell in a role's root, in the sandbox.
    Shell {
        /// The role, or several joined by `+`.
        name: String,
        /// How its plan is drawn.
        selection: Selection,
    },
    /// Write a bundle for machines without any mirror.
    Bundle(Bundle),
    /// Take a bundle into cache and project.
    BundleImport {
        /// The bundle.
        file: PathBuf,
    },
    /// Hold built images against a list of known vulnerabilities.
    Audit(Audit),
    /// Look after a cluster's secrets.
    Secrets(Secrets),
    /// Show what the cache holds.
    CacheStatus,
    /// Remove what is no longer needed from the cache and from the results.
    CachePrune,
    /// Look at this machine and say what is missing.
    Doctor {
        /// Where repositories are, by name; wins over the host's mirror.
        repositories: BTreeMap<String, String>,
    },
    /// Write a starting set of recipes and roles.
    Init {
        /// Replace files that are there already.
        force: bool,
    },
}

/// Which images: each name is a role, or several joined by `+`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// These, in the order typed.
    Given(Vec<String>),
    /// Every role there is.
    All,
}

/// How plans are drawn from the documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The recipe; the default one when not given.
    pub recipe: Option<String>,
    /// The kernel flavour; the recipe's when not given.
    pub kernel: Option<String>,
    /// Files with public keys: images accept only clusters whose key one of them has signed.
    pub trust: Vec<PathBuf>,
    /// Values of role parameters: `name` or `role.name`.
    pub parameters: BTreeMap<String, String>,
    /// Where repositories are, by name; wins over the documents.
    pub repositories: BTreeMap<String, String>,
    /// Add nothing to the lock.
    pub locked: bool,
    /// Use no network.
    pub offline: bool,
}

/// Building images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Which images.
    pub names: Names,
    /// How their plans are drawn.
    pub selection: Selection,
    /// Image formats, each once, in the order typed.
    pub formats: Vec<Format>,
    /// How qcow2 clusters are compressed.
    pub compression: Compression,
    /// Sign the results.
    pub sign: Option<Sign>,
    /// Give the terminal a shell in a root that could not be assembled.
    pub debug_shell: bool,
    /// A bundle to take packages from; in an empty folder, also documents and pins.
    pub bundle: Option<PathBuf>,
}

/// Writing a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Which images can be built from it.
    pub names: Names,
    /// How their plans are drawn.
    pub selection: Selection,
    /// Where it goes; `<out>/bundles/<names>.bundle` when not given.
    pub file: Option<PathBuf>,
}

/// Holding images against a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Names of built images, or folders of results, as typed.
    pub images: Vec<String>,
    /// File or URL of the list; the recipe's when not given.
    pub against: Option<String>,
    /// From which severity on the exit status tells.
    pub fail_on: Severity,
    /// Use no network.
    pub offline: bool,
}

/// Looking after a cluster's secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    /// Its name, or a path.
    pub cluster: String,
    /// How they are opened.
    pub access: Access,
    /// What to do.
    pub verb: SecretsVerb,
}

/// How a cluster's secrets are opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The user's identities for age.
    pub identity: PathBuf,
    /// What the environment says of Vault.
    pub vault: VaultAccess,
}

/// How Vault is reached, for clusters whose secrets are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VaultAccess {
    /// Its URL.
    pub address: Option<String>,
    /// Who asks.
    pub token: Option<Secret>,
    /// Where `vault login` leaves the token.
    pub token_file: Option<PathBuf>,
    /// Who asks for a token: an AppRole's id and secret id.
    pub role: Option<(String, Secret)>,
    /// The namespace.
    pub namespace: Option<String>,
    /// Certificates of its authority, in PEM.
    pub authority: Option<PathBuf>,
}

/// Where secrets can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// In Vault, as the cluster's document says.
    Vault,
    /// In the folder beside the document.
    Files,
}

/// What to do with secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretsVerb {
    /// Make what is missing.
    Make,
    /// Show what expires when.
    Show,
    /// Renew certificates.
    Renew(Renewal),
    /// Seal them into one file.
    Seal {
        /// To whom; to whom they were sealed last when empty.
        to: Vec<String>,
    },
    /// Open the sealed file into the folder.
    Unseal,
    /// Keep them elsewhere.
    Move(Keeping),
}

/// Which certificates are renewed, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// Machines, leaves and authorities; what ends soon when empty.
    pub names: Vec<String>,
    /// Every leaf.
    pub all: bool,
    /// Authorities that are named are meant.
    pub authorities: bool,
    /// With new keys.
    pub keys: bool,
}

/// How bad something is, by Debian's own judgement; from harmless to bad, and `Never` beyond all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// No risk in practice.
    Unimportant,
    /// Low.
    Low,
    /// Nobody has judged it yet.
    Unassigned,
    /// Medium.
    Medium,
    /// High.
    High,
    /// None is bad enough.
    Never,
}

/// Signing results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    /// The file of the secret key.
    pub key: PathBuf,
    /// The file of its password; asked for when not given.
    pub password: Option<PathBuf>,
}

/// Verifying a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verify {
    /// Name, folder or file, as typed.
    pub name: String,
    /// A public key or a file with one, as typed.
    pub signer: Option<String>,
    /// Build again and compare.
    pub rebuild: bool,
    /// How the plan of the second build is drawn.
    pub selection: Selection,
}

/// An image format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Compressed qcow2.
    Qcow2,
    /// Sparse raw.
    Raw,
}

/// How qcow2 clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// zstd: needs QEMU 5.1 or newer.
    Zstd,
    /// zlib: read by everything.
    Zlib,
}

/// One machine in QEMU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// A built image's name or a file, as typed.
    pub image: String,
    /// Which firmware starts it.
    pub firmware: Firmware,
    /// A NoCloud seed: a folder or an ISO file.
    pub seed: Option<PathBuf>,
    /// Size of the machine's disk; the image's own when not given.
    pub size: Option<Bytes>,
    /// Main memory.
    pub memory: Bytes,
    /// Processors.
    pub processors: u32,
    /// Where its disk is kept; thrown away when not given.
    pub disk: Option<PathBuf>,
    /// Port of this host that leads to its port 22.
    pub ssh_port: Option<u16>,
    /// Where the emulator's packages come from.
    pub selection: Selection,
}

/// `imgbuild seed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// The cluster's name, or a path.
    pub cluster: String,
    /// What seeds are written as, beside a folder each.
    pub form: SeedForm,
    /// How its secrets are opened.
    pub access: Access,
}

/// What a seed is written as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeedForm {
    /// ISO 9660.
    Iso,
    /// FAT32.
    Vfat,
    /// Nothing beside the folder.
    Folder,
    /// A tree that is served at this address, which ends with `/`.
    Http(String),
}
