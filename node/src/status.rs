//! `imgbuild-node status`: what this machine is and how its volumes stand.

use crate::grow;

/// Written by the builder: `name=value` lines that name role, image id and lock digest.
const RELEASE: &str = "/usr/lib/imgbuild/release";

/// Prints it.
pub(crate) fn run() -> Result<(), String> {
    let release = std::fs::read_to_string(RELEASE).map_err(|error| format!("reading {RELEASE}: {error}"))?;
    for line in release.lines().chain(grow::describe()?.iter().map(String::as_str)) {
        println!("{line}");
    }
    Ok(())
}
