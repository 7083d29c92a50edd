//! Packages about to be unpacked: control data read, order decided.

use crate::package::control::Stanza;
pub(super) use crate::package::deb::normalised;
use crate::package::deb::{ControlArchive, Deb};
use crate::package::{PackageFile, Pin};
use anyhow::{Context as _, Result};
use std::collections::{BTreeMap, BTreeSet};

/// One package, opened.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) pin: Pin,
    pub(super) deb: Deb,
    pub(super) control: ControlArchive,
    /// How dpkg names its files: `name`, or `name:architecture` for `Multi-Arch: same`.
    pub(super) info_name: String,
    /// Its conffiles in the order of its list, which dpkg's status keeps.
    pub(super) conffiles: Vec<Conffile>,
    /// Packages that must come before, by relation: Pre-Depends and Depends.
    needs: Vec<Vec<String>>,
    /// Packages (real and virtual names) whose files it may take over.
    replaces: BTreeSet<String>,
    provides: BTreeSet<String>,
    essential: bool,
}

/// A line of a package's list of conffiles (deb-conffiles(5)).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conffile {
    /// Without leading slash.
    pub(super) path: String,
    /// Upgrades are to remove it: it is not shipped.
    pub(super) obsolete: bool,
}

impl Conffile {
    fn parse(line: &str) -> Option<Self> {
        let (path, obsolete) =
            line.strip_prefix("remove-on-upgrade ").map_or((line, false), |path| (path.trim_start(), true));
        let path = path.trim_end().strip_prefix('/')?.trim_start_matches('/');
        Some(Self { path: path.to_owned(), obsolete })
    }
}

impl Incoming {
    fn open(file: &PackageFile) -> Result<Self> {
        let opening = || format!("opening package {} {}", file.pin.name, file.pin.version);
        let deb = Deb::open(&file.file).with_context(opening)?;
        let control = deb.control().with_context(opening)?;
        let lines = control.lines("conffiles").with_context(opening)?;
        let conffiles = lines.iter().filter_map(|line| Conffile::parse(line)).collect();
        let stanza = control.stanza().with_context(opening)?;
        let same = stanza.get("Multi-Arch").is_some_and(|value| value == "same");
        let info_name =
            if same { format!("{}:{}", file.pin.name, file.pin.architecture) } else { file.pin.name.clone() };
        let mut needs = relations(&stanza, "Pre-Depends");
        needs.extend(relations(&stanza, "Depends"));
        let replaces = relations(&stanza, "Replaces").into_iter().flatten().collect();
        let provides = relations(&stanza, "Provides").into_iter().flatten().collect();
        let yes = |field: &str| stanza.get(field).is_some_and(|value| value == "yes");
        let essential = yes("Essential");
        Ok(Self { pin: file.pin.clone(), deb, info_name, conffiles, needs, replaces, provides, essential, control })
    }

    /// Whether it has this maintainer script.
    pub(super) fn has(&self, script: &str) -> bool {
        self.control.files.contains_key(script)
    }

    /// Whether its files win over those of another package that owns the same path.
    pub(super) fn replaces(&self, other: &str, other_provides: &BTreeSet<String>) -> bool {
        self.replaces.contains(other) || self.replaces.iter().any(|name| other_provides.contains(name))
    }

    /// The virtual packages that it stands for.
    pub(super) fn provides(&self) -> &BTreeSet<String> {
        &self.provides
    }
}

/// The names of a relation field: one list of alternatives for each comma. Versions were the solver's affair.
fn relations(stanza: &Stanza<'_>, field: &str) -> Vec<Vec<String>> {
    let name = |text: &str| {
        let end = text.find([' ', '(', ':', '[', '<', '\n']).unwrap_or(text.len());
        text[..end].to_owned()
    };
    let value = stanza.get(field).unwrap_or_default();
    let groups = value.split(',').map(str::trim).filter(|group| !group.is_empty());
    groups.map(|group| group.split('|').map(|alternative| name(alternative.trim())).collect()).collect()
}

/// The packages of one layer in the order in which scripts see them: what a package needs comes before it where
/// that can be, otherwise by name.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) packages: Vec<Incoming>,
    by_name: BTreeMap<String, Vec<usize>>,
}

impl Order {
    /// Opens all packages and sorts them.
    pub(super) fn open(files: &[PackageFile]) -> Result<Self> {
        let mut opened = crate::base::parallel::map(files, Incoming::open)?;
        opened.sort_by(|one, other| one.pin.cmp(&other.pin));
        let unsorted = Self::indexed(opened);
        let order = unsorted.sorted();
        let mut slots: Vec<Option<Incoming>> = unsorted.packages.into_iter().map(Some).collect();
        Ok(Self::indexed(order.into_iter().filter_map(|at| slots[at].take()).collect()))
    }

    fn indexed(packages: Vec<Incoming>) -> Self {
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, package) in packages.iter().enumerate() {
            by_name.entry(package.pin.name.clone()).or_default().push(at);
        }
        for (at, package) in packages.iter().enumerate() {
            for name in &package.provides {
                by_name.entry(name.clone()).or_default().push(at);
            }
        }
        Self { packages, by_name }
    }

    /// Who is unpacked before all others: base-files has the links of a merged /usr, base-passwd the names of owners.
    pub(super) fn leaders(&self) -> Vec<usize> {
        let places = ["base-files", "base-passwd"].into_iter().filter_map(|name| {
            let found = self.by_name.get(name)?.first()?;
            (self.packages[*found].pin.name == name).then_some(*found)
        });
        places.collect()
    }

    /// Depth first along Pre-Depends and Depends; base-files leads, because it ships the links of a merged /usr.
    fn sorted(&self) -> Vec<usize> {
        let essentials = (0..self.packages.len()).filter(|at| self.packages[*at].essential);
        let mut order = self.leaders();
        let mut seen: BTreeSet<usize> = order.iter().copied().collect();
        for at in essentials.chain(0..self.packages.len()) {
            self.visit(at, &mut seen, &mut order);
        }
        order
    }

    fn visit(&self, start: usize, seen: &mut BTreeSet<usize>, order: &mut Vec<usize>) {
        // An explicit stack: a chain of dependencies may be long.
        let mut stack = vec![(start, false)];
        while let Some((at, done)) = stack.pop() {
            if done {
                order.push(at);
            } else if seen.insert(at) {
                stack.push((at, true));
                stack.extend(self.needed_by(at).into_iter().rev().map(|need| (need, false)));
            }
        }
    }

    /// What a package needs, among the packages of this layer: of each relation the first alternative at hand.
    fn needed_by(&self, at: usize) -> Vec<usize> {
        let needs = self.packages[at].needs.iter();
        needs.filter_map(|group| group.iter().find_map(|name| self.by_name.get(name)?.first().copied())).collect()
    }

    /// What must be configured before the preinst scripts of ordinary packages may run: the Essential packages,
    /// whatever the packages with a preinst need before them, and all that these need.
    pub(super) fn bootstrap(&self) -> BTreeSet<usize> {
        let mut closure = Vec::new();
        let mut seen = BTreeSet::new();
        for (at, package) in self.packages.iter().enumerate() {
            if package.essential {
                self.visit(at, &mut seen, &mut closure);
            } else if package.has("preinst") {
                let stanza = package.control.stanza();
                let before = stanza.map(|stanza| relations(&stanza, "Pre-Depends")).unwrap_or_default();
                for group in before {
                    if let Some(need) = group.iter().find_map(|name| self.by_name.get(name)?.first().copied()) {
                        self.visit(need, &mut seen, &mut closure);
                    }
                }
            }
        }
        closure.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::control::single;

    #[test]
    fn relations_are_names_grouped_by_alternatives() {
        let stanza = single(b"Depends: libc6 (>= 2.3), awk | mawk:any,\n python3:any (<< 3.14)\n").unwrap();
        assert_eq!(relations(&stanza, "Depends"), [vec!["libc6"], vec!["awk", "mawk"], vec!["python3"]]);
        assert!(relations(&stanza, "Replaces").is_empty());
    }

    #[test]
    fn conffiles_are_shipped_or_to_be_removed() {
        let parsed = |line: &str| Conffile::parse(line).map(|file| (file.path, file.obsolete));
        assert_eq!(parsed("/etc/a b"), Some(("etc/a b".to_owned(), false)));
        assert_eq!(parsed("remove-on-upgrade /etc/a"), Some(("etc/a".to_owned(), true)));
        assert_eq!(parsed("etc/a"), None);
    }

    #[test]
    fn paths_that_leave_the_root_are_refused() {
        for path in [&b"../etc"[..], b"./usr/../../etc", b"usr//bin", b"./a/./b", b"a\nb", b".."] {
            assert_eq!(normalised(path), None, "{}", String::from_utf8_lossy(path));
        }
        assert_eq!(normalised(b"./usr/bin/").unwrap(), b"usr/bin");
        assert_eq!(normalised(b"./").unwrap(), b"");
    }
}
