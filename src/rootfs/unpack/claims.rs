//! Who owns which path: shared by the threads that unpack, decided so that their order does not matter.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Metadata that a package gives a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FolderMetadata {
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) mtime: i64,
}

#[derive(Clone, Debug)]
enum Claim {
    /// The package (by its place in the order) whose metadata counts, one that needs the folder (for messages), and
    /// whether the folder is new.
    Folder { package: usize, by: usize, wave: usize, metadata: FolderMetadata, new: bool },
    /// A file or link of this package.
    Other { package: usize, wave: usize, link: bool },
}

/// What a thread is to do with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Write it.
    Take,
    /// Leave it: another package's claim is to be judged when all are known.
    Leave,
    /// Leave it: a folder stays where a package has a link to one.
    KeepFolder,
}

/// Two packages want the same path; `first` has it on disk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Conflict {
    pub(super) path: Vec<u8>,
    pub(super) first: usize,
    pub(super) second: usize,
}

#[derive(Debug, Default)]
struct State {
    // Looked up, never walked except sorted.
    claims: HashMap<Vec<u8>, Claim>,
    conflicts: Vec<Conflict>,
    mixed: Vec<Conflict>,
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Claims {
    state: Mutex<State>,
}

impl Claims {
    fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panicked has failed the build already.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A folder of a package; the metadata of the first package in order counts.
    pub(super) fn folder(&self, path: &[u8], package: usize, wave: usize, metadata: FolderMetadata) {
        let mut state = self.state();
        match state.claims.get_mut(path) {
            None => {
                state
                    .claims
                    .insert(path.to_owned(), Claim::Folder { package, by: package, wave, metadata, new: false });
            }
            Some(Claim::Folder { package: holder, metadata: held, .. }) => {
                if package < *holder {
                    (*holder, *held) = (package, metadata);
                }
            }
            Some(Claim::Other { package: first, wave: earlier, link }) => {
                let settled = *link && *earlier < wave;
                let conflict = Conflict { path: path.to_owned(), first: *first, second: package };
                if !settled {
                    state.mixed.push(conflict);
                }
            }
        }
    }

    /// The folders above a path that a package does not list: they are folders all the same, and no link of another
    /// package of this wave may lead what lies below them elsewhere.
    pub(super) fn above(&self, path: &[u8], package: usize, wave: usize) {
        let mut state = self.state();
        let mut rest = path;
        while let Some(slash) = rest.iter().rposition(|byte| *byte == b'/') {
            rest = &rest[..slash];
            match state.claims.get_mut(rest) {
                None => {
                    // Whoever lists it says what it is like.
                    let metadata = FolderMetadata { mode: 0o755, owner: (0, 0), mtime: 0 };
                    let claim = Claim::Folder { package: usize::MAX, by: package, wave, metadata, new: false };
                    state.claims.insert(rest.to_owned(), claim);
                }
                Some(Claim::Folder { by, .. }) => {
                    *by = package.min(*by);
                    return;
                }
                Some(Claim::Other { package: first, wave: earlier, link }) => {
                    let conflict = Conflict { path: rest.to_owned(), first: *first, second: package };
                    if !(*link && *earlier < wave) {
                        state.mixed.push(conflict);
                    }
                    return;
                }
            }
        }
    }

    /// Notes that this unpacking made the folder, so that its metadata is to be set.
    pub(super) fn made_folder(&self, path: &[u8]) {
        if let Some(Claim::Folder { new, .. }) = self.state().claims.get_mut(path) {
            *new = true;
        }
    }

    /// A file or link of a package.
    pub(super) fn other(&self, path: &[u8], package: usize, wave: usize, link: bool) -> Verdict {
        let mut state = self.state();
        match state.claims.get(path) {
            None => {
                state.claims.insert(path.to_owned(), Claim::Other { package, wave, link });
                Verdict::Take
            }
            Some(Claim::Other { package: first, .. }) => {
                let conflict = Conflict { path: path.to_owned(), first: *first, second: package };
                state.conflicts.push(conflict);
                Verdict::Leave
            }
            Some(Claim::Folder { by: first, wave: earlier, .. }) => {
                let conflict = Conflict { path: path.to_owned(), first: *first, second: package };
                if !link || *earlier == wave {
                    state.mixed.push(conflict);
                    return Verdict::Leave;
                }
                Verdict::KeepFolder
            }
        }
    }

    /// Folders made since the last call, with the metadata that counts, deepest last.
    pub(super) fn take_new_folders(&self) -> BTreeMap<Vec<u8>, FolderMetadata> {
        let mut state = self.state();
        let folders = state.claims.iter_mut().filter_map(|(path, claim)| match claim {
            Claim::Folder { metadata, new, .. } => std::mem::take(new).then(|| (path.clone(), metadata.clone())),
            Claim::Other { .. } => None,
        });
        folders.collect()
    }

    /// Paths that several packages ship as file or link: sorted.
    pub(super) fn take_conflicts(&self) -> Vec<Conflict> {
        let mut conflicts = std::mem::take(&mut self.state().conflicts);
        conflicts.sort();
        conflicts
    }

    /// A path that one package has as a folder and another as something else, if there is one.
    pub(super) fn mixed(&self) -> Option<Conflict> {
        self.state().mixed.iter().min().cloned()
    }

    /// Makes a path another package's.
    pub(super) fn transfer(&self, path: &[u8], to: usize) {
        if let Some(Claim::Other { package, .. }) = self.state().claims.get_mut(path) {
            *package = to;
        }
    }

    /// Which package owns this file or link.
    pub(super) fn owner(&self, path: &[u8]) -> Option<usize> {
        match self.state().claims.get(path) {
            Some(Claim::Other { package, .. }) => Some(*package),
            _ => None,
        }
    }
}
