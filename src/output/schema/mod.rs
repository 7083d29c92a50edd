//! Checks a document against the JSON Schema keywords that the manifest's schema uses; any other keyword is a violation.

use serde_json::Value;

/// What is wrong with a value by a schema's text, one line each, with its place.
#[must_use]
pub fn violations(schema: &str, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    match serde_json::from_str::<Value>(schema) {
        Ok(schema) => check(&schema, &schema, value, "", &mut found),
        Err(_) => found.push(": the schema is no JSON".to_owned()),
    }
    found
}

fn check(schema: &Value, root: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    for (keyword, rule) in schema.as_object().into_iter().flatten() {
        let holds = match keyword.as_str() {
            "$schema" | "title" | "description" | "$defs" => true,
            "$ref" => {
                let pointer = rule.as_str().and_then(|text| text.strip_prefix('#'));
                let target = pointer.and_then(|pointer| root.pointer(pointer));
                if let Some(target) = target {
                    check(target, root, value, place, found);
                }
                target.is_some()
            }
            "type" => match rule {
                Value::Array(kinds) => kinds.iter().any(|kind| is(value, kind)),
                kind => is(value, kind),
            },
            "const" => value == rule,
            "enum" => rule.as_array().is_some_and(|values| values.contains(value)),
            "minimum" => value.as_i64().is_none_or(|number| rule.as_i64().is_some_and(|least| number >= least)),
            "minLength" => value.as_str().is_none_or(|text| text.chars().count() >= length(rule)),
            "maxLength" => value.as_str().is_none_or(|text| text.chars().count() <= length(rule)),
            "minItems" => value.as_array().is_none_or(|items| items.len() >= length(rule)),
            "items" => {
                for (at, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(rule, root, item, &format!("{place}/{at}"), found);
                }
                true
            }
            "required" => rule
                .as_array()
                .into_iter()
                .flatten()
                .all(|key| key.as_str().is_some_and(|key| !value.is_object() || value.get(key).is_some())),
            "properties" => {
                for (key, inner) in rule.as_object().into_iter().flatten() {
                    if let Some(item) = value.get(key) {
                        check(inner, root, item, &format!("{place}/{key}"), found);
                    }
                }
                true
            }
            "additionalProperties" if *rule == Value::Bool(false) => {
                let known = schema.get("properties").and_then(Value::as_object);
                let is_known = |key: &String| known.is_some_and(|known| known.contains_key(key));
                value.as_object().is_none_or(|object| object.keys().all(is_known))
            }
            other => {
                found.push(format!("{place}: the schema uses `{other}`, which is not known"));
                true
            }
        };
        if !holds {
            found.push(format!("{place}: {keyword}"));
        }
    }
}

fn length(rule: &Value) -> usize {
    rule.as_u64().map_or(0, crate::format::usize_of)
}

fn is(value: &Value, kind: &Value) -> bool {
    match kind.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("null") => value.is_null(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
