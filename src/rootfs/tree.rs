//! The finished root as a value; it lives on the ground floor because the store keeps it too.

pub use crate::base::tree::{Entry, Kind, Tree};
