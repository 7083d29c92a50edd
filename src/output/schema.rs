//! Checks a document against the JSON Schema keywords that the manifest's schema uses; any other keyword is an error.

use super::{Artifact, ArtifactKind, Manifest, SCHEMA, example};
use crate::base::digest::Digest;
use serde_json::{Value, json};

/// What is wrong with the value, one line each, with its place.
fn violations(schema: &Value, root: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    for (keyword, rule) in schema.as_object().expect("a schema is an object") {
        let holds = match keyword.as_str() {
            "$schema" | "title" | "description" | "$defs" => true,
            "$ref" => {
                let pointer = rule.as_str().unwrap().strip_prefix('#').unwrap();
                violations(root.pointer(pointer).expect("references resolve"), root, value, place, found);
                true
            }
            "type" => match rule {
                Value::Array(kinds) => kinds.iter().any(|kind| is(value, kind.as_str().unwrap())),
                kind => is(value, kind.as_str().unwrap()),
            },
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_i64().is_none_or(|number| number >= rule.as_i64().unwrap()),
            "minLength" => value.as_str().is_none_or(|text| text.chars().count() >= length(rule)),
            "maxLength" => value.as_str().is_none_or(|text| text.chars().count() <= length(rule)),
            "minItems" => value.as_array().is_none_or(|items| items.len() >= length(rule)),
            "items" => {
                for (at, item) in value.as_array().into_iter().flatten().enumerate() {
                    violations(rule, root, item, &format!("{place}/{at}"), found);
                }
                true
            }
            "required" => rule.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some()),
            "properties" => {
                for (key, inner) in rule.as_object().unwrap() {
                    if let Some(item) = value.get(key) {
                        violations(inner, root, item, &format!("{place}/{key}"), found);
                    }
                }
                true
            }
            "additionalProperties" => {
                assert_eq!(rule, &Value::Bool(false));
                let known = schema["properties"].as_object().unwrap();
                value.as_object().is_none_or(|object| object.keys().all(|key| known.contains_key(key)))
            }
            other => panic!("the schema uses `{other}`, which this test does not know"),
        };
        if !holds {
            found.push(format!("{place}: {keyword}"));
        }
    }
}

fn length(rule: &Value) -> usize {
    usize::try_from(rule.as_u64().unwrap()).unwrap()
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        other => panic!("unknown type `{other}`"),
    }
}

fn against_schema(value: &Value) -> Vec<String> {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let mut found = Vec::new();
    violations(&schema, &schema, value, "", &mut found);
    found
}

fn example_manifest() -> Manifest {
    let artifact = |file: &str, kind| Artifact { file: file.into(), kind, size: 1, sha256: Digest::of(b"x") };
    let artifacts = [
        artifact("haproxy.raw", ArtifactKind::Raw),
        artifact("haproxy.qcow2", ArtifactKind::Qcow2Zstd),
        artifact("vmlinuz", ArtifactKind::Kernel),
    ];
    Manifest::new(&example::build_plan(), &artifacts)
}

#[test]
fn manifests_fulfil_their_schema_and_are_read_back() {
    let manifest = example_manifest();
    assert_eq!(against_schema(&serde_json::from_slice(&manifest.bytes()).unwrap()), Vec::<String>::new());
    assert_eq!(Manifest::read(&manifest.bytes()).unwrap(), manifest);
    assert_eq!(manifest.artifacts[0].file, "haproxy.qcow2", "artifacts are sorted");
}

#[test]
fn every_key_of_the_schema_is_required_and_no_other_is_allowed() {
    let whole: Value = serde_json::from_slice(&example_manifest().bytes()).unwrap();
    for key in whole.as_object().unwrap().keys() {
        let mut cut = whole.clone();
        cut.as_object_mut().unwrap().shift_remove(key);
        assert_eq!(against_schema(&cut), [": required"], "without {key}");
        assert!(Manifest::read(cut.to_string().as_bytes()).is_err(), "without {key}");
    }
    let mut more = whole.clone();
    more["packages"][0]["colour"] = json!("blue");
    assert_eq!(against_schema(&more), ["/packages/0: additionalProperties"]);
    assert!(Manifest::read(more.to_string().as_bytes()).is_err());
}

#[test]
fn values_out_of_shape_are_found_with_their_place() {
    let whole: Value = serde_json::from_slice(&example_manifest().bytes()).unwrap();
    let cases = [
        ("/disk/partitions/0/number", json!(0), "minimum"),
        ("/disk/volume_group/volumes/0/filesystem", json!("zfs"), "enum"),
        ("/artifacts/0/sha256", json!("abc"), "minLength"),
        ("/packages/0/size", json!("big"), "type"),
        ("/version", json!(2), "const"),
    ];
    for (pointer, wrong, keyword) in cases {
        let mut damaged = whole.clone();
        *damaged.pointer_mut(pointer).unwrap() = wrong;
        assert_eq!(against_schema(&damaged), [format!("{pointer}: {keyword}")]);
    }
    let error = Manifest::read(whole.to_string().replace("\"version\":1", "\"version\":7").as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "this manifest has version 7, and this program reads version 1");
}
