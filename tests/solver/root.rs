//! A root of a suite with the suite's own apt, made once by mmdebstrap from the host's own mirror.

use super::sets::Upon;
use anyhow::{Context as _, Result, bail, ensure};
use imgbuild::base::digest::Digest;
use imgbuild::base::process::{Run, find};
use imgbuild::package::control::Stanzas;
use imgbuild::package::universe::{EntryId, Origin, Universe};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(crate) const COMPONENTS: [&str; 3] = ["main", "contrib", "non-free-firmware"];

/// Raised when the way of asking changes.
const ANSWERS_VERSION: u32 = 1;

pub(crate) struct Root {
    pub(crate) path: PathBuf,
    pub(crate) suite: &'static str,
    /// Suite, component and text of each index, in the order of sources.list, which is also apt's.
    texts: Vec<(String, String, Vec<u8>)>,
    /// Of all that apt reads beside the status.
    digest: Digest,
}

/// How apt answered.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Answer {
    /// `name version` of what would be installed; the message when it refuses.
    pub(crate) installed: Result<BTreeSet<String>, String>,
    /// Whether the classic solver had given up and the newer one found it (apt 3.0).
    pub(crate) second_solver: bool,
}

impl Root {
    /// `IMGBUILD_TEST_TRIXIE_ROOT` (or `..._BOOKWORM_ROOT`) names one that is there already.
    pub(crate) fn find_or_make(suite: &'static str) -> Result<Self> {
        let path = std::env::var_os(format!("IMGBUILD_TEST_{}_ROOT", suite.to_uppercase())).map(PathBuf::from);
        let path = path.unwrap_or_else(|| PathBuf::from(format!("/var/tmp/imgbuild-test-{suite}-root")));
        if !path.join("usr/bin/apt-get").exists() {
            make(&path, suite)?;
        }
        let lists = path.join("var/lib/apt/lists");
        let indices = || -> Result<BTreeMap<String, PathBuf>> {
            let entries = std::fs::read_dir(&lists)?.map(|entry| {
                let entry = entry?;
                Ok((entry.file_name().to_string_lossy().into_owned(), entry.path()))
            });
            let found: Result<BTreeMap<_, _>> = entries.collect();
            Ok(found?.into_iter().filter(|(name, _)| name.ends_with("_binary-amd64_Packages")).collect())
        };
        if indices()?.is_empty() {
            Run::new("chroot").arg(&path).args(["apt-get", "update"]).output()?;
        }
        let found = indices()?;
        let mut texts = Vec::new();
        for suite in [suite.to_owned(), format!("{suite}-updates"), format!("{suite}-security")] {
            for component in COMPONENTS {
                let ending = format!("_dists_{suite}_{component}_binary-amd64_Packages");
                if let Some((_, file)) = found.iter().find(|(name, _)| name.ends_with(&ending)) {
                    texts.push((suite.clone(), component.to_owned(), std::fs::read(file)?));
                }
            }
        }
        ensure!(texts.len() >= 3, "the root at {} has {} indices", path.display(), texts.len());
        let digests: Vec<Digest> = texts.iter().map(|(_, _, text)| Digest::of(text)).collect();
        let digest = Digest::of_value(&(ANSWERS_VERSION, digests));
        Ok(Self { path, suite, texts, digest })
    }

    pub(crate) fn universe(&self) -> Universe<'_> {
        let mut universe = Universe::new("amd64");
        for (suite, component, text) in &self.texts {
            let general = if self.suite == "trixie" { "stable" } else { "oldstable" };
            let alias = suite.replacen(self.suite, general, 1);
            let alias: &'static str = Box::leak(alias.into_boxed_str());
            let origin = Origin { repository: "debian", suite, aliases: [Some(alias), None], priority: 500 };
            universe.add_index(origin, text).with_context(|| format!("reading {suite}/{component}")).unwrap();
        }
        universe
    }

    /// What is installed in the root itself.
    pub(crate) fn minimal(&self, universe: &Universe<'_>) -> Vec<EntryId> {
        let status = std::fs::read(self.path.join("var/lib/dpkg/status")).unwrap();
        let mut found = Vec::new();
        for stanza in Stanzas::new(&status) {
            let stanza = stanza.unwrap();
            let (name, version) = (stanza.get("Package").unwrap(), stanza.get("Version").unwrap());
            let ids = universe.versions(name).iter().copied();
            let id = ids.into_iter().find(|id| universe.entry(*id).version == version);
            found.push(id.unwrap_or_else(|| panic!("{name} {version} of {} is in no index", self.path.display())));
        }
        found
    }

    /// Writes the dpkg status in which these packages are installed, for later questions.
    pub(crate) fn set_status(&self, upon: Upon, recommends: bool, installed: &BTreeSet<String>) {
        let mut text = String::new();
        let mut written = BTreeSet::new();
        for (_, _, index) in &self.texts {
            for stanza in Stanzas::new(index) {
                let stanza = stanza.unwrap();
                let key = format!("{} {}", stanza.get("Package").unwrap(), stanza.get("Version").unwrap());
                if installed.contains(&key) && written.insert(key) {
                    let fields =
                        stanza.fields().filter(|(name, _)| !["Filename", "Size", "SHA256", "MD5sum"].contains(name));
                    text.extend(fields.map(|(name, value)| format!("{name}: {value}\n")));
                    text.push_str("Status: install ok installed\n\n");
                }
            }
        }
        // apt keeps its cache as long as the file is not touched.
        let folder = self.path.join(state(upon, recommends).trim_start_matches('/'));
        std::fs::create_dir_all(folder.join("cache")).unwrap();
        if std::fs::read_to_string(folder.join("status")).ok().as_ref() != Some(&text) {
            std::fs::write(folder.join("status"), text).unwrap();
        }
    }

    /// What apt answers over the status that was set before. An answer follows from the indices, the status and the
    /// requests: the same question is not asked twice.
    pub(crate) fn apt(&self, upon: Upon, recommends: bool, requests: &[String]) -> Result<Answer> {
        let state = self.path.join(state(upon, recommends).trim_start_matches('/'));
        let status = Digest::of(&std::fs::read(state.join("status"))?);
        let question = Digest::of_value(&(self.digest, status, upon == Upon::Nothing, recommends, requests));
        let kept = self.path.join("var/tmp/imgbuild-answers").join(question.to_string());
        if let Some(answer) = std::fs::read(&kept).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            return Ok(answer);
        }
        let answer = self.ask(upon, recommends, requests)?;
        std::fs::create_dir_all(kept.parent().context("the folder of answers")?)?;
        std::fs::write(&kept, serde_json::to_vec(&answer)?)?;
        Ok(answer)
    }

    fn ask(&self, upon: Upon, recommends: bool, requests: &[String]) -> Result<Answer> {
        let state = state(upon, recommends);
        let output = Run::new("chroot")
            .arg(&self.path)
            .args(["apt-get", "-s", "-q", "install", "-o", "Dir::State::extended_states=/dev/null"])
            .args(["-o", &format!("Dir::State::status={state}/status"), "-o", &format!("Dir::Cache={state}/cache")])
            // The root's own cache was made with apt itself counted as essential.
            .args(["-o", "pkgCacheGen::ForceEssential=,", "-o", "APT::Get::AutomaticRemove=false"])
            .args(["-o", &format!("APT::Install-Recommends={recommends}")])
            .env("LC_ALL", "C")
            .args((upon == Upon::Nothing).then_some("?essential"))
            .args(requests)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let text = String::from_utf8(output.stdout)?;
        let second_solver = text.contains("3.0 solver") || said.contains("Result calculated by the 3.0 solver");
        if !output.status.success() {
            return Ok(Answer { installed: Err(said), second_solver });
        }
        let mut found = BTreeSet::new();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("Inst") => {
                    let name = words.next().context("Inst without a name")?;
                    let version = words.next().context("Inst without a version")?.trim_start_matches('(');
                    found.insert(format!("{name} {version}"));
                }
                // Here nothing given is ever removed: where apt would, refusing is right.
                Some("Remv") => return Ok(Answer { installed: Err(format!("would remove: {line}")), second_solver }),
                _ => {}
            }
        }
        Ok(Answer { installed: Ok(found), second_solver })
    }
}

/// Folder within the root.
fn state(upon: Upon, recommends: bool) -> String {
    format!("/var/tmp/imgbuild-{upon:?}-{recommends}").to_lowercase()
}

fn make(path: &Path, suite: &str) -> Result<()> {
    ensure!(find("mmdebstrap").is_some(), "mmdebstrap is not installed");
    let policy = Run::new("apt-cache").arg("policy").output()?;
    let policy = String::from_utf8_lossy(&policy.stdout).into_owned();
    let mirrors = policy.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with("http")));
    let mirrors: Vec<&str> = mirrors.collect();
    let main = mirrors.iter().find(|url| url.ends_with("/debian")).context("the host's apt has no Debian mirror")?;
    let security = mirrors.iter().find(|url| url.ends_with("/debian-security"));
    let components = COMPONENTS.join(" ");
    let mut sources = format!("deb {main} {suite} {components}\ndeb {main} {suite}-updates {components}\n");
    if let Some(security) = security {
        sources.push_str(&format!("deb {security} {suite}-security {components}\n"));
    }
    // Beside it first: what was broken off half-way is no root.
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let _ = std::fs::remove_dir_all(&beside);
    let made = Run::new("mmdebstrap")
        .args(["--mode=root", "--variant=apt", "--architectures=amd64", "--skip=cleanup/apt/lists", suite])
        .arg(&beside)
        .arg("-")
        .input(sources)
        .output()?;
    if !made.status.success() {
        bail!("mmdebstrap failed: {}", String::from_utf8_lossy(&made.stderr));
    }
    std::fs::rename(&beside, path)?;
    Ok(())
}
