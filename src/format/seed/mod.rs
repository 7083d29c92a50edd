//! The signed seed: what lies on the volume `cidata` beside cloud-init's documents.
//!
//! ```text
//! user-data meta-data network-config vendor-data   for cloud-init: small, without secrets
//! imgbuild/manifest.json       every file of the volume: digest, length, owner, mode (values.rs)
//! imgbuild/manifest.json.sig   SSHSIG over it by the cluster's key, namespace `imgbuild-seed`
//! imgbuild/cluster.pub         that key, one OpenSSH line
//! imgbuild/cluster.pub.sig     optional: SSHSIG over cluster.pub by a key that images trust, namespace `imgbuild-cluster`
//! imgbuild/files/...           the role's payload, path for path, secrets included
//! ```
//!
//! The executable in the guests compiles these same files, so that both mean the same: they use nothing of the builder.

mod values;

pub use values::{
    CLUSTER_KEY, Cluster, DOCUMENTS, Document, ENDORSEMENT, Effect, FILES, MANIFEST, Manifest, NAMESPACE_CLUSTER,
    NAMESPACE_SEED, Node, PayloadFile, SIGNATURE, Unit, VERSION, Write,
};
