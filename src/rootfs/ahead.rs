//! Deferred work that needs packages unpacked but not configured: begun beside dpkg, which uses one processor.
//!
//! ```text
//! dpkg --configure -a   ##########################
//! depmod                ##                                over modules that were decompressed before (see modules.rs)
//! systemd-hwdb          ###
//! mkinitramfs             ###############                 kept outside of the root until all is configured
//! py3compile               #   ##    #  #  ####  ##       as scripts ask for it
//! update-ca-certificates                            ###   when no script runs any more
//! ```
//!
//! Scripts see none of it before they would have: what they could see is kept aside, and what lies in the root
//! (`modules.dep`, `hwdb.bin`, byte code) is what they themselves asked for. What is made from files that changed
//! after all is made again ([`Inputs`]).

use super::boot_files::Kernel;
use super::database::FOLDER;
use super::deferred::{Deferred, INSIDE};
use super::inputs::Inputs;
use super::layers::INITRAMFS_INPUTS;
use super::modules::{self, Decompressed, Modules};
use super::root::Root;
use super::scripts;
use crate::base::epoch::Epoch;
use crate::base::progress::{Progress, Unit};
use crate::sandbox::{Access, Command, Stdin};
use anyhow::{Context as _, Result, anyhow};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};

/// What `depmod` reads.
const MODULES_INPUTS: [&str; 3] = ["etc/depmod.d", "usr/lib/depmod.d", "usr/lib/modules"];
/// What `systemd-hwdb` reads.
const HARDWARE_INPUTS: [&str; 2] = ["etc/udev/hwdb.d", "usr/lib/udev/hwdb.d"];
/// How udev's script asks for it.
const HARDWARE: [&str; 3] = ["systemd-hwdb", "--usr", "update"];
/// What `mkinitramfs` reads beside what a role may not change without its being made again.
const LIBRARY_INPUTS: [&str; 2] = ["etc/ld.so.conf", "etc/ld.so.conf.d"];
/// Has the program that makes initial ramdisks, and writes its settings when it is configured.
const INITRAMFS_PACKAGE: &str = "initramfs-tools";
/// Makes the store of certificates.
pub(super) const CERTIFICATES: &str = "update-ca-certificates";
/// What it reads.
const CERTIFICATES_INPUTS: [&str; 4] = [
    "etc/ca-certificates.conf",
    "etc/ca-certificates/update.d",
    "usr/local/share/ca-certificates",
    "usr/share/ca-certificates",
];
/// Compiles Python files; its command lines name a package or a folder.
const PYTHON: &str = "py3compile";

/// What may be done ahead for a layer.
pub(super) struct Wanted<'w> {
    /// Kernels that are new.
    pub(super) kernels: &'w [Kernel],
    /// Their modules, on their way.
    pub(super) modules: Option<Modules>,
    /// Whether documents leave Python files alone.
    pub(super) python: bool,
}

/// What was done, and from what.
#[derive(Debug, Default)]
pub(super) struct Done {
    lines: BTreeMap<Vec<String>, (Vec<&'static str>, Inputs)>,
    /// By version of the kernel.
    initramfs: BTreeMap<String, Inputs>,
}

/// The paths that an initial ramdisk is made from; `boot` holds what is made.
fn initramfs_inputs() -> Vec<&'static str> {
    let inputs = INITRAMFS_INPUTS.into_iter().filter(|path| *path != "boot");
    inputs.chain(LIBRARY_INPUTS).chain(HARDWARE_INPUTS).collect()
}

impl Done {
    /// Whether this need not be done any more.
    pub(super) fn holds(&self, root: &Root, line: &[String]) -> Result<bool> {
        let Some((paths, before)) = self.lines.get(line) else { return Ok(false) };
        Ok(before.difference(&Inputs::take(root, paths)?).is_none())
    }

    /// Whether the initial ramdisk that was made is the one that would be made now; otherwise what changed is told.
    pub(super) fn holds_initramfs(&self, root: &Root, kernel: &Kernel, progress: &dyn Progress) -> Result<bool> {
        let Some(before) = self.initramfs.get(&kernel.version) else { return Ok(false) };
        let now = Inputs::take(root, &initramfs_inputs())?;
        let changed = before.difference(&now);
        if let Some(path) = changed {
            progress.log(format!("/{path} changed after the initial ramdisk of Linux {} was made", kernel.version));
        }
        Ok(changed.is_none())
    }
}

/// Runs `configure`, which tells by its argument which package it begins with, and beside it what can be done already.
pub(super) fn beside(
    deferred: &Deferred,
    root: &Root,
    wanted: Wanted<'_>,
    epoch: Epoch,
    progress: &dyn Progress,
    configure: impl FnOnce(&mut dyn FnMut(&str)) -> Result<()>,
) -> Result<Done> {
    let updates = deferred.folder().join("updates");
    fs::create_dir_all(&updates).with_context(|| format!("creating {}", updates.display()))?;
    let work = Work { deferred, root, epoch, progress, updates, done: Mutex::default() };
    let (tell, told) = channel();
    let (tell_kernels, told_kernels) = channel();
    let at = &work;
    std::thread::scope(|scope| -> Result<()> {
        let kernels = scope.spawn(move || at.kernels(wanted.kernels, wanted.modules, &told_kernels));
        let python = wanted.python.then(|| scope.spawn(move || at.python(&told)));
        // Nobody listens where nothing is to be done.
        let configured = configure(&mut |package| {
            tell.send(()).unwrap_or_default();
            tell_kernels.send(package.to_owned()).unwrap_or_default();
        });
        drop((tell, tell_kernels));
        let configured = configured.and_then(|()| at.certificates());
        let join = |thread: std::thread::ScopedJoinHandle<'_, Result<()>>| {
            thread.join().map_err(|_| anyhow!("a thread ended before its work was done"))?
        };
        let (kernels, python) = (join(kernels), python.map_or(Ok(()), join));
        configured.and(kernels).and(python)
    })?;
    Ok(work.done.into_inner().unwrap_or_else(PoisonError::into_inner))
}

struct Work<'a> {
    deferred: &'a Deferred,
    root: &'a Root,
    epoch: Epoch,
    progress: &'a dyn Progress,
    /// Stands for dpkg's folder of changes that are not in its status yet: they come and go while others read them, and
    /// say nothing of files.
    updates: PathBuf,
    done: Mutex<Done>,
}

impl Work<'_> {
    fn command(&self, program: &str) -> Command {
        scripts::command(self.root, self.epoch, program).bind(self.deferred.folder(), INSIDE, Access::ReadWrite).bind(
            &self.updates,
            format!("/{FOLDER}/updates"),
            Access::ReadOnly,
        )
    }

    fn run(&self, command: &Command) -> Result<()> {
        command.run(|said| self.progress.log(said))
    }

    fn done(&self) -> std::sync::MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a command line and remembers from what.
    fn line(&self, line: &[&str], inputs: &[&'static str]) -> Result<()> {
        let before = Inputs::take(self.root, inputs)?;
        self.run(&self.command(line[0]).args(&line[1..]))?;
        self.remember(line, inputs, before);
        Ok(())
    }

    fn remember(&self, line: &[&str], inputs: &[&'static str], before: Inputs) {
        let words = line.iter().map(|word| (*word).to_owned()).collect();
        self.done().lines.insert(words, (inputs.to_vec(), before));
    }

    /// Makes the store of certificates that a script asked for.
    fn certificates(&self) -> Result<()> {
        let asked = self.deferred.asked()?;
        let Some(line) = certificates(&asked) else { return Ok(()) };
        let phase = self.progress.phase("finish", 0, Unit::Items);
        phase.item(1, CERTIFICATES);
        self.line(&line.iter().map(String::as_str).collect::<Vec<&str>>(), &CERTIFICATES_INPUTS)
    }

    /// All that belongs to kernels.
    fn kernels(&self, kernels: &[Kernel], modules: Option<Modules>, begun: &Receiver<String>) -> Result<()> {
        let there = |path: &str| Ok::<_, anyhow::Error>(self.root.find(path.as_bytes())?.is_some());
        if kernels.is_empty() || !there("usr/sbin/depmod")? {
            return Ok(());
        }
        let phase = self.progress.phase("finish", 0, Unit::Items);
        if there("usr/sbin/ldconfig")? {
            self.run(&self.command("ldconfig"))?;
        }
        let hardware = || {
            if there("usr/bin/systemd-hwdb")? {
                phase.item(1, HARDWARE[0]);
                self.line(&HARDWARE, &HARDWARE_INPUTS)?;
            }
            Ok(())
        };
        std::thread::scope(|scope| -> Result<()> {
            let hardware = scope.spawn(hardware);
            let modules = modules.map(Modules::finish).transpose();
            let modules = modules.unwrap_or_else(|error| {
                // depmod finds it out, or does not mind.
                self.progress.log(format!("not decompressed ahead: {error:#}"));
                None
            });
            for kernel in kernels {
                phase.item(1, "depmod");
                self.depmod(&kernel.version, modules.as_ref())?;
            }
            hardware.join().map_err(|_| anyhow!("a thread ended before its work was done"))?
        })?;
        if there("usr/sbin/mkinitramfs")? && there("usr/sbin/update-initramfs")? {
            wait_beyond(INITRAMFS_PACKAGE, begun);
            for kernel in kernels {
                phase.item(1, format!("initramfs {}", kernel.version));
                self.initramfs(kernel)?;
            }
        }
        Ok(())
    }

    fn depmod(&self, version: &str, modules: Option<&Decompressed>) -> Result<()> {
        let before = Inputs::take(self.root, &MODULES_INPUTS)?;
        let command = self.command("depmod").arg(version);
        if let Some(folder) = modules.and_then(|modules| modules.of(version, &before)) {
            self.run(&command.bind(&folder, format!("/usr/lib/modules/{version}"), Access::ReadWrite))?;
            modules::hand_over(&folder, self.root, version)?;
        } else {
            self.run(&command)?;
        }
        self.remember(&["depmod", version], &MODULES_INPUTS, before);
        Ok(())
    }

    fn initramfs(&self, kernel: &Kernel) -> Result<()> {
        let before = Inputs::take(self.root, &initramfs_inputs())?;
        let to = format!("{INSIDE}/initrd-{}", kernel.version);
        let made = self.run(&self.command("mkinitramfs").args(["-o", &to, &kernel.version]));
        match made {
            Ok(()) => drop(self.done().initramfs.insert(kernel.version.clone(), before)),
            // It may need what is only configured later: it is made then, or fails for good.
            Err(error) => self.progress.log(format!("not made ahead: {error:#}")),
        }
        Ok(())
    }

    /// Compiles what is asked for until nothing more can come.
    fn python(&self, told: &Receiver<()>) -> Result<()> {
        let mut known = BTreeSet::new();
        loop {
            let last = told.recv().is_err();
            while told.try_recv().is_ok() {}
            let asked = self.deferred.asked()?;
            let fresh: Vec<&Vec<String>> =
                asked.iter().filter(|line| line[0] == PYTHON && !known.contains(*line)).collect();
            if !last && !fresh.is_empty() {
                let phase = self.progress.phase("finish", 0, Unit::Items);
                phase.item(fresh.len() as u64, PYTHON);
                self.run(&self.command("sh").stdin(Stdin::Bytes(script(&fresh).into_bytes())))?;
                let mut done = self.done();
                done.lines.extend(fresh.iter().map(|line| ((*line).clone(), (Vec::new(), Inputs::default()))));
            }
            if last {
                return Ok(());
            }
            known.extend(asked);
        }
    }
}

/// Waits until another package is begun after this one, or none is begun any more.
fn wait_beyond(package: &str, begun: &Receiver<String>) {
    let name = |begun: &String| begun.split(':').next() == Some(package);
    if begun.iter().any(|begun| name(&begun)) {
        drop(begun.recv());
    }
}

/// Of the command lines asked for the one that makes the store of certificates: from nothing, if any would.
pub(super) fn certificates(asked: &BTreeSet<Vec<String>>) -> Option<&Vec<String>> {
    let of_all = || asked.iter().filter(|line| line[0] == CERTIFICATES);
    of_all().find(|line| line.iter().any(|word| word == "--fresh" || word == "-f")).or(of_all().next())
}

/// Command lines one after the other, each of which must succeed.
fn script(lines: &[&Vec<String>]) -> String {
    lines.iter().map(|line| format!("{} || exit 1\n", quoted(line))).collect()
}

/// A command line as a shell reads it.
pub(super) fn quoted(line: &[String]) -> String {
    let quoted = |word: &String| format!("'{}'", word.replace('\'', "'\\''"));
    line.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_behind_the_package_or_with_the_last() {
        let (tell, told) = channel();
        for begun in ["initramfs-tools-core", "initramfs-tools:amd64", "lvm2", "sudo"] {
            tell.send(begun.to_owned()).unwrap();
        }
        wait_beyond("initramfs-tools", &told);
        assert_eq!(told.try_recv().as_deref(), Ok("sudo"));
        drop(tell);
        wait_beyond("initramfs-tools", &told);
    }

    #[test]
    fn words_reach_the_shell_as_they_are() {
        let line = ["py3compile", "-p", "it's"].map(str::to_owned).to_vec();
        assert_eq!(script(&[&line]), "'py3compile' '-p' 'it'\\''s' || exit 1\n");
    }

    #[test]
    fn what_was_done_holds_until_its_inputs_change() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("etc/depmod.d")).unwrap();
        let root = Root::open(folder.path()).unwrap();
        let line = ["depmod", "6.1"].map(str::to_owned).to_vec();
        let mut done = Done::default();
        assert!(!done.holds(&root, &line).unwrap());
        let before = Inputs::take(&root, &MODULES_INPUTS).unwrap();
        done.lines.insert(line.clone(), (MODULES_INPUTS.to_vec(), before));
        assert!(done.holds(&root, &line).unwrap());
        fs::write(folder.path().join("etc/depmod.d/order"), "search updates\n").unwrap();
        assert!(!done.holds(&root, &line).unwrap());
    }
}
