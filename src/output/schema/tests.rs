//! The manifest and its schema hold each other to account.

use super::super::{Artifact, ArtifactKind, Manifest, SCHEMA, example};
use super::violations;
use crate::base::digest::Digest;
use serde_json::{Value, json};

fn against_schema(value: &Value) -> Vec<String> {
    violations(SCHEMA, value)
}

#[test]
fn keywords_that_are_not_known_are_told() {
    assert_eq!(violations(r#"{"maximum": 3}"#, &json!(4)), [": the schema uses `maximum`, which is not known"]);
    assert_eq!(violations("{", &json!(4)), [": the schema is no JSON"]);
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
