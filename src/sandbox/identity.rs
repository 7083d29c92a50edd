//! Which ids a worker has: all of them for root, one plus the subordinate range for anyone else.

use crate::base::hint::hinted;
use crate::base::limits::ACCOUNTS_BYTES;
use crate::base::process::{self, Run};
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// Fewest ids that a Debian root needs: 0 to 65534 (`nobody`), and 65535.
const NEEDED: u64 = 65_536;

/// Consecutive ids: `count` of them, from `inside` in the worker, from `outside` out here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    inside: u64,
    outside: u64,
    count: u64,
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
        let gid = u64::from(rustix::process::getegid().as_raw());
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
        let name = account_name(uid);
        let users = subordinate(Path::new("/etc/subuid"), "uids", name.as_deref(), uid, uid)?;
        let groups = subordinate(Path::new("/etc/subgid"), "gids", name.as_deref(), uid, gid)?;
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
    let usual = || ["/usr/bin", "/bin", "/usr/sbin"].map(|folder| PathBuf::from(folder).join(name));
    let found = process::find(name).or_else(|| usual().into_iter().find(|path| path.exists()));
    let Some(program) = found else {
        return Err(hinted(
            format!("an ordinary user cannot build without `{name}`, and it is not installed"),
            "install it: `sudo apt install uidmap` (or build as root)",
        ));
    };
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

/// The name of an account in /etc/passwd; accounts from elsewhere are found by number.
fn account_name(uid: u64) -> Option<String> {
    let text = crate::base::files::read(Path::new("/etc/passwd"), ACCOUNTS_BYTES).ok()?;
    String::from_utf8_lossy(&text).lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// 0 as the own id, then all subordinate ranges of this user, one after the other.
fn subordinate(path: &Path, what: &str, name: Option<&str>, uid: u64, own: u64) -> Result<Vec<Range>> {
    let text = crate::base::files::read(path, ACCOUNTS_BYTES).unwrap_or_default();
    let grants = grants(&String::from_utf8_lossy(&text));
    let mine = ranges(&grants, name, uid, own);
    if mine.iter().map(|range| range.count).sum::<u64>() > NEEDED - 1 {
        return Ok(mine);
    }
    let account = name.map_or_else(|| uid.to_string(), str::to_owned);
    let granted = mine.iter().map(|range| range.count).sum::<u64>() - 1;
    let free = grants.iter().map(|(_, start, count)| start.saturating_add(*count)).fold(100_000, u64::max);
    let range = format!("{free}-{}", free.saturating_add(NEEDED - 1));
    Err(hinted(
        format!(
            "{account} has {granted} subordinate {what} in {}, and a root filesystem needs {NEEDED}",
            path.display()
        ),
        format!("grant them: `sudo usermod --add-sub{what} {range} {account}` (or build as root)"),
    ))
}

/// Every `owner:start:count` of the file; other lines are not for us to judge.
fn grants(text: &str) -> Vec<(String, u64, u64)> {
    let grant = |line: &str| {
        let mut fields = line.trim().split(':');
        let grant = (fields.next()?.to_owned(), fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        fields.next().is_none().then_some(grant)
    };
    text.lines().filter_map(grant).collect()
}

fn ranges(grants: &[(String, u64, u64)], name: Option<&str>, uid: u64, own: u64) -> Vec<Range> {
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
    let setting = |name: &str| std::fs::read_to_string(format!("/proc/sys/{name}")).ok();
    let is = |name: &str, value: &str| setting(name).is_some_and(|text| text.trim() == value);
    let refusals = [
        ("user/max_user_namespaces", "0", "user.max_user_namespaces=15000", "allows no user namespaces"),
        (
            "kernel/unprivileged_userns_clone",
            "0",
            "kernel.unprivileged_userns_clone=1",
            "forbids user namespaces to ordinary users",
        ),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
            "restricts user namespaces of ordinary users by AppArmor",
        ),
    ];
    let root = rustix::process::geteuid().is_root() && !is("user/max_user_namespaces", "0");
    let refusal = refusals.into_iter().find(|(name, value, ..)| !root && is(name, value));
    let (why, remedy) = match refusal {
        Some((_, _, mend, why)) => (format!("this kernel {why}"), format!("`sudo sysctl -w {mend}` allows it")),
        None => (
            "this environment allows no user namespaces".to_owned(),
            "a chroot and many containers forbid them: build outside, or in a container started with \
             `--security-opt seccomp=unconfined --security-opt apparmor=unconfined`"
                .to_owned(),
        ),
    };
    match crate::base::hint::Remedy::<()>::hint(Err(error.context(why)), remedy) {
        Err(error) => error,
        Ok(()) => unreachable!("a hint never mends an error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_by_name_and_by_number_follow_each_other() {
        let grants = grants("root:1:1\nanna:100000:65536\n# note\nbad:x:1\n1000:300000:10\n");
        let found = ranges(&grants, Some("anna"), 1000, 1000);
        let expected = [(0, 1000, 1), (1, 100_000, 65_536), (65_537, 300_000, 10)];
        let expected = expected.map(|(inside, outside, count)| Range { inside, outside, count });
        assert_eq!(found, expected);
        assert_eq!(table(&found[..2]), "0 1000 1\n1 100000 65536\n");
    }

    #[test]
    fn users_without_ranges_are_told_the_command_with_a_free_range() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("subuid");
        std::fs::write(&file, "anna:100000:65536\nbob:165536:100\n").unwrap();
        let error = subordinate(&file, "uids", Some("bob"), 1001, 1001).unwrap_err();
        let text = format!("bob has 100 subordinate uids in {}, and a root filesystem needs 65536", file.display());
        assert_eq!(error.to_string(), text);
        let hint = "grant them: `sudo usermod --add-subuids 165636-231171 bob` (or build as root)";
        assert_eq!(crate::base::hint::hints(&error), [hint]);
        assert!(subordinate(&file, "uids", Some("anna"), 1000, 1000).is_ok());
    }

    #[test]
    fn maps_with_a_gap_below_65536_do_not_suffice() {
        let range = |inside, count| Range { inside, outside: inside, count };
        assert!(covers(&[range(1, 65_535), range(0, 1)]));
        assert!(!covers(&[range(0, 1), range(2, 100_000)]));
    }
}
