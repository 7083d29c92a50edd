//! What recipe and roles add to the root, as layers: files rendered, settings turned into files, conflicts told.

use super::accounts::Accounts;
use super::generated::{grow, grub};
use super::overlay::{nested, overlay, plain};
use super::template::{Context, RecipeContext, RoleContext};
use super::{Blob, BuildScript, DebconfAnswer, Disk, Download, Layer, OverlayFile, PinnedFile, TrustedKey, Units};
use crate::input::{Content, DebEntry, Fault, Inputs, ParameterValue, Place, Recipe};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Parameter values of each role, by its name.
pub(super) type Parameters<'a> = BTreeMap<&'a str, BTreeMap<&'a str, ParameterValue>>;

/// The recipe's layer; the same for all roles.
pub(super) fn base(recipe: &Recipe, kernel: &str, faults: &mut Vec<Fault>) -> Layer {
    let mut combined = Combined::default();
    let context = Context { parameters: BTreeMap::new(), recipe: about(recipe), role: RoleContext { name: "base" } };
    combined.add("", &recipe.content, &context, faults);
    let kernel = recipe.kernels.get(kernel).cloned().unwrap_or_default();
    for package in kernel.packages.iter().chain(&recipe.guest_agents) {
        combined.package(&package.value);
    }
    let (groups, users) = Accounts::of_recipe(recipe, faults).values();
    Layer { groups, users, ..combined.finish(faults) }
}

/// What the roles add to it, and the files that depend on the whole image.
pub(super) fn role(
    inputs: &Inputs,
    parameters: &Parameters<'_>,
    disk: &Disk,
    arguments: &[String],
    trust: &[TrustedKey],
    faults: &mut Vec<Fault>,
) -> Layer {
    let mut combined = Combined::default();
    for role in &inputs.roles {
        let values = parameters.get(role.name.as_str());
        let values = values.map(|values| values.iter().map(|(name, value)| (*name, value)).collect());
        let context = Context {
            parameters: values.unwrap_or_default(),
            recipe: about(&inputs.recipe),
            role: RoleContext { name: &role.name },
        };
        combined.add(&role.name, &role.content, &context, faults);
    }
    combined.generated("/usr/lib/imgbuild/grow.json", grow(disk));
    combined.generated("/etc/default/grub.d/imgbuild.cfg", grub(arguments));
    for (number, key) in trust.iter().enumerate() {
        combined.generated(&format!("/usr/lib/imgbuild/trust/{number}.pub"), format!("{}\n", key.key));
    }
    let (groups, users) = Accounts::of_roles(&inputs.recipe, &inputs.roles, faults).values();
    Layer { groups, users, ..combined.finish(faults) }
}

fn about(recipe: &Recipe) -> RecipeContext<'_> {
    RecipeContext {
        name: &recipe.name,
        distribution: &recipe.distribution,
        suite: &recipe.suite,
        architecture: &recipe.architecture,
    }
}

/// Contents of recipe or roles, one added to the other.
#[derive(Default)]
struct Combined {
    layer: Layer,
    files: BTreeMap<String, (Place, String, OverlayFile)>,
    sysctls: BTreeMap<String, (String, String)>,
    units: BTreeMap<String, (&'static str, String)>,
}

impl Combined {
    fn package(&mut self, name: &str) {
        if !self.layer.packages.iter().any(|package| package == name) {
            self.layer.packages.push(name.to_owned());
        }
    }

    /// Adds a document's content; `role` is empty for the recipe.
    fn add(&mut self, role: &str, content: &Content, context: &Context<'_>, faults: &mut Vec<Fault>) {
        for package in &content.packages {
            self.package(&package.value);
        }
        self.layer.debs.extend(content.debs.iter().filter_map(pinned));
        self.downloads(content, faults);
        self.debconf(role, content, faults);
        for file in overlay(content, context, faults) {
            self.file(role, file, faults);
        }
        self.settings(role, content, faults);
        self.units(role, content, faults);
        if let Some(script) = content.build.as_ref().and_then(|build| build.script.clone()) {
            self.layer.build_scripts.push(BuildScript { role: role.to_owned(), content: Blob::new(script) });
        }
    }

    fn downloads(&mut self, content: &Content, faults: &mut Vec<Fault>) {
        for entry in &content.downloads {
            let name = entry.url.split(['?', '#']).next().and_then(|url| url.rsplit('/').next()).unwrap_or_default();
            let name = if name.is_empty() { "download" } else { name };
            let file = PinnedFile { name: name.to_owned(), sha256: entry.sha256, url: Some(entry.url.clone()) };
            let download = Download {
                file,
                path: entry.path.value.clone(),
                unpack: entry.unpack,
                members: entry.members.clone(),
                strip: entry.strip,
                mode: entry.mode,
            };
            let clash = |other: &Download| !(other.unpack && download.unpack) && other.path == download.path;
            match self.layer.downloads.iter().find(|other| clash(other)) {
                Some(other) if *other == download => {}
                Some(_) => {
                    let message = format!("another download goes to {} already", download.path);
                    faults.push(Fault::new(entry.place, message).hint("give one of them another path"));
                }
                None => self.layer.downloads.push(download),
            }
        }
    }

    fn debconf(&mut self, role: &str, content: &Content, faults: &mut Vec<Fault>) {
        for entry in &content.debconf {
            let answer = DebconfAnswer {
                package: entry.package.clone(),
                question: entry.question.clone(),
                kind: entry.kind.clone(),
                value: entry.value.clone(),
            };
            let same = |other: &&DebconfAnswer| other.package == answer.package && other.question == answer.question;
            match self.layer.debconf.iter().find(same) {
                Some(other) if *other == answer => {}
                Some(other) => {
                    let message = format!(
                        "`{}` is answered `{}` already, and here `{}`",
                        answer.question, other.value, answer.value
                    );
                    let whom = if role.is_empty() { "the recipe".to_owned() } else { format!("the role `{role}`") };
                    faults.push(
                        Fault::new(entry.place, message).hint(format!("drop the answer of {whom}, or the other")),
                    );
                }
                None => self.layer.debconf.push(answer),
            }
        }
    }

    fn file(&mut self, role: &str, (place, file): (Place, OverlayFile), faults: &mut Vec<Fault>) {
        if let Some((_, other, earlier)) = self.files.get(&file.path) {
            if *earlier != file {
                let message = format!("the roles `{other}` and `{role}` both bring {}, and differ", file.path);
                let hint =
                    "let one of them leave it out, or bring the same in both; a third role may extend one of them";
                faults.push(Fault::new(place, message).hint(hint));
            }
            return;
        }
        self.files.insert(file.path.clone(), (place, role.to_owned(), file));
    }

    /// A file of imgbuild's own; what a document brings at that path wins.
    fn generated(&mut self, path: &str, text: String) {
        let file = plain(path, text);
        self.files.entry(path.to_owned()).or_insert_with(|| (Place::default(), String::new(), file));
    }

    fn settings(&mut self, role: &str, content: &Content, faults: &mut Vec<Fault>) {
        let (sysctl_file, module_file) = if role.is_empty() {
            ("/etc/sysctl.d/50-imgbuild.conf".to_owned(), "/etc/modules-load.d/imgbuild.conf".to_owned())
        } else {
            (format!("/etc/sysctl.d/60-imgbuild-{role}.conf"), format!("/etc/modules-load.d/imgbuild-{role}.conf"))
        };
        let mut lines = String::new();
        for (key, value) in &content.sysctls {
            let normal = key.replace('/', ".");
            match self.sysctls.get(&normal) {
                Some((other, earlier)) if *earlier != value.value => {
                    let message = format!("`{key}` is {} here and {earlier} in the role `{other}`", value.value);
                    faults.push(Fault::new(value.place, message).hint("a setting has one value: make them agree"));
                }
                _ => {
                    self.sysctls.insert(normal, (role.to_owned(), value.value.clone()));
                }
            }
            let _ = writeln!(lines, "{key} = {}", value.value);
        }
        if !lines.is_empty() {
            self.generated(&sysctl_file, lines);
        }
        if !content.modules.is_empty() {
            let lines: String = content.modules.iter().map(|module| format!("{}\n", module.value)).collect();
            self.generated(&module_file, lines);
        }
    }

    fn units(&mut self, role: &str, content: &Content, faults: &mut Vec<Fault>) {
        let states = [("enabled", &content.enable), ("disabled", &content.disable), ("masked", &content.mask)];
        let mut preset = String::new();
        for (state, units) in states {
            for unit in units {
                match self.units.get(&unit.value) {
                    Some((earlier, other)) if *earlier != state => {
                        let message = format!(
                            "the unit `{}` is {earlier} by the role `{other}` and {state} by `{role}`",
                            unit.value
                        );
                        faults.push(Fault::new(unit.place, message).hint("roles that combine must agree on a unit"));
                    }
                    _ => {
                        self.units.insert(unit.value.clone(), (state, role.to_owned()));
                    }
                }
                match state {
                    "enabled" => {
                        let _ = writeln!(preset, "enable {}", unit.value);
                    }
                    "disabled" => {
                        let _ = writeln!(preset, "disable {}", unit.value);
                    }
                    _ => {}
                }
            }
        }
        if !preset.is_empty() {
            // The first matching line of all preset files counts: a role's come before the recipe's.
            let path = if role.is_empty() {
                "/etc/systemd/system-preset/01-imgbuild.preset".to_owned()
            } else {
                format!("/etc/systemd/system-preset/00-imgbuild-{role}.preset")
            };
            self.generated(&path, preset);
        }
    }

    fn finish(mut self, faults: &mut Vec<Fault>) -> Layer {
        nested(&self.files, faults);
        self.layer.files = self.files.into_values().map(|(_, _, file)| file).collect();
        let mut units = Units::default();
        for (unit, (state, _)) in self.units {
            match state {
                "enabled" => units.enable.push(unit),
                "disabled" => units.disable.push(unit),
                _ => units.mask.push(unit),
            }
        }
        self.layer.units = units;
        self.layer
    }
}

fn pinned(deb: &DebEntry) -> Option<PinnedFile> {
    let (path, sha256, url) = match deb {
        DebEntry::File { path, sha256 } => (&path.value, (*sha256)?, None),
        DebEntry::Url { url, sha256 } => (&url.value, *sha256, Some(url.value.clone())),
    };
    let name = path.rsplit('/').next().unwrap_or(path).to_owned();
    Some(PinnedFile { name, sha256, url })
}
