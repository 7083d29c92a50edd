//! `check CLUSTER --deep`: every machine's documents before the programs that will read them, in the root of its image.
//!
//! The documents are those that `seed` would write, but for their secrets, which are examples: nothing is made or kept,
//! and no pin is written.

mod finding;
mod job;

pub(super) use job::job;

use super::clusters::{counted, draw, table};
use super::select::{select, sources};
use super::{native, pins, seeds, supply, work};
use crate::base::private;
use crate::base::progress::Progress;
use crate::cli::meant::{Names, Selection, Settings};
use crate::cli::outcome::{Failure, Outcome};
use crate::format::seed::FILES;
use crate::input::Problems;
use crate::package::Lock;
use crate::plan::ClusterPlan;
use crate::sandbox::Worker;
use crate::secret::ClusterIdentity;
use crate::seed::{JUDGES, SeedTree, Writer};
use crate::store::Store;
use anyhow::{Context as _, Result};
use finding::{Finding, Refused};
use job::{Answer, Request};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The worker's job.
pub(super) const CHECK: &str = "check";
/// The role in whose root documents are judged where no role is described.
const BASE: &str = "base";

/// A machine's seed, with the modes that the machine will give its files.
struct Told {
    tree: SeedTree,
    modes: BTreeMap<String, u32>,
}

/// A document that was not judged.
#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct Unjudged {
    document: &'static str,
    why: String,
}

/// Judges all documents of all machines.
pub(super) fn run(
    settings: &Settings,
    cluster: &str,
    selection: &Selection,
    progress: &dyn Progress,
) -> Result<Outcome, Failure> {
    let plan = draw(settings, cluster, progress)?;
    let told = told(settings, &plan)?;
    let roots = roots(settings, &plan, progress)?;
    let images: Vec<String> = roots.values().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    let selection = Selection { recipe: Some(plan.recipe.clone()), ..selection.clone() };
    let selected = select(settings, &Names::Given(images.clone()), &selection)?;
    native::require(selected.iter().map(|selected| &selected.plan))?;
    work::check(progress)?;
    let client = pins::client(settings, &selection);
    let mut lock = Lock::load(&pins::lock_path(settings))?;
    let mode = pins::mode(&selection, false);
    let plans = pins::resolve_all(&mut lock, &selected, mode, &client, progress)?;
    let plans: Vec<_> = plans.into_iter().map(|(plan, _)| plan).collect();
    let store = Store::open(&settings.cache)?;
    let fetched = supply::fetch(&client, &selected, &plans.iter().collect::<Vec<_>>(), &store, progress)?;

    let folder = tempfile::tempdir().context("making a folder for the seeds")?;
    let (mut judged, mut findings, mut unjudged) = (0, Vec::new(), BTreeSet::new());
    for ((image, build), packages) in images.iter().zip(plans).zip(fetched) {
        let here = |told: &&Told| roots.get(&told.tree.node) == Some(image);
        let wanted = wanted(told.iter().filter(here));
        let mut files = BTreeMap::new();
        for told in told.iter().filter(|told| wanted.iter().any(|(node, _)| *node == told.tree.node)) {
            files.insert(told.tree.node.clone(), write(told, folder.path())?);
        }
        let (cache, seeds, jobs) = (settings.cache.clone(), folder.path().to_owned(), settings.jobs.get());
        let request = Request { cache, jobs, plan: build, packages, seeds, files, wanted };
        let answer = Worker::run(CHECK, &serde_json::to_vec(&request)?, progress)?;
        let answer: Answer = serde_json::from_slice(&answer).context("reading what was found")?;
        judged += answer.judged;
        findings.extend(answer.findings);
        let reason = |(number, why): (usize, String)| Some(Unjudged { document: JUDGES.get(number)?.document, why });
        unjudged.extend(answer.unable.into_iter().filter_map(reason));
    }
    if !findings.is_empty() {
        return Err(refused(settings, &told, &findings)?.into());
    }
    let (machines, documents) = (counted(plan.nodes.len(), "machine"), counted(judged, "document"));
    let mut text = format!("{} is sound: {machines}, {documents} judged by the programs that read them\n", plan.name);
    let rows: Vec<Vec<String>> = unjudged.iter().map(|it| vec![it.document.to_owned(), it.why.clone()]).collect();
    table(&mut text, "not checked", &rows);
    let json = serde_json::json!({
        "cluster": plan.name, "nodes": plan.nodes.len(), "documents": judged, "not_checked": unjudged,
    });
    Ok(Outcome::new(text, &json))
}

/// What every machine would be told.
fn told(settings: &Settings, plan: &ClusterPlan) -> Result<Vec<Told>> {
    let identity = ClusterIdentity::example(plan)?;
    let (suite, templates) = (seeds::suite(settings, plan)?, seeds::templates(settings)?);
    let writer = Writer::new(plan, &identity, &suite, templates)?;
    let one = |node| {
        let draft = writer.draft(node)?;
        let mode = |text: &str| u32::from_str_radix(text, 8).unwrap_or(0o600);
        let files = &draft.manifest().files;
        let modes = files.iter().map(|file| (format!("{FILES}{}", file.path), mode(&file.mode))).collect();
        Ok(Told { tree: writer.finish(draft, 1)?, modes })
    };
    plan.nodes.iter().map(one).collect()
}

/// In which image's root each machine's documents are judged: its own, of those of its roles that are described, or the
/// bare system.
fn roots(settings: &Settings, plan: &ClusterPlan, progress: &dyn Progress) -> Result<BTreeMap<String, String>> {
    let described = sources(settings).roles()?;
    let mut instead = BTreeMap::new();
    for image in plan.images() {
        let known: Vec<&str> = image.split('+').filter(|role| described.contains_key(*role)).collect();
        let root = if known.is_empty() { BASE.to_owned() } else { known.join("+") };
        if root != image {
            progress.warn(format!("no role describes all of {image}: its documents are judged in the root of {root}"));
        }
        instead.insert(image.to_owned(), root);
    }
    let root = |image: &str| instead.get(image).cloned().unwrap_or_else(|| BASE.to_owned());
    Ok(plan.nodes.iter().map(|node| (node.name.clone(), root(&node.image))).collect())
}

/// Each document once, however many machines have it.
fn wanted<'a>(told: impl Iterator<Item = &'a Told>) -> Vec<(String, usize)> {
    let mut seen = BTreeSet::new();
    let mut wanted = Vec::new();
    for Told { tree, .. } in told {
        for (number, judge) in JUDGES.iter().enumerate() {
            let Some(file) = tree.files.get(&judge.path()) else { continue };
            if seen.insert((number, file.content.digest())) {
                wanted.push((tree.node.clone(), number));
            }
        }
    }
    wanted
}

/// Writes a machine's seed as a folder; gives where its files lie in it, and where the machine will have them.
fn write(told: &Told, home: &Path) -> Result<Vec<(String, String)>> {
    let root = home.join(&told.tree.node);
    let mut files = Vec::new();
    for (path, file) in &told.tree.files {
        let target = root.join(path);
        // Some programs look at the modes of what they are to read or to run.
        let mode = told.modes.get(path).copied().unwrap_or(file.mode);
        private::create(&target, file.content.bytes(), mode)?;
        if let Some(place) = path.strip_prefix(FILES) {
            files.push((path.clone(), place.to_owned()));
        }
    }
    Ok(files)
}

/// All refusals together.
fn refused(settings: &Settings, told: &[Told], findings: &[Finding]) -> Result<Problems> {
    let templates = sources(settings).templates()?;
    // The same words about the same document are said once, of the machine that came first.
    let mut nodes: BTreeMap<(usize, &str), Vec<&str>> = BTreeMap::new();
    for Finding { node, judge, said } in findings {
        nodes.entry((*judge, said)).or_default().push(node);
    }
    let mut problems = Problems::default();
    for Finding { node, judge, said } in findings {
        let Some([first, others @ ..]) = nodes.get(&(*judge, said.as_str())).map(Vec::as_slice) else { continue };
        let Some(judge) = JUDGES.get(*judge).filter(|_| first == node) else { continue };
        let template = templates.get(judge.template).map_or(judge.template, |(shown, _)| shown);
        let file = told.iter().find(|told| told.tree.node == *node).and_then(|told| told.tree.files.get(&judge.path()));
        let text = file.map(|file| String::from_utf8_lossy(file.content.bytes()).into_owned()).unwrap_or_default();
        let (document, program) = (judge.document, judge.program);
        problems.problems.push(finding::problem(Refused {
            node,
            others,
            document,
            text: &text,
            program,
            said,
            template,
        }));
    }
    Ok(problems)
}
