//! Packages and downloads at hand: each fetched once however many images hold it.

use super::select::Selected;
use super::{pins, tools};
use crate::base::digest::Digest;
use crate::base::progress::Progress;
use crate::package::archive::Client;
use crate::package::{BuildPlan, PackageFile, PackageSet, Pin};
use crate::store::Store;
use anyhow::Result;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;

/// Everything that the worker needs of the network, each package once however many images hold it.
pub(super) fn fetch(
    client: &Client,
    selected: &[Selected],
    plans: &[&BuildPlan],
    store: &Store,
    progress: &dyn Progress,
) -> Result<Vec<PackageSet>> {
    let mut needed = Vec::new();
    for plan in plans {
        needed.push((*plan, needs_tools(store, plan)?));
    }
    look_at(client, selected, store, &needed, progress)?;
    let at_hand = at_hand(client, selected, &needed, progress)?;
    let mut sets = Vec::new();
    for (plan, with_tools) in needed {
        let set = |pins: &[Pin]| -> Vec<PackageFile> {
            pins.iter().map(|pin| PackageFile { pin: pin.clone(), file: at_hand[&pin.sha256].clone() }).collect()
        };
        let downloads = plan.image.base.downloads.iter().chain(&plan.image.role.downloads);
        let downloads = downloads.map(|download| (download.file.sha256, at_hand[&download.file.sha256].clone()));
        sets.push(PackageSet {
            base: set(&plan.base),
            role: set(&plan.role),
            tools: if with_tools { set(&plan.tools) } else { Vec::new() },
            downloads: downloads.collect(),
        });
    }
    Ok(sets)
}

/// Reads what is in the cache of the packages that are about to be unpacked: what is damaged has to be fetched again.
fn look_at(
    client: &Client,
    selected: &[Selected],
    store: &Store,
    plans: &[(&BuildPlan, bool)],
    progress: &dyn Progress,
) -> Result<()> {
    let local = pins::local_files(selected);
    let mut read: BTreeMap<Digest, Pin> = BTreeMap::new();
    for (plan, with_tools) in plans {
        let tools = if *with_tools { &plan.tools[..] } else { &[][..] };
        let base = if store.base(&plan.base_layer_id)?.is_some() { &[][..] } else { &plan.base[..] };
        read.extend(plan.role.iter().chain(tools).chain(base).map(|pin| (pin.sha256, pin.clone())));
    }
    read.retain(|digest, _| !local.contains_key(digest));
    client.remove_damaged(&read.into_values().collect::<Vec<_>>(), progress)
}

/// Whether the tools' packages are needed: a tools root that is there needs none.
pub(super) fn needs_tools(store: &Store, plan: &BuildPlan) -> Result<bool> {
    Ok(store.tools(&tools::tools_id(&plan.tools))?.is_none())
}

/// Where all packages and downloads of these plans lie, by digest; the tools' packages where that is said.
pub(super) fn at_hand(
    client: &Client,
    selected: &[Selected],
    plans: &[(&BuildPlan, bool)],
    progress: &dyn Progress,
) -> Result<BTreeMap<Digest, PathBuf>> {
    let mut at_hand: BTreeMap<Digest, PathBuf> = pins::local_files(selected);
    let mut wanted: BTreeMap<Digest, Pin> = BTreeMap::new();
    let mut repositories = Vec::new();
    for (plan, with_tools) in plans {
        for repository in plan.image.repositories.iter().chain(&plan.image.tools.repositories) {
            if !repositories.contains(repository) {
                repositories.push(repository.clone());
            }
        }
        // These are no repository's: what their documents name is fetched from where they say.
        for deb in [&plan.image.base, &plan.image.role].into_iter().flat_map(|layer| &layer.debs) {
            if let Entry::Vacant(place) = at_hand.entry(deb.sha256) {
                place.insert(client.fetch_file(deb, progress)?);
            }
        }
        let pins = plan.base.iter().chain(&plan.role).chain(if *with_tools { &plan.tools[..] } else { &[][..] });
        for pin in pins.filter(|pin| !at_hand.contains_key(&pin.sha256)) {
            wanted.insert(pin.sha256, pin.clone());
        }
    }
    let pins: Vec<Pin> = wanted.into_values().collect();
    for package in client.fetch(&pins, &repositories, progress)? {
        at_hand.insert(package.pin.sha256, package.file);
    }
    for (plan, _) in plans {
        for download in [&plan.image.base, &plan.image.role].into_iter().flat_map(|layer| &layer.downloads) {
            if let Entry::Vacant(place) = at_hand.entry(download.file.sha256) {
                place.insert(client.fetch_file(&download.file, progress)?);
            }
        }
    }
    Ok(at_hand)
}
