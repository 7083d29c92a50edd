//! `imgbuild shell`: a shell in the finished root of a role, in the sandbox; what is done there is thrown away.

use super::select::select;
use super::work::{self, Root};
use super::{native, pins, supply};
use crate::base::progress::Progress;
use crate::cli::meant::{Names, Selection, Settings};
use crate::cli::outcome::{Failure, Outcome};
use crate::package::{BuildPlan, PackageSet};
use crate::sandbox::{Command, Stdin, Worker};
use crate::store::Store;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The worker's job.
pub(super) const SHELL: &str = "shell";

#[derive(Serialize, Deserialize)]
struct Request {
    cache: PathBuf,
    plan: BuildPlan,
    packages: PackageSet,
}

/// Assembles the root and gives it this terminal.
pub(super) fn run(
    settings: &Settings,
    name: &str,
    selection: &Selection,
    progress: &dyn Progress,
) -> Result<Outcome, Failure> {
    let selected = select(settings, &Names::Given(vec![name.to_owned()]), selection)?;
    native::require(selected.iter().map(|selected| &selected.plan))?;
    work::check(progress)?;
    let client = pins::client(settings, selection);
    let plans = pins::pin(settings, &selected, pins::mode(selection, false), &client, progress)?;
    let needed: Vec<&BuildPlan> = plans.iter().collect();
    let store = Store::open(&settings.cache)?;
    let fetched = supply::fetch(&client, &selected, &needed, &store, progress)?;
    for (plan, packages) in plans.iter().zip(fetched) {
        let request = Request { cache: settings.cache.clone(), plan: plan.clone(), packages };
        Worker::run(SHELL, &serde_json::to_vec(&request)?, progress)?;
    }
    Ok(Outcome::nothing())
}

/// The worker's part.
pub(super) fn job(request: &[u8], progress: &dyn Progress) -> Result<Vec<u8>> {
    let request: Request = serde_json::from_slice(request).context("reading the request")?;
    let root = Root::assemble(&request.cache, &request.plan, &request.packages, progress)?;
    progress.note("the root is ready; leave with `exit`, nothing is kept");
    open(root.path())?;
    Ok(Vec::new())
}

/// A shell in a root that could not be assembled. The build fails all the same when it ends.
pub(super) fn examine(root: &Path, error: &anyhow::Error, progress: &dyn Progress) {
    progress.warn(format!("{error:#}"));
    progress.note("this is the root as it stands; leave with `exit`, nothing is kept");
    if let Err(error) = open(root) {
        progress.warn(format!("{:#}", error.context("opening a shell in the root")));
    }
}

fn open(root: &Path) -> Result<()> {
    Command::new(root, "/bin/bash").env("TERM", "linux").stdin(Stdin::Inherit).interact()?;
    Ok(())
}
