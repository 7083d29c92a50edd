//! Which version of a package is the candidate, by apt's policy (apt_preferences(5)).
//!
//! The highest pin priority wins, then the newest version, then the index named first. A negative priority means
//! never. `Phased-Update-Percentage` holds back upgrades of installed packages only: in a new system, the newest
//! version is taken whatever its percentage is.

use super::{EntryId, Universe};
use crate::package::version;

impl<'a> Universe<'a> {
    /// The version that is taken when a name is asked for.
    #[must_use]
    pub fn candidate(&self, name: &str) -> Option<EntryId> {
        if let Some(preferred) = self.preferred.get(name) {
            return Some(*preferred);
        }
        self.best(name, |_| true)
    }

    /// The best version among those that the filter lets through.
    pub(in crate::package) fn best(&self, name: &str, admitted: impl Fn(EntryId) -> bool) -> Option<EntryId> {
        let open = self.versions(name).iter().copied().filter(|id| self.origin_of(*id).priority >= 0 && admitted(*id));
        open.reduce(|best, next| {
            let priorities = self.origin_of(next).priority.cmp(&self.origin_of(best).priority);
            let order = priorities.then_with(|| version::compare(self.entry(next).version, self.entry(best).version));
            if order.is_gt() { next } else { best }
        })
    }

    /// Makes this version its package's candidate, whatever the policy says: it is pinned or was asked for.
    pub fn prefer(&mut self, id: EntryId) {
        let name = self.entry(id).name;
        self.preferred.insert(name, id);
    }
}
