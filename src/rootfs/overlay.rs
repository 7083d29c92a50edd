//! What documents lay over a root: files, downloads, unit states, build scripts.

use super::accounts::Owners;
use super::archive;
use super::root::Root;
use super::scripts;
use crate::base::digest::Digest;
use crate::base::epoch::Epoch;
use crate::base::progress::Progress;
use crate::plan::{BuildScript, Download, Layer, OverlayFile, OverlayKind, Units};
use anyhow::{Context as _, Result, bail};
use rustix::fs::FileType;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// First in order among the preset files, so that its word counts.
const PRESET: &str = "etc/systemd/system-preset/00-imgbuild.preset";
/// Where a build script is written while it runs.
const SCRIPT: &str = "run/imgbuild-build-script";

/// Lays a layer's files and downloads over the root and sets its units' states.
pub(super) fn lay(
    root: &Root,
    layer: &Layer,
    downloads: &BTreeMap<Digest, PathBuf>,
    epoch: Epoch,
    progress: &dyn Progress,
) -> Result<()> {
    let owners = Owners::read(root)?;
    for file in &layer.files {
        lay_file(root, file, &owners).with_context(|| format!("laying {} over the root", file.path))?;
    }
    for download in &layer.downloads {
        lay_download(root, download, downloads).with_context(|| format!("placing {}", download.file.name))?;
    }
    set_units(root, &layer.units, epoch, progress)
}

/// Lays what tells how an initial ramdisk is made: it may be made before the rest is laid.
pub(super) fn lay_initramfs(root: &Root, layer: &Layer) -> Result<()> {
    let owners = Owners::read(root)?;
    let below = |file: &&OverlayFile| file.path.trim_start_matches('/').starts_with("etc/initramfs-tools/");
    for file in layer.files.iter().filter(below).filter(|file| file.kind != OverlayKind::Absent) {
        // An owner that is not known yet may be so later.
        if owners.pair(&file.owner, &file.group).is_ok() {
            lay_file(root, file, &owners).with_context(|| format!("laying {} over the root", file.path))?;
        }
    }
    Ok(())
}

/// Whether a layer's documents may bring or change Python files: byte code is then made after them.
pub(super) fn may_change_python(layer: &Layer) -> bool {
    !layer.downloads.is_empty()
        || !layer.build_scripts.is_empty()
        || layer.files.iter().any(|file| file.path.contains("/python") || file.path.ends_with(".py"))
}

/// Those of the layers' files that are in the root now; what a later layer or a script removed is not.
pub(super) fn standing<'l>(root: &Root, layers: &[&'l Layer]) -> Result<Vec<&'l OverlayFile>> {
    let mut standing = Vec::new();
    for file in layers.iter().flat_map(|layer| &layer.files) {
        if file.kind != OverlayKind::Absent && root.find(file.path.as_bytes())?.is_some() {
            standing.push(file);
        }
    }
    Ok(standing)
}

/// Lays files again that cleaning took for leftovers.
pub(super) fn lay_missing(root: &Root, standing: &[&OverlayFile]) -> Result<()> {
    let owners = Owners::read(root)?;
    for file in standing {
        if root.find(file.path.as_bytes())?.is_none() {
            lay_file(root, file, &owners).with_context(|| format!("laying {} over the root", file.path))?;
        }
    }
    Ok(())
}

fn lay_file(root: &Root, file: &OverlayFile, owners: &Owners) -> Result<()> {
    let owner = owners.pair(&file.owner, &file.group)?;
    match &file.kind {
        OverlayKind::File(content) => root.write(&file.path, content.bytes(), file.mode, owner),
        OverlayKind::Link(target) => root.link(&file.path, target, owner),
        OverlayKind::Folder => root.make_directory(&file.path, file.mode, owner),
        OverlayKind::Absent => root.remove(&file.path),
    }
}

fn lay_download(root: &Root, download: &Download, downloads: &BTreeMap<Digest, PathBuf>) -> Result<()> {
    let source = downloads.get(&download.file.sha256);
    let source = source.with_context(|| format!("{:?} was not downloaded", download.file.sha256))?;
    if download.unpack {
        archive::unpack(root, source, download)
    } else {
        let mut file = crate::base::files::open(source)?;
        root.copy(&download.path, &mut file, download.mode, (0, 0))
    }
}

/// Enables, disables and masks, both now (links) and for whoever runs `systemctl preset-all` (the preset file).
fn set_units(root: &Root, units: &Units, epoch: Epoch, progress: &dyn Progress) -> Result<()> {
    // What an earlier layer masked can be had back; links there may also be aliases, which unmasking leaves alone.
    let mut masked = Vec::new();
    for name in units.enable.iter().chain(&units.disable) {
        let found = root.find(format!("etc/systemd/system/{name}").as_bytes())?;
        if found.is_some_and(|found| found.kind == FileType::Symlink) {
            masked.push(name.clone());
        }
    }
    let verbs = [("unmask", &masked), ("enable", &units.enable), ("disable", &units.disable), ("mask", &units.mask)];
    for (verb, names) in verbs {
        if names.is_empty() {
            continue;
        }
        scripts::command(root, epoch, "/usr/bin/systemctl")
            .args(["--root=/", verb, "--"])
            .args(names)
            .run(|line| progress.log(line))
            .with_context(|| format!("setting units: {verb} {}", names.join(" ")))?;
    }
    let lines = units.enable.iter().map(|name| format!("enable {name}\n"));
    let lines = lines.chain(units.disable.iter().chain(&units.mask).map(|name| format!("disable {name}\n")));
    let new: String = lines.collect();
    if new.is_empty() {
        return Ok(());
    }
    // The first line that matches counts: what came last goes first.
    let old = root.read_text(PRESET, 1 << 20)?;
    root.write(PRESET, format!("{new}{old}").as_bytes(), 0o644, (0, 0))
}

/// Runs a layer's build scripts, in order, without network.
pub(super) fn run_scripts(root: &Root, layer: &Layer, epoch: Epoch, progress: &dyn Progress) -> Result<()> {
    for script in &layer.build_scripts {
        run_script(root, script, epoch, progress)
            .with_context(|| format!("running the build script of the role {}", script.role))?;
    }
    Ok(())
}

fn run_script(root: &Root, script: &BuildScript, epoch: Epoch, progress: &dyn Progress) -> Result<()> {
    let folder = tempfile::tempdir().context("making a folder for the script")?;
    let host = folder.path().join("script");
    std::fs::write(&host, script.content.bytes()).context("writing the script")?;
    std::fs::set_permissions(&host, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .context("making the script executable")?;
    let inside = format!("/{SCRIPT}");
    let mut failed_line = None;
    let mut command = scripts::command(root, epoch, &inside);
    let shell = script.content.bytes().split(|byte| *byte == b'\n').next().and_then(bash);
    if let Some(options) = shell {
        // bash itself says at which line a command failed.
        let trap = "trap 'echo \"imgbuild: line $LINENO\" >&2' ERR";
        command = scripts::command(root, epoch, "/bin/bash")
            .env("BASH_ENV", "/run/imgbuild-bash-env")
            .bind(write_trap(folder.path(), trap)?, "/run/imgbuild-bash-env", crate::sandbox::Access::ReadOnly)
            .args(options)
            .args(["-o", "errtrace"])
            .arg(&inside);
    }
    let result = command.bind(&host, &inside, crate::sandbox::Access::ReadOnly).run(|line| {
        if let Some(number) = line.strip_prefix("imgbuild: line ") {
            failed_line = number.parse::<usize>().ok();
        }
        progress.log(line);
    });
    match (result, failed_line) {
        (Err(error), Some(line)) => {
            let text = String::from_utf8_lossy(script.content.bytes()).into_owned();
            let shown = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
            Err(error.context(format!("line {line}: `{}`", shown.trim().chars().take(200).collect::<String>())))
        }
        (result, _) => result,
    }
}

fn write_trap(folder: &std::path::Path, trap: &str) -> Result<PathBuf> {
    let path = folder.join("bash-env");
    std::fs::write(&path, trap).context("writing the script's environment")?;
    Ok(path)
}

/// The options of a `#!` line that names bash.
fn bash(line: &[u8]) -> Option<Vec<String>> {
    let line = std::str::from_utf8(line).ok()?.strip_prefix("#!")?;
    let mut words = line.split_ascii_whitespace();
    let interpreter = words.next()?;
    let named = match interpreter {
        "/bin/bash" | "/usr/bin/bash" => true,
        "/usr/bin/env" => words.next() == Some("bash"),
        _ => false,
    };
    named.then(|| words.map(str::to_owned).collect())
}

/// Refuses overlay paths that no image has.
pub(super) fn check(layer: &Layer) -> Result<()> {
    for file in &layer.files {
        let path = file.path.as_bytes();
        if !file.path.starts_with('/') || super::incoming::normalised(path).is_none_or(|path| path.is_empty()) {
            bail!("`{}` is no path that a file can have in the root", file.path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Blob;

    #[test]
    fn only_what_cleaning_took_is_laid_again() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let file = |path: &str| OverlayFile {
            path: path.to_owned(),
            kind: OverlayKind::File(Blob::Text(path.to_owned())),
            mode: 0o640,
            owner: "0".to_owned(),
            group: "0".to_owned(),
        };
        let base = Layer { files: vec![file("/etc/kept"), file("/etc/removed")], ..Layer::default() };
        let role = Layer { files: vec![file("/var/tmp/cleaned")], ..Layer::default() };
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        let lay = |file: &OverlayFile| lay_file(&root, file, &Owners::default()).unwrap();
        base.files.iter().chain(&role.files).for_each(lay);
        lay(&OverlayFile { kind: OverlayKind::Absent, ..file("/etc/removed") });

        let standing = standing(&root, &[&base, &role]).unwrap();
        root.empty("var/tmp").unwrap();
        lay_missing(&root, &standing).unwrap();
        let there = |path: &str| folder.path().join(path).exists();
        assert!(there("etc/kept") && there("var/tmp/cleaned"));
        assert!(!there("etc/removed"), "a role's `absent` holds against the recipe's files");
    }

    #[test]
    fn bash_is_known_by_the_first_line() {
        assert_eq!(bash(b"#!/bin/bash -eu").unwrap(), ["-eu"]);
        assert_eq!(bash(b"#!/usr/bin/env bash").unwrap(), Vec::<String>::new());
        assert_eq!(bash(b"#!/bin/sh -e"), None);
        assert_eq!(bash(b"echo"), None);
    }
}
