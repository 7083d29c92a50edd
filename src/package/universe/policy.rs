//! Which version of a package is the candidate, by apt's policy (apt_preferences(5)).
//!
//! The highest pin priority wins, then the newest version, then the index named first. A negative priority means
//! never.
//!
//! An update that is still being phased in (`Phased-Update-Percentage` below 100) has priority 1: taken when there is no
//! other version, or when it is named. That is apt's `Phase-Policy` with `Never-Include-Phased-Updates`. By default, apt
//! lets the machine's id decide, of which an image has none, and takes everything in a chroot; but such an update may yet
//! be withdrawn, and an image goes to all machines at once.

use super::{EntryId, Universe};
use crate::package::version;

/// The pin priority that a version has at most while it is being phased in.
const PHASED_PRIORITY: i32 = 1;

impl<'a> Universe<'a> {
    /// The version that is taken when a name is asked for.
    #[must_use]
    pub fn candidate(&self, name: &str) -> Option<EntryId> {
        if let Some(preferred) = self.preferred.get(name) {
            return Some(*preferred);
        }
        self.best(name, |_| true)
    }

    /// The pin priority of one version.
    fn priority(&self, id: EntryId) -> i32 {
        let priority = self.origin_of(id).priority;
        if self.entry(id).phased { priority.min(PHASED_PRIORITY) } else { priority }
    }

    /// The best version among those that the filter lets through.
    pub(in crate::package) fn best(&self, name: &str, admitted: impl Fn(EntryId) -> bool) -> Option<EntryId> {
        let open = self.versions(name).iter().copied().filter(|id| self.priority(*id) >= 0 && admitted(*id));
        open.reduce(|best, next| {
            let priorities = self.priority(next).cmp(&self.priority(best));
            let order = priorities.then_with(|| version::compare(self.entry(next).version, self.entry(best).version));
            if order.is_gt() { next } else { best }
        })
    }

    /// Lets the policy alone decide again.
    pub fn forget_preferences(&mut self) {
        self.preferred.clear();
    }

    /// Makes this version its package's candidate, whatever the policy says: it is pinned or was asked for.
    pub fn prefer(&mut self, id: EntryId) {
        let name = self.entry(id).name;
        self.preferred.insert(name, id);
    }
}
