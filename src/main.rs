//! The `imgbuild` command: see the library.

fn main() {}
