//! Mounts inside a worker: overlays, binds, tmpfs. They vanish with the worker's mount namespace at the latest.

use crate::base::hint::Remedy as _;
use anyhow::{Context as _, Result, ensure};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The kernel takes one page of options.
const OPTIONS_LIMIT: usize = 4095;

/// A mount that is undone when the guard is dropped.
#[derive(Debug)]
pub struct Guard {
    target: PathBuf,
}

impl Guard {
    /// Where it is mounted.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Unmounts now.
    ///
    /// # Errors
    /// When something in it is still open or in use.
    pub fn unmount(self) -> Result<()> {
        let target = self.target.clone();
        // Whatever happens, the namespace's end unmounts it.
        std::mem::forget(self);
        rustix::mount::unmount(&target, UnmountFlags::empty())
            .with_context(|| format!("unmounting {}", target.display()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.target, UnmountFlags::DETACH);
    }
}

/// Shows `lower` (topmost first) at `target`, with all changes going to `upper`; `work` is an empty folder beside `upper`.
///
/// Changes are not synchronised to disk (`volatile`): an overlay of a build is never continued after a crash.
/// Hard links between files of a lower layer come apart when one of them is changed; renaming a folder of a lower
/// layer gives `EXDEV`, which `mv` and dpkg know how to handle.
///
/// # Errors
/// When the kernel refuses.
pub fn overlay(lower: &[&Path], upper: &Path, work: &Path, target: &Path) -> Result<Guard> {
    let mut layers = Vec::new();
    for folder in lower {
        if !layers.is_empty() {
            layers.push(b':');
        }
        layers.extend(escaped(folder));
    }
    let mut options = b"lowerdir=".to_vec();
    options.extend(layers);
    for (name, folder) in [("upperdir", upper), ("workdir", work)] {
        options.extend(format!(",{name}=").into_bytes());
        options.extend(escaped(folder));
    }
    // trusted.* attributes are not for user namespaces: without userxattr no folder could become opaque.
    options.extend(b",userxattr");
    let plain = CString::new(options.clone()).context("a folder's name has a zero byte")?;
    options.extend(b",volatile");
    let quick = CString::new(options).context("a folder's name has a zero byte")?;
    let length = quick.as_bytes().len();
    ensure!(length <= OPTIONS_LIMIT, "overlay options of {length} bytes exceed the {OPTIONS_LIMIT} that fit");
    let mounted = |options: &CString| {
        rustix::mount::mount("overlay", target, "overlay", MountFlags::empty(), Some(options.as_c_str()))
    };
    match mounted(&quick) {
        Err(rustix::io::Errno::INVAL) => mounted(&plain),
        other => other,
    }
    .with_context(|| format!("mounting an overlay at {}", target.display()))
    .hint("the cache must be on a filesystem that can hold overlays: ext4, xfs, btrfs or tmpfs (see `--cache`)")?;
    Ok(Guard { target: target.to_owned() })
}

/// Commas end an option, colons a layer: both may be in a folder's name.
fn escaped(path: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b',' | b':' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out
}

/// Shows a folder or file of the host at another place too, without what is mounted below it.
///
/// # Errors
/// When one of them does not exist or the kernel refuses.
pub fn bind(source: &Path, target: &Path) -> Result<Guard> {
    rustix::mount::mount_bind(source, target)
        .with_context(|| format!("showing {} at {}", source.display(), target.display()))?;
    Ok(Guard { target: target.to_owned() })
}

/// The same, to be read only.
///
/// # Errors
/// When one of them does not exist or the kernel refuses.
pub fn bind_read_only(source: &Path, target: &Path) -> Result<Guard> {
    let guard = bind(source, target)?;
    make_read_only(target)?;
    Ok(guard)
}

/// An empty folder in memory.
///
/// # Errors
/// When the target does not exist or the kernel refuses.
pub fn tmpfs(target: &Path, mode: u32) -> Result<Guard> {
    memory(target.as_os_str(), &format!("mode={mode:o}"), MountFlags::NOSUID | MountFlags::NODEV)?;
    Ok(Guard { target: target.to_owned() })
}

pub(super) fn memory(target: &OsStr, options: &str, flags: MountFlags) -> Result<()> {
    let options = CString::new(options).context("mount options have a zero byte")?;
    rustix::mount::mount("tmpfs", target, "tmpfs", flags, Some(options.as_c_str()))
        .with_context(|| format!("mounting a tmpfs at {}", target.to_string_lossy()))
}

/// Makes the mount at this place read-only, keeping the flags that a user namespace may not take away.
pub(super) fn make_read_only(target: &Path) -> Result<()> {
    use rustix::fs::StatVfsMountFlags as Seen;
    let failed = || format!("making {} read-only", target.display());
    let seen = rustix::fs::statvfs(target).with_context(failed)?.f_flag;
    let mut flags = MountFlags::BIND | MountFlags::RDONLY;
    for (bit, flag) in [
        (Seen::NOSUID, MountFlags::NOSUID),
        (Seen::NODEV, MountFlags::NODEV),
        (Seen::NOEXEC, MountFlags::NOEXEC),
        (Seen::NOATIME, MountFlags::NOATIME),
        (Seen::NODIRATIME, MountFlags::NODIRATIME),
        (Seen::RELATIME, MountFlags::RELATIME),
    ] {
        if seen.contains(bit) {
            flags |= flag;
        }
    }
    rustix::mount::mount_remount(target, flags, c"").with_context(failed)
}

/// Cuts the worker's mounts off from the host's and gives it the /proc of its own processes.
pub(super) fn isolate() -> Result<()> {
    rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .context("separating the mounts")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", "/proc", "proc", flags, None).context("mounting /proc")?;
    // Nothing below needs a further user namespace, in which it would be privileged again.
    let _ = std::fs::write("/proc/sys/user/max_user_namespaces", "0");
    Ok(())
}
