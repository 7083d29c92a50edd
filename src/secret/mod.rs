//! What a cluster has of its own that nobody else may know: made once, kept, and never printed.
//!
//! ```text
//! ClusterIdentity   keys, authorities, leaves, passwords of one cluster (values.rs)
//! make              makes what is missing of it and keeps what is there (wanted.rs says what a machine needs)
//! Record            which generation each machine was told last: no secret, but to be kept as well (record.rs)
//! ```

mod certificate;
mod key;
mod layout;
mod make;
mod record;
mod source;
mod ssh;
mod values;
mod visit;
mod wanted;

pub use layout::{files, identity};
pub use make::make;
pub use record::{NodeRecord, Record};
pub use source::Source;
pub use ssh::SshKey;
pub use values::{Account, Certified, ClusterIdentity, KeyPair, NodeIdentity};
pub use visit::Visit;
