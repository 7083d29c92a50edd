//! What a name means where results are looked at: a role's newest result, a result's folder, or an image file.

use crate::base::hint::{Remedy as _, hinted};
use crate::cli::meant::Settings;
use crate::output::{self, Published, image_folder};
use anyhow::{Context as _, Result};
use std::path::PathBuf;

/// What was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A result with its manifest.
    Result(Box<Published>),
    /// A file that belongs to no result, or that was meant alone.
    Image(PathBuf),
}

/// Finds what was named, as typed.
///
/// # Errors
/// When it is nothing that there is.
pub(super) fn find(settings: &Settings, typed: &str) -> Result<Target> {
    let path = settings.directory.join(typed);
    if path.is_file() {
        return Ok(Target::Image(path));
    }
    if path.join(output::MANIFEST).exists() {
        return open(path);
    }
    // Names of images have neither of these.
    if typed.contains(['/', '.']) {
        return Err(hinted(
            format!("{} is neither a file nor the folder of a result", path.display()),
            "name a built image, the folder of its result, or an image file",
        ));
    }
    let latest = image_folder(&settings.out, typed).join("latest");
    if !latest.join(output::MANIFEST).exists() {
        let hint = format!("build it with `imgbuild role {typed}`, or name a folder or a file");
        return Err(hinted(format!("there is no image `{typed}`"), hint));
    }
    // A build in the meantime may turn `latest`.
    open(latest.canonicalize().with_context(|| format!("resolving {}", latest.display()))?)
}

fn open(folder: PathBuf) -> Result<Target> {
    let read = output::result(&folder);
    Ok(Target::Result(Box::new(read.hint("this result is damaged or of another version of imgbuild: build it again")?)))
}
