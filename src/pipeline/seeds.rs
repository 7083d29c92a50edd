//! `imgbuild seed`: secrets where they are missing, and one signed seed for each machine of a cluster.

use super::clusters::{counted, draw, table};
use super::secrets;
use super::select::sources;
use crate::base::parallel;
use crate::base::progress::{Progress, Unit};
use crate::cli::meant::{Seed, SeedForm, Settings};
use crate::cli::outcome::{Failure, Outcome};
use crate::input;
use crate::plan::{ClusterPlan, NodePlan};
use crate::secret::Record;
use crate::seed::{Form, SERVED, Served, Staging, TemplateText, Writer};
use anyhow::Result;
use serde::Serialize;
use std::fmt::Write as _;
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
    /// With `--form http`: the machine's kernel argument, or its SMBIOS serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    nocloud: Option<String>,
}

/// Writes all seeds of a cluster, or none.
pub(super) fn run(settings: &Settings, order: &Seed, progress: &dyn Progress) -> Result<Outcome, Failure> {
    let plan = draw(settings, &order.cluster, progress)?;
    let waiting = || progress.note("waiting for another imgbuild that works on this cluster");
    let mut kept = secrets::keep(settings, &order.cluster, &plan, &order.access, progress)?;
    let (suite, templates) = (suite(settings, &plan)?, templates(settings)?);
    let writer = Writer::new(&plan, &kept.identity, &suite, templates)?;
    let staging = Staging::begin(&settings.out.join("clusters").join(&plan.name), waiting)?;
    let before = kept.record.clone();
    let told = {
        let phase = progress.phase("seed", plan.nodes.len() as u64, Unit::Items);
        let shared = Mutex::new(&mut kept.record);
        let (writer, staging, phase, shared, identity) = (&writer, &staging, &phase, &shared, &kept.identity);
        parallel::map_on(settings.jobs.get(), &plan.nodes, move |node| -> Result<(u64, Option<String>)> {
            let draft = writer.draft(node)?;
            let digest = draft.digest();
            let generation = shared.lock().unwrap_or_else(PoisonError::into_inner).generation(&node.name, digest);
            let tree = writer.finish(draft, generation)?;
            staging.add(&tree, form(&order.form))?;
            let nocloud = match &order.form {
                SeedForm::Http(base) => {
                    let served = Served::new(identity, &node.name)?;
                    staging.serve(&tree, &served)?;
                    Some(served.argument(base))
                }
                _ => None,
            };
            phase.advance(1);
            Ok((generation, nocloud))
        })?
    };
    if matches!(order.form, SeedForm::Http(_)) {
        staging.close_listing()?;
    }
    // First the record: a generation that was given out is never given to something else.
    if kept.record != before {
        kept.told()?;
    }
    let folder = staging.publish()?;
    let told: Vec<Told> =
        plan.nodes.iter().zip(told).map(|(node, told)| tell(node, told, &before, &folder, &order.form)).collect();
    Ok(Outcome::new(picture(&plan, &told, &folder, &order.form), &told))
}

fn form(form: &SeedForm) -> Form {
    match form {
        SeedForm::Iso => Form::Iso,
        SeedForm::Vfat => Form::Vfat,
        SeedForm::Folder | SeedForm::Http(_) => Form::Folder,
    }
}

fn tell(
    node: &NodePlan,
    (generation, nocloud): (u64, Option<String>),
    before: &Record,
    folder: &Path,
    form: &SeedForm,
) -> Told {
    let volume = |extension: &str| folder.join(format!("{}.{extension}", node.name));
    Told {
        node: node.name.clone(),
        roles: node.roles.clone(),
        generation,
        changed: before.nodes.get(&node.name).is_none_or(|known| known.generation != generation),
        volume: match form {
            SeedForm::Iso => Some(volume("iso")),
            SeedForm::Vfat => Some(volume("img")),
            SeedForm::Folder | SeedForm::Http(_) => None,
        },
        folder: folder.join(&node.name),
        nocloud,
    }
}

fn picture(plan: &ClusterPlan, told: &[Told], folder: &Path, form: &SeedForm) -> String {
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
    if let SeedForm::Http(base) = form {
        let _ = writeln!(
            text,
            "  serve {} as {base}, and nothing else of {}",
            folder.join(SERVED).display(),
            folder.display()
        );
        let row = |told: &Told| Some(vec![told.node.clone(), format!("'{}'", told.nocloud.as_ref()?)]);
        let rows: Vec<Vec<String>> = told.iter().filter_map(row).collect();
        table(&mut text, "kernel argument or SMBIOS serial number, for plain cloud-init images", &rows);
    }
    text
}

/// The suite of the recipe's distribution.
pub(super) fn suite(settings: &Settings, plan: &ClusterPlan) -> Result<String> {
    let inputs = input::load(&sources(settings), &plan.recipe, &["base"])?;
    Ok(inputs.suite().to_owned())
}

/// The templates that count.
pub(super) fn templates(settings: &Settings) -> Result<Vec<TemplateText>> {
    let found = sources(settings).templates()?;
    Ok(found.into_iter().map(|(name, (shown, text))| TemplateText { name, shown, text }).collect())
}
