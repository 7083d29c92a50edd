//! Takes away what a build leaves behind: traces of this machine and moment, caches, secrets that scripts made up.

use super::accounts;
use super::root::Root;
use crate::base::epoch::Epoch;
use anyhow::Result;
use rustix::fs::FileType;

/// Folders that are emptied.
const EMPTIED: [&str; 9] = [
    "tmp",
    "run",
    "var/tmp",
    "var/lib/apt/lists",
    "var/cache/apt",
    "var/cache/man",
    "var/cache/ldconfig",
    "var/cache/fontconfig",
    "var/lib/systemd/coredump",
];
/// Files and folders that are removed: backups, locks, and secrets or identities that scripts generate.
const REMOVED: [&str; 27] = [
    "etc/passwd-",
    "etc/group-",
    "etc/shadow-",
    "etc/gshadow-",
    "etc/subuid-",
    "etc/subgid-",
    "etc/.pwd.lock",
    "etc/.resolv.conf.systemd-resolved.bak",
    "etc/pacemaker/authkey",
    "etc/corosync/authkey",
    "etc/iscsi/initiatorname.iscsi",
    "etc/nvme/hostid",
    "etc/nvme/hostnqn",
    "etc/ssl/private/ssl-cert-snakeoil.key",
    "etc/ssl/certs/ssl-cert-snakeoil.pem",
    "root/.bash_history",
    "root/.cache",
    "var/cache/debconf/config.dat-old",
    "var/cache/debconf/templates.dat-old",
    "var/cache/debconf/passwords.dat-old",
    "var/lib/dpkg/available-old",
    "var/lib/dpkg/diversions-old",
    "var/lib/dpkg/statoverride-old",
    "var/lib/dpkg/status-old",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
    "var/lib/dbus/machine-id",
];
/// Locks of dpkg and apt, which their programs make again.
const LOCKS: [&str; 5] = [
    "var/lib/dpkg/lock",
    "var/lib/dpkg/lock-frontend",
    "var/lib/dpkg/triggers/Lock",
    "var/lib/apt/extended_states.lock",
    "var/cache/apt/archives/lock",
];
/// Seconds of a day.
const DAY: i64 = 86_400;

/// Cleans a root; run it after all scripts.
pub(super) fn clean(root: &Root, epoch: Epoch) -> Result<()> {
    let kept = [("var/cache/apt/archives/partial", 0o755), ("var/lib/apt/lists/partial", 0o755)];
    let kept: Vec<_> =
        kept.into_iter().filter(|(path, _)| root.find(path.as_bytes()).is_ok_and(|found| found.is_some())).collect();
    for path in EMPTIED {
        root.empty(path)?;
    }
    for (path, mode) in kept {
        root.make_directory(path, mode, (0, 0))?;
    }
    for path in REMOVED.iter().chain(&LOCKS) {
        root.remove(path)?;
    }
    for name in root.list("etc/ssh")? {
        if name.starts_with("ssh_host_") {
            root.remove(&format!("etc/ssh/{name}"))?;
        }
    }
    for name in root.list("var/lib/dpkg/info")? {
        if name.ends_with(".list-old") || name.ends_with(".list-new") {
            root.remove(&format!("var/lib/dpkg/info/{name}"))?;
        }
    }
    clean_logs(root, "var/log")?;
    // systemd-tmpfiles gives these folders their ACLs at every boot.
    for name in ["system.posix_acl_access", "system.posix_acl_default"] {
        root.drop_attribute("var/log/journal", name)?;
    }
    identity(root)?;
    accounts::fix_dates(root, epoch.0 / DAY)?;
    root.remove("usr/sbin/policy-rc.d")
}

/// Logs that only this build wrote are removed; those that packages made for others to write stay, empty.
fn clean_logs(root: &Root, folder: &str) -> Result<()> {
    for name in root.list(folder)? {
        let path = format!("{folder}/{name}");
        let Some(found) = root.find(path.as_bytes())? else { continue };
        match found.kind {
            FileType::Directory => clean_logs(root, &path)?,
            FileType::RegularFile if found.size > 0 || is_build_log(&name) => {
                if is_build_log(&name) {
                    root.remove(&path)?;
                } else {
                    root.write(&path, b"", found.mode, (found.uid, found.gid))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_build_log(name: &str) -> bool {
    matches!(
        name,
        "dpkg.log"
            | "alternatives.log"
            | "bootstrap.log"
            | "fontconfig.log"
            | "history.log"
            | "term.log"
            | "eipp.log.xz"
    )
}

/// An empty machine-id: the first boot makes one, and keeps the units' states as they are.
fn identity(root: &Root) -> Result<()> {
    if root.find(b"etc/systemd")?.is_some() {
        root.write("etc/machine-id", b"", 0o644, (0, 0))?;
        if root.find(b"var/lib/dbus")?.is_some() {
            root.link("var/lib/dbus/machine-id", "/etc/machine-id", (0, 0))?;
        }
    }
    if root.find(b"usr/lib/systemd/systemd-resolved")?.is_some() {
        root.link("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf", (0, 0))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_of_a_build_are_gone_and_packaged_logs_stay_empty() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in ["etc/ssh", "etc/systemd", "var/log/apt", "tmp/x", "var/lib/dpkg/info"] {
            std::fs::create_dir_all(at(path)).unwrap();
        }
        for path in ["etc/passwd-", "etc/ssh/ssh_host_rsa_key", "var/log/dpkg.log", "var/log/lastlog", "tmp/x/y"] {
            std::fs::write(at(path), "trace").unwrap();
        }
        std::fs::write(at("etc/machine-id"), "0123\n").unwrap();
        std::fs::write(at("etc/shadow"), "root:*:20777:0:99999:7:::\netcd:!:::::::\n").unwrap();
        clean(&Root::open(folder.path()).unwrap(), Epoch(86_400 * 20_000 + 5)).unwrap();
        for path in ["etc/passwd-", "etc/ssh/ssh_host_rsa_key", "var/log/dpkg.log", "tmp/x"] {
            assert!(!at(path).exists(), "{path}");
        }
        assert_eq!(std::fs::read(at("var/log/lastlog")).unwrap(), b"");
        assert_eq!(std::fs::read(at("etc/machine-id")).unwrap(), b"");
        let shadow = std::fs::read_to_string(at("etc/shadow")).unwrap();
        assert_eq!(shadow, "root:*:20000:0:99999:7:::\netcd:!:::::::\n");
    }
}
