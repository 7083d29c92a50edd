//! The tools root as the boot and disk rooms see it: made once per set of pins, run in the sandbox.

use crate::base::digest::Digest;
use crate::base::epoch::Epoch;
use crate::base::files;
use crate::base::progress::Progress;
use crate::boot::{Call, Feed, Tools};
use crate::package::{PackageFile, Pin};
use crate::rootfs;
use crate::sandbox::{Access, Stdin, ToolRoot};
use crate::store::{self, Store};
use anyhow::{Context as _, Result, bail};

/// Where a call's folder is shown inside the tools root.
const FOLDER: &str = "/run/work";
/// Longest file that is read out of a tools root.
const FILE_LIMIT: u64 = 64 << 20;

/// What names a tools root: its pins, by digest.
pub(super) fn tools_id(pins: &[Pin]) -> String {
    Digest::of_value(&pins).short()
}

/// Gives the tools root of these pins, unpacking their packages the first time. To be run inside a worker.
pub(super) fn provide(
    store: &Store,
    pins: &[Pin],
    packages: &[PackageFile],
    epoch: Epoch,
    progress: &dyn Progress,
) -> Result<store::Tools> {
    let id = tools_id(pins);
    if let Some(tools) = store.tools(&id)? {
        return Ok(tools);
    }
    let _alone =
        store.lock(&format!("making-tools-{id}"), || progress.note("waiting for another build's tools root"))?;
    if let Some(tools) = store.tools(&id)? {
        return Ok(tools);
    }
    let work = store.work()?;
    let root = work.folder("root")?;
    rootfs::unpack_tools(packages, &root, epoch, progress).context("unpacking the tools root")?;
    store.publish_tools(&id, &work, &root)
}

/// Runs the tools of a tools root.
pub(super) struct Workshop {
    root: ToolRoot,
}

impl Workshop {
    pub(super) fn new(tools: &store::Tools) -> Self {
        Self { root: ToolRoot { root: tools.root().to_owned() } }
    }
}

impl Tools for Workshop {
    fn run(&self, call: &Call<'_>, feed: Option<Feed<'_>>) -> Result<String> {
        let mut command = self
            .root
            .command(call.program)
            .bind(call.folder, FOLDER, Access::ReadWrite)
            .cwd(FOLDER)
            .args(&call.arguments);
        for (name, value) in &call.environment {
            command = command.env(name, value);
        }
        let Some(feed) = feed else {
            let output = command.output()?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            output.success()?;
            return Ok(said);
        };
        let command = command.stdin(Stdin::Pipe);
        let mut child = command.spawn()?;
        let Some(mut pipe) = child.stdin.take() else { bail!("`{}` has no standard input", command.line()) };
        let fed = feed(&mut pipe);
        drop(pipe);
        let output = child.wait()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // What the program said explains a broken pipe better than the pipe does.
        output.success()?;
        fed.with_context(|| format!("feeding `{}`", command.line()))?;
        Ok(said)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>> {
        files::read(&self.root.root.join(path.trim_start_matches('/')), FILE_LIMIT)
    }
}
