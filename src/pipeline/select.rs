//! From what was named to image plans: documents loaded, plans drawn.

use crate::cli::meant::{Names, Selection, Settings};
use crate::input::{self, Inputs, Sources};
use crate::plan::{self, ImagePlan, ImageRequest};
use anyhow::Result;
use std::collections::BTreeSet;

/// The recipe that is meant when none is named.
pub(super) const DEFAULT_RECIPE: &str = "debian-trixie";

/// One image to build, and where the files beside its documents lie.
pub(super) struct Selected {
    pub(super) plan: ImagePlan,
    pub(super) inputs: Inputs,
}

/// The documents that count: the project's before the built-in ones.
pub(super) fn sources(settings: &Settings) -> Sources {
    Sources::new(&settings.directory)
}

/// Draws the plan of every image that is named.
pub(super) fn select(settings: &Settings, names: &Names, selection: &Selection) -> Result<Vec<Selected>> {
    let sources = sources(settings);
    let recipe = selection.recipe.clone().unwrap_or_else(|| DEFAULT_RECIPE.to_owned());
    let names: Vec<String> = match names {
        Names::Given(names) => {
            let mut seen = BTreeSet::new();
            names.iter().filter(|name| seen.insert((*name).clone())).cloned().collect()
        }
        Names::All => sources.roles()?.into_keys().collect(),
    };
    names.iter().map(|name| draw(&sources, &recipe, name, selection)).collect()
}

fn draw(sources: &Sources, recipe: &str, name: &str, selection: &Selection) -> Result<Selected> {
    let roles: Vec<&str> = name.split('+').collect();
    let inputs = input::load(sources, recipe, &roles)?;
    let request = ImageRequest {
        recipe: recipe.to_owned(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        kernel: selection.kernel.clone(),
        parameters: selection.parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
    };
    let plan = plan::draw_image(&inputs, &request)?;
    Ok(Selected { plan, inputs })
}
