//! From what was named to image plans: documents loaded, plans drawn.

use crate::base::hint::hinted;
use crate::base::{files, limits};
use crate::cli::meant::{Names, Selection, Settings};
use crate::format::signature;
use crate::input::{self, Inputs, Sources};
use crate::plan::{self, ImagePlan, ImageRequest, TrustedKey};
use anyhow::Result;
use std::collections::BTreeSet;
use std::path::Path;

/// The recipe that is meant when none is named.
pub(super) const DEFAULT_RECIPE: &str = "debian-trixie";

/// One image to build, and where the files beside its documents lie.
pub(super) struct Selected {
    pub(super) plan: ImagePlan,
    pub(super) inputs: Inputs,
}

/// The documents that count: the project's before the built-in ones.
pub(super) fn sources(settings: &Settings) -> Sources {
    Sources::new(&settings.directory)
}

/// Draws the plan of every image that is named.
pub(super) fn select(settings: &Settings, names: &Names, selection: &Selection) -> Result<Vec<Selected>> {
    select_from(&sources(settings), names, selection)
}

/// As [`select`], from these documents.
pub(super) fn select_from(sources: &Sources, names: &Names, selection: &Selection) -> Result<Vec<Selected>> {
    let recipe = selection.recipe.clone().unwrap_or_else(|| DEFAULT_RECIPE.to_owned());
    let names: Vec<String> = match names {
        Names::Given(names) => {
            let mut seen = BTreeSet::new();
            names.iter().filter(|name| seen.insert((*name).clone())).cloned().collect()
        }
        Names::All => sources.roles()?.into_keys().collect(),
    };
    let trust = selection.trust.iter().map(|file| trusted(file)).collect::<Result<Vec<_>>>()?;
    names.iter().map(|name| draw(sources, &recipe, name, selection, &trust)).collect()
}

/// Reads a public key that images are to trust.
fn trusted(file: &Path) -> Result<TrustedKey> {
    let text = files::read(file, limits::SIGNATURE_BYTES)?;
    let found = std::str::from_utf8(&text).ok().and_then(signature::only_ed25519);
    let Some((fingerprint, key)) = found else {
        return Err(hinted(
            format!(
                "{} is no public key that a machine can trust: one line `ssh-ed25519 AAAA...` is wanted",
                file.display()
            ),
            "`ssh-keygen -t ed25519 -f owner` makes a pair: trust owner.pub, and sign clusters with owner",
        ));
    };
    Ok(TrustedKey { fingerprint, key })
}

fn draw(sources: &Sources, recipe: &str, name: &str, selection: &Selection, trust: &[TrustedKey]) -> Result<Selected> {
    let roles: Vec<&str> = name.split('+').collect();
    let inputs = input::load(sources, recipe, &roles)?;
    let request = ImageRequest {
        recipe: recipe.to_owned(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        kernel: selection.kernel.clone(),
        parameters: selection.parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        trust: trust.to_vec(),
    };
    let plan = plan::draw_image(&inputs, &request)?;
    Ok(Selected { plan, inputs })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::num::NonZeroUsize;

    fn settings(folder: &Path) -> Settings {
        let (out, cache) = (folder.join("out"), folder.join("cache"));
        Settings { directory: folder.to_owned(), out, cache, jobs: NonZeroUsize::MIN }
    }

    fn selection() -> Selection {
        let (parameters, repositories) = (BTreeMap::new(), BTreeMap::new());
        Selection {
            recipe: None,
            kernel: None,
            trust: Vec::new(),
            parameters,
            repositories,
            locked: false,
            offline: true,
        }
    }

    fn names(folder: &Path, names: &Names, selection: &Selection) -> Result<Vec<String>> {
        let selected = select(&settings(folder), names, selection)?;
        Ok(selected.into_iter().map(|image| format!("{}/{}", image.plan.recipe, image.plan.name)).collect())
    }

    #[test]
    fn images_come_as_typed_each_once_and_roles_joined_are_one() {
        let folder = tempfile::tempdir().unwrap();
        let given = Names::Given(["haproxy+gateway", "base", "haproxy+gateway"].map(str::to_owned).to_vec());
        let found = names(folder.path(), &given, &selection()).unwrap();
        assert_eq!(found, ["debian-trixie/haproxy+gateway", "debian-trixie/base"]);
    }

    #[test]
    fn all_are_the_built_in_roles_and_those_of_the_project() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("roles/web")).unwrap();
        std::fs::write(folder.path().join("roles/web/role.yaml"), "version: 1\n").unwrap();
        let found = names(folder.path(), &Names::All, &selection()).unwrap();
        let expected = ["base", "etcd", "frontend", "gateway", "gluster", "haproxy", "web"];
        assert_eq!(found, expected.map(|name| format!("debian-trixie/{name}")));
    }

    #[test]
    fn trusted_key_is_part_of_the_plan_and_a_file_of_the_image() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("owner.pub");
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
        std::fs::write(&file, format!("{key} owner@example\n")).unwrap();
        let base = Names::Given(vec!["base".to_owned()]);
        let trusting = Selection { trust: vec![file.clone()], ..selection() };
        let plan = select(&settings(folder.path()), &base, &trusting).unwrap().remove(0).plan;
        assert_eq!(plan.trust.iter().map(|trusted| trusted.key.as_str()).collect::<Vec<_>>(), [key]);
        let written = plan.role.files.iter().find(|file| file.path == "/usr/lib/imgbuild/trust/0.pub").unwrap();
        assert_eq!(written.kind, plan::OverlayKind::File(plan::Blob::Text(format!("{key}\n"))));
        std::fs::write(&file, "ssh-rsa AAAAB3NzaC1yc2E=\n").unwrap();
        let error = names(folder.path(), &base, &trusting).unwrap_err().to_string();
        assert!(error.ends_with("one line `ssh-ed25519 AAAA...` is wanted"), "{error}");
    }

    #[test]
    fn recipes_and_kernels_that_are_not_there_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let base = Names::Given(vec!["base".to_owned()]);
        let other = Selection { recipe: Some("plan9".to_owned()), ..selection() };
        let error = names(folder.path(), &base, &other).unwrap_err().to_string();
        assert!(error.contains("there is no recipe `plan9`"), "{error}");
        let other = Selection { kernel: Some("tiny".to_owned()), ..selection() };
        let error = names(folder.path(), &base, &other).unwrap_err().to_string();
        assert!(error.contains("has no kernel flavour `tiny`"), "{error}");
    }
}
