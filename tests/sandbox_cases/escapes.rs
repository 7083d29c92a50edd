//! What a hostile program in a root tries. Each attempt has a twin that shows that the attempt itself is sound.

use super::harness::{root, said, script};
use anyhow::{Result, ensure};
use std::path::Path;

/// Runs a script that must fail and say this.
fn refused(root: &Path, text: &str, why: &str) -> Result<()> {
    let output = script(root, text).output()?;
    let heard = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && heard.contains(why), "`{text}` gave {} and said {heard}", output.status);
    Ok(())
}

pub(crate) fn by_privileges(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    refused(&root, "mount -t tmpfs none /tmp", "permission denied")?;
    refused(&root, "umount /usr", "must be superuser")
        .or_else(|_| refused(&root, "umount /usr", "not permitted"))
        .or_else(|_| refused(&root, "umount /usr", "permission denied"))?;
    refused(&root, "mknod /tmp/disk b 254 0", "Operation not permitted")?;
    refused(&root, "mknod /tmp/memory c 1 1", "Operation not permitted")?;
    refused(&root, "hostname other", "you must be root")?;
    refused(&root, "nsenter -t 1 -m true", "Operation not permitted")
        .or_else(|_| refused(&root, "nsenter -t 1 -m true", "Permission denied"))?;
    // A program that changes its user gains nothing back by a setuid file.
    let script = script(
        &root,
        "cp /usr/bin/id /run/id; chown 0 /run/id; chmod 4755 /run/id; chmod 755 /run; \
        setpriv --reuid 1 --regid 1 --clear-groups /run/id -u",
    );
    let user = said(&script);
    ensure!(user.as_ref().map(String::as_str).unwrap_or("1") == "1", "{user:?}");
    let capabilities = said(&super::harness::script(&root, "grep CapEff /proc/self/status"))?;
    ensure!(capabilities == "CapEff:\t00000000800400fb", "{capabilities}");
    Ok(())
}

pub(crate) fn by_proc(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    for path in ["/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger"] {
        if !Path::new(path).exists() {
            continue;
        }
        refused(&root, &format!("echo x >{path}"), "Read-only file system")
            .or_else(|_| refused(&root, &format!("echo x >{path}"), "Permission denied"))?;
    }
    // Init belongs to the builder: neither its files nor its memory can be reached.
    refused(&root, "ls /proc/1/root/", "Permission denied")?;
    refused(&root, "cat /proc/1/exe", "Permission denied")?;
    refused(&root, "cat /proc/1/mem", "Permission denied")
        .or_else(|_| refused(&root, "cat /proc/1/mem", "Input/output"))?;
    refused(&root, "readlink -v /proc/1/fd/0", "Permission denied")?;
    ensure!(said(&script(&root, "readlink /proc/2/exe"))?.starts_with("/usr/"), "the twin fails");
    ensure!(said(&script(&root, "cat /proc/keys /proc/kmsg /proc/kallsyms"))?.is_empty());
    refused(&root, "cat /etc/shadow", "No such file")?;
    Ok(())
}

pub(crate) fn by_links(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    let outside = folder.join("outside");
    for name in ["dev", "run"] {
        std::fs::create_dir_all(outside.join(name))?;
        std::os::unix::fs::symlink(outside.join(name), root.join(name))?;
    }
    // The links point nowhere within the root: that is an error, and the host's folders stay as they are.
    let error = script(&root, "true").output().unwrap_err();
    ensure!(format!("{error:#}").contains("mounting a tmpfs at /dev: No such file"), "{error:#}");
    std::fs::create_dir_all(root.join(outside.strip_prefix("/")?).join("dev"))?;
    std::fs::create_dir_all(root.join(outside.strip_prefix("/")?).join("run"))?;
    ensure!(said(&script(&root, "echo x >/dev/null && echo y >/run/y && echo fine"))? == "fine");
    ensure!(std::fs::read_dir(outside.join("run"))?.next().is_none());
    ensure!(std::fs::read_dir(outside.join("dev"))?.next().is_none());
    // Out of a chroot is still inside.
    let climb = "mkdir -p /tmp/c && perl -e 'chroot \"/tmp/c\"; chdir \"..\" for 1..50; chroot \".\"; print join \" \", sort glob \"/*\"'";
    let seen = said(&script(&root, climb))?;
    ensure!(seen.contains("/usr") && !seen.contains("/home") && !seen.contains("/etc"), "saw {seen}");
    Ok(())
}

pub(crate) fn by_namespaces(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    for flags in ["--user --map-root-user", "--mount", "--net", "--pid"] {
        let output = script(&root, &format!("unshare {flags} true")).output()?;
        ensure!(!output.status.success(), "unshare {flags} worked");
    }
    Ok(())
}
