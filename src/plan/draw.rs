//! From checked documents to the plan of one image.

use super::layers::{self, Parameters};
use super::{Blob, Distribution, ImagePlan, Keyring, Location, Repository, Tools, TrustedKey, placement};
use crate::input::{self, Fault, Inputs, ParameterValue, Place, Problems, RepositoryEntry, Sources, nearest};
use std::collections::BTreeMap;

/// Distributions whose mirror a host's apt configuration can name.
const HOST_MIRRORS: &[&str] = &["debian", "debian-security", "ubuntu"];

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageRequest {
    /// The recipe's name.
    pub recipe: String,
    /// The roles, in the order typed.
    pub roles: Vec<String>,
    /// The kernel flavour, when not the recipe's default.
    pub kernel: Option<String>,
    /// Values for the roles' parameters, as typed (`name=value`).
    pub parameters: Vec<(String, String)>,
    /// Keys that the image trusts.
    pub trust: Vec<TrustedKey>,
}

/// No place in a document: the command line is meant.
const COMMAND_LINE: Place = Place { file: u32::MAX, line: 0, column: 0, width: 1 };

/// Draws the plan of one image. The request must name what `inputs` was loaded for.
///
/// # Errors
/// Everything in which recipe, roles and request do not fit together.
pub fn draw_image(inputs: &Inputs, request: &ImageRequest) -> Result<ImagePlan, Problems> {
    let mut faults = Vec::new();
    let recipe = &inputs.recipe;
    let roles: Vec<String> = inputs.roles.iter().map(|role| role.name.clone()).collect();
    let asked: Vec<&str> = request.roles.iter().flat_map(|role| role.split('+')).collect();
    if request.recipe != recipe.name || asked != roles {
        let asked = format!("{} of {}", asked.join("+"), request.recipe);
        let message = format!("{asked} was asked for, but {} of {} was loaded", roles.join("+"), recipe.name);
        faults.push(Fault::new(COMMAND_LINE, message));
    }
    let name = roles.join("+");
    let kernel = kernel(inputs, request, &mut faults);
    let parameters = parameters(inputs, request, &mut faults);
    let arguments = arguments(inputs, &kernel);
    let repositories = repositories(inputs, &mut faults);
    let tools = tools(inputs, &repositories, &mut faults);
    let disk = placement::disk(&name, recipe, &inputs.roles, &mut faults);
    let base = layers::base(recipe, &kernel, &mut faults);
    let mut trust = request.trust.clone();
    trust.sort();
    trust.dedup();
    let role = layers::role(inputs, &parameters, &disk, &arguments, &trust, &mut faults);
    if !faults.is_empty() {
        return Err(Problems::of(faults, &inputs.documents));
    }
    Ok(ImagePlan {
        name,
        recipe: recipe.name.clone(),
        roles,
        distribution: Distribution {
            id: recipe.distribution.clone(),
            suite: recipe.suite.clone(),
            efi_folder: recipe.distribution.clone(),
        },
        architecture: recipe.architecture.clone(),
        kernel,
        repositories,
        recipe_repositories: recipe.content.repositories.len(),
        recommends: recipe.recommends,
        base,
        role,
        kernel_arguments: arguments,
        tools,
        trust,
        disk,
    })
}

/// Loads and draws everything that the project and the built-ins hold: each role with each recipe and kernel flavour.
/// Gives how many plans were drawn.
///
/// # Errors
/// All problems of all documents, each once.
pub fn check_all(sources: &Sources) -> Result<usize, Problems> {
    let (recipes, roles) = (sources.recipes()?, sources.roles()?);
    let (mut problems, mut drawn) = (Problems::default(), 0);
    for recipe in recipes.keys() {
        for role in roles.keys() {
            match input::load(sources, recipe, &[role]) {
                Err(error) => problems.merge(error),
                Ok(inputs) => {
                    for kernel in inputs.kernels() {
                        let request = ImageRequest {
                            recipe: recipe.clone(),
                            roles: vec![role.clone()],
                            kernel: Some(kernel.to_owned()),
                            parameters: Vec::new(),
                            trust: Vec::new(),
                        };
                        match draw_image(&inputs, &request) {
                            Ok(_) => drawn += 1,
                            Err(error) => problems.merge(error),
                        }
                    }
                }
            }
        }
    }
    if problems.problems.is_empty() { Ok(drawn) } else { Err(problems) }
}

fn kernel(inputs: &Inputs, request: &ImageRequest, faults: &mut Vec<Fault>) -> String {
    let Some(wanted) = &request.kernel else { return inputs.recipe.kernel.clone() };
    if !inputs.recipe.kernels.contains_key(wanted) {
        let known = inputs.kernels();
        let message = format!("the recipe `{}` has no kernel flavour `{wanted}`", inputs.recipe.name);
        let fault = Fault::new(COMMAND_LINE, message).suggest(nearest(wanted, known.iter().copied()));
        faults.push(fault.hint(format!("known here: {}", known.join(", "))));
    }
    wanted.clone()
}

fn parameters<'a>(inputs: &'a Inputs, request: &ImageRequest, faults: &mut Vec<Fault>) -> Parameters<'a> {
    let mut found: Parameters<'a> = BTreeMap::new();
    for role in &inputs.roles {
        let defaults = role.parameters.iter().map(|(name, parameter)| (name.as_str(), parameter.default.clone()));
        found.insert(&role.name, defaults.collect());
    }
    for (name, text) in &request.parameters {
        let mut known = false;
        for role in &inputs.roles {
            let Some((name, parameter)) = role.parameters.get_key_value(name) else { continue };
            known = true;
            match parameter.kind.parse(text) {
                Some(value) => set(&mut found, &role.name, name, value),
                None => {
                    let message =
                        format!("the parameter `{name}` is `{text}`, where {} is wanted", parameter.kind.noun());
                    faults.push(Fault::new(COMMAND_LINE, message).hint(format!("write `{name}=` and such a value")));
                }
            }
        }
        if !known {
            let names: Vec<&str> =
                inputs.roles.iter().flat_map(|role| role.parameters.keys()).map(String::as_str).collect();
            let roles: Vec<&str> = inputs.roles.iter().map(|role| role.name.as_str()).collect();
            let message = format!("the role `{}` has no parameter `{name}`", roles.join("+"));
            let list = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let fault = Fault::new(COMMAND_LINE, message).suggest(nearest(name, names.iter().copied()));
            faults.push(fault.hint(format!("its parameters: {list}")));
        }
    }
    found
}

fn set<'a>(found: &mut Parameters<'a>, role: &'a str, name: &'a str, value: ParameterValue) {
    found.entry(role).or_default().insert(name, value);
}

/// Arguments of recipe, kernel flavour and roles, each once.
fn arguments(inputs: &Inputs, kernel: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let flavour = inputs.recipe.kernels.get(kernel).map(|kernel| kernel.arguments.as_slice()).unwrap_or_default();
    let roles = inputs.roles.iter().flat_map(|role| &role.content.kernel_arguments);
    for argument in inputs.recipe.content.kernel_arguments.iter().chain(flavour).chain(roles) {
        if !all.contains(&argument.value) {
            all.push(argument.value.clone());
        }
    }
    all
}

fn repositories(inputs: &Inputs, faults: &mut Vec<Fault>) -> Vec<Repository> {
    let mut all: Vec<Repository> = Vec::new();
    let roles = inputs.roles.iter().flat_map(|role| &role.content.repositories);
    for entry in inputs.recipe.content.repositories.iter().chain(roles) {
        let Some(repository) = repository(entry, faults) else { continue };
        match all.iter().find(|other| other.name == repository.name) {
            Some(other) if *other == repository => {}
            Some(_) => {
                let message = format!("the repository `{}` is described differently elsewhere", repository.name);
                let hint = "a name stands for one repository: give this one another name, or make them the same";
                faults.push(Fault::new(entry.name.place, message).hint(hint));
            }
            None => all.push(repository),
        }
    }
    all
}

fn repository(entry: &RepositoryEntry, faults: &mut Vec<Fault>) -> Option<Repository> {
    let name = &entry.name.value;
    let location = match &entry.url {
        Some(url) => Location::Url(url.clone()),
        None if HOST_MIRRORS.contains(&name.as_str()) => Location::Host(name.clone()),
        None => {
            let message = format!("`url: host` stands for the host's mirror of a distribution, and `{name}` is none");
            let fault = Fault::new(entry.name.place, message).suggest(nearest(name, HOST_MIRRORS.iter().copied()));
            faults.push(fault.hint("give the repository's address: `url: https://...`"));
            return None;
        }
    };
    let (keyring_name, keyring) = (entry.keyring_name.as_ref()?, entry.keyring.clone()?);
    Some(Repository {
        name: name.clone(),
        location,
        suites: entry.suites.clone(),
        components: entry.components.clone(),
        flat: entry.flat,
        keyring: Keyring { name: keyring_name.value.clone(), content: Blob::new(keyring) },
        priority: entry.priority,
        check_valid_until: entry.check_valid_until,
        snapshot: entry.snapshot.clone(),
    })
}

fn tools(inputs: &Inputs, repositories: &[Repository], faults: &mut Vec<Fault>) -> Tools {
    let entry = &inputs.recipe.tools;
    let own: Vec<Repository> = entry.repositories.iter().filter_map(|entry| repository(entry, faults)).collect();
    let names: Vec<&str> =
        inputs.recipe.content.repositories.iter().map(|repository| repository.name.value.as_str()).collect();
    let shared = repositories.iter().filter(|repository| names.contains(&repository.name.as_str())).cloned();
    let repositories = if entry.repositories.is_empty() { shared.collect() } else { own };
    let packages = entry.packages.iter().map(|package| package.value.clone()).collect();
    Tools { repositories, suite: entry.suite.clone(), packages }
}
