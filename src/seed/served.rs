//! cloud-init's documents for a web server: NoCloud over HTTP, for images that are not imgbuild's.
//!
//! ```text
//! nocloud.http/index.html             empty, so that no server lists the names below
//! nocloud.http/<path>/user-data ...   one machine's four documents; no payload and no secret
//! ```
//!
//! A machine's path is made of a signature by the cluster's key: nobody without that key can guess it, it is the same
//! whenever seeds are written, and no other machine's path says anything about it.

use super::SeedTree;
use crate::base::digest::Digest;
use crate::format::seed::DOCUMENTS;
use crate::secret::ClusterIdentity;
use anyhow::Result;

/// The folder to be served. A machine's name has no dot.
pub const SERVED: &str = "nocloud.http";
/// Separates these signatures from those over manifests.
const NAMESPACE: &str = "imgbuild-served-path";
/// Hexadecimal digits of a path: 128 bits.
const DIGITS: usize = 32;

/// Where one machine's documents are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The folder's name.
    pub path: String,
}

impl Served {
    /// For a machine of this name.
    ///
    /// # Errors
    /// When signing fails.
    pub fn new(identity: &ClusterIdentity, node: &str) -> Result<Self> {
        let signature = identity.seed_key.sign(NAMESPACE, format!("{}/{node}", identity.id).as_bytes())?;
        let digest = Digest::of(signature.as_bytes()).to_string();
        Ok(Self { path: digest.get(..DIGITS).unwrap_or(&digest).to_owned() })
    }

    /// What a machine's kernel argument says, or its SMBIOS serial number, when the folder is served at this address.
    #[must_use]
    pub fn argument(&self, base: &str) -> String {
        // cloud-init joins the address and a document's name without a slash of its own.
        format!("ds=nocloud;s={base}{}/", self.path)
    }

    /// The files to serve, by their paths below the folder.
    #[must_use]
    pub fn files<'a>(&self, tree: &'a SeedTree) -> Vec<(String, &'a [u8])> {
        let document = |name: &&str| Some((format!("{}/{name}", self.path), tree.files.get(*name)?.content.bytes()));
        DOCUMENTS.iter().filter_map(document).collect()
    }
}
