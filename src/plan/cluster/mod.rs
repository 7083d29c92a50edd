//! Draws the plan of a cluster: every machine by name, with its addresses, and who serves what to whom.
//!
//! Data flows `expand` (rows become machines) -> `addresses`, `balancers`, `members`, `resources` (what must hold
//! across machines) -> [`ClusterPlan`]. Pure: no I/O, no clock, no randomness; secrets are made elsewhere.

mod addresses;
mod balancers;
mod draw;
mod expand;
mod members;
mod networks;
mod resources;
mod roles;
mod values;

pub use draw::{check_clusters, draw_cluster};
pub use values::*;
