//! `imgbuild-node status`: what this machine is, how far its role is and how its volumes stand.

use crate::{grow, role};

/// Written by the builder: `name=value` lines that name role, image id and lock digest.
const RELEASE: &str = "/usr/lib/imgbuild/release";

/// Prints it; as JSON, the role's part alone.
pub(crate) fn run(json: bool) -> Result<(), String> {
    let mut lines = Vec::new();
    if !json {
        let release = std::fs::read_to_string(RELEASE).map_err(|error| format!("reading {RELEASE}: {error}"))?;
        lines.extend(release.lines().map(str::to_owned));
    }
    lines.extend(role::show(json)?);
    if !json {
        lines.extend(grow::describe()?);
    }
    for line in lines {
        println!("{line}");
    }
    Ok(())
}
