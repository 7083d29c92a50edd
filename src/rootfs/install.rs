//! Brings packages into a root: unpacked, configured, accounts and answers given before any script asks.

use super::accounts::{self, Owners};
use super::ahead::Wanted;
use super::database;
use super::deferred::Deferred;
use super::incoming::{Incoming, Order};
use super::modules::Modules;
use super::root::Root;
use super::scripts;
use super::unpack::{Listing, Unpacker};
use super::{boot_files, overlay};
use crate::base::epoch::Epoch;
use crate::base::progress::{Progress, Unit};
use crate::package::PackageFile;
use crate::plan::{DebconfAnswer, Layer};
use crate::sandbox::Stdin;
use anyhow::{Context as _, Result, anyhow};
use std::collections::{BTreeMap, BTreeSet};

/// Links of a merged /usr that must be there before the first package, for releases whose base-files has none.
const MERGED_LINKS: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// Installs one layer's packages into a root, which is empty or has those of an earlier layer, configured.
pub(super) fn install(
    root: &Root,
    files: &[PackageFile],
    layer: &Layer,
    epoch: Epoch,
    deferred: &Deferred,
    progress: &dyn Progress,
) -> Result<()> {
    let fresh = root.find(b"var/lib/dpkg/status")?.is_none();
    if files.is_empty() && !fresh {
        accounts::add(root, &layer.groups, &layer.users).context("adding accounts")?;
        return answer(root, &layer.debconf, epoch, progress);
    }
    let order = Order::open(files)?;
    let installed = database::installed(root)?;
    let mut unpacker = Unpacker::new(root, &order, &installed, epoch);
    let phase = progress.phase("unpack", files.len() as u64, Unit::Packages);
    let mut left: BTreeSet<usize> = (0..order.packages.len()).collect();

    if fresh {
        prepare(root)?;
        let leaders = order.leaders();
        unpacker.wave(&leaders, Owners::default(), &phase)?;
        left.retain(|at| !leaders.contains(at));
    }
    accounts::add(root, &layer.groups, &layer.users).context("adding accounts")?;
    let owners = || Owners::read(root);

    let bootstrap = order.bootstrap();
    let early: Vec<usize> =
        left.iter().copied().filter(|at| bootstrap.contains(at) || !order.packages[*at].has("preinst")).collect();
    unpacker.wave(&early, owners()?, &phase)?;
    left.retain(|at| !early.contains(at));
    let late: Vec<usize> = left.into_iter().collect();
    let early: Vec<usize> = (0..order.packages.len()).filter(|at| !late.contains(at)).collect();
    let pick = |places: &[usize]| places.iter().map(|at| &order.packages[*at]).collect::<Vec<&Incoming>>();
    let listed = |unpacker: &Unpacker<'_>, places: &[usize]| -> Result<Vec<Listing>> {
        places.iter().map(|at| unpacker.listing(*at)).collect()
    };
    register(root, &pick(&early), &listed(&unpacker, &early)?, !fresh)?;
    database::drop_paths(root, &unpacker.taken_over())?;

    scripts::forbid_services(root)?;
    if fresh {
        shell(root)?;
    }
    answer(root, &layer.debconf, epoch, progress)?;
    let phase_configure = |phase: &crate::base::progress::Phase<'_>, name: &str| phase.item(1, name);
    let first: Vec<&Incoming> = bootstrap.iter().map(|at| &order.packages[*at]).collect();
    let configuring = progress.phase("configure", files.len() as u64, Unit::Packages);
    let modules = if fresh { Some(Modules::begin(deferred.aside("modules"))?) } else { None };
    if !late.is_empty() {
        std::thread::scope(|scope| -> Result<()> {
            let decompressed = scope.spawn(|| unpacker.decompress(&late, deferred.folder(), modules.as_ref()));
            scripts::preinst(root, &first, epoch, deferred, progress)?;
            if !first.is_empty() {
                let mut advance = |name: &str| phase_configure(&configuring, name);
                scripts::configure(root, &first, epoch, deferred, &mut advance, progress)?;
            }
            decompressed.join().map_err(|_| anyhow!("a thread ended before its work was done"))?
        })?;
        scripts::preinst(root, &pick(&late), epoch, deferred, progress)?;
        unpacker.wave(&late, owners()?, &phase)?;
        register(root, &pick(&late), &listed(&unpacker, &late)?, true)?;
        database::drop_paths(root, &unpacker.taken_over())?;
    } else {
        scripts::preinst(root, &first, epoch, deferred, progress)?;
    }
    drop(phase);
    let kernels = if fresh { boot_files::kernels(root)? } else { Vec::new() };
    if fresh {
        boot_files::describe_root_to_initramfs(root)?;
        overlay::lay_initramfs(root, layer)?;
    }
    let wanted = Wanted { kernels: &kernels, modules, python: !overlay::may_change_python(layer) };
    deferred.beside(root, wanted, epoch, progress, |tell| {
        let mut advance = |name: &str| {
            phase_configure(&configuring, name);
            tell(name);
        };
        scripts::configure(root, &[], epoch, deferred, &mut advance, progress)
    })?;
    deferred.run_services(root, epoch, progress)?;
    scripts::allow_services(root)
}

fn register(root: &Root, packages: &[&Incoming], listings: &[Listing], configured: bool) -> Result<()> {
    let unpacked: Vec<(&Incoming, &Listing)> = packages.iter().copied().zip(listings).collect();
    database::add(root, &unpacked, configured)
}

/// What a root must have before its first package.
pub(super) fn prepare(root: &Root) -> Result<()> {
    root.make_directory("/", 0o755, (0, 0))?;
    for name in MERGED_LINKS {
        root.make_directory(&format!("usr/{name}"), 0o755, (0, 0))?;
        root.link(name, &format!("usr/{name}"), (0, 0))?;
    }
    Ok(())
}

/// Scripts need /bin/sh: releases whose dash makes the link by a script get it here, as the script would make it.
fn shell(root: &Root) -> Result<()> {
    if root.find(b"usr/bin/sh")?.is_none() {
        root.link("usr/bin/sh", "dash", (0, 0))?;
    }
    Ok(())
}

/// Gives debconf the layer's answers.
fn answer(root: &Root, answers: &[DebconfAnswer], epoch: Epoch, progress: &dyn Progress) -> Result<()> {
    if answers.is_empty() {
        return Ok(());
    }
    let lines: BTreeMap<(&str, &str), String> = answers
        .iter()
        .map(|answer| {
            let line = format!("{} {} {} {}\n", answer.package, answer.question, answer.kind, answer.value);
            ((answer.package.as_str(), answer.question.as_str()), line)
        })
        .collect();
    let text: String = lines.into_values().collect();
    scripts::command(root, epoch, "/usr/bin/debconf-set-selections")
        .stdin(Stdin::Bytes(text.into_bytes()))
        .run(|line| progress.log(line))
        .context("giving debconf its answers")
}
