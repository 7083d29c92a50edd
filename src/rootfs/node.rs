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
        let home = std::env::var("HOME").unwrap_or_default();
        for path in [env!("CARGO_MANIFEST_DIR"), home.as_str()] {
            let found = path.len() > 4 && executable().windows(path.len()).any(|bytes| bytes == path.as_bytes());
            assert!(!found, "{path} is in the executable");
        }
    }
}
