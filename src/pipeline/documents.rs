//! Commands that only read documents and pins: `plan`, `check`, `lock`, `lock diff`.

use super::pins;
use super::select::{DEFAULT_RECIPE, Selected, select, sources};
use crate::base::progress::Progress;
use crate::cli::meant::{Names, Selection, Settings};
use crate::cli::outcome::{Failure, Outcome};
use crate::package::{Lock, LockDiff, LockMode};
use crate::plan::{self, ImagePlan, Layer, PartitionRole};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// `plan role`: what would be built; asks nothing but the documents.
pub(super) fn plan_images(settings: &Settings, names: &Names, selection: &Selection) -> Result<Outcome, Failure> {
    let plans: Vec<ImagePlan> = select(settings, names, selection)?.into_iter().map(|image| image.plan).collect();
    let text: Vec<String> = plans.iter().map(draw).collect();
    Ok(Outcome::new(text.join("\n"), &plans))
}

fn draw(plan: &ImagePlan) -> String {
    let mut text = format!(
        "{} from {} ({} {}, kernel {})\n",
        plan.name, plan.recipe, plan.distribution.suite, plan.architecture, plan.kernel
    );
    for key in &plan.trust {
        let _ = writeln!(text, "  trusts clusters signed by {}", key.fingerprint);
    }
    layer(&mut text, "base layer", &plan.base);
    layer(&mut text, "role", &plan.role);
    let disk = &plan.disk;
    let _ = writeln!(text, "  disk {}", disk.size);
    for partition in &disk.partitions {
        let _ = writeln!(text, "    {} {:<10} {:>10}", partition.number, partition.name, partition.length.bytes());
        if partition.role == PartitionRole::Lvm {
            for volume in &disk.volume_group.volumes {
                let size = volume.extents.bytes();
                let _ =
                    writeln!(text, "      {}/{:<8} {size:>10}  {}", disk.volume_group.name, volume.name, volume.mount);
            }
        }
    }
    text
}

fn layer(text: &mut String, name: &str, layer: &Layer) {
    let _ = writeln!(
        text,
        "  {name}: {} packages named, {} files, {} downloads, {} build scripts",
        layer.packages.len() + layer.debs.len(),
        layer.files.len(),
        layer.downloads.len(),
        layer.build_scripts.len()
    );
    if !layer.packages.is_empty() {
        let _ = writeln!(text, "    {}", layer.packages.join(" "));
    }
}

/// `check`: every document of the project and of the built-ins.
pub(super) fn check(settings: &Settings, selection: &Selection) -> Result<Outcome, Failure> {
    #[derive(Serialize)]
    struct Checked {
        recipes: usize,
        roles: usize,
        clusters: usize,
    }
    let sources = sources(settings);
    let (images, clusters) = (plan::check_all(&sources), plan::check_clusters(&sources));
    if let (Err(mut problems), Err(more)) = (images.clone(), clusters.clone()) {
        problems.merge(more);
        return Err(problems.into());
    }
    images?;
    let clusters = clusters?;
    if let Some(recipe) = &selection.recipe {
        select(settings, &Names::All, &Selection { recipe: Some(recipe.clone()), ..selection.clone() })?;
    }
    let (recipes, roles) = (sources.recipes()?.len(), sources.roles()?.len());
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let counts = [counted(recipes, "recipe"), counted(roles, "role"), counted(clusters, "cluster")];
    let text = format!("{}, {} and {} are sound\n", counts[0], counts[1], counts[2]);
    Ok(Outcome::new(text, &Checked { recipes, roles, clusters }))
}

/// `lock`: pins what the images need; for all roles it also forgets those that are gone.
pub(super) fn lock(
    settings: &Settings,
    names: &Names,
    update: bool,
    selection: &Selection,
    progress: &dyn Progress,
) -> Result<Outcome, Failure> {
    let selected = select(settings, names, selection)?;
    let client = pins::client(settings, selection);
    let mode = pins::mode(selection, update);
    let known = known_roles(settings)?;
    let (before, after, _) = pins::change(settings, progress, |lock| {
        if *names == Names::All && mode != LockMode::Locked {
            lock.retain_roles(&known);
        }
        pins::resolve_all(lock, &selected, mode, &client, progress)
    })?;
    Ok(difference(&before, &after))
}

/// `lock diff`: what updating would change of the images that are pinned (of all roles where none is); writes nothing.
pub(super) fn lock_diff(
    settings: &Settings,
    selection: &Selection,
    progress: &dyn Progress,
) -> Result<Outcome, Failure> {
    let before = Lock::load(&pins::lock_path(settings))?;
    let mut after = before.clone();
    after.retain_roles(&known_roles(settings)?);
    let names = match after.images(selection.recipe.as_deref().unwrap_or(DEFAULT_RECIPE)) {
        none if none.is_empty() => Names::All,
        images => Names::Given(images.into_iter().collect()),
    };
    let selected: Vec<Selected> = select(settings, &names, selection)?;
    let client = pins::client(settings, selection);
    pins::resolve_all(&mut after, &selected, LockMode::Update, &client, progress)?;
    Ok(difference(&before, &after))
}

fn known_roles(settings: &Settings) -> Result<BTreeSet<String>, Failure> {
    Ok(sources(settings).roles()?.into_keys().collect())
}

fn difference(before: &Lock, after: &Lock) -> Outcome {
    let difference = LockDiff::between(before, after);
    if difference.is_empty() {
        return Outcome::new("the lock is unchanged\n", &serde_json::json!({"changes": []}));
    }
    Outcome::new(difference.to_string(), &difference)
}
