//! From a cluster's plan and its secrets to what each machine is told: one signed seed for each.
//!
//! ```text
//! Templates    the documents' forms, the project's before the built-in ones (template.rs)
//! Writer       renders for one machine after another (write.rs); rooms for what is rendered:
//!                documents.rs  cloud-init's four documents: host name, users, network; no secrets
//!                common.rs     what every machine gets: names, SSH, time, proxies, certificates, mirrors, logs
//!                pacemaker.rs keepalived.rs balance.rs gateway.rs firewall.rs   what roles get
//! Draft        everything but the generation, whose digest says whether anything changed
//! SeedTree     path to bytes: a folder, or the volume `cidata` as ISO 9660 or FAT (tree.rs)
//! JUDGES       the programs that read documents, and how they are asked beforehand (judges.rs)
//! Served       cloud-init's documents for a web server, at a path that only its machine is told (served.rs)
//! Staging      all seeds of a cluster, put in place together (folder.rs)
//! ```
//!
//! Equal plans and equal secrets give equal bytes; nothing here knows the day or throws dice.

mod balance;
mod common;
mod content;
mod documents;
mod firewall;
mod folder;
mod gateway;
mod judges;
mod keepalived;
mod pacemaker;
mod payload;
mod served;
mod shared;
mod template;
mod tree;
mod write;

#[cfg(test)]
mod tests;

pub use content::Content;
pub use folder::{Form, Staging};
pub use judges::{How, JUDGES, Judge, UNABLE};
pub use served::{SERVED, Served};
pub use template::{TemplateText, Templates};
pub use tree::{SeedFile, SeedTree};
pub use write::{Draft, Writer};
