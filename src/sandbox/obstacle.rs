//! What can keep a sandbox from starting: one sentence each, and the command that mends it. A build says the same words
//! as `doctor`, because both take them from here.

use super::identity::{NEEDED, Range, ranges};
use crate::base::hint::hinted;
use crate::base::limits::ACCOUNTS_BYTES;
use crate::base::{files, process};
use std::path::{Path, PathBuf};

/// One reason, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// What is wrong.
    pub sentence: String,
    /// What mends it.
    pub remedy: String,
}

impl Obstacle {
    fn new(sentence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), remedy: remedy.into() }
    }

    /// As an error with a hint.
    pub(super) fn into_error(self) -> anyhow::Error {
        hinted(self.sentence, self.remedy)
    }
}

/// What the kernel and this process's surroundings say about user namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Surroundings {
    /// Whether we are root, whom only some of the switches concern.
    pub(super) root: bool,
    /// Whether our root is not the root of a mount.
    pub(super) chroot: bool,
    /// `user.max_user_namespaces`.
    pub(super) most: Option<u64>,
    /// `kernel.unprivileged_userns_clone` (Debian).
    pub(super) unprivileged: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns` (Ubuntu).
    pub(super) apparmor: Option<u64>,
}

impl Surroundings {
    /// Looks.
    pub(super) fn here() -> Self {
        let setting = |name: &str| std::fs::read_to_string(format!("/proc/sys/{name}")).ok()?.trim().parse().ok();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self {
            root: rustix::process::geteuid().is_root(),
            // Mounts above a chroot are not listed for it.
            chroot: !mounts.is_empty() && !mounts.lines().any(|line| line.split(' ').nth(4) == Some("/")),
            most: setting("user/max_user_namespaces"),
            unprivileged: setting("kernel/unprivileged_userns_clone"),
            apparmor: setting("kernel/apparmor_restrict_unprivileged_userns"),
        }
    }

    /// Why the kernel refused namespaces, as far as that can be known.
    pub(super) fn obstacle(&self, full: bool) -> Obstacle {
        let allowed = |setting: &str| format!("`sudo sysctl -w {setting}` allows it");
        match self {
            Self { most: Some(0), .. } => {
                Obstacle::new("this kernel allows no user namespaces", allowed("user.max_user_namespaces=15000"))
            }
            _ if full => Obstacle::new(
                "all user namespaces that this kernel allows are in use",
                format!(
                    "`sudo sysctl -w user.max_user_namespaces={}` allows more",
                    self.most.unwrap_or(15_000).saturating_mul(2)
                ),
            ),
            Self { chroot: true, .. } => Obstacle::new(
                "this process runs in a chroot, where the kernel allows no user namespaces",
                "build outside of it, or enter it with `sudo systemd-nspawn --directory=DIR`, which is no chroot",
            ),
            Self { root: false, unprivileged: Some(0), .. } => Obstacle::new(
                "this kernel forbids user namespaces to ordinary users",
                allowed("kernel.unprivileged_userns_clone=1"),
            ),
            Self { root: false, apparmor: Some(1), .. } => Obstacle::new(
                "this kernel restricts user namespaces of ordinary users by AppArmor",
                allowed("kernel.apparmor_restrict_unprivileged_userns=0"),
            ),
            _ => Obstacle::new(
                "this environment allows no user namespaces",
                "a chroot and many containers forbid them: build outside, or in a container started with \
                 `--security-opt seccomp=unconfined --security-opt apparmor=unconfined`",
            ),
        }
    }
}

/// What is to be had of one of the helpers that map ids.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Helper {
    Missing,
    /// Neither setuid nor with the capability.
    Powerless(PathBuf),
    /// On a filesystem where neither counts.
    NoSetuid(PathBuf),
    Fine(PathBuf),
}

/// An ordinary user, and what this machine grants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    uid: u64,
    gid: u64,
    name: Option<String>,
    /// Text of /etc/subuid and of /etc/subgid.
    grants: [String; 2],
    /// `newuidmap` and `newgidmap`.
    helpers: [Helper; 2],
    no_new_privileges: bool,
}

/// The files of subordinate ids, what they hold and who maps them.
const KINDS: [(&str, &str, &str); 2] = [("/etc/subuid", "uids", "newuidmap"), ("/etc/subgid", "gids", "newgidmap")];

impl Account {
    /// The caller.
    #[must_use]
    pub fn here() -> Self {
        let uid = u64::from(rustix::process::geteuid().as_raw());
        let text = |path: &str| {
            let bytes = files::read(Path::new(path), ACCOUNTS_BYTES).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Self {
            uid,
            gid: u64::from(rustix::process::getegid().as_raw()),
            name: name_of(&text("/etc/passwd"), uid),
            grants: KINDS.map(|(path, ..)| text(path)),
            helpers: KINDS.map(|(.., program)| helper(program)),
            no_new_privileges: text("/proc/self/status").lines().any(|line| line == "NoNewPrivs:\t1"),
        }
    }

    /// The account's name, or its number.
    #[must_use]
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.uid.to_string())
    }

    /// The maps of users and groups.
    ///
    /// # Errors
    /// Too few subordinate ids, or such that overlap.
    pub(super) fn maps(&self) -> Result<[Vec<Range>; 2], Obstacle> {
        let [users, groups] = [(0, self.uid), (1, self.gid)].map(|(kind, own)| self.map(kind, own));
        Ok([users?, groups?])
    }

    fn map(&self, kind: usize, own: u64) -> Result<Vec<Range>, Obstacle> {
        let (path, what, _) = KINDS[kind];
        let account = self.name();
        let grants = grants(&self.grants[kind]);
        let mine = ranges(&grants, self.name.as_deref(), self.uid, own);
        for (at, one) in mine.iter().enumerate() {
            if let Some(other) = mine[..at].iter().find(|other| other.overlaps(one)) {
                return Err(Obstacle::new(
                    format!("{account}'s subordinate {what} {other} and {one} in {path} overlap"),
                    format!("take one away: `sudo usermod --del-sub{what} {one} {account}`"),
                ));
            }
        }
        let granted = mine.iter().map(Range::count).sum::<u64>() - 1;
        if granted >= NEEDED - 1 {
            return Ok(mine);
        }
        let free = grants.iter().map(|(_, start, count)| start.saturating_add(*count)).fold(100_000, u64::max);
        let range = format!("{free}-{}", free.saturating_add(NEEDED - 1));
        Err(Obstacle::new(
            format!("{account} has {granted} subordinate {what} in {path}, and a root filesystem needs {NEEDED}"),
            format!("grant them: `sudo usermod --add-sub{what} {range} {account}` (or build as root)"),
        ))
    }

    /// Why the subordinate ids do not do, if they do not; otherwise how many there are of users and groups.
    ///
    /// # Errors
    /// Too few, or such that overlap.
    pub fn ids(&self) -> Result<(u64, u64), Obstacle> {
        let count = |map: &[Range]| map.iter().map(Range::count).sum::<u64>() - 1;
        let [users, groups] = self.maps()?;
        Ok((count(&users), count(&groups)))
    }

    /// Another account with the same subordinate ids: each of the two may change what the other builds.
    #[must_use]
    pub fn shared(&self) -> Option<Obstacle> {
        let number = self.uid.to_string();
        KINDS.iter().zip(&self.grants).find_map(|((path, what, _), text)| {
            let (mine, others): (Vec<_>, Vec<_>) = grants(text)
                .into_iter()
                .partition(|(owner, ..)| Some(owner) == self.name.as_ref() || *owner == number);
            mine.iter().find_map(|(_, start, count)| {
                let mine = Range::outside(*start, *count);
                let (owner, ..) = others.iter().find(|(_, start, count)| Range::outside(*start, *count).overlaps(&mine))?;
                let account = self.name();
                Some(Obstacle::new(
                    format!("{account} and {owner} share subordinate {what} of {mine} in {path}: each may change the other's files"),
                    format!("give {account} others: `sudo usermod --del-sub{what} {mine} {account}`, then `imgbuild doctor` names free ones"),
                ))
            })
        })
    }

    /// Whether `newuidmap` and `newgidmap` can do their work.
    ///
    /// # Errors
    /// When one is missing or has no power.
    pub fn helpers(&self) -> Result<(), Obstacle> {
        for (helper, (.., name)) in self.helpers.iter().zip(KINDS) {
            let (why, remedy) = match helper {
                Helper::Fine(_) => continue,
                Helper::Missing => (
                    format!("an ordinary user cannot build without `{name}`, and it is not installed"),
                    "install it: `sudo apt install uidmap` (or build as root)".to_owned(),
                ),
                Helper::Powerless(path) => (
                    format!("`{}` is not setuid, and cannot map ids without that", path.display()),
                    "mend it: `sudo apt install --reinstall uidmap` (or build as root)".to_owned(),
                ),
                Helper::NoSetuid(path) => (
                    format!("`{}` is on a filesystem mounted with nosuid, and cannot map ids there", path.display()),
                    format!(
                        "`sudo mount -o remount,suid \"$(findmnt -no TARGET -T {})\"` (or build as root)",
                        path.display()
                    ),
                ),
            };
            return Err(Obstacle::new(why, remedy));
        }
        if self.no_new_privileges {
            return Err(Obstacle::new(
                "this process may gain no privileges (no_new_privs), and `newuidmap` cannot map ids without",
                "build from an ordinary login, or in a container started without \
                 `--security-opt no-new-privileges` (or build as root)",
            ));
        }
        Ok(())
    }

    /// Where a helper is.
    pub(super) fn helper(name: &str) -> Option<PathBuf> {
        let usual = || ["/usr/bin", "/bin", "/usr/sbin"].map(|folder| PathBuf::from(folder).join(name));
        process::find(name).or_else(|| usual().into_iter().find(|path| path.exists()))
    }
}

fn helper(name: &str) -> Helper {
    use rustix::fs::StatVfsMountFlags as Flags;
    let Some(path) = Account::helper(name) else { return Helper::Missing };
    if rustix::fs::statvfs(&path).is_ok_and(|about| about.f_flag.contains(Flags::NOSUID)) {
        return Helper::NoSetuid(path);
    }
    let setuid = rustix::fs::stat(&path).is_ok_and(|about| about.st_uid == 0 && about.st_mode & 0o4000 != 0);
    // Some distributions give it capabilities instead.
    let capable = rustix::fs::getxattr(&path, "security.capability", &mut [0_u8; 64]).is_ok();
    if setuid || capable { Helper::Fine(path) } else { Helper::Powerless(path) }
}

/// The name of an account in the text of /etc/passwd; accounts from elsewhere are found by number.
fn name_of(accounts: &str, uid: u64) -> Option<String> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// Every `owner:start:count` of a file; other lines are not for us to judge.
fn grants(text: &str) -> Vec<(String, u64, u64)> {
    let grant = |line: &str| {
        let mut fields = line.trim().split(':');
        let grant = (fields.next()?.to_owned(), fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        fields.next().is_none().then_some(grant)
    };
    text.lines().filter_map(grant).collect()
}

#[cfg(test)]
#[path = "obstacle_tests.rs"]
mod tests;

#[cfg(test)]
pub(crate) use tests::{example as example_account, example_without_ids as example_account_without_ids};
