//! What a cluster has of its own that nobody else may know: made once, kept, and never printed.
//!
//! ```text
//! ClusterIdentity   keys, authorities, leaves, passwords of one cluster (values.rs)
//! make              makes what is missing of it and keeps what is there (wanted.rs says what a machine needs)
//! files, identity   the same as files, and back, strictly (layout.rs)
//! Place             where the files are kept: a folder, a file sealed by age, Vault (place.rs, seal.rs, vault.rs)
//! calendar, renew   what expires when (calendar.rs)
//! Record            which generation each machine was told last: no secret, but to be kept as well (record.rs)
//! ```

mod calendar;
mod certificate;
mod key;
mod layout;
mod make;
mod place;
mod record;
mod seal;
mod source;
mod ssh;
mod values;
mod vault;
mod visit;
mod wanted;

pub use calendar::{Entry, Kind, Renewal, SOON_DAYS, State, calendar, renew};
pub use layout::{files, identity};
pub use make::make;
pub use place::{Place, key};
pub use record::{NodeRecord, Record};
pub use seal::{digest, recipients_of, seal, unseal};
pub use source::Source;
pub use ssh::SshKey;
pub use values::{Account, Certified, ClusterIdentity, KeyPair, NodeIdentity};
pub use vault::{Vault, VaultAccess};
pub use visit::Visit;

#[cfg(test)]
mod tests;
