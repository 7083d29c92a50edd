//! manifest.json: what an image is, what it was made of, what was written. Its schema lies beside this file.

use super::artifact::{Artifact, ArtifactKind};
use crate::base::digest::Digest;
use crate::base::epoch::Epoch;
use crate::package::{BuildPlan, Pin};
use crate::plan::{Disk, Distribution, TrustedKey};
use serde::{Deserialize, Serialize};

/// The JSON Schema (2020-12) of manifest.json.
pub const SCHEMA: &str = include_str!("manifest.schema.json");
/// The version of the manifest's form.
const VERSION: u32 = 1;

/// manifest.json.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this form: 1.
    pub version: u32,
    /// What names the image: digest of plan, pins, files and guest executable.
    pub image_id: String,
    /// The image's name: roles joined by `+`.
    pub name: String,
    /// The roles.
    pub roles: Vec<String>,
    /// The recipe's name.
    pub recipe: String,
    /// Distribution and release.
    pub distribution: Distribution,
    /// Debian's name of the architecture.
    pub architecture: String,
    /// The kernel flavour.
    pub kernel: String,
    /// Keys that the image trusts: it accepts seeds only of clusters whose key one of them has signed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trust: Vec<TrustedKey>,
    /// The build's only clock, in seconds since 1970.
    pub epoch: Epoch,
    /// The same for people.
    pub created: String,
    /// The program that built it.
    pub builder: String,
    /// What it was made of.
    pub inputs: Inputs,
    /// Packages in the image, by layer, sorted by name and architecture.
    pub packages: Vec<Package>,
    /// The disk, placed to the byte.
    pub disk: Disk,
    /// What was written, sorted by file name.
    pub artifacts: Vec<Artifact>,
}

/// Digests of what an image was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inputs {
    /// Digest of the image plan.
    pub plan: Digest,
    /// Digest of the lock's part that was used.
    pub lock: Digest,
    /// Names the base layer.
    pub base_layer: String,
    /// Packages of the tools root that built it.
    pub tools: Vec<Tool>,
}

/// A package of the tools root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Digest of the `.deb`.
    pub sha256: Digest,
}

/// A package in the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Which layer brought it.
    pub layer: LayerName,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
    /// The repository that carried it.
    pub repository: String,
    /// Its path there.
    pub path: String,
    /// Bytes of the `.deb`.
    pub size: u64,
    /// Digest of the `.deb`.
    pub sha256: Digest,
}

/// A layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerName {
    /// Shared by all roles of the recipe.
    Base,
    /// The role's own.
    Role,
}

impl Manifest {
    /// The manifest of a build that wrote these files.
    #[must_use]
    pub fn new(build: &BuildPlan, artifacts: &[Artifact]) -> Self {
        let image = &build.image;
        let mut artifacts = artifacts.to_vec();
        artifacts.sort_by(|a, b| a.file.cmp(&b.file));
        let packages = |pins: &[Pin], layer| pins.iter().map(|pin| package(pin, layer)).collect::<Vec<_>>();
        let mut all = packages(&build.base, LayerName::Base);
        all.extend(packages(&build.role, LayerName::Role));
        Self {
            version: VERSION,
            image_id: build.image_id.clone(),
            name: image.name.clone(),
            roles: image.roles.clone(),
            recipe: image.recipe.clone(),
            distribution: image.distribution.clone(),
            architecture: image.architecture.clone(),
            kernel: image.kernel.clone(),
            trust: image.trust.clone(),
            epoch: build.epoch,
            created: build.epoch.rfc3339(),
            builder: concat!("imgbuild ", env!("CARGO_PKG_VERSION")).to_owned(),
            inputs: Inputs {
                plan: Digest::of_value(image),
                lock: build.lock_digest,
                base_layer: build.base_layer_id.clone(),
                tools: build.tools.iter().map(tool).collect(),
            },
            packages: all,
            disk: image.disk.clone(),
            artifacts,
        }
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// When it is not a manifest of a version that this program knows.
    pub fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        let manifest: Self = serde_json::from_slice(bytes)?;
        if manifest.version != VERSION {
            anyhow::bail!("this manifest has version {}, and this program reads version {VERSION}", manifest.version);
        }
        Ok(manifest)
    }

    /// The file's bytes.
    ///
    /// # Panics
    /// Never: all keys are strings.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("plain values always serialise");
        bytes.push(b'\n');
        bytes
    }

    /// The artifact of this kind, when it was written.
    #[must_use]
    pub fn artifact(&self, kind: ArtifactKind) -> Option<&Artifact> {
        self.artifacts.iter().find(|artifact| artifact.kind == kind)
    }
}

fn package(pin: &Pin, layer: LayerName) -> Package {
    Package {
        layer,
        name: pin.name.clone(),
        version: pin.version.clone(),
        architecture: pin.architecture.clone(),
        repository: pin.repository.clone(),
        path: pin.path.clone(),
        size: pin.size,
        sha256: pin.sha256,
    }
}

fn tool(pin: &Pin) -> Tool {
    Tool { name: pin.name.clone(), version: pin.version.clone(), sha256: pin.sha256 }
}
