//! The document `roles/<role>/role.yaml`: what one role adds to the base system.

use super::check;
use super::content::{Content, content};
use super::decode::{Fields, Located, Report, one_of};
use super::problem::Fault;
use super::recipe::disk_size;
use super::volume::{VolumeEntry, volumes};
use super::yaml::Node;
use crate::base::size::Bytes;
use serde::Serialize;
use std::collections::BTreeMap;

/// A checked role.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) parameters: BTreeMap<String, Parameter>,
    pub(crate) minimum_size: Option<Located<Bytes>>,
    pub(crate) content: Content,
    pub(crate) volumes: Vec<VolumeEntry>,
}

/// Something that can be set when a role is built.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub(crate) kind: ParameterKind,
    pub(crate) default: ParameterValue,
}

/// What a parameter may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParameterKind {
    String,
    Integer,
    Boolean,
    List,
}

/// A parameter's value, as templates see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum ParameterValue {
    String(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<String>),
}

impl ParameterKind {
    const WORDS: &'static [(&'static str, Self)] =
        &[("string", Self::String), ("integer", Self::Integer), ("boolean", Self::Boolean), ("list", Self::List)];

    /// Reads a value as it is typed on the command line; lists are separated by commas.
    pub(crate) fn parse(self, text: &str) -> Option<ParameterValue> {
        Some(match self {
            Self::String => ParameterValue::String(text.to_owned()),
            Self::Integer => ParameterValue::Integer(text.parse().ok()?),
            Self::Boolean => ParameterValue::Boolean(text.parse().ok()?),
            Self::List if text.is_empty() => ParameterValue::List(Vec::new()),
            Self::List => ParameterValue::List(text.split(',').map(str::to_owned).collect()),
        })
    }

    /// For messages.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::String => "a text",
            Self::Integer => "a whole number",
            Self::Boolean => "`true` or `false`",
            Self::List => "a list",
        }
    }
}

/// Reads a role out of its (already extended) tree.
pub(crate) fn role(report: &Report, name: &str, node: &Node) -> Option<Role> {
    let mut fields = Fields::open(report, node, "a role")?;
    fields.get("version");
    fields.get("description").and_then(|node| report.text(node));
    fields.get("extends");
    let parameters = fields.get("parameters").map(|node| parameters(report, node)).unwrap_or_default();
    let minimum_size = fields.get("minimum_size").and_then(|node| disk_size(report, node));
    let taken = fields.get("accounts").map(|node| report.texts(node, "account", check::account)).unwrap_or_default();
    let mut content = content(report, &mut fields);
    content.accounts.taken = taken;
    let volumes = fields.get("volumes").map(|node| volumes(report, node)).unwrap_or_default();
    fields.close();
    Some(Role { name: name.to_owned(), parameters, minimum_size, content, volumes })
}

fn parameters(report: &Report, node: &Node) -> BTreeMap<String, Parameter> {
    let mut found = BTreeMap::new();
    for (key, node) in report.map(node) {
        let identifier = key.text.starts_with(|c: char| c.is_ascii_lowercase())
            && key.text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !identifier {
            let fault = Fault::new(key.place, format!("`{}` is no parameter name", key.text));
            report.add(fault.hint("begin with a lower-case letter and go on with letters, digits or `_`"));
        }
        let Some(mut fields) = Fields::open(report, node, "a parameter") else { continue };
        fields.get("description").and_then(|node| report.text(node));
        let kind = fields
            .require("type")
            .and_then(|node| report.checked(node, |text| one_of(text, "parameter type", ParameterKind::WORDS)));
        let default = fields.require("default");
        fields.close();
        let (Some(kind), Some(default)) = (kind, default) else { continue };
        let default = match kind.value {
            ParameterKind::String => report.text(default).map(|text| ParameterValue::String(text.value)),
            ParameterKind::Integer => {
                report.integer(default, i64::MIN, i64::MAX).map(|number| ParameterValue::Integer(number.value))
            }
            ParameterKind::Boolean => report.boolean(default).map(ParameterValue::Boolean),
            ParameterKind::List => {
                let items = report.list(default).iter().filter_map(|node| report.text(node)).map(|text| text.value);
                Some(ParameterValue::List(items.collect()))
            }
        };
        if let Some(default) = default {
            found.insert(key.text.clone(), Parameter { kind: kind.value, default });
        }
    }
    found
}
