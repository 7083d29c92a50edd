//! The guest's executable, compiled from `node/` by the build script and carried in this program.

/// The static executable that every image has as `/usr/lib/imgbuild/imgbuild-node`.
static EXECUTABLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/imgbuild-node"));

/// The bytes of `imgbuild-node`. Their digest is an input of every image.
#[must_use]
pub fn executable() -> &'static [u8] {
    EXECUTABLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_is_elf_without_paths_of_this_machine() {
        assert!(executable().starts_with(b"\x7fELF"));
        let of = |variable: &str, below: &str| std::env::var(variable).map(|folder| folder + below).unwrap_or_default();
        // Not the home itself: root's is one that seeds may write to, and so a word of the program's own.
        let homes =
            [of("HOME", "/.cargo"), of("HOME", "/.rustup"), of("CARGO_HOME", "/registry"), of("RUSTUP_HOME", "/")];
        for path in homes.iter().map(String::as_str).chain([env!("CARGO_MANIFEST_DIR")]) {
            let found = path.len() > 4 && executable().windows(path.len()).any(|bytes| bytes == path.as_bytes());
            assert!(!found, "{path} is in the executable");
        }
    }
}
