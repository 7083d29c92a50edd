//! Completion scripts and man pages, both generated from the command line's own definition.

use super::outcome::Outcome;
use super::typed::Typed;
use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use std::path::Path;

/// A completion script.
#[must_use]
pub fn completions(shell: clap_complete::Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Typed::command(), "imgbuild", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    Outcome::new(script.clone(), &script)
}

/// All man pages: file name and text, sorted by name.
///
/// # Errors
/// When a page cannot be rendered.
pub fn man() -> Result<Vec<(String, Vec<u8>)>> {
    let mut root = Typed::command();
    root.build();
    let mut pages = Vec::new();
    collect(&root, "imgbuild".to_owned(), &mut pages)?;
    pages.sort();
    Ok(pages)
}

fn collect(command: &clap::Command, name: String, pages: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    // The version stays out of the pages, so that a release changes none of them.
    let page = clap_mangen::Man::new(command.clone()).title(name.to_uppercase()).source("imgbuild").manual("imgbuild");
    let mut text = Vec::new();
    page.render(&mut text).with_context(|| format!("rendering the man page {name}(1)"))?;
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        collect(inner, format!("{name}-{}", inner.get_name()), pages)?;
    }
    pages.push((format!("{name}.1"), text));
    Ok(())
}

/// Writes all man pages into a folder.
///
/// # Errors
/// When a page cannot be rendered or written.
pub fn write_man(folder: &Path) -> Result<Outcome> {
    let pages = man()?;
    let mut names = Vec::new();
    for (name, text) in &pages {
        let file = folder.join(name);
        crate::base::files::write_atomic(&file, text)?;
        names.push(file.display().to_string());
    }
    Ok(Outcome::new(names.join("\n"), &names))
}
