//! The built-in recipes and roles, embedded: so `imgbuild` works in an empty folder.
//!
//! A test compares this list with what lies in the folders.

/// Path below the project's root, and contents; sorted by path.
pub(super) const BUILTIN: &[(&str, &[u8])] = &[];
