//! What systemd would otherwise do at the first boot of a new system (`ConditionNeedsUpdate=`, systemd.unit(5)): done
//! here for what documents and scripts laid into the root, and marked as done. Packages' own scripts did it for theirs.

use super::deferred::Deferred;
use super::root::Root;
use super::scripts;
use crate::base::epoch::Epoch;
use crate::base::progress::Progress;
use anyhow::{Context as _, Result};

/// Users and groups that systemd makes from its descriptions.
const ACCOUNTS: &str = "usr/bin/systemd-sysusers";
/// Where these are described.
const ACCOUNTS_INPUTS: [&str; 3] = ["etc/sysusers.d", "usr/lib/sysusers.d", "usr/local/lib/sysusers.d"];
/// Programs that make a cache, with their arguments, and what the cache is made of.
const CACHES: [(&str, &[&str], &[&str]); 3] = [
    ("usr/sbin/ldconfig", &[], &["etc/ld.so.conf", "etc/ld.so.conf.d", "usr/lib", "usr/local/lib"]),
    ("usr/bin/systemd-hwdb", &["--usr", "update"], &["etc/udev/hwdb.d", "usr/lib/udev/hwdb.d"]),
    ("usr/bin/journalctl", &["--update-catalog"], &["etc/systemd/catalog", "usr/lib/systemd/catalog"]),
];
/// Older than /usr, or not there: the units run. What else depends on them is in systemd-update-done.service(8).
const MARKS: [&str; 2] = ["etc/.updated", "var/.updated"];
/// Says so to whoever finds a mark.
const MARK: &str = "# Written by imgbuild: systemd-update-done.service(8) has nothing to do until /usr changes.\n";

/// Makes accounts, and puts caches on the list of what is done at the end, wherever this layer changed their inputs.
/// `changed` has what the layer changed and nothing else.
pub(super) fn run(
    root: &Root,
    changed: &Root,
    deferred: &Deferred,
    epoch: Epoch,
    progress: &dyn Progress,
) -> Result<()> {
    if root.find(ACCOUNTS.as_bytes())?.is_some() && any(changed, &ACCOUNTS_INPUTS)? {
        scripts::command(root, epoch, &format!("/{ACCOUNTS}"))
            .run(|line| progress.log(line))
            .context("making the accounts that sysusers.d describes")?;
    }
    for (program, arguments, inputs) in CACHES {
        if root.find(program.as_bytes())?.is_some() && any(changed, inputs)? {
            let name = program.rsplit('/').next().unwrap_or(program);
            deferred.ask(name, arguments)?;
        }
    }
    Ok(())
}

fn any(changed: &Root, paths: &[&str]) -> Result<bool> {
    for path in paths {
        if changed.find(path.as_bytes())?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Says that all is up to date. Times are held to the epoch when the root is collected, those of the marks and of
/// /usr alike, so that the marks are never the older ones.
pub(super) fn mark(root: &Root) -> Result<()> {
    if root.find(b"etc/systemd")?.is_some() {
        for path in MARKS {
            root.write(path, MARK.as_bytes(), 0o644, (0, 0))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changed_inputs_ask_for_their_cache() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in ["root/usr/sbin", "root/usr/bin", "upper/etc/udev/hwdb.d", "upper/etc/ld.so.conf.d"] {
            std::fs::create_dir_all(at(path)).unwrap();
        }
        std::fs::write(at("root/usr/sbin/ldconfig"), "").unwrap();
        std::fs::write(at("root/usr/bin/journalctl"), "").unwrap();
        let (root, upper) = (Root::open(&at("root")).unwrap(), Root::open(&at("upper")).unwrap());
        let deferred = Deferred::create(&at("stand-ins")).unwrap();
        run(&root, &upper, &deferred, Epoch(0), &crate::base::progress::Silent).unwrap();
        let asked: Vec<Vec<String>> = deferred.take().unwrap().into_iter().collect();
        // The catalog's inputs are unchanged, and there is no systemd-hwdb.
        assert_eq!(asked, [["ldconfig"]]);
    }

    #[test]
    fn marks_are_for_systems_with_systemd() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        mark(&root).unwrap();
        assert!(!folder.path().join("etc").exists());
        std::fs::create_dir_all(folder.path().join("etc/systemd")).unwrap();
        mark(&root).unwrap();
        assert!(folder.path().join("etc/.updated").exists() && folder.path().join("var/.updated").exists());
    }
}
