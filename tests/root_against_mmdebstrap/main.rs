//! The finished root of an image, path by path, against one that mmdebstrap made of the same packages.
//!
//! `tests/machines/mmdebstrap` makes both and runs the ignored test, with `IMGBUILD_TEST_ROOTS` naming a folder that has
//! `RECIPE.ROLE.ours.tar` and `RECIPE.ROLE.theirs.tar`. What may differ stands in `explained.txt`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

mod compare;
mod dump;
mod explained;
mod forms;
mod twins;

use anyhow::{Context as _, Result, ensure};
use compare::differences;
use dump::Dump;
use std::io::BufReader;
use std::path::PathBuf;

#[test]
#[ignore = "needs roots: tests/machines/mmdebstrap makes them"]
fn roots_differ_only_where_explained() -> Result<()> {
    let folder = PathBuf::from(std::env::var_os("IMGBUILD_TEST_ROOTS").context("IMGBUILD_TEST_ROOTS names no folder")?);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))? {
        let name = entry?.file_name().into_string().unwrap_or_default();
        names.extend(name.strip_suffix(".ours.tar").map(str::to_owned));
    }
    names.sort();
    ensure!(!names.is_empty(), "{} has no roots", folder.display());
    let mut wrong = Vec::new();
    for name in &names {
        let (recipe, role) = name.split_once('.').with_context(|| format!("{name} names no recipe and role"))?;
        let read = |side: &str| -> Result<Dump> {
            let path = folder.join(format!("{name}.{side}.tar"));
            let file = std::fs::File::open(&path).with_context(|| format!("opening {}", path.display()))?;
            Dump::read(BufReader::with_capacity(1 << 20, file)).with_context(|| format!("reading {}", path.display()))
        };
        let (ours, theirs) = (read("ours")?, read("theirs")?);
        let found = differences(&ours, &theirs);
        println!("{name}: {} paths, {} differences", ours.0.len(), found.len());
        let complaints = explained::unexplained(explained::LIST, &[recipe, role], &found);
        wrong.extend(complaints.into_iter().map(|line| format!("{name}: {line}")));
        let unnoticed = twins::unnoticed(&ours, &theirs, &[recipe, role]);
        wrong.extend(unnoticed.into_iter().map(|line| format!("{name}: {line}")));
    }
    ensure!(wrong.is_empty(), "{} complaints:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}
