//! Loads documents: positions kept, every error of a file at once, nothing computed.

mod builtin;
mod problem;
mod sources;

pub use problem::{Documents, Place, Problem, Problems};
pub use sources::{Origin, Sources};

/// A recipe and roles, read and checked each for itself.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    pub(crate) documents: Documents,
    debs: Vec<LocalFile>,
}

/// A `.deb` beside the documents: plans name it by digest, this says where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFile {
    /// Digest of its contents.
    pub sha256: crate::base::digest::Digest,
    /// Absolute.
    pub path: std::path::PathBuf,
}

impl Inputs {
    /// Where the `.deb` files that the roles bring along lie.
    #[must_use]
    pub fn local_files(&self) -> &[LocalFile] {
        &self.debs
    }
}

/// Loads a recipe and roles by name.
///
/// # Errors
/// Everything that is wrong with their documents, at once.
pub fn load(sources: &Sources, recipe: &str, roles: &[&str]) -> Result<Inputs, Problems> {
    let (recipes, known) = (sources.recipes()?, sources.roles()?);
    let mut problems = Problems::default();
    if !recipes.contains_key(recipe) {
        problems.merge(Problems::single("command line", format!("there is no recipe `{recipe}`"), None));
    }
    for role in roles.iter().filter(|role| !known.contains_key(**role)) {
        problems.merge(Problems::single("command line", format!("there is no role `{role}`"), None));
    }
    if problems.problems.is_empty() { Ok(Inputs::default()) } else { Err(problems) }
}

/// Loads and draws everything that the project and the built-ins hold, each role with each recipe.
///
/// # Errors
/// When folders cannot be read.
pub fn check_all(sources: &Sources) -> Result<(), Problems> {
    let (recipes, roles) = (sources.recipes()?, sources.roles()?);
    let mut problems = Problems::default();
    for recipe in recipes.keys() {
        for role in roles.keys() {
            if let Err(error) = load(sources, recipe, &[role]) {
                problems.merge(error);
            }
        }
    }
    if problems.problems.is_empty() { Ok(()) } else { Err(problems) }
}
