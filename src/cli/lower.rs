//! From what was typed to what is meant: defaults filled in, paths made absolute, duplicates refused.

use super::meant::{self, Command, Request, Settings};
use super::typed::{self, Typed, Verb};
use super::typed_seed::SeedForm;
use crate::base::hint::hinted;
use crate::base::secret::Secret;
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Environment variables of this prefix name repositories: `IMGBUILD_REPOSITORY_DEBIAN_SECURITY=URL`.
const REPOSITORY_PREFIX: &str = "IMGBUILD_REPOSITORY_";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Meant {
    /// An order to the pipeline.
    Order(Box<Request>),
    /// A completion script for standard output.
    Completions(clap_complete::Shell),
    /// Man pages into this folder.
    Man(PathBuf),
}

/// What surrounds a command line.
#[derive(Debug)]
pub struct Surroundings {
    /// The folder in which the program was started.
    pub folder: PathBuf,
    /// Environment variables (those that are UTF-8).
    pub variables: BTreeMap<String, String>,
    /// Processors of this machine.
    pub processors: NonZeroUsize,
}

impl Surroundings {
    /// Those of this process.
    ///
    /// # Errors
    /// When the current folder cannot be told.
    pub fn of_process() -> Result<Self> {
        let variables = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Ok(Self {
            folder: std::env::current_dir().context("finding the current folder")?,
            variables: variables.collect(),
            processors: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        })
    }
}

/// Says what is meant by what was typed.
///
/// # Errors
/// When values contradict each other or no cache folder can be told.
pub fn lower(typed: Typed, around: &Surroundings) -> Result<Meant> {
    let directory = match &typed.common.directory {
        Some(folder) => around.folder.join(folder),
        None => around.folder.clone(),
    };
    let directory = tidy(&directory);
    let here = |path: &Path| tidy(&directory.join(path));
    let command = match typed.verb {
        Verb::Completions { shell } => return Ok(Meant::Completions(shell)),
        Verb::Man { folder } => return Ok(Meant::Man(here(&folder))),
        Verb::Role(role) => Command::Role(meant::Role {
            names: names(role.names)?,
            selection: selection(role.selection, around, here)?,
            formats: formats(&role.formats),
            compression: match role.compression {
                typed::Compression::Zstd => meant::Compression::Zstd,
                typed::Compression::Zlib => meant::Compression::Zlib,
            },
            sign: role
                .sign
                .as_deref()
                .map(|key| meant::Sign { key: here(key), password: role.sign_password.as_deref().map(here) }),
            debug_shell: role.debug_shell,
            bundle: role.bundle.as_deref().map(here),
        }),
        Verb::Bundle(typed::Bundle { verb: Some(typed::BundleVerb::Import { file }), .. }) => {
            Command::BundleImport { file: here(&file) }
        }
        Verb::Bundle(bundle) => Command::Bundle(meant::Bundle {
            names: names(bundle.names)?,
            selection: selection(bundle.selection, around, here)?,
            file: bundle.file.as_deref().map(here),
        }),
        Verb::Audit(audit) => Command::Audit(meant::Audit {
            images: audit.images,
            against: audit.against,
            fail_on: match audit.fail_on {
                typed::Severity::Unimportant => meant::Severity::Unimportant,
                typed::Severity::Low => meant::Severity::Low,
                typed::Severity::Unassigned => meant::Severity::Unassigned,
                typed::Severity::Medium => meant::Severity::Medium,
                typed::Severity::High => meant::Severity::High,
                typed::Severity::Never => meant::Severity::Never,
            },
            offline: audit.offline,
        }),
        Verb::Plan(typed::Plan::Role { names: wanted, selection: chosen }) => {
            Command::Plan { names: names(wanted)?, selection: selection(chosen, around, here)? }
        }
        Verb::Plan(typed::Plan::Cluster { cluster }) => Command::PlanCluster { cluster },
        Verb::Seed(seed) => Command::Seed(meant::Seed {
            access: access(&seed.access, &here, around),
            cluster: seed.cluster,
            form: match seed.form {
                SeedForm::Iso => meant::SeedForm::Iso,
                SeedForm::Vfat => meant::SeedForm::Vfat,
                SeedForm::Folder => meant::SeedForm::Folder,
                SeedForm::Http => meant::SeedForm::Http(served(seed.url.as_deref().unwrap_or_default())?),
            },
        }),
        Verb::Check { cluster, deep, selection: chosen } => {
            Command::Check { cluster, deep, selection: selection(chosen, around, here)? }
        }
        Verb::Lock(typed::Lock { verb: Some(typed::LockVerb::Diff(chosen)), .. }) => {
            Command::LockDiff { selection: selection(chosen, around, here)? }
        }
        Verb::Lock(lock) => Command::Lock {
            names: names(typed::Names { all: lock.names.is_empty(), names: lock.names })?,
            update: lock.update,
            selection: selection(lock.selection, around, here)?,
        },
        Verb::Boot(boot) => Command::Boot(meant::Boot {
            image: boot.image,
            firmware: match boot.firmware {
                typed::Firmware::Bios => meant::Firmware::Bios,
                typed::Firmware::Uefi => meant::Firmware::Uefi,
                typed::Firmware::Secure => meant::Firmware::Secure,
            },
            seed: boot.seed.as_deref().map(here),
            size: boot.size,
            memory: boot.memory,
            processors: boot.processors,
            disk: boot.disk.as_deref().map(here),
            ssh_port: boot.ssh_port,
            selection: selection(boot.selection, around, here)?,
        }),
        Verb::Lab(lab) => {
            match super::lower_lab::lower(lab, typed.common.json, here, |chosen| selection(chosen, around, here))? {
                Ok(lab) => Command::Lab(lab),
                Err(folder) => Command::LabServe { folder },
            }
        }
        Verb::MachineTools(chosen) => Command::MachineTools { selection: selection(chosen, around, here)? },
        Verb::Shell(shell) => Command::Shell { name: shell.name, selection: selection(shell.selection, around, here)? },
        Verb::Inspect { file } => {
            let (image, path) = within(&file).filter(|_| !here(&file).exists()).unzip();
            Command::Inspect { file: here(image.as_deref().unwrap_or(&file)), path }
        }
        Verb::Diff { a, b } => Command::Diff { a, b },
        Verb::Verify(verify) => Command::Verify(meant::Verify {
            name: verify.name,
            signer: verify.signer,
            rebuild: verify.rebuild,
            selection: selection(verify.selection, around, here)?,
        }),
        Verb::Secrets(verb) => Command::Secrets(secrets(verb, &here, around)),
        Verb::Cache(typed::Cache::Status) => Command::CacheStatus,
        Verb::Cache(typed::Cache::Prune) => Command::CachePrune,
        Verb::Doctor(typed) => Command::Doctor { repositories: repositories(typed, around)? },
        Verb::Init { force } => Command::Init { force },
    };
    let settings = Settings {
        out: here(typed.common.out.as_deref().unwrap_or(Path::new("out"))),
        cache: tidy(&crate::base::files::cache_folder(typed.common.cache.as_deref().map(here).as_deref())?),
        jobs: typed.common.jobs.unwrap_or(around.processors),
        directory,
    };
    Ok(Meant::Order(Box::new(Request { settings, command })))
}

fn secrets(typed: typed::Secrets, here: &dyn Fn(&Path) -> PathBuf, around: &Surroundings) -> meant::Secrets {
    let (of, verb) = match typed {
        typed::Secrets::Make(of) => (of, meant::SecretsVerb::Make),
        typed::Secrets::Show(of) => (of, meant::SecretsVerb::Show),
        typed::Secrets::Unseal(of) => (of, meant::SecretsVerb::Unseal),
        typed::Secrets::Move { of, to: typed::Keeping::Vault } => (of, meant::SecretsVerb::Move(meant::Keeping::Vault)),
        typed::Secrets::Move { of, to: typed::Keeping::Files } => (of, meant::SecretsVerb::Move(meant::Keeping::Files)),
        typed::Secrets::Seal { of, to } => (of, meant::SecretsVerb::Seal { to }),
        typed::Secrets::Renew { of, names, all, authority, new_keys } => {
            let renewal = meant::Renewal { names, all, authorities: authority, keys: new_keys };
            (of, meant::SecretsVerb::Renew(renewal))
        }
    };
    meant::Secrets { cluster: of.cluster, access: access(&of.access, here, around), verb }
}

/// Where seeds are served: an address that survives a kernel's command line, and that cloud-init leaves as it is.
fn served(url: &str) -> Result<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let clean = |c: char| c.is_ascii_alphanumeric() || "-._~:/[]".contains(c);
    match rest {
        Some(rest)
            if !rest.starts_with(['/', ':']) && !rest.is_empty() && rest.chars().all(clean) && !rest.contains("__") =>
        {
            Ok(format!("{}/", url.trim_end_matches('/')))
        }
        _ => Err(hinted(
            format!("`{url}` is no address that machines could be told"),
            "write where the folder is served, such as https://seeds.example.org/demo/: letters, digits and -._~:/ alone",
        )),
    }
}

/// How secrets are opened: the identity that is given, else the one in the user's configuration.
fn access(typed: &typed::Access, here: &dyn Fn(&Path) -> PathBuf, around: &Surroundings) -> meant::Access {
    let variable = |name: &str| around.variables.get(name).map(Path::new).filter(|path| path.is_absolute());
    let usual = || {
        let configuration = variable("XDG_CONFIG_HOME").map(Path::to_owned);
        let configuration = configuration.or_else(|| variable("HOME").map(|home| home.join(".config")));
        configuration.unwrap_or_default().join("imgbuild/identity.txt")
    };
    meant::Access { identity: typed.identity.as_deref().map_or_else(usual, here), vault: vault(here, around) }
}

/// What the environment says of Vault, by the names that Vault's own command knows.
fn vault(here: &dyn Fn(&Path) -> PathBuf, around: &Surroundings) -> meant::VaultAccess {
    let text = |name: &str| around.variables.get(name).filter(|value| !value.is_empty()).cloned();
    let role = text("VAULT_ROLE_ID").zip(text("VAULT_SECRET_ID").map(Secret::new));
    meant::VaultAccess {
        address: text("VAULT_ADDR"),
        token: text("VAULT_TOKEN").map(Secret::new),
        token_file: text("HOME").map(|home| Path::new(&home).join(".vault-token")),
        role,
        namespace: text("VAULT_NAMESPACE"),
        authority: text("VAULT_CACERT").map(|file| here(Path::new(&file))),
    }
}

/// The path without `.` components; `..` stays, because of symbolic links.
fn tidy(path: &Path) -> PathBuf {
    path.components().collect()
}

/// An image and a path in it: `web.qcow2:/etc/fstab`.
fn within(typed: &Path) -> Option<(PathBuf, String)> {
    let (image, path) = typed.to_str()?.split_once(":/")?;
    Some((PathBuf::from(image), path.to_owned()))
}

fn names(typed: typed::Names) -> Result<meant::Names> {
    if typed.all {
        return Ok(meant::Names::All);
    }
    let mut given: Vec<String> = Vec::new();
    for name in typed.names {
        if given.contains(&name) {
            return Err(hinted(format!("`{name}` is named twice"), "name each image once"));
        }
        given.push(name);
    }
    Ok(meant::Names::Given(given))
}

fn formats(typed: &[typed::Format]) -> Vec<meant::Format> {
    let mut formats = Vec::new();
    for format in typed {
        let format = match format {
            typed::Format::Qcow2 => meant::Format::Qcow2,
            typed::Format::Raw => meant::Format::Raw,
        };
        if !formats.contains(&format) {
            formats.push(format);
        }
    }
    formats
}

fn selection(
    typed: typed::Selection,
    around: &Surroundings,
    here: impl Fn(&Path) -> PathBuf,
) -> Result<meant::Selection> {
    Ok(meant::Selection {
        recipe: typed.recipe,
        kernel: typed.kernel,
        trust: typed.trust.iter().map(|path| here(path)).collect(),
        parameters: once_each("--parameter", typed.parameters)?,
        repositories: repositories(typed.repositories, around)?,
        locked: typed.locked,
        offline: typed.offline,
    })
}

/// What is typed wins over the environment; the same name typed twice is a mistake.
fn repositories(typed: typed::Repositories, around: &Surroundings) -> Result<BTreeMap<String, String>> {
    let mut repositories = BTreeMap::new();
    for (variable, url) in &around.variables {
        if let Some(name) = variable.strip_prefix(REPOSITORY_PREFIX).filter(|_| !url.is_empty()) {
            repositories.insert(name.to_ascii_lowercase().replace('_', "-"), url.clone());
        }
    }
    repositories.extend(once_each("--repository", typed.repositories)?);
    Ok(repositories)
}

fn once_each(flag: &str, pairs: Vec<(String, String)>) -> Result<BTreeMap<String, String>> {
    let mut map = BTreeMap::new();
    for (name, value) in pairs {
        if let Some(earlier) = map.insert(name.clone(), value.clone()) {
            return Err(hinted(
                format!("`{flag}` gives `{name}` twice: `{earlier}` and `{value}`"),
                "give each name once",
            ));
        }
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn meant(line: &str, variables: &[(&str, &str)]) -> Result<Meant> {
        let words = std::iter::once("imgbuild").chain(line.split_whitespace());
        let around = Surroundings {
            folder: PathBuf::from("/home/someone"),
            variables: variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            processors: NonZeroUsize::new(2).unwrap(),
        };
        lower(Typed::try_parse_from(words)?, &around)
    }

    fn order(line: &str) -> Request {
        match meant(line, &[]).unwrap() {
            Meant::Order(request) => *request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn role_with_defaults_is_one_qcow2_image_of_the_default_recipe() {
        let request = order("--cache /c role haproxy");
        assert_eq!(request.settings.out, Path::new("/home/someone/out"));
        assert_eq!(request.settings.cache, Path::new("/c"));
        assert_eq!(request.settings.jobs.get(), 2);
        let Command::Role(role) = request.command else { panic!() };
        assert_eq!(role.names, meant::Names::Given(vec!["haproxy".into()]));
        assert_eq!(role.formats, [meant::Format::Qcow2]);
        assert_eq!(role.compression, meant::Compression::Zstd);
        assert_eq!(role.selection.recipe, None);
    }

    #[test]
    fn seeds_are_served_at_an_address_that_a_kernels_command_line_can_hold() {
        let form = |url: &str| match meant(&format!("seed demo --form http --url {url}"), &[]) {
            Ok(Meant::Order(request)) => match request.command {
                Command::Seed(seed) => Ok(seed.form),
                _ => panic!(),
            },
            Ok(_) => panic!(),
            Err(error) => Err(format!("{error:#}")),
        };
        let good = Ok(meant::SeedForm::Http("https://seeds.example.org:8443/demo/".to_owned()));
        assert_eq!(form("https://seeds.example.org:8443/demo"), good);
        assert_eq!(form("https://seeds.example.org:8443/demo//"), good);
        for bad in [
            "seeds.example.org",
            "ftp://seeds.example.org/",
            "https:///demo",
            "https://:80/",
            "http://user:word@host/",
            "http://host/a;b",
            "http://host/%s",
            "http://host/?a=b",
            "http://host/__dmi.system-uuid__/",
            "http://host/a'b",
        ] {
            assert_eq!(form(bad), Err(format!("`{bad}` is no address that machines could be told")));
        }
    }

    #[test]
    fn build_is_another_word_for_role() {
        assert_eq!(
            order("--cache c build etcd --format raw,qcow2,raw"),
            order("--cache c role etcd --format raw,qcow2")
        );
    }

    #[test]
    fn relative_paths_start_at_the_directory() {
        let request = order("-C work/./here role base --out results --cache cache --jobs 7");
        assert_eq!(request.settings.directory, Path::new("/home/someone/work/here"));
        assert_eq!(request.settings.out, Path::new("/home/someone/work/here/results"));
        assert_eq!(request.settings.cache, Path::new("/home/someone/work/here/cache"));
        assert_eq!(request.settings.jobs.get(), 7);
    }

    #[test]
    fn repositories_typed_win_over_the_environment() {
        let variables = [
            ("IMGBUILD_REPOSITORY_DEBIAN", "http://one.example/debian"),
            ("IMGBUILD_REPOSITORY_DEBIAN_SECURITY", "http://one.example/security"),
            ("IMGBUILD_REPOSITORY_EMPTY", ""),
        ];
        let line = "--cache c check --repository debian=http://two.example/debian";
        let Ok(Meant::Order(request)) = meant(line, &variables) else { panic!() };
        let Command::Check { selection, cluster: None, .. } = request.command else { panic!() };
        let expected = [("debian", "http://two.example/debian"), ("debian-security", "http://one.example/security")];
        let found: Vec<_> = selection.repositories.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_path_behind_an_image_is_one_within_it() {
        let inspected = |line: &str| match order(&format!("--cache c inspect {line}")).command {
            Command::Inspect { file, path } => (file, path),
            other => panic!("{other:?}"),
        };
        let image = PathBuf::from("/home/someone/web.qcow2");
        assert_eq!(inspected("web.qcow2"), (image.clone(), None));
        assert_eq!(inspected("web.qcow2:/etc/fstab"), (image.clone(), Some("etc/fstab".to_owned())));
        assert_eq!(inspected("web.qcow2:/"), (image, Some(String::new())));
    }

    #[test]
    fn keys_and_their_passwords_are_files_of_the_directory() {
        let Command::Role(role) = order("-C /srv --cache c role a --sign keys/k --sign-password p").command else {
            panic!()
        };
        let expected = meant::Sign { key: "/srv/keys/k".into(), password: Some("/srv/p".into()) };
        assert_eq!(role.sign, Some(expected));
    }

    #[test]
    fn secrets_are_opened_as_flags_and_environment_say() {
        let access = |line: &str, variables: &[(&str, &str)]| {
            let Ok(Meant::Order(request)) = meant(line, variables) else { panic!() };
            let Command::Secrets(secrets) = request.command else { panic!() };
            secrets.access
        };
        let home = [("HOME", "/home/me"), ("VAULT_TOKEN", "hvs.x"), ("VAULT_ROLE_ID", "r"), ("VAULT_SECRET_ID", "s")];
        let found = access("--cache /c secrets show demo", &home);
        assert_eq!(found.identity, Path::new("/home/me/.config/imgbuild/identity.txt"));
        assert_eq!(found.vault.token_file.as_deref(), Some(Path::new("/home/me/.vault-token")));
        let shown = format!("{:?}", found.vault);
        assert!(shown.contains("token: Some(***)") && shown.contains("role: Some((\"r\", ***))"), "{shown}");
        let found = access("--cache /c secrets unseal demo --identity key", &[("XDG_CONFIG_HOME", "/x")]);
        assert_eq!((found.identity.as_path(), found.vault.token), (Path::new("/home/someone/key"), None));
    }

    #[test]
    fn lock_without_names_is_about_every_role() {
        let Command::Lock { names, update, .. } = order("--cache c lock --update").command else { panic!() };
        assert_eq!((names, update), (meant::Names::All, true));
        assert!(
            matches!(order("--cache c lock diff --recipe x").command, Command::LockDiff { selection } if selection.recipe.as_deref() == Some("x"))
        );
    }

    #[test]
    fn contradictions_are_refused_with_a_message() {
        let cases = [
            ("role", "required arguments were not provided"),
            ("role a --all", "cannot be used with"),
            ("role a a", "`a` is named twice"),
            ("role a --format vmdkk", "invalid value 'vmdkk'"),
            ("role a --repository debian", "write it as NAME=VALUE"),
            ("role a --repository x=1 --repository x=2", "`--repository` gives `x` twice: `1` and `2`"),
            ("boot a --size 20X", "`20X` is not a size"),
            ("-q -v doctor", "cannot be used with"),
            ("rol a", "similar subcommand exists: 'role'"),
            ("role a --jobs 0", "invalid value '0'"),
        ];
        for (line, expected) in cases {
            let message = format!("{:#}", meant(&format!("{line} --cache c"), &[]).unwrap_err());
            assert!(message.contains(expected), "{line}: {message}");
        }
    }
}
