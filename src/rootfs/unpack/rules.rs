//! Diversions and statoverrides: local rules that dpkg applies while it unpacks.

use crate::base::limits::ROOT_TABLE_BYTES;
use crate::rootfs::accounts::Owners;
use crate::rootfs::root::{Root, trimmed};
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;

/// `/var/lib/dpkg/diversions`: three lines each, from, to and the package that diverts (`:` for the administrator).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::rootfs) struct Diversions {
    rules: BTreeMap<Vec<u8>, (Vec<u8>, String)>,
}

impl Diversions {
    pub(super) fn read(root: &Root) -> Result<Self> {
        Self::parse(&root.read_text("var/lib/dpkg/diversions", ROOT_TABLE_BYTES)?)
    }

    fn parse(text: &str) -> Result<Self> {
        let lines: Vec<&str> = text.lines().collect();
        let mut rules = BTreeMap::new();
        for rule in lines.chunks(3) {
            let [from, to, package] = rule else {
                bail!("dpkg's diversions have {} lines, which is no multiple of 3", lines.len());
            };
            rules.insert(
                trimmed(from.as_bytes()).to_owned(),
                (trimmed(to.as_bytes()).to_owned(), (*package).to_owned()),
            );
        }
        Ok(Self { rules })
    }

    /// Where a package's file goes.
    pub(super) fn target<'p>(&'p self, path: &'p [u8], package: &str) -> &'p [u8] {
        match self.rules.get(path) {
            Some((to, by)) if by != package => to,
            _ => path,
        }
    }
}

/// `/var/lib/dpkg/statoverride`: `user group mode path` (a number is written `#33`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::rootfs) struct StatOverrides {
    rules: BTreeMap<Vec<u8>, (u32, (u32, u32))>,
}

impl StatOverrides {
    pub(super) fn read(root: &Root, owners: &Owners) -> Result<Self> {
        Self::parse(&root.read_text("var/lib/dpkg/statoverride", ROOT_TABLE_BYTES)?, owners)
    }

    fn parse(text: &str, owners: &Owners) -> Result<Self> {
        let mut rules = BTreeMap::new();
        for line in text.lines() {
            let reading = || format!("reading the statoverride `{line}`");
            let mut fields = line.splitn(4, ' ');
            let mut field = || fields.next().with_context(reading);
            let (user, group, mode, path) = (field()?, field()?, field()?, field()?);
            let owner =
                owners.pair(user.trim_start_matches('#'), group.trim_start_matches('#')).with_context(reading)?;
            let mode = u32::from_str_radix(mode, 8).with_context(reading)?;
            rules.insert(trimmed(path.as_bytes()).to_owned(), (mode & 0o7777, owner));
        }
        Ok(Self { rules })
    }

    /// Mode and owner that override an archive's.
    pub(super) fn get(&self, path: &[u8]) -> Option<(u32, (u32, u32))> {
        self.rules.get(path).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diversions_move_the_files_of_others() {
        let diversions = Diversions::parse("/usr/bin/a\n/usr/bin/a.distrib\nother\n").unwrap();
        assert_eq!(diversions.target(b"usr/bin/a", "mine"), b"usr/bin/a.distrib");
        assert_eq!(diversions.target(b"usr/bin/a", "other"), b"usr/bin/a");
        assert!(Diversions::parse("/a\n/b\n").is_err());
    }

    #[test]
    fn statoverrides_are_mode_and_owner_by_path() {
        let overrides = StatOverrides::parse("#0 #42 2755 /usr/bin/chage\n", &Owners::default()).unwrap();
        assert_eq!(overrides.get(b"usr/bin/chage"), Some((0o2755, (0, 42))));
        assert!(StatOverrides::parse("root root 4755\n", &Owners::default()).is_err());
    }
}
