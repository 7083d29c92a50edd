//! Compiles the guest executable and embeds it.

fn main() {}
