//! What is to be built, complete: no later room asks a document, a clock or the host again.
//!
//! Everything here serialises; the digest of an [`ImagePlan`]'s JSON is one input of the image id, so no value
//! may depend on where files lie or who builds.

use crate::base::digest::Digest;
use crate::base::ids::{LvmId, Uuid};
use crate::base::size::{Bytes, Extents, Sectors};
use serde::{Deserialize, Serialize};

/// One role image (or several roles combined), ready to be resolved and built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagePlan {
    /// The image's name: the roles joined by `+`, as typed (`haproxy`, `haproxy+gateway`).
    pub name: String,
    /// The recipe's name, such as `debian-trixie`.
    pub recipe: String,
    /// The roles, in the order typed.
    pub roles: Vec<String>,
    /// Distribution and release.
    pub distribution: Distribution,
    /// Debian's name of the architecture, such as `amd64`.
    pub architecture: String,
    /// Which kernel flavour was chosen: `generic` or `cloud`.
    pub kernel: String,
    /// Where the packages of the base layer and of the role come from, in order of the documents.
    pub repositories: Vec<Repository>,
    /// How many of `repositories`, counted from the first, are the recipe's: the base layer is resolved from these
    /// alone, so that roles with repositories of their own share it.
    pub recipe_repositories: usize,
    /// Whether Recommends are installed.
    pub recommends: bool,
    /// The recipe's layer, shared by all roles of the recipe (and kernel flavour).
    pub base: Layer,
    /// What the role(s) add.
    pub role: Layer,
    /// Arguments that GRUB hands to the kernel after `root=... ro`.
    pub kernel_arguments: Vec<String>,
    /// What runs on the builder: `grub-mkimage`.
    pub tools: Tools,
    /// Keys that the image trusts: it accepts seeds only of clusters whose key one of them has signed. With none it
    /// keeps to the first cluster that it meets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trust: Vec<TrustedKey>,
    /// The disk, placed to the byte.
    pub disk: Disk,
}

/// A key that an image trusts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedKey {
    /// As `ssh-keygen -l` prints it: `SHA256:...`.
    pub fingerprint: String,
    /// `ssh-ed25519 AAAA...`, without comment or line end.
    pub key: String,
}

/// A distribution's release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// `debian` or `ubuntu`.
    pub id: String,
    /// The suite, such as `trixie`.
    pub suite: String,
    /// Folder below `EFI/` in which the distribution's signed GRUB looks for grub.cfg (`debian`, `ubuntu`).
    pub efi_folder: String,
}

/// One package repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// The name in lock, messages and `--repository NAME=URL` (`debian`, `debian-security`, `kubernetes`).
    pub name: String,
    /// Where it is.
    pub location: Location,
    /// Suites below `dists/` (or, when flat, folders that hold `Packages` themselves).
    pub suites: Vec<String>,
    /// Components; empty when flat.
    pub components: Vec<String>,
    /// Whether `Release` lies beside `Packages` (`deb URL ./`).
    pub flat: bool,
    /// The keys that may sign it.
    pub keyring: Keyring,
    /// apt's pin priority; 500 unless the document says otherwise. A higher one wins over a newer version.
    pub priority: i32,
    /// Whether an index past its `Valid-Until` is refused.
    pub check_valid_until: bool,
    /// A snapshot archive asked for pinned packages that the mirror no longer carries.
    pub snapshot: Option<String>,
}

/// Where a repository is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Location {
    /// The mirror of this distribution (`debian`, `debian-security`, `ubuntu`) that the host's own apt uses.
    Host(String),
    /// This URL.
    Url(String),
}

/// OpenPGP certificates, as text (armoured) or bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyring {
    /// For messages.
    pub name: String,
    /// One or more certificates, armoured or binary.
    pub content: Blob,
}

/// File contents within a plan: text when it is UTF-8, otherwise base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blob {
    /// UTF-8 text.
    Text(String),
    /// Anything else, one byte each (rare and small).
    Bytes(Vec<u8>),
}

impl Blob {
    /// From bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self::Text(text),
            Err(error) => Self::Bytes(error.into_bytes()),
        }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// What one layer adds to the root filesystem.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Package names, `name=version`, `name/suite` or `name:arch`, in the order of the documents.
    pub packages: Vec<String>,
    /// `.deb` files beside the documents or downloaded: file name and digest. Where they lie is the caller's affair.
    pub debs: Vec<PinnedFile>,
    /// debconf answers.
    pub debconf: Vec<DebconfAnswer>,
    /// Accounts with fixed ids, made before any package is configured.
    pub groups: Vec<Group>,
    /// Accounts with fixed ids, made before any package is configured.
    pub users: Vec<User>,
    /// Files, links and folders laid over the root after the packages are configured.
    pub files: Vec<OverlayFile>,
    /// Pinned downloads to install as files (already verified by digest).
    pub downloads: Vec<Download>,
    /// Units by wanted state.
    pub units: Units,
    /// Shell scripts run in the root, without network, after overlay and before the final triggers.
    pub build_scripts: Vec<BuildScript>,
}

/// A file named by its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedFile {
    /// File name for messages and for the lock.
    pub name: String,
    /// Its contents' digest.
    pub sha256: Digest,
    /// Where to fetch it, when it is not beside the documents.
    pub url: Option<String>,
}

/// A download placed into the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Download {
    /// The file.
    pub file: PinnedFile,
    /// Absolute path in the root: the file itself, or the folder into which an archive is unpacked.
    pub path: String,
    /// Whether a tar archive (plain, gz, xz, zst) is unpacked into `path`.
    pub unpack: bool,
    /// Members to take when unpacking; empty for all.
    pub members: Vec<String>,
    /// Leading path components dropped when unpacking.
    pub strip: u32,
    /// Permission bits of a plain file.
    pub mode: u32,
}

/// An answer for debconf: `package question type value`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebconfAnswer {
    /// Owner of the question.
    pub package: String,
    /// The question, such as `keyboard-configuration/layout`.
    pub question: String,
    /// Its type, such as `select` or `boolean`.
    pub kind: String,
    /// The answer.
    pub value: String,
}

/// A group with a fixed id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its id.
    pub gid: u32,
}

/// An account with a fixed id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its id.
    pub uid: u32,
    /// Its primary group's name (made by [`Group`] or by base-passwd).
    pub group: String,
    /// Further groups.
    pub groups: Vec<String>,
    /// Home folder; not created.
    pub home: String,
    /// Login shell.
    pub shell: String,
    /// GECOS.
    pub comment: String,
}

/// One file, link or folder of the overlay, contents rendered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverlayFile {
    /// Absolute path in the root.
    pub path: String,
    /// What it is.
    pub kind: OverlayKind,
    /// Permission bits.
    pub mode: u32,
    /// Owner's name or number.
    pub owner: String,
    /// Group's name or number.
    pub group: String,
}

/// What an overlay entry is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverlayKind {
    /// A regular file.
    File(Blob),
    /// A symbolic link to this target.
    Link(String),
    /// A folder.
    Folder,
    /// Whatever is there is removed.
    Absent,
}

/// Units by wanted state; the names are full unit names (`haproxy.service`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Units {
    /// Started at boot.
    pub enable: Vec<String>,
    /// Not started at boot, and preset so (until a seed says otherwise).
    pub disable: Vec<String>,
    /// Never started.
    pub mask: Vec<String>,
}

/// A script run in the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildScript {
    /// The role it belongs to, for messages.
    pub role: String,
    /// The script, with its `#!` line.
    pub content: Blob,
}

/// The builder's own tools: packages of one suite, unpacked and never configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tools {
    /// Where they come from.
    pub repositories: Vec<Repository>,
    /// The suite, for messages.
    pub suite: String,
    /// Package names.
    pub packages: Vec<String>,
}

/// The disk, placed to the byte. Identifiers derive from the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Size of the image.
    pub size: Bytes,
    /// GPT disk GUID.
    pub guid: Uuid,
    /// In order of number, contiguous from 1.
    pub partitions: Vec<Partition>,
    /// The volume group in the last partition.
    pub volume_group: VolumeGroup,
}

/// One GPT partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// From 1.
    pub number: u32,
    /// GPT name (at most 36 UTF-16 units).
    pub name: String,
    /// What it holds, which also gives the type GUID.
    pub role: PartitionRole,
    /// Unique partition GUID.
    pub guid: Uuid,
    /// First sector.
    pub first: Sectors,
    /// Length.
    pub length: Sectors,
}

/// What a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionRole {
    /// GRUB's core.img for BIOS.
    BiosBoot,
    /// EFI system partition, FAT32.
    Esp,
    /// The LVM2 physical volume.
    Lvm,
}

/// The volume group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeGroup {
    /// Its name, `vg0`.
    pub name: String,
    /// Its LVM id.
    pub id: LvmId,
    /// The physical volume's LVM id.
    pub pv_id: LvmId,
    /// Extents of the physical volume.
    pub extents: Extents,
    /// In order of placement.
    pub volumes: Vec<Volume>,
    /// Free room that growing leaves alone.
    pub reserve: Bytes,
}

/// One linear logical volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name, `root`.
    pub name: String,
    /// Its LVM id.
    pub id: LvmId,
    /// First extent within the physical volume.
    pub start: Extents,
    /// Length.
    pub extents: Extents,
    /// What it holds.
    pub filesystem: Filesystem,
    /// Where it is mounted; `none` for swap.
    pub mount: String,
    /// Mount options, `defaults` when nothing else is wanted.
    pub options: String,
    /// Filesystem UUID.
    pub uuid: Uuid,
    /// Filesystem label.
    pub label: String,
    /// Share of room beyond all sizes that growing gives it; 0 never grows.
    pub weight: u32,
    /// Growing stops here.
    pub maximum: Option<Bytes>,
}

/// What a volume holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filesystem {
    /// Filled by the builder.
    Ext4,
    /// A swap signature.
    Swap,
    /// Nothing: formatted as ext4 at first boot.
    Ext4AtFirstBoot,
    /// Nothing: formatted as XFS at first boot.
    XfsAtFirstBoot,
}
