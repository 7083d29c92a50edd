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
use std::path::PathBuf;

/// Everything that the worker needs of the network, each package once however many images hold it.
pub(super) fn fetch(
    client: &Client,
    selected: &[Selected],
    plans: &[&BuildPlan],
    store: &Store,
    progress: &dyn Progress,
) -> Result<Vec<PackageSet>> {
    let local = pins::local_files(selected);
    let mut wanted: BTreeMap<Digest, Pin> = BTreeMap::new();
    let mut repositories = Vec::new();
    let mut tools_missing = Vec::new();
    for plan in plans {
        for repository in plan.image.repositories.iter().chain(&plan.image.tools.repositories) {
            if !repositories.contains(repository) {
                repositories.push(repository.clone());
            }
        }
        // A tools root that is there needs no packages.
        let there = store.tools(&tools::tools_id(&plan.tools))?.is_some();
        let pins = plan.base.iter().chain(&plan.role).chain(if there { &[][..] } else { &plan.tools[..] });
        for pin in pins.filter(|pin| !local.contains_key(&pin.sha256)) {
            wanted.insert(pin.sha256, pin.clone());
        }
        tools_missing.push(!there);
    }
    let pins: Vec<Pin> = wanted.into_values().collect();
    let mut at_hand: BTreeMap<Digest, PathBuf> = local;
    for package in client.fetch(&pins, &repositories, progress)? {
        at_hand.insert(package.pin.sha256, package.file);
    }
    let mut sets = Vec::new();
    for (plan, with_tools) in plans.iter().zip(tools_missing) {
        let set = |pins: &[Pin]| -> Vec<PackageFile> {
            pins.iter().map(|pin| PackageFile { pin: pin.clone(), file: at_hand[&pin.sha256].clone() }).collect()
        };
        let downloads = plan.image.base.downloads.iter().chain(&plan.image.role.downloads);
        let downloads = downloads.map(|download| {
            let file = match at_hand.get(&download.file.sha256) {
                Some(path) => path.clone(),
                None => client.fetch_file(&download.file, progress)?,
            };
            Ok((download.file.sha256, file))
        });
        sets.push(PackageSet {
            base: set(&plan.base),
            role: set(&plan.role),
            tools: if with_tools { set(&plan.tools) } else { Vec::new() },
            downloads: downloads.collect::<Result<_>>()?,
        });
    }
    Ok(sets)
}
