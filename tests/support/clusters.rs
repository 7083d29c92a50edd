//! Clusters whose seeds are looked at: the examples, and one of the tests that has everything.

use imgbuild::input::{Sources, load_cluster, load_cluster_file};
use imgbuild::plan::{ClusterPlan, draw_cluster};
use imgbuild::secret::{ClusterIdentity, Record};
use imgbuild::seed::{SeedTree, TemplateText, Writer};
use std::path::Path;

/// What is planned for an example cluster, or for the one of the tests that has everything.
pub(crate) fn plan(name: &str) -> ClusterPlan {
    let sources = Sources::builtin();
    let inputs = if name == "everything" {
        load_cluster_file(&sources, &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seeds/everything.yaml"))
    } else {
        load_cluster(&sources, name)
    };
    let drawn = inputs.and_then(|inputs| draw_cluster(&inputs));
    drawn.unwrap_or_else(|problems| panic!("{problems}")).0
}

/// The templates of the product.
pub(crate) fn templates() -> Vec<TemplateText> {
    let found = Sources::builtin().templates().unwrap();
    found.into_iter().map(|(name, (shown, text))| TemplateText { name, shown, text }).collect()
}

/// The seeds of a cluster whose secrets are none, for machines of a suite, in the generations that the record gives.
pub(crate) fn seeds(plan: &ClusterPlan, suite: &str, record: &mut Record) -> Vec<SeedTree> {
    let identity = ClusterIdentity::example(plan).unwrap();
    let writer = Writer::new(plan, &identity, suite, templates()).unwrap();
    let write = |node| {
        let draft = writer.draft(node).unwrap();
        let generation = record.generation(&node.name, draft.digest());
        writer.finish(draft, generation).unwrap()
    };
    plan.nodes.iter().map(write).collect()
}

/// The first seeds of a cluster.
pub(crate) fn first(name: &str, suite: &str) -> Vec<SeedTree> {
    seeds(&plan(name), suite, &mut Record::new(name, "id"))
}
