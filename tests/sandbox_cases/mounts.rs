//! Mounts of a worker: an overlay that dpkg can live in, and nothing left afterwards.

use super::harness::{root, said, script};
use anyhow::{Context as _, Result, ensure};
use imgbuild::base::progress::{Progress, Silent};
use imgbuild::base::tree::Kind;
use imgbuild::sandbox::{Worker, mount};
use std::path::{Path, PathBuf};

fn folders<const COUNT: usize>(below: &Path, names: [&str; COUNT]) -> Result<[PathBuf; COUNT]> {
    let paths = names.map(|name| below.join(name));
    for path in &paths {
        std::fs::create_dir_all(path)?;
    }
    Ok(paths)
}

pub(crate) fn overlay_behaves(folder: &Path) -> Result<()> {
    let strange = folder.join("a,b:c\\d");
    let [lower, second, upper, work, target] = folders(&strange, ["lower", "second", "upper", "work", "target"])?;
    root(&strange)?;
    for name in ["bin", "sbin", "lib", "lib64"] {
        std::os::unix::fs::symlink(Path::new("usr").join(name), lower.join(name))?;
    }
    for path in ["usr", "etc/old", "etc/keep", "opt/d"] {
        std::fs::create_dir_all(lower.join(path))?;
    }
    std::fs::write(lower.join("etc/old/file"), "lower")?;
    std::fs::write(lower.join("etc/one"), "1")?;
    std::fs::hard_link(lower.join("etc/one"), lower.join("etc/two"))?;
    std::fs::copy("/usr/bin/true", lower.join("opt/tool"))?;
    std::fs::write(second.join("from-second"), "2")?;
    let guard = mount::overlay(&[&lower, &second], &upper, &work, &target)?;
    ensure!(std::fs::read_to_string(target.join("from-second"))? == "2");
    let text = "set -e
        rm -r /etc/old; mkdir /etc/old; echo new >/etc/old/other
        test \"$(echo /etc/old/*)\" = /etc/old/other
        rm /etc/one; test ! -e /etc/one; cat /etc/two
        mv /opt/d /opt/e; test -d /opt/e; test ! -e /opt/d
        setcap cap_net_raw+ep /opt/tool; getcap /opt/tool
        chown 1:2 /opt/tool; setcap cap_net_raw+ep /opt/tool; getcap /opt/tool; stat -c '%u %g' /opt/tool
        ln /etc/two /etc/three; stat -c %h /etc/three
        chown 100:65534 /etc/keep; chmod 2775 /etc/keep; stat -c '%u %g %a' /etc/keep";
    let heard = said(&script(&target, text))?;
    let expected = "1/opt/tool cap_net_raw=ep\n/opt/tool cap_net_raw=ep\n1 2\n2\n100 65534 2775";
    ensure!(heard == expected, "heard {heard}");
    ensure!(std::fs::read_to_string(lower.join("etc/old/file"))? == "lower", "the lower layer changed");
    // What goes into an image is collected from here: the overlay's own marks do not show, links and rights do.
    let tree = imgbuild::store::collect(&target)?;
    let find = |path: &[u8]| tree.entries.iter().find(|entry| entry.path == path).context("no such entry");
    ensure!(!tree.entries.iter().flat_map(|entry| &entry.xattrs).any(|(name, _)| name.contains("overlay")));
    ensure!(find(b"etc/two")?.kind == Kind::HardLink { target: b"etc/three".to_vec() });
    ensure!(find(b"opt/tool")?.xattrs.len() == 1 && find(b"opt/tool")?.gid == 2);
    ensure!(find(b"etc/one").is_err() && find(b"etc/old/file").is_err() && find(b"opt/d").is_err());
    guard.unmount().context("unmounting")?;
    ensure!(std::fs::read_dir(&target)?.next().is_none());
    Ok(())
}

pub(crate) fn vanish(folder: &Path) -> Result<()> {
    Worker::run("mount", folder.to_str().unwrap().as_bytes(), &Silent)?;
    ensure!(std::fs::read_dir(folder.join("target"))?.next().is_none(), "the overlay is still there");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    ensure!(!mounts.contains(folder.to_str().unwrap()), "mounted still: {mounts}");
    Ok(())
}

/// Leaves mounts behind on purpose.
pub(crate) fn job(request: &[u8], _: &dyn Progress) -> Result<Vec<u8>> {
    let folder = Path::new(std::str::from_utf8(request)?);
    let [lower, upper, work, target, memory, shown] =
        folders(folder, ["lower", "upper", "work", "target", "memory", "shown"])?;
    std::fs::write(lower.join("file"), "")?;
    std::mem::forget(mount::overlay(&[&lower], &upper, &work, &target)?);
    std::mem::forget(mount::tmpfs(&memory, 0o700)?);
    std::mem::forget(mount::bind_read_only(&lower, &shown)?);
    ensure!(target.join("file").exists() && shown.join("file").exists());
    ensure!(std::fs::write(shown.join("other"), "").is_err(), "read-only is not");
    Ok(Vec::new())
}
