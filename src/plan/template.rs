//! Renders templates. An undefined value is an error, nothing is escaped, the final newline stays.

use crate::input::{Fault, ParameterValue, Place};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, syntax::SyntaxConfig, value::Serde};
use serde::Serialize;
use std::collections::BTreeMap;

/// What templates see.
#[derive(Debug, Serialize)]
pub(super) struct Context<'a> {
    /// By name; those of the role that the template belongs to.
    pub(super) parameters: BTreeMap<&'a str, &'a ParameterValue>,
    pub(super) recipe: RecipeContext<'a>,
    pub(super) role: RoleContext<'a>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct RecipeContext<'a> {
    pub(super) name: &'a str,
    pub(super) distribution: &'a str,
    pub(super) suite: &'a str,
    pub(super) architecture: &'a str,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct RoleContext<'a> {
    pub(super) name: &'a str,
}

/// Renders one template. `inner` says whether the template's lines are lines of the document itself (a tree's file)
/// or stand inside a value of it.
pub(super) fn render(text: &str, context: &Context<'_>, place: Place, inner: bool) -> Result<String, Fault> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    // So that an error names what is undefined; nothing of its report, which shows values, is printed.
    environment.set_debug(true);
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    let mut failed = None;
    match syntax {
        Ok(syntax) => environment.set_syntax(syntax),
        Err(error) => failed = Some(error),
    }
    let rendered = match failed {
        Some(error) => Err(error),
        None => environment.render_named_str("template", text, Serde(context)),
    };
    rendered.map_err(|error| {
        let line = error.line().and_then(|line| u32::try_from(line).ok()).unwrap_or(1);
        let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        let (place, what) = if inner {
            (place, format!("line {line} of the template: {what}"))
        } else {
            (Place { line, column: 1, width: u32::MAX, ..place }, format!("the template: {what}"))
        };
        let parameters: Vec<&str> = context.parameters.keys().copied().collect();
        let known = if parameters.is_empty() { "none".to_owned() } else { parameters.join(", ") };
        Fault::new(place, what).hint(format!(
            "templates know `recipe.name`, `recipe.suite`, `role.name` and `parameters.NAME` (here: {known})"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> Result<String, Fault> {
        let port = ParameterValue::Integer(6443);
        let context = Context {
            parameters: BTreeMap::from([("port", &port)]),
            recipe: RecipeContext { name: "r", distribution: "debian", suite: "trixie", architecture: "amd64" },
            role: RoleContext { name: "demo" },
        };
        render(text, &context, Place::default(), false)
    }

    #[test]
    fn parameters_are_filled_in_and_newlines_stay() {
        let text = rendered("bind :{{ parameters.port }} # <{{ role.name }}>\n").map_err(|fault| fault.message);
        assert_eq!(text, Ok("bind :6443 # <demo>\n".to_owned()));
    }

    #[test]
    fn undefined_values_are_refused_with_their_line() {
        let fault = rendered("a\n{{ parameters.prot }}\n").unwrap_err();
        assert_eq!(fault.place.line, 2);
        assert!(fault.message.contains("prot"), "{}", fault.message);
    }

    #[test]
    fn broken_syntax_is_refused_with_its_line() {
        assert_eq!(rendered("a\nb\n{{ oops\n").unwrap_err().place.line, 3);
    }
}
