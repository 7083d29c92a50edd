//! `imgbuild seed`: secrets where they are missing, and one signed seed for each machine of a cluster.

use super::clusters::{counted, draw, table};
use super::select::sources;
use crate::base::files;
use crate::base::hint::Remedy as _;
use crate::base::parallel;
use crate::base::private;
use crate::base::progress::{Progress, Unit};
use crate::cli::meant::{Seed, SeedForm, Settings};
use crate::cli::outcome::{Failure, Outcome};
use crate::input;
use crate::plan::{ClusterPlan, NodePlan};
use crate::secret::{self, ClusterIdentity, Record};
use crate::seed::{Form, Staging, TemplateText, Writer};
use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What became of one machine's seed.
#[derive(Debug, Serialize)]
struct Told {
    node: String,
    roles: Vec<String>,
    generation: u64,
    /// Whether the machine is told something else than last time.
    changed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    volume: Option<PathBuf>,
    folder: PathBuf,
}

/// Writes all seeds of a cluster, or none.
pub(super) fn run(settings: &Settings, order: &Seed, progress: &dyn Progress) -> Result<Outcome, Failure> {
    let plan = draw(settings, &order.cluster, progress)?;
    let home = home(settings, &order.cluster, &plan);
    let waiting = || progress.note("waiting for another imgbuild that works on this cluster");
    let _alone = private::lock(&home, waiting)?;
    let identity = identity(&home, &plan)?;
    let mut record = record(&home, &identity)?;
    let (suite, templates) = (suite(settings, &plan)?, templates(settings)?);
    let writer = Writer::new(&plan, &identity, &suite, templates)?;
    let staging = Staging::begin(&settings.out.join("clusters").join(&plan.name), waiting)?;
    let before = record.clone();
    let told = {
        let phase = progress.phase("seed", plan.nodes.len() as u64, Unit::Items);
        let shared = Mutex::new(&mut record);
        let (writer, staging, phase, shared) = (&writer, &staging, &phase, &shared);
        parallel::map_on(settings.jobs.get(), &plan.nodes, move |node| -> Result<u64> {
            let draft = writer.draft(node)?;
            let digest = draft.digest();
            let generation = shared.lock().unwrap_or_else(PoisonError::into_inner).generation(&node.name, digest);
            staging.add(&writer.finish(draft, generation)?, form(order.form))?;
            phase.advance(1);
            Ok(generation)
        })?
    };
    // First the record: a generation that was given out is never given to something else.
    if record != before {
        save(&home, &record)?;
    }
    let folder = staging.publish()?;
    let told: Vec<Told> = plan
        .nodes
        .iter()
        .zip(told)
        .map(|(node, generation)| tell(node, generation, &before, &folder, order.form))
        .collect();
    Ok(Outcome::new(picture(&plan, &told, &folder), &told))
}

fn form(form: SeedForm) -> Form {
    match form {
        SeedForm::Iso => Form::Iso,
        SeedForm::Vfat => Form::Vfat,
        SeedForm::Folder => Form::Folder,
    }
}

fn tell(node: &NodePlan, generation: u64, before: &Record, folder: &Path, form: SeedForm) -> Told {
    let volume = |extension: &str| folder.join(format!("{}.{extension}", node.name));
    Told {
        node: node.name.clone(),
        roles: node.roles.clone(),
        generation,
        changed: before.nodes.get(&node.name).is_none_or(|known| known.generation != generation),
        volume: match form {
            SeedForm::Iso => Some(volume("iso")),
            SeedForm::Vfat => Some(volume("img")),
            SeedForm::Folder => None,
        },
        folder: folder.join(&node.name),
    }
}

fn picture(plan: &ClusterPlan, told: &[Told], folder: &Path) -> String {
    let mut text = format!("{}: {} in {}\n", plan.name, counted(told.len(), "seed"), folder.display());
    let rows: Vec<Vec<String>> = told
        .iter()
        .map(|told| {
            let what = match (told.changed, told.generation) {
                (false, _) => "unchanged",
                (true, 1) => "new",
                (true, _) => "changed",
            };
            vec![told.node.clone(), told.roles.join("+"), format!("generation {}", told.generation), what.to_owned()]
        })
        .collect();
    table(&mut text, "machines", &rows);
    text
}

/// The suite of the recipe's distribution.
fn suite(settings: &Settings, plan: &ClusterPlan) -> Result<String> {
    let inputs = input::load(&sources(settings), &plan.recipe, &["base"])?;
    Ok(inputs.suite().to_owned())
}

fn templates(settings: &Settings) -> Result<Vec<TemplateText>> {
    let found = sources(settings).templates()?;
    Ok(found.into_iter().map(|(name, (shown, text))| TemplateText { name, shown, text }).collect())
}

/// Where a cluster's document lies, or would: its secrets and its record lie beside it.
fn home(settings: &Settings, cluster: &str, plan: &ClusterPlan) -> PathBuf {
    if !cluster.contains('/') && !cluster.ends_with(".yaml") {
        return settings.directory.join("seeds").join(&plan.name);
    }
    let path = settings.directory.join(cluster);
    if path.is_dir() { path } else { path.parent().map(Path::to_owned).unwrap_or_default() }
}

/// The cluster's secrets, made where they are missing.
fn identity(home: &Path, plan: &ClusterPlan) -> Result<ClusterIdentity> {
    let folder = home.join("secrets");
    let there = private::read(&folder)?;
    let shown = |below: &str| folder.join(below).display().to_string();
    let there = there.map(|files| secret::identity(files, &shown)).transpose()?;
    let before = there.as_ref().map(secret::files);
    let identity = secret::make(plan, there, &mut secret::Source::system()?)?;
    let mut changes = secret::files(&identity);
    changes.retain(|path, bytes| before.as_ref().and_then(|before| before.get(path)) != Some(bytes));
    if !changes.is_empty() {
        private::write(&folder, &changes, true)?;
    }
    Ok(identity)
}

/// Where generations are noted.
fn record_file(home: &Path) -> PathBuf {
    home.join("record.json")
}

fn record(home: &Path, identity: &ClusterIdentity) -> Result<Record> {
    let file = record_file(home);
    if !file.exists() {
        return Ok(Record::new(&identity.name, &identity.id));
    }
    let reading = || format!("reading {}", file.display());
    let bytes = files::read(&file, crate::base::limits::MANIFEST_BYTES)?;
    let record: Record = serde_json::from_slice(&bytes).with_context(reading)?;
    ensure!(record.version == Record::VERSION, "{} has version {}", file.display(), record.version);
    if record.id == identity.id {
        return Ok(record);
    }
    // Another cluster of the same name: its machines begin anew.
    Err(anyhow::anyhow!("{} belongs to other secrets than those of this cluster", file.display())).hint(format!(
        "bring back the secrets of cluster {}, or remove {} to begin anew",
        record.id,
        file.display()
    ))
}

fn save(home: &Path, record: &Record) -> Result<()> {
    let mut text = serde_json::to_string_pretty(record).context("writing generations")?;
    text.push('\n');
    files::write_atomic(&record_file(home), text.as_bytes())
}
