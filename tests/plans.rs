//! The plan of every built-in recipe and role, compared with what stands in `tests/golden/`.
//!
//! `UPDATE_EXPECTED=1` rewrites them; a change is explained in the commit's message.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

use imgbuild::input::{Sources, load};
use imgbuild::plan::{Blob, ImagePlan, ImageRequest, check_all, draw_image};
use std::path::{Path, PathBuf};

fn drawn(sources: &Sources, recipe: &str, role: &str, kernel: Option<&str>, parameters: &[(&str, &str)]) -> ImagePlan {
    let inputs = load(sources, recipe, &[role]).unwrap_or_else(|problems| panic!("{problems}"));
    let request = ImageRequest {
        recipe: recipe.to_owned(),
        roles: role.split('+').map(str::to_owned).collect(),
        kernel: kernel.map(str::to_owned),
        parameters: parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        trust: Vec::new(),
    };
    draw_image(&inputs, &request).unwrap_or_else(|problems| panic!("{problems}"))
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn compare(name: &str, text: &str) {
    let file = golden(name);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&file, text).unwrap();
        return;
    }
    let wanted = std::fs::read_to_string(&file).unwrap_or_default();
    let differing = text.lines().zip(wanted.lines()).position(|(a, b)| a != b);
    let line = differing.unwrap_or_else(|| text.lines().count().min(wanted.lines().count()));
    let at = |text: &str| text.lines().nth(line).unwrap_or("(end)").to_owned();
    assert!(
        text == wanted,
        "{name} differs in line {}:\n  golden: {}\n  drawn:  {}\nUPDATE_EXPECTED=1 rewrites it",
        line + 1,
        at(&wanted),
        at(text)
    );
}

/// Certificates are long and have their own digests: the golden plan keeps those.
fn readable(mut plan: ImagePlan) -> String {
    for repository in plan.repositories.iter_mut().chain(&mut plan.tools.repositories) {
        let digest = imgbuild::base::digest::Digest::of(repository.keyring.content.bytes());
        repository.keyring.content = Blob::Text(format!("sha256:{digest}"));
    }
    let mut text = serde_json::to_string_pretty(&plan).unwrap();
    text.push('\n');
    text
}

#[test]
fn builtin_plans_equal_the_golden_ones() {
    let sources = Sources::builtin();
    let roles = sources.roles().unwrap();
    assert!(roles.len() >= 6, "built-in roles are missing: {roles:?}");
    for recipe in sources.recipes().unwrap().keys() {
        let combined = ["haproxy+gateway".to_owned()];
        for role in roles.keys().chain(&combined) {
            compare(&format!("{recipe}.{role}.json"), &readable(drawn(&sources, recipe, role, None, &[])));
        }
    }
    let cloud = drawn(&sources, "debian-trixie", "base", Some("cloud"), &[]);
    compare("debian-trixie.base.cloud.json", &readable(cloud));
}

#[test]
fn plans_survive_serialisation() {
    let plan = drawn(&Sources::builtin(), "debian-trixie", "haproxy+gateway", None, &[]);
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<ImagePlan>(&text).unwrap(), plan);
}

#[test]
fn roles_of_one_recipe_share_the_base_layer() {
    let sources = Sources::builtin();
    let base = drawn(&sources, "debian-trixie", "base", None, &[]).base;
    for role in sources.roles().unwrap().keys() {
        assert_eq!(drawn(&sources, "debian-trixie", role, None, &[]).base, base, "{role}");
    }
}

#[test]
fn builtin_inputs_check_without_problems() {
    let sources = Sources::builtin();
    let drawn = check_all(&sources).unwrap_or_else(|problems| panic!("{problems}"));
    let recipes = sources.recipes().unwrap().len();
    assert!(recipes >= 2, "{recipes} recipes");
    assert_eq!(drawn, 12 * recipes, "six roles, two kernel flavours");
}

#[test]
fn empty_project_folder_offers_the_builtin_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let plan = drawn(&Sources::new(folder.path()), "debian-trixie", "haproxy", None, &[]);
    assert_eq!(plan, drawn(&Sources::builtin(), "debian-trixie", "haproxy", None, &[]));
}

#[test]
fn partitions_and_volumes_lie_where_they_boot() {
    let disk = drawn(&Sources::builtin(), "debian-trixie", "base", None, &[]).disk;
    let sectors: Vec<(u64, u64)> = disk.partitions.iter().map(|p| (p.first.0, p.length.0)).collect();
    let total = disk.size.0 / 512;
    assert_eq!(sectors[..2], [(2048, 2048), (4096, 262_144)]);
    let (first, length) = sectors[2];
    assert_eq!(first, 266_240);
    assert!(first + length <= total - 33, "the backup table needs 33 sectors");
    assert!(total - 33 - (first + length) < 2048, "no room is wasted");
    let group = &disk.volume_group;
    assert_eq!(group.extents.0, (length * 512 - (1 << 20)) / (4 << 20));
    assert_eq!((group.volumes[0].mount.as_str(), group.volumes[0].start.0), ("/", 0));
    for pair in group.volumes.windows(2) {
        assert_eq!(pair[1].start.0, pair[0].start.0 + pair[0].extents.0, "{} follows", pair[1].name);
    }
}
