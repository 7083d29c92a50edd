//! The store with files of many owners: collected, work folders, tools roots, pruning.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

#[path = "sandbox_harness/mod.rs"]
mod harness;

use anyhow::{Context as _, Result, ensure};
use harness::{Case, inside, outside, said, script};
use imgbuild::base::progress::{Progress, Silent};
use imgbuild::base::tree::Kind;
use imgbuild::sandbox::{Job, Worker};
use imgbuild::store::{Keep, Store, collect};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::ExitCode;

const CASES: &[Case] = &[
    inside("everything_in_a_folder_is_collected", everything_is_collected),
    outside("work_folder_of_a_dead_build_is_swept", dead_build),
    inside("tools_in_use_are_not_pruned", tools_in_use),
    inside("usage_counts_kinds", usage),
];

const JOBS: &[(&str, Job)] = &[
    ("case", |request, _| harness::perform(CASES, request)),
    ("clean", harness::clean),
    ("die", die),
    ("sweep", sweep),
];

fn main() -> ExitCode {
    imgbuild::sandbox::dispatch(JOBS).unwrap_or_else(|| harness::main(CASES))
}

/// A root with one of everything that an image may hold, but devices, which a user namespace cannot make.
fn everything(folder: &Path) -> Result<std::path::PathBuf> {
    let root = harness::root(folder)?;
    let d = root.join("d");
    std::fs::create_dir(&d)?;
    for name in [&b"line\nbreak"[..], b"100%", b"\xff\xfe not text", "ä b".as_bytes(), b"-dash"] {
        std::fs::write(d.join(OsStr::from_bytes(name)), name)?;
    }
    let text = "set -e; cd /d
        printf content >one; ln one two; mkdir -p sub/deep empty; ln one sub/deep/three
        cp /usr/bin/true capable; chown 5:6 capable; setcap cap_net_raw,cap_net_admin+ep capable
        cp /usr/bin/true setuid; chown 0:42 setuid; chmod 6755 setuid
        touch big; chown 65534:65535 big; chmod 0 big
        chmod 1777 empty; chown 33:33 empty; mkdir closed; chmod 0 closed; chown 7:8 closed
        ln -s ../one sub/link; ln -s nowhere dangling; chown -h 9:10 dangling; mkfifo -m 640 pipe; chown 11:12 pipe
        truncate -s 3000000 holes; head -c 700000 /dev/urandom >random; touch -h -d @1000000000 dangling
        touch -d @86400 sub/deep; touch -d @-5 random; touch -d @1234567890 one sub /d";
    said(&script(&root, text))?;
    rustix::fs::setxattr(d.join("one"), "user.note", b"\0\xff", rustix::fs::XattrFlags::empty())?;
    rustix::fs::setxattr(d.join("sub"), "user.folder", b"x", rustix::fs::XattrFlags::empty())?;
    Ok(root)
}

fn everything_is_collected(folder: &Path) -> Result<()> {
    let tree = collect(&everything(folder)?)?;
    let find = |path: &[u8]| tree.entries.iter().find(|entry| entry.path == path).context("no such entry");
    let capable = find(b"d/capable")?;
    ensure!((capable.uid, capable.gid) == (5, 6));
    // Revision 2, four bytes of flags, and no root id: what an image on a real machine holds.
    let plain: &[u8] = b"\x01\0\0\x02\0\x30\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    ensure!(capable.xattrs == [("security.capability".to_owned(), plain.to_vec())], "{:?}", capable.xattrs);
    ensure!(find(b"d/two")?.kind == Kind::HardLink { target: b"d/one".to_vec() });
    ensure!(find(b"d/sub/deep/three")?.kind == Kind::HardLink { target: b"d/one".to_vec() });
    ensure!((find(b"d/setuid")?.mode, find(b"d/big")?.gid) == (0o6755, 65_535));
    Ok(())
}

fn dead_build(folder: &Path) -> Result<()> {
    let cache = folder.join("cache");
    Store::open(&cache)?;
    let request = cache.to_str().unwrap().as_bytes();
    Worker::run("die", request, &Silent)?;
    ensure!(cache.join("work/0/root").symlink_metadata()?.uid() != 0 || rustix::process::geteuid().is_root());
    ensure!(Worker::run("sweep", request, &Silent)? == b"1");
    ensure!(std::fs::read_dir(cache.join("work"))?.next().is_none());
    Ok(())
}

/// Leaves a work folder behind.
fn die(request: &[u8], _: &dyn Progress) -> Result<Vec<u8>> {
    let work = Store::open(Path::new(OsStr::from_bytes(request)))?.work()?;
    let root = work.folder("root")?;
    std::fs::write(root.join("file"), "")?;
    std::os::unix::fs::chown(root.join("file"), Some(1234), Some(1234))?;
    std::os::unix::fs::chown(&root, Some(1234), Some(1234))?;
    std::fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    std::mem::forget(work);
    Ok(Vec::new())
}

fn sweep(request: &[u8], _: &dyn Progress) -> Result<Vec<u8>> {
    Ok(Store::open(Path::new(OsStr::from_bytes(request)))?.sweep()?.to_string().into_bytes())
}

fn tools_in_use(folder: &Path) -> Result<()> {
    let store = Store::open(&folder.join("cache"))?;
    let mut held = None;
    for id in ["t1", "t2", "t3"] {
        let work = store.work()?;
        let root = work.folder("root")?;
        std::fs::write(root.join("tool"), id)?;
        let tools = store.publish_tools(id, &work, &root)?;
        held = held.or(Some(tools));
    }
    for id in ["b1", "b2"] {
        let work = store.work()?;
        let root = work.folder("root")?;
        std::fs::write(root.join("file"), vec![1; 1 << 20])?;
        drop(store.publish_base(id, work.path(), &root)?);
    }
    let pruned = store.prune(Keep { bases: 1, tools: 1 })?;
    ensure!((pruned.bases, pruned.tools, pruned.work) == (1, 1, 0), "{pruned:?}");
    ensure!(store.tools("t1")?.is_some() && store.tools("t2")?.is_none() && store.tools("t3")?.is_some());
    drop(held);
    let pruned = store.prune(Keep { bases: 0, tools: 0 })?;
    ensure!((pruned.bases, pruned.tools) == (1, 2) && pruned.bytes > 1_000_000, "{pruned:?}");
    Ok(())
}

fn usage(folder: &Path) -> Result<()> {
    let store = Store::open(&folder.join("cache"))?;
    let work = store.work()?;
    let root = work.folder("root")?;
    std::fs::write(root.join("file"), vec![1; 1 << 20])?;
    let base = store.publish_base("b", work.path(), &root)?;
    work.remove()?;
    let usage = store.usage()?;
    ensure!(usage["bases"].count == 1 && usage["bases"].bytes > 1_000_000, "{usage:?}");
    ensure!(usage["tools"].count == 0 && usage["work"].count == 0, "{usage:?}");
    drop(base);
    Ok(())
}
