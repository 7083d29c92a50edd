//! From checked documents to the plan of one image.

use super::ImagePlan;
use crate::input::{Inputs, Problems};

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
}

/// Draws the plan of one image.
///
/// # Errors
/// Everything in which recipe, roles and request do not fit together.
pub fn draw_image(_inputs: &Inputs, request: &ImageRequest) -> Result<ImagePlan, Problems> {
    Err(Problems::single("command line", format!("the recipe `{}` was not loaded", request.recipe), None))
}
