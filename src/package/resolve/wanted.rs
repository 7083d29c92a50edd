//! What one set is wanted to be, and whether the lock's set is that.

use crate::base::digest::Digest;
use crate::package::lock::{BASE, ROLE_BASE, Section, Set, TOOLS};
use crate::plan::{ImagePlan, Layer, PinnedFile, Repository};

/// One set: what is asked for, and all else that decides what is chosen.
pub(super) struct Wanted<'p> {
    /// Its name in the lock.
    pub(super) set: String,
    pub(super) kind: Kind,
    pub(super) packages: &'p [String],
    pub(super) debs: &'p [PinnedFile],
    pub(super) repositories: &'p [Repository],
    pub(super) recommends: bool,
    /// Whether its Release files are the clock of the section.
    pub(super) sets_the_clock: bool,
    /// `name=version` of the packages that are there before.
    pub(super) given: Vec<String>,
    /// Digests of them: the base that a role stands upon.
    upon: Option<Digest>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Base,
    Role,
    Tools,
}

impl<'p> Wanted<'p> {
    pub(super) fn base(plan: &'p ImagePlan, repositories: &'p [Repository]) -> Self {
        Self::of(BASE, Kind::Base, &plan.base, repositories, plan.recommends)
    }

    pub(super) fn role(plan: &'p ImagePlan, base: &Set, section: &Section) -> Self {
        let given: Vec<String> = base.packages.keys().cloned().collect();
        let files: Vec<Digest> = section.packages_of(base).iter().map(|package| package.sha256).collect();
        // The set named `base` is the recipe's: the role of that name adds to it under a name of its own.
        let name = if plan.name == BASE { ROLE_BASE } else { &plan.name };
        Self {
            given,
            upon: Some(Digest::of_value(&files)),
            sets_the_clock: false,
            ..Self::of(name, Kind::Role, &plan.role, &plan.repositories, plan.recommends)
        }
    }

    pub(super) fn tools(plan: &'p ImagePlan) -> Self {
        let tools = &plan.tools;
        Self {
            packages: &tools.packages,
            debs: &[],
            ..Self::of(TOOLS, Kind::Tools, &plan.base, &tools.repositories, false)
        }
    }

    fn of(set: &str, kind: Kind, layer: &'p Layer, repositories: &'p [Repository], recommends: bool) -> Self {
        Self {
            set: set.to_owned(),
            kind,
            packages: &layer.packages,
            debs: &layer.debs,
            repositories,
            recommends,
            sets_the_clock: true,
            given: Vec::new(),
            upon: None,
        }
    }

    /// For messages.
    pub(super) fn title(&self) -> String {
        match self.kind {
            Kind::Base => "the base layer".to_owned(),
            Kind::Role => format!("the role {}", self.set),
            Kind::Tools => "the tools".to_owned(),
        }
    }

    /// The requests as the lock keeps them.
    pub(super) fn requests(&self) -> Vec<String> {
        let debs = self.debs.iter().map(|file| format!("{}@{}", file.name, file.sha256));
        self.packages.iter().cloned().chain(debs).collect()
    }

    /// All that decides beside the requests. Where repositories lie and who signs them does not.
    pub(super) fn context(&self) -> Digest {
        let repositories: Vec<_> = self
            .repositories
            .iter()
            .map(|one| (&one.name, &one.suites, &one.components, one.flat, one.priority))
            .collect();
        Digest::of_value(&(repositories, self.recommends, &self.upon))
    }

    /// Why the lock's set is not the one that is wanted; `None` when it is.
    pub(super) fn difference(&self, set: &Set) -> Option<String> {
        let requests = self.requests();
        if set.requests != requests {
            let missing = |from: &[String], those: &[String]| -> Vec<String> {
                those.iter().filter(|one| !from.contains(one)).map(|one| format!("`{one}`")).collect()
            };
            let (added, removed) = (missing(&set.requests, &requests), missing(&requests, &set.requests));
            let mut parts = Vec::new();
            if !added.is_empty() {
                parts.push(format!("{} was added", added.join(", ")));
            }
            if !removed.is_empty() {
                parts.push(format!("{} was removed", removed.join(", ")));
            }
            if parts.is_empty() {
                parts.push("the order of the packages changed".to_owned());
            }
            return Some(parts.join(" and "));
        }
        (set.context != self.context())
            .then(|| "the repositories, the use of Recommends or the base layer's packages changed".to_owned())
    }
}
