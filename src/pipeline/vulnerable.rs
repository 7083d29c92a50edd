//! One image's packages by source, and what a list of vulnerabilities says of them.

use crate::base::hint::hinted;
use crate::output::{Manifest, Package, Software};
use crate::package::tracker::{Advisory, Found, State, Urgency, Wanted};
use crate::package::{BuiltFrom, SourceVersion, without_rebuild};
use anyhow::Result;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Names in one line of the table.
const NAMES_SHOWN: usize = 3;

/// What is in an image, as far as a list can speak of it.
pub(super) struct Subject {
    name: String,
    image_id: String,
    packages: usize,
    wanted: Wanted,
    /// Binary packages by source and version.
    holders: BTreeMap<SourceVersion, BTreeSet<String>>,
    /// Packages whose source nothing tells.
    guessed: Vec<String>,
    /// Packages that are not the distribution's.
    foreign: Vec<String>,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    name: String,
    image_id: String,
    packages: usize,
    sources: usize,
    /// Worst first.
    vulnerable: Vec<Finding>,
    /// The same, but named by audit.yaml.
    ignored: Vec<Finding>,
    /// What audit.yaml names, and the image does not have.
    superfluous: Vec<String>,
    /// Packages of which the list says nothing, since they are not the distribution's.
    not_covered: Vec<String>,
    /// Packages whose source is not known: they were looked up by their own names.
    source_guessed: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Finding {
    name: String,
    severity: &'static str,
    source: String,
    version: String,
    /// Binary packages with its code.
    packages: BTreeSet<String>,
    /// `open`, `undetermined` or `fixed`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed_version: Option<String>,
    /// A suite that carries the fix.
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed_in: Option<String>,
    /// What Debian says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remark: Option<String>,
    /// Why audit.yaml finds it no concern.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip)]
    urgency: Urgency,
}

impl Subject {
    /// The packages of an image; `software` is what its list of software says of their sources.
    pub(super) fn new(manifest: &Manifest, software: &Software) -> Result<Self> {
        let distribution = &manifest.distribution;
        if distribution.id != "debian" {
            return Err(hinted(
                format!("the image {} is of {}, which Debian's list does not speak of", manifest.name, distribution.id),
                "Ubuntu publishes its own in another form (OVAL), which imgbuild does not read",
            ));
        }
        let known: BTreeMap<(&str, &str), &BuiltFrom> =
            software.built_from.iter().map(|one| ((one.package.as_str(), one.architecture.as_str()), one)).collect();
        let mut subject = Self {
            name: manifest.name.clone(),
            image_id: manifest.image_id.clone(),
            packages: manifest.packages.len(),
            wanted: Wanted { release: distribution.suite.clone(), sources: BTreeMap::new() },
            holders: BTreeMap::new(),
            guessed: Vec::new(),
            foreign: software.downloads.iter().map(|name| format!("{name} (download)")).collect(),
        };
        for package in &manifest.packages {
            if !is_of(&distribution.id, &package.repository) {
                let text = format!("{} {} ({})", package.name, package.version, package.repository);
                subject.foreign.push(text);
                continue;
            }
            match known.get(&(package.name.as_str(), package.architecture.as_str())) {
                Some(built) => {
                    for source in std::iter::once(&built.source).chain(&built.using) {
                        subject.add(source.clone(), package);
                    }
                }
                None => {
                    subject.guessed.push(package.name.clone());
                    let version = without_rebuild(&package.version).to_owned();
                    subject.add(SourceVersion { name: package.name.clone(), version }, package);
                }
            }
        }
        Ok(subject)
    }

    fn add(&mut self, source: SourceVersion, package: &Package) {
        self.wanted.sources.entry(source.name.clone()).or_default().insert(source.version.clone());
        self.holders.entry(source).or_default().insert(package.name.clone());
    }

    /// What is to be asked of a list.
    pub(super) fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Parts what counts from what a person has judged to be no concern.
    pub(super) fn judge(self, found: Found, judged: &BTreeMap<String, String>) -> Report {
        let mut report = Report {
            name: self.name,
            image_id: self.image_id,
            packages: self.packages,
            sources: self.wanted.sources.len(),
            vulnerable: Vec::new(),
            ignored: Vec::new(),
            superfluous: Vec::new(),
            not_covered: self.foreign,
            source_guessed: self.guessed,
        };
        let names: BTreeSet<&str> = found.advisories.iter().map(|advisory| advisory.name.as_str()).collect();
        report.superfluous = judged.keys().filter(|name| !names.contains(name.as_str())).cloned().collect();
        for advisory in found.advisories {
            let source = SourceVersion { name: advisory.source.clone(), version: advisory.version.clone() };
            let packages = self.holders.get(&source).cloned().unwrap_or_default();
            let reason = judged.get(&advisory.name).cloned();
            let finding = Finding::new(advisory, packages, reason);
            let list = if finding.reason.is_some() { &mut report.ignored } else { &mut report.vulnerable };
            list.push(finding);
        }
        for list in [&mut report.vulnerable, &mut report.ignored] {
            list.sort_by(|a, b| {
                b.urgency
                    .cmp(&a.urgency)
                    .then_with(|| (&a.source, &a.version, &a.name).cmp(&(&b.source, &b.version, &b.name)))
            });
        }
        report
    }
}

/// Whether a repository is one of the distribution's own: `debian`, `debian-security`.
fn is_of(distribution: &str, repository: &str) -> bool {
    repository.strip_prefix(distribution).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

impl Finding {
    fn new(advisory: Advisory, packages: BTreeSet<String>, reason: Option<String>) -> Self {
        let (state, fixed_version, fixed_in) = match advisory.state {
            State::Open => ("open", None, None),
            State::Undetermined => ("undetermined", None, None),
            State::Fixed { version, suite } => ("fixed", Some(version), suite),
        };
        Self {
            name: advisory.name,
            severity: advisory.urgency.word(),
            source: advisory.source,
            version: advisory.version,
            packages,
            state,
            fixed_version,
            fixed_in,
            remark: advisory.remark,
            reason,
            urgency: advisory.urgency,
        }
    }

    /// What can be done, or why nothing is.
    fn remedy(&self) -> String {
        let remark = self.remark.as_deref().map(|remark| format!(" ({remark})")).unwrap_or_default();
        match (self.state, &self.fixed_version, &self.fixed_in) {
            (_, Some(fixed), Some(suite)) => format!("lock --update: {suite} has {fixed} or newer"),
            (_, Some(fixed), None) => format!("fixed in {fixed}, which no suite has yet{remark}"),
            ("open", ..) => format!("no fix in this release{remark}"),
            _ => format!("nobody has looked yet whether it has it{remark}"),
        }
    }
}

impl Report {
    /// The worst that counts.
    pub(super) fn worst(&self) -> Option<Urgency> {
        self.vulnerable.iter().map(|finding| finding.urgency).max()
    }

    /// `1 high, 2 low`.
    fn counts(&self) -> String {
        let mut counts: BTreeMap<Urgency, usize> = BTreeMap::new();
        for finding in &self.vulnerable {
            *counts.entry(finding.urgency).or_default() += 1;
        }
        let counts: Vec<String> =
            counts.iter().rev().map(|(urgency, count)| format!("{count} {}", urgency.word())).collect();
        counts.join(", ")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}: {} packages of {} sources", self.name, self.image_id, self.packages, self.sources)?;
        let mut rows = Vec::new();
        for finding in &self.vulnerable {
            let mut packages: Vec<&str> = finding.packages.iter().take(NAMES_SHOWN).map(String::as_str).collect();
            if finding.packages.len() > NAMES_SHOWN {
                packages.push("...");
            }
            let source = format!("{} {}", finding.source, finding.version);
            rows.push([
                finding.severity.to_owned(),
                finding.name.clone(),
                source,
                packages.join(" "),
                finding.remedy(),
            ]);
        }
        let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
        let widths = [width(0), width(1), width(2), width(3)];
        for row in &rows {
            let [severity, name, source, packages, remedy] = row;
            writeln!(
                f,
                "  {severity:<0$}  {name:<1$}  {source:<2$}  {packages:<3$}  {remedy}",
                widths[0], widths[1], widths[2], widths[3]
            )?;
        }
        match self.vulnerable.len() {
            0 => writeln!(f, "no known vulnerability")?,
            1 => writeln!(f, "1 known vulnerability: {}", self.counts())?,
            more => writeln!(f, "{more} known vulnerabilities: {}", self.counts())?,
        }
        for finding in &self.ignored {
            let reason = finding.reason.as_deref().unwrap_or_default();
            writeln!(f, "ignored: {} in {} ({}): {reason}", finding.name, finding.source, finding.severity)?;
        }
        if !self.superfluous.is_empty() {
            writeln!(f, "audit.yaml names what this image does not have: {}", self.superfluous.join(", "))?;
        }
        if !self.not_covered.is_empty() {
            writeln!(f, "not covered by the list: {}", self.not_covered.join(", "))?;
        }
        if !self.source_guessed.is_empty() {
            let names = self.source_guessed.join(", ");
            writeln!(f, "looked up by their own names, since their source packages are not known: {names}")?;
        }
        Ok(())
    }
}
