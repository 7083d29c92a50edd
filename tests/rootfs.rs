//! Roots assembled from real packages.
//!
//! It has its own `main`, because a sandbox worker is this executable started again.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

use anyhow::{Context as _, Result};
use imgbuild::base::digest::Digest;
use imgbuild::base::epoch::Epoch;
use imgbuild::base::progress::{Event, Progress};
use imgbuild::base::tree::{Kind, Tree};
use imgbuild::package::deb::Deb;
use imgbuild::package::{BuildPlan, PackageFile, PackageSet, Pin};
use imgbuild::rootfs;
use imgbuild::sandbox::{Command, Job, Worker};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

const JOBS: &[(&str, Job)] = &[("assemble", assemble), ("remove", remove)];

struct Printed(Instant);

impl Progress for Printed {
    fn event(&self, event: Event) {
        let at = self.0.elapsed().as_secs_f64();
        match event {
            Event::Advance { .. } => {}
            Event::Log { text } => println!("{at:7.2} | {text}"),
            other => println!("{at:7.2} {other:?}"),
        }
    }
}

fn main() -> ExitCode {
    if let Some(code) = imgbuild::sandbox::dispatch(JOBS) {
        return code;
    }
    let Some(folder) = std::env::var_os("IMGBUILD_TEST_DEBS") else {
        println!("SKIPPED: IMGBUILD_TEST_DEBS names no folder with base/*.deb and role/*.deb");
        return ExitCode::SUCCESS;
    };
    match twice(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Assembles with an empty cache, with the base layer at hand, and in another folder: the same tree each time.
fn twice(debs: &OsStr) -> Result<()> {
    let (one, two) = (place()?, place()?);
    let mut results = Vec::new();
    for work in [&one, &one, &two] {
        let request = serde_json::json!({"debs": debs.to_str(), "work": work.path().to_str()}).to_string();
        results.push(Worker::run("assemble", request.as_bytes(), &Printed(Instant::now()))?);
    }
    anyhow::ensure!(results[0] == results[1], "with the base layer kept, the tree is another");
    anyhow::ensure!(results[0] == results[2], "in another folder, the tree is another");
    // Files of other owners can only be removed inside.
    for work in [&one, &two] {
        Worker::run("remove", work.path().to_str().context("a plain path")?.as_bytes(), &Printed(Instant::now()))?;
    }
    Ok(())
}

/// A folder on disk: roots are too large for a /tmp in memory.
fn place() -> Result<tempfile::TempDir> {
    let folder = std::env::var_os("IMGBUILD_TEST_WORK").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
    tempfile::tempdir_in(&folder).with_context(|| format!("making a folder in {}", folder.display()))
}

fn remove(request: &[u8], _progress: &dyn Progress) -> Result<Vec<u8>> {
    std::fs::remove_dir_all(Path::new(std::str::from_utf8(request)?).join("cache"))?;
    Ok(b"null".to_vec())
}

fn packages(folder: &Path) -> Result<Vec<PackageFile>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let file = entry?.path();
        if file.extension().is_none_or(|extension| extension != "deb") {
            continue;
        }
        let control = Deb::open(&file)?.control()?;
        let stanza = control.stanza()?;
        let field = |name: &str| stanza.get(name).unwrap_or_default().to_owned();
        let pin = Pin {
            name: field("Package"),
            version: field("Version"),
            architecture: field("Architecture"),
            repository: "debian".to_owned(),
            path: file.display().to_string(),
            size: std::fs::metadata(&file)?.len(),
            sha256: Digest::of(b""),
        };
        found.push(PackageFile { pin, file });
    }
    found.sort_by(|one, other| one.pin.cmp(&other.pin));
    Ok(found)
}

fn assemble(request: &[u8], progress: &dyn Progress) -> Result<Vec<u8>> {
    let request: serde_json::Value = serde_json::from_slice(request)?;
    let path = |name: &str| PathBuf::from(request[name].as_str().unwrap_or_default());
    let packages = PackageSet {
        base: packages(&path("debs").join("base"))?,
        role: packages(&path("debs").join("role"))?,
        ..PackageSet::default()
    };
    let plan = plan(&packages);
    let work = path("work");
    let store = imgbuild::store::Store::open(&work.join("cache"))?;
    let place = store.work()?;
    let request = rootfs::AssembleRequest {
        plan: &plan,
        packages: &packages,
        store: &store,
        work: place.path(),
        node_executable: b"#!/bin/sh\n",
        witness: None,
    };
    let assembled = rootfs::assemble(&request, progress)?;
    for arguments in [&["--audit"][..], &["--verify"]] {
        let said = Command::new(assembled.root(), "dpkg").args(arguments).output()?.success()?;
        // Conffiles that the plan's units or files changed would show here; nothing else may.
        anyhow::ensure!(said.is_empty(), "dpkg {arguments:?}: {}", String::from_utf8_lossy(&said));
    }
    let digest = digest(&assembled.tree)?;
    drop(assembled);
    place.remove()?;
    Ok(serde_json::to_vec(&digest)?)
}

/// Of everything in a tree: what its entries say, and what its files hold.
fn digest(tree: &Tree) -> Result<Digest> {
    let mut contents = Vec::new();
    for entry in tree.entries.iter().filter(|entry| matches!(entry.kind, Kind::File { .. })) {
        let path = tree.contents.join(OsStr::from_bytes(&entry.path));
        let file = std::fs::File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        contents.push(Digest::of_reader(file).with_context(|| format!("reading {}", path.display()))?.0);
    }
    Ok(Digest::of_value(&(&tree.entries, contents)))
}

fn plan(packages: &PackageSet) -> BuildPlan {
    let pins = |files: &[PackageFile]| files.iter().map(|file| file.pin.clone()).collect();
    let text = include_str!("rootfs/plan.json");
    BuildPlan {
        image: serde_json::from_str(text).unwrap(),
        image_id: "0123456789abcdef".to_owned(),
        base_layer_id: "fedcba9876543210".to_owned(),
        epoch: Epoch(1_795_000_000),
        base: pins(&packages.base),
        role: pins(&packages.role),
        tools: Vec::new(),
        lock_digest: Digest::of(b"lock"),
    }
}
