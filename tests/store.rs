//! The store with files of many owners: layers to rest and back, work folders, tools roots, pruning.

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
use harness::{Case, in_worker, inside, outside, said, script};
use imgbuild::base::progress::{Progress, Silent};
use imgbuild::base::tree::{Kind, Tree};
use imgbuild::sandbox::{Job, Worker};
use imgbuild::store::{Keep, Store, collect};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

const CASES: &[Case] = &[
    inside("layer_of_everything_comes_back_exactly", everything_comes_back),
    Case { name: "layer_at_rest_belongs_to_the_caller", outside: Some(belongs_to_caller), inside: None },
    inside("rest", rest),
    inside("layer_with_a_damaged_pack_is_refused_and_removed", damaged_pack),
    inside("layer_with_a_damaged_manifest_is_none", damaged_manifest),
    inside("layer_of_a_changing_folder_is_refused", changing_folder),
    outside("work_folder_of_a_dead_build_is_swept", dead_build),
    inside("tools_in_use_are_not_pruned", tools_in_use),
    inside("usage_counts_kinds", usage),
    inside("measure_layers", measure),
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

fn same_contents(one: &Tree, two: &Tree) -> Result<()> {
    for entry in one.entries.iter().filter(|entry| matches!(entry.kind, Kind::File { .. })) {
        let path = OsStr::from_bytes(&entry.path);
        let same = std::fs::read(one.contents.join(path))? == std::fs::read(two.contents.join(path))?;
        ensure!(same, "{} differs", path.display());
    }
    Ok(())
}

fn everything_comes_back(folder: &Path) -> Result<()> {
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
    let store = Store::open(&folder.join("cache"))?;
    store.write_layer("layer-1", &tree)?;
    let layer = store.layer("layer-1")?.context("the layer is not there")?;
    ensure!(layer.tree().entries == tree.entries);
    let target = folder.join("target");
    std::fs::create_dir(&target)?;
    let back = layer.materialise(&target)?;
    let seen = collect(&target)?;
    for (one, two) in tree.entries.iter().zip(&seen.entries) {
        ensure!(one == two, "{one:?} came back as {two:?}");
    }
    ensure!(tree.entries.len() == seen.entries.len() && back == seen);
    same_contents(&tree, &back)?;
    let again = layer.materialise(&target).unwrap_err();
    ensure!(again.to_string().ends_with("target is not empty"), "{again:#}");
    Ok(())
}

fn belongs_to_caller(folder: &Path) -> Result<()> {
    in_worker("rest", folder)?;
    let me = rustix::process::geteuid().as_raw();
    for path in ["cache/layers/r", "cache/layers/r/manifest", "cache/layers/r/pack"] {
        let owner = std::fs::metadata(folder.join(path))?.uid();
        ensure!(owner == me, "{path} belongs to {owner}");
    }
    // Everyone who owns the cache may look into it, without a worker.
    let layer = Store::open(&folder.join("cache"))?.layer("r")?.context("the layer is not there")?;
    ensure!(layer.tree().entries.iter().any(|entry| entry.gid == 65_535));
    Ok(())
}

fn rest(folder: &Path) -> Result<()> {
    Store::open(&folder.join("cache"))?.write_layer("r", &collect(&everything(folder)?)?).map(drop)
}

fn damaged_pack(folder: &Path) -> Result<()> {
    rest(folder)?;
    let store = Store::open(&folder.join("cache"))?;
    let pack = store.folder().join("layers/r/pack");
    let mut bytes = std::fs::read(&pack)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&pack, &bytes)?;
    let layer = store.layer("r")?.context("the layer is not there")?;
    let target = folder.join("target");
    std::fs::create_dir(&target)?;
    let error = layer.materialise(&target).unwrap_err();
    ensure!(format!("{error:#}").contains("was damaged in the cache"), "{error:#}");
    ensure!(store.layer("r")?.is_none(), "the damaged layer is still there");
    rest_again(folder, &store)?;
    std::fs::write(&pack, &bytes[1..])?;
    ensure!(store.layer("r")?.is_none(), "a pack of another length was taken");
    Ok(())
}

fn rest_again(folder: &Path, store: &Store) -> Result<()> {
    store.write_layer("r", &collect(&folder.join("root"))?)?;
    ensure!(store.layer("r")?.is_some());
    Ok(())
}

fn damaged_manifest(folder: &Path) -> Result<()> {
    rest(folder)?;
    let store = Store::open(&folder.join("cache"))?;
    let path = store.folder().join("layers/r/manifest");
    let good = std::fs::read(&path)?;
    for at in [0, 64, 65, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 0x20;
        std::fs::write(&path, &bad)?;
        ensure!(store.layer("r")?.is_none(), "damage at {at} was not seen");
    }
    std::fs::write(&path, &good)?;
    ensure!(store.layer("r")?.is_some());
    Ok(())
}

fn changing_folder(folder: &Path) -> Result<()> {
    let root = everything(folder)?;
    let tree = collect(&root)?;
    let store = Store::open(&folder.join("cache"))?;
    std::fs::write(root.join("d/one"), "longer content")?;
    let error = store.write_layer("c", &tree).err().context("it was kept")?;
    ensure!(format!("{error:#}").ends_with("d/one: it is longer than the 7 bytes that it had"), "{error:#}");
    ensure!(store.layer("c")?.is_none() && std::fs::read_dir(store.folder().join("layers"))?.next().is_none());
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
    rest(folder)?;
    rest_again(folder, &store)?;
    let pruned = store.prune(Keep { layers: 1, tools: 1 })?;
    ensure!((pruned.layers, pruned.tools, pruned.work) == (0, 1, 0), "{pruned:?}");
    ensure!(store.tools("t1")?.is_some() && store.tools("t2")?.is_none() && store.tools("t3")?.is_some());
    drop(held);
    let pruned = store.prune(Keep { layers: 0, tools: 0 })?;
    ensure!((pruned.layers, pruned.tools) == (1, 2) && pruned.bytes > 3_000_000, "{pruned:?}");
    Ok(())
}

fn usage(folder: &Path) -> Result<()> {
    rest(folder)?;
    let store = Store::open(&folder.join("cache"))?;
    let usage = store.usage()?;
    ensure!(usage["layers"].count == 1 && usage["layers"].bytes > 700_000, "{usage:?}");
    ensure!(usage["tools"].count == 0 && usage["work"].count == 0, "{usage:?}");
    Ok(())
}

/// Hundredths of a second that this process spent (user, system).
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    text.split(' ').skip(13).take(2).collect::<Vec<_>>().join(" + ")
}

/// 20,000 files with 400 MB, as a base layer has.
fn measure(folder: &Path) -> Result<()> {
    let root = folder.join("root");
    for part in 0..400_u64 {
        let below = root.join(format!("part{part}"));
        std::fs::create_dir_all(&below)?;
        for file in 0..50 {
            let text = format!("{part} {file} ").repeat(2500);
            std::fs::write(below.join(file.to_string()), &text.as_bytes()[..text.len().min(20_000)])?;
        }
    }
    let clock =
        |what: &str, begun: Instant| println!("    {what}: {:.2?}, processor so far {}", begun.elapsed(), processor());
    let begun = Instant::now();
    let tree = collect(&root)?;
    clock("collect", begun);
    let store = Store::open(&folder.join("cache"))?;
    let begun = Instant::now();
    store.write_layer("m", &tree)?;
    clock("write", begun);
    let begun = Instant::now();
    let layer = store.layer("m")?.context("no layer")?;
    clock("open", begun);
    let target = folder.join("target");
    std::fs::create_dir(&target)?;
    let begun = Instant::now();
    layer.materialise(&target)?;
    clock("materialise", begun);
    let begun = Instant::now();
    std::fs::remove_dir_all(&target)?;
    clock("remove", begun);
    Ok(())
}
