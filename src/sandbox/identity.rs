//! Which ids a worker has: all of them for root, one plus the subordinate range for anyone else.

use super::obstacle::{Account, Obstacle, Surroundings};
use crate::base::hint::hinted;
use crate::base::process::Run;
use anyhow::{Context as _, Result};

/// Fewest ids that a Debian root needs: 0 to 65534 (`nobody`), and 65535.
pub(super) const NEEDED: u64 = 65_536;

/// Consecutive ids: `count` of them, from `inside` in the worker, from `outside` out here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    inside: u64,
    outside: u64,
    count: u64,
}

impl Range {
    /// These ids, out here.
    pub(super) fn outside(outside: u64, count: u64) -> Self {
        Self { inside: 0, outside, count }
    }

    /// How many ids.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Whether some id out here is in both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let end = |range: &Self| range.outside.saturating_add(range.count);
        self.outside < end(other) && other.outside < end(self)
    }
}

/// First and last id out here.
impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.outside, self.outside.saturating_add(self.count).saturating_sub(1))
    }
}

/// How ids of the worker are ids out here.
pub(super) enum Identity {
    /// We may write the maps ourselves: every id that we have ourselves, as itself.
    Same { users: Vec<Range>, groups: Vec<Range> },
    /// An ordinary user: `newuidmap` and `newgidmap` write the maps.
    Subordinate { users: Vec<Range>, groups: Vec<Range> },
    /// Only the own ids, as 0.
    Single { user: Range, group: Range },
}

impl Identity {
    /// All ids that this user may give to files.
    pub(super) fn all() -> Result<Self> {
        let uid = u64::from(rustix::process::geteuid().as_raw());
        if uid == 0 {
            let (users, groups) = (own("/proc/self/uid_map")?, own("/proc/self/gid_map")?);
            if covers(&users) && covers(&groups) {
                return Ok(Self::Same { users, groups });
            }
            return Err(hinted(
                format!("root has fewer than the {NEEDED} ids needed here"),
                "inside a container, give it a user namespace with at least 65536 ids",
            ));
        }
        let account = Account::here();
        let [users, groups] = account.maps().map_err(Obstacle::into_error)?;
        account.helpers().map_err(Obstacle::into_error)?;
        Ok(Self::Subordinate { users, groups })
    }

    /// Only our own ids.
    pub(super) fn single() -> Self {
        let one = |outside: u32| Range { inside: 0, outside: u64::from(outside), count: 1 };
        Self::Single { user: one(rustix::process::geteuid().as_raw()), group: one(rustix::process::getegid().as_raw()) }
    }

    /// Gives the ids to the process, which has just entered a user namespace of its own.
    pub(super) fn write(&self, process: u32) -> Result<()> {
        let file = |name: &str, text: String| {
            let path = format!("/proc/{process}/{name}");
            std::fs::write(&path, text).with_context(|| format!("writing {path}"))
        };
        match self {
            Self::Same { users, groups } => {
                file("uid_map", table(users))?;
                file("gid_map", table(groups))
            }
            Self::Single { user, group } => {
                file("setgroups", "deny".to_owned())?;
                file("uid_map", table(&[*user]))?;
                file("gid_map", table(&[*group]))
            }
            Self::Subordinate { users, groups } => {
                helper("newuidmap", process, users)?;
                helper("newgidmap", process, groups)
            }
        }
    }
}

fn table(ranges: &[Range]) -> String {
    ranges.iter().map(|range| format!("{} {} {}\n", range.inside, range.outside, range.count)).collect()
}

/// The setuid helper of package `uidmap` that writes one of the maps after checking it against the file.
fn helper(name: &str, process: u32, ranges: &[Range]) -> Result<()> {
    let program = Account::helper(name).with_context(|| format!("`{name}` is no longer there"))?;
    let numbers = ranges.iter().flat_map(|range| [range.inside, range.outside, range.count]);
    Run::new(program).arg(process.to_string()).args(numbers.map(|number| number.to_string())).run()?;
    Ok(())
}

/// The identity map over all ids that this process has itself.
fn own(path: &str) -> Result<Vec<Range>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    let ranges = text.lines().filter_map(|line| {
        let mut numbers = line.split_ascii_whitespace().filter_map(|word| word.parse().ok());
        let (inside, _, count) = (numbers.next()?, numbers.next()?, numbers.next()?);
        Some(Range { inside, outside: inside, count })
    });
    Ok(ranges.collect())
}

fn covers(ranges: &[Range]) -> bool {
    let mut sorted = ranges.to_vec();
    sorted.sort_by_key(|range| range.inside);
    let reach = sorted.iter().fold(0, |reach, range| {
        if range.inside <= reach { reach.max(range.inside.saturating_add(range.count)) } else { reach }
    });
    reach >= NEEDED
}

/// 0 as the own id, then all subordinate ranges of this user, one after the other.
pub(super) fn ranges(grants: &[(String, u64, u64)], name: Option<&str>, uid: u64, own: u64) -> Vec<Range> {
    let number = uid.to_string();
    let mut found = vec![Range { inside: 0, outside: own, count: 1 }];
    let mut inside = 1;
    for (owner, start, count) in grants {
        if Some(owner.as_str()) == name || *owner == number {
            let count = (*count).min(u64::from(u32::MAX) - inside);
            found.push(Range { inside, outside: *start, count });
            inside += count;
        }
    }
    found
}

/// Why this kernel would not let us have namespaces, with the remedy, as far as its settings tell.
pub(super) fn explain(error: anyhow::Error) -> anyhow::Error {
    let full = error.chain().any(|cause| cause.downcast_ref() == Some(&rustix::io::Errno::NOSPC));
    let Obstacle { sentence, remedy } = Surroundings::here().obstacle(full);
    match crate::base::hint::Remedy::<()>::hint(Err(error.context(sentence)), remedy) {
        Err(error) => error,
        Ok(()) => unreachable!("a hint never mends an error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_by_name_and_by_number_follow_each_other() {
        let grants = [("root", 1, 1), ("anna", 100_000, 65_536), ("1000", 300_000, 10)];
        let grants = grants.map(|(owner, start, count)| (owner.to_owned(), start, count));
        let found = ranges(&grants, Some("anna"), 1000, 1000);
        let expected = [(0, 1000, 1), (1, 100_000, 65_536), (65_537, 300_000, 10)];
        let expected = expected.map(|(inside, outside, count)| Range { inside, outside, count });
        assert_eq!(found, expected);
        assert_eq!(table(&found[..2]), "0 1000 1\n1 100000 65536\n");
    }

    #[test]
    fn maps_with_a_gap_below_65536_do_not_suffice() {
        let range = |inside, count| Range { inside, outside: inside, count };
        assert!(covers(&[range(1, 65_535), range(0, 1)]));
        assert!(!covers(&[range(0, 1), range(2, 100_000)]));
    }
}
