//! Makes the machine what a verified seed says, so that a cut anywhere leads to the same end.
//!
//! ```text
//! keep       the verified volume goes to /var/lib/imgbuild/next: from here on, everything is repeated after a cut
//! decide     what differs (pure)
//! perform    pin the key, note what changes entail, write files, hand over documents, record the manifest
//! forget     next is removed
//! ```

mod decide;
mod documents;
mod look;
mod pending;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use documents::hand_over;
pub(crate) use pending::{Pending, boot_id};

use crate::files::{self, failed};
use crate::format::{CLUSTER_KEY, MANIFEST, Manifest};
use crate::places::{Places, run, state};
use crate::seed::{Verified, copy, judge};
use decide::{Action, decide};
use std::fs;

/// The longest manifest that is read back.
const MANIFEST_BYTES: u64 = 4 << 20;

/// What an installation did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// Files of the payload written or removed.
    pub(crate) files: usize,
    /// Whether cloud-init has other documents now.
    pub(crate) documents: bool,
}

/// What was installed last.
pub(crate) fn installed(places: &Places) -> Result<Option<Manifest>, String> {
    let Some(bytes) = files::read_optional(&places.state(state::MANIFEST), MANIFEST_BYTES)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|_| "the installed manifest is damaged".to_owned())?;
    judge::parse(&text).map(Some).map_err(|why| format!("what was installed: {why}"))
}

/// Installs a verified seed; does nothing when the machine is so already.
pub(crate) fn install(places: &Places, verified: &Verified, runs: &dyn Fn(&str) -> bool) -> Result<Done, String> {
    let actions = actions(places, verified, runs)?;
    if actions.is_empty() {
        return Ok(Done::default());
    }
    keep(places, verified)?;
    perform_all(places, verified, &actions)
}

/// Goes on with what a cut interrupted, from the volume that was kept.
pub(crate) fn go_on(places: &Places, verified: &Verified, runs: &dyn Fn(&str) -> bool) -> Result<Done, String> {
    let actions = actions(places, verified, runs)?;
    perform_all(places, verified, &actions)
}

/// What is missing, refused when it cannot be done.
fn actions(places: &Places, verified: &Verified, runs: &dyn Fn(&str) -> bool) -> Result<Vec<Action>, String> {
    let seen = look::look(places, verified)?;
    Ok(decide(&verified.manifest, &seen, runs))
}

fn perform_all(places: &Places, verified: &Verified, actions: &[Action]) -> Result<Done, String> {
    let mut done = Done::default();
    for action in actions {
        perform(places, verified, action)?;
        match action {
            Action::Write(_) | Action::Remove(_) => done.files += 1,
            Action::Documents => done.documents = true,
            _ => {}
        }
    }
    forget(places)?;
    Ok(done)
}

fn perform(places: &Places, verified: &Verified, action: &Action) -> Result<(), String> {
    let from = |name: &str| files::read(&verified.volume.path(name), MANIFEST_BYTES);
    match action {
        Action::Pin => files::replace(&places.state(state::CLUSTER_KEY), &from(CLUSTER_KEY)?, 0o644),
        Action::Expect(pending) => pending::add(places, pending),
        Action::Write(file) => write::write(places, &verified.volume, file),
        Action::Remove(path) => write::remove(places, path),
        Action::Documents => {
            hand_over(places, &verified.volume)?;
            files::replace(&places.run(run::REBOOT), b"", 0o644)
        }
        Action::Record => files::replace(&places.state(state::MANIFEST), &from(MANIFEST)?, 0o600),
    }
}

/// Copies the verified volume to where it survives a cut.
fn keep(places: &Places, verified: &Verified) -> Result<(), String> {
    let (copying, next) = (places.state(state::COPYING), places.state(state::NEXT));
    files::remove_folder(&copying)?;
    let volume = copy::copy(&verified.volume.folder, &copying, copy::SEED)?;
    for name in volume.files.keys() {
        files::open_plain(&volume.path(name))?.sync_all().map_err(failed("writing", &copying))?;
        let mut folder = volume.path(name);
        while folder.pop() && folder.starts_with(&copying) {
            files::sync_folder(&folder)?;
        }
    }
    files::remove_folder(&next)?;
    fs::rename(&copying, &next).map_err(failed("writing", &next))?;
    files::sync_folder(&places.state(""))
}

/// Removes what was kept, the manifest's signature first: half of it is never gone on with.
pub(crate) fn forget(places: &Places) -> Result<(), String> {
    let next = places.state(state::NEXT);
    files::remove(&next.join(crate::format::SIGNATURE))?;
    files::remove_folder(&next)?;
    files::remove_folder(&places.state(state::COPYING))
}
