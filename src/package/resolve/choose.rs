//! Resolves one set: universe from lock, indices and local files; the solver; what the lock keeps of the answer.

use super::archive::{self, Archive};
use super::wanted::{Kind, Wanted};
use super::{LockMode, Sources};
use crate::base::digest::Digest;
use crate::base::hint::hinted;
use crate::package::deb::{ControlArchive, Deb};
use crate::package::lock::{LOCAL, Locked, Section, Set};
use crate::package::solver::{self, Problem, Request, SolveError};
use crate::package::universe::{Entry, EntryId, Origin, Universe};
use crate::plan::ImagePlan;
use anyhow::{Context as _, Result, anyhow, bail};
use std::collections::BTreeMap;

/// A `.deb` that a document names, with the texts that its entry borrows.
struct LocalDeb {
    name: String,
    size: String,
    sha256: String,
    control: ControlArchive,
}

/// Numbers of a locked package as texts, for its entry to borrow.
struct Texts {
    size: String,
    sha256: String,
}

/// The set, and the packages that it names.
pub(super) fn choose(
    plan: &ImagePlan,
    wanted: &Wanted<'_>,
    section: &Section,
    mode: LockMode,
    archive: &Archive<'_>,
    sources: &mut dyn Sources,
) -> Result<(Set, Vec<Locked>)> {
    let texts: Vec<Texts> = section
        .packages
        .iter()
        .map(|package| Texts { size: package.size.to_string(), sha256: package.sha256.to_string() })
        .collect();
    let locals = local_debs(wanted, sources)?;
    let requests: Vec<Request> = wanted.packages.iter().map(|text| Request::parse(text)).collect::<Result<_, _>>()?;
    let mut universe = Universe::new(&plan.architecture);
    archive::fill(&mut universe, archive.loaded(), wanted.repositories)?;
    let pinned = add_locked(&mut universe, section, &texts)?;
    prefer_pins(&mut universe, wanted, section, mode, &pinned);
    let local_ids = add_locals(&mut universe, &locals)?;
    let given = wanted.given.iter().map(|key| pinned.get(key.as_str()).copied().context("looking up the base layer"));
    let given: Vec<EntryId> = given.collect::<Result<_>>()?;
    let essential = wanted.kind == Kind::Base;
    let problem =
        Problem { requests: &requests, locals: &local_ids, given: &given, essential, recommends: wanted.recommends };
    let chosen = solver::solve(&mut universe, &problem).map_err(|error| match &error {
        SolveError::Refused(refusal) | SolveError::TooHard(refusal) => {
            let hint = refusal.hint();
            hinted(error.to_string(), hint)
        }
        SolveError::Relation { .. } => anyhow!(error),
    })?;
    let mut packages = Vec::new();
    let mut reasons = BTreeMap::new();
    for chosen in chosen {
        let locked = locked(&universe, chosen.entry)?;
        reasons.insert(locked.key(), chosen.reason.to_string());
        packages.push(locked);
    }
    Ok((Set { requests: wanted.requests(), context: wanted.context(), packages: reasons }, packages))
}

/// What is locked already goes into the universe too, so that it is there whatever the mirror carries now.
fn add_locked<'a>(
    universe: &mut Universe<'a>,
    section: &'a Section,
    texts: &'a [Texts],
) -> Result<BTreeMap<String, EntryId>> {
    let mut pinned = BTreeMap::new();
    for (package, texts) in section.packages.iter().zip(texts) {
        let entry = Entry {
            name: &package.name,
            version: &package.version,
            architecture: &package.architecture,
            path: &package.path,
            size: &texts.size,
            sha256: &texts.sha256,
            pre_depends: &package.pre_depends,
            depends: &package.depends,
            recommends: &package.recommends,
            conflicts: &package.conflicts,
            breaks: &package.breaks,
            provides: &package.provides,
            essential: package.essential,
            protected: package.protected,
            priority: package.priority,
            multi_arch: package.multi_arch,
            ..Entry::default()
        };
        // Below zero: never a candidate by itself, only as a pin or because an index carries it too.
        let origin = Origin { repository: &package.repository, suite: "", aliases: [None; 2], priority: -1 };
        let id = universe.add(origin, entry).with_context(|| format!("taking {} from the lock", package.key()))?;
        pinned.extend(id.map(|id| (package.key(), id)));
    }
    Ok(pinned)
}

/// A set that grows keeps its pins. Another set's pins are taken as long as an index still carries them, so that
/// images of one section agree.
fn prefer_pins(
    universe: &mut Universe<'_>,
    wanted: &Wanted<'_>,
    section: &Section,
    mode: LockMode,
    pinned: &BTreeMap<String, EntryId>,
) {
    if mode == LockMode::Update {
        return;
    }
    let allowed = |key: &&String| {
        let repository = section.find(key).map(|package| package.repository.as_str());
        wanted.repositories.iter().any(|known| Some(known.name.as_str()) == repository)
    };
    let mut prefer = |set: &Set, carried_only: bool| {
        for id in set.packages.keys().filter(allowed).filter_map(|key| pinned.get(key)) {
            if !carried_only || !universe.origin_of(*id).suite.is_empty() {
                universe.prefer(*id);
            }
        }
    };
    section.sets.values().rev().for_each(|set| prefer(set, true));
    if let Some(own) = section.sets.get(&wanted.set) {
        prefer(own, false);
    }
}

fn local_debs(wanted: &Wanted<'_>, sources: &mut dyn Sources) -> Result<Vec<LocalDeb>> {
    let mut found = Vec::new();
    for file in wanted.debs {
        let path = sources.deb(file)?;
        let opened = || format!("opening {}", path.display());
        let deb = Deb::open(&path).with_context(opened)?;
        let control = deb.control().with_context(opened)?;
        let (size, sha256) = (deb.length().to_string(), file.sha256.to_string());
        found.push(LocalDeb { name: file.name.clone(), size, sha256, control });
    }
    Ok(found)
}

fn add_locals<'a>(universe: &mut Universe<'a>, locals: &'a [LocalDeb]) -> Result<Vec<EntryId>> {
    let mut ids = Vec::new();
    for local in locals {
        let reading = || format!("reading the control file of {}", local.name);
        let stanza = local.control.stanza().with_context(reading)?;
        let entry = Entry::read(&stanza).map_err(|field| anyhow!("it has no `{field}`")).with_context(reading)?;
        let entry = Entry { path: &local.name, size: &local.size, sha256: &local.sha256, ..entry };
        let architecture = entry.architecture;
        let origin = Origin { repository: LOCAL, suite: LOCAL, aliases: [None; 2], priority: 500 };
        match universe.add(origin, entry).with_context(reading)? {
            Some(id) => ids.push(id),
            None => {
                bail!("{} is a package for {architecture}, the image is for {}", local.name, universe.architecture())
            }
        }
    }
    Ok(ids)
}

fn locked(universe: &Universe<'_>, id: EntryId) -> Result<Locked> {
    let entry = universe.entry(id);
    let origin = universe.origin_of(id);
    let lacking = |field: &str| {
        format!("the index of {} {} says no proper {field} of {}", origin.repository, origin.suite, universe.shown(id))
    };
    if !crate::package::lock::is_relative(entry.path) {
        bail!(lacking("Filename"));
    }
    Ok(Locked {
        name: entry.name.to_owned(),
        version: entry.version.to_owned(),
        architecture: entry.architecture.to_owned(),
        repository: origin.repository.to_owned(),
        path: entry.path.to_owned(),
        size: entry.size.parse().with_context(|| lacking("Size"))?,
        sha256: Digest::parse(entry.sha256).with_context(|| lacking("SHA256"))?,
        pre_depends: entry.pre_depends.to_owned(),
        depends: entry.depends.to_owned(),
        recommends: entry.recommends.to_owned(),
        conflicts: entry.conflicts.to_owned(),
        breaks: entry.breaks.to_owned(),
        provides: entry.provides.to_owned(),
        essential: entry.essential,
        protected: entry.protected,
        priority: entry.priority,
        multi_arch: entry.multi_arch,
    })
}
