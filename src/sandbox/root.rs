//! Arranging and entering a root: the folder becomes `/`, with fresh /proc, /dev, /run and /tmp and nothing of the host.
//!
//! What the host contributes is opened first, as detached mounts; then the root is entered; only then are mount points
//! looked up. A link in the root that points at the host's files therefore leads nowhere but into the root.

use super::command::{Access, Bind, Spec};
use super::mount::{make_read_only, memory};
use anyhow::{Context as _, Result};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Devices that every program may expect.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Links that every program may expect in /dev.
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
];
/// Parts of /proc through which uid 0 reaches the host's kernel, whatever its capabilities: to be read, not written.
const READ_ONLY: [&str; 5] = ["/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/sysrq-trigger"];
/// Parts of /proc that tell about the host or its memory: empty.
const HIDDEN: [&str; 6] =
    ["/proc/kcore", "/proc/keys", "/proc/kmsg", "/proc/timer_list", "/proc/sched_debug", "/proc/kallsyms"];

/// Makes the folder of the command this process's root.
pub(super) fn enter(spec: &Spec) -> Result<()> {
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context("separating the mounts")?;
    let root = Path::new(&spec.root);
    let devices = DEVICES.iter().map(|name| Ok((*name, detached(&Path::new("/dev").join(name))?)));
    let devices = devices.collect::<Result<Vec<_>>>()?;
    let shown = spec.binds.iter().map(|bind| Ok((bind, detached(Path::new(&bind.host))?)));
    let shown = shown.collect::<Result<Vec<_>>>()?;

    rustix::mount::mount_bind_recursive(root, root).context("mounting it on itself")?;
    let directory = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let outside = rustix::fs::open("/", directory, Mode::empty()).context("opening /")?;
    rustix::process::chdir(root).context("entering it")?;
    rustix::process::pivot_root(".", ".").context("pivoting into it")?;
    rustix::process::chdir("/").context("entering it")?;
    // A fresh /proc is only granted while the old one can still be seen.
    proc()?;
    rustix::process::fchdir(&outside).context("returning to the old root")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).context("leaving the old root")?;
    rustix::process::chdir("/").context("entering it")?;

    dev(devices)?;
    empty("/sys", "mode=555,size=0", MountFlags::RDONLY)?;
    empty("/run", "mode=755", MountFlags::empty())?;
    empty("/tmp", "mode=1777", MountFlags::empty())?;
    for (bind, source) in shown {
        show(bind, &source).with_context(|| format!("showing {} inside", bind.host.to_string_lossy()))?;
    }
    if spec.root_access == Access::ReadOnly {
        make_read_only(Path::new("/"))?;
    }
    Ok(())
}

/// A part of the host as a mount that hangs nowhere yet.
fn detached(path: &Path) -> Result<OwnedFd> {
    rustix::mount::open_tree(CWD, path, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)
        .with_context(|| format!("opening {}", path.display()))
}

fn attach(source: &OwnedFd, target: &Path) -> Result<()> {
    rustix::mount::move_mount(source, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .with_context(|| format!("mounting on {}", target.display()))
}

fn proc() -> Result<()> {
    folder("/proc")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", "/proc", "proc", flags, None).context("mounting /proc")?;
    for path in READ_ONLY {
        if Path::new(path).exists() {
            rustix::mount::mount_bind(path, path).with_context(|| format!("mounting {path} on itself"))?;
            make_read_only(Path::new(path))?;
        }
    }
    Ok(())
}

fn dev(devices: Vec<(&str, OwnedFd)>) -> Result<()> {
    empty("/dev", "mode=755,size=1m", MountFlags::NOEXEC)?;
    for (name, source) in devices {
        let target = Path::new("/dev").join(name);
        std::fs::File::create(&target).with_context(|| format!("creating {}", target.display()))?;
        attach(&source, &target)?;
    }
    for (text, link) in LINKS {
        std::os::unix::fs::symlink(text, link).with_context(|| format!("creating {link}"))?;
    }
    for path in HIDDEN {
        if Path::new(path).exists() {
            rustix::mount::mount_bind("/dev/null", path).with_context(|| format!("hiding {path}"))?;
        }
    }
    folder("/dev/shm")?;
    memory(OsStr::new("/dev/shm"), "mode=1777", MountFlags::NOSUID | MountFlags::NODEV)?;
    folder("/dev/pts")?;
    let terminals = |options| {
        let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
        rustix::mount::mount("devpts", "/dev/pts", "devpts", flags, Some(options))
    };
    // Group `tty` may have no id in here.
    terminals(c"newinstance,ptmxmode=0666,mode=620,gid=5")
        .or_else(|_| terminals(c"newinstance,ptmxmode=0666,mode=620"))
        .context("mounting /dev/pts")
}

fn folder(path: &str) -> Result<()> {
    match std::fs::create_dir(path) {
        Ok(()) => std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
    .with_context(|| format!("creating {path}"))
}

fn empty(path: &str, options: &str, flags: MountFlags) -> Result<()> {
    folder(path)?;
    memory(OsStr::new(path), options, flags | MountFlags::NOSUID | MountFlags::NODEV)
}

/// Attaches something of the host inside, creating the mount point if there is none.
fn show(bind: &Bind, source: &OwnedFd) -> Result<()> {
    let target = Path::new("/").join(&bind.guest);
    if !target.exists() {
        let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(source).context("looking at it")?.st_mode);
        let parent = target.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        if kind.is_dir() { std::fs::create_dir(&target) } else { std::fs::File::create(&target).map(drop) }
            .with_context(|| format!("creating {}", target.display()))?;
    }
    attach(source, &target)?;
    match bind.access {
        Access::ReadOnly => make_read_only(&target),
        Access::ReadWrite => Ok(()),
    }
}
