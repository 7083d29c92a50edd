//! The only wiring: takes what was typed and walks through the rooms.

mod audit;
mod bundle;
mod cache;
mod carried;
mod clusters;
mod deep;
mod diff;
mod doctor;
mod documents;
mod init;
mod inspect;
mod lab;
mod machine;
mod native;
mod pins;
mod role;
mod room;
mod secrets;
mod seeds;
mod select;
mod shell;
mod sign;
mod supply;
mod target;
mod tools;
mod verify;
mod visit;
mod vulnerable;
mod work;

use crate::base::hint::{self, hinted};
use crate::base::interrupt;
use crate::base::progress::Progress;
use crate::cli::meant::{Command, Request};
use crate::cli::outcome::{Failure, Outcome};
use crate::input::Problems;
use crate::lab as laboratory;
use crate::sandbox::Job;
use anyhow::Result;
use std::path::Path;

/// What the sandbox's worker can do, by name.
pub const JOBS: &[(&str, Job)] = &[
    (doctor::PROBE, doctor::PROBE_JOB),
    (work::BUILD, work::build),
    (work::READY, work::ready),
    (work::SWEEP, work::sweep),
    (cache::PRUNE, cache::prune_job),
    (machine::TOOLS, machine::tools_job),
    (shell::SHELL, shell::job),
    (deep::CHECK, deep::job),
    (verify::REMOVE, verify::remove),
    laboratory::JOB,
];

/// Does what was ordered.
///
/// # Errors
/// When any room refuses; the failure carries the exit status.
pub fn run(request: &Request, progress: &dyn Progress) -> Result<Outcome, Failure> {
    walk(request, progress).map_err(|mut failure| {
        if interrupt::pending().is_some() {
            work::clear_up(&request.settings.cache);
        }
        failure.error = room::explain(&request.settings, failure.error);
        if let Some(found) = hint::find::<Problems>(&failure.error) {
            failure.problems = serde_json::to_value(&found.problems).unwrap_or_default();
        }
        failure
    })
}

fn walk(request: &Request, progress: &dyn Progress) -> Result<Outcome, Failure> {
    let settings = &request.settings;
    if !matches!(request.command, Command::Init { .. }) {
        project(&settings.directory)?;
    }
    match &request.command {
        Command::Init { force } => Ok(init::run(&settings.directory, *force)?),
        Command::Role(role) => role::run(settings, role, progress),
        Command::Plan { names, selection } => documents::plan_images(settings, names, selection),
        Command::PlanCluster { cluster } => clusters::plan_cluster(settings, cluster, progress),
        Command::Seed(order) => seeds::run(settings, order, progress),
        Command::Check { cluster: Some(cluster), deep: true, selection } => {
            deep::run(settings, cluster, selection, progress)
        }
        Command::Check { cluster: Some(cluster), .. } => clusters::check(settings, cluster, progress),
        Command::Check { cluster: None, selection, .. } => documents::check(settings, selection),
        Command::Lock { names, update, selection } => documents::lock(settings, names, *update, selection, progress),
        Command::LockDiff { selection } => documents::lock_diff(settings, selection, progress),
        Command::Inspect { file, path } => inspect::run(file, path.as_deref()),
        Command::Diff { a, b } => diff::run(settings, a, b),
        Command::Verify(verify) => verify::run(settings, verify, progress),
        Command::Boot(boot) => machine::boot(settings, boot, progress),
        Command::Lab(order) => lab::run(settings, order, progress),
        Command::LabServe { folder } => lab::serve(folder),
        Command::MachineTools { selection } => machine::tools_root(settings, selection, progress),
        Command::Bundle(order) => bundle::run(settings, order, progress),
        Command::BundleImport { file } => carried::import(settings, file, progress),
        Command::Audit(order) => audit::run(settings, order, progress),
        Command::Secrets(order) => secrets::run(settings, order, progress),
        Command::CacheStatus => cache::status(settings),
        Command::CachePrune => cache::prune(settings, progress),
        Command::Doctor { repositories } => Ok(doctor::run(settings, repositories)),
        Command::Shell { name, selection } => shell::run(settings, name, selection, progress),
    }
}

/// Refuses a mistyped project folder: with the built-in documents alone, every command would work in it.
fn project(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    Err(hinted(
        format!("there is no folder {}", folder.display()),
        format!("name one that is there, or make it: `imgbuild -C {} init`", folder.display()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hint::hints;
    use crate::base::progress::Silent;
    use crate::cli::meant::{Selection, Settings};
    use std::num::NonZeroUsize;

    fn request(directory: &Path, command: Command) -> Request {
        let (out, cache) = (directory.join("out"), directory.join("cache"));
        Request { settings: Settings { directory: directory.to_owned(), out, cache, jobs: NonZeroUsize::MIN }, command }
    }

    fn check() -> Command {
        let none = std::collections::BTreeMap::new;
        let (parameters, repositories) = (none(), none());
        let selection = Selection {
            recipe: None,
            kernel: None,
            trust: Vec::new(),
            parameters,
            repositories,
            locked: true,
            offline: true,
        };
        Command::Check { cluster: None, deep: false, selection }
    }

    #[test]
    fn a_mistyped_project_folder_is_refused_but_for_init() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("typo");
        let failure = run(&request(&missing, check()), &Silent).unwrap_err();
        assert_eq!(failure.error.to_string(), format!("there is no folder {}", missing.display()));
        assert!(hints(&failure.error)[0].ends_with("typo init`"));
        run(&request(&missing, Command::Init { force: false }), &Silent).unwrap();
        run(&request(&missing, check()), &Silent).unwrap();
    }
}
