//! Stand-ins for programs that many scripts start and once is enough: they only note that they were asked for, and
//! what they stand for runs at the end. They are shown inside the sandbox alone; nothing of them is in the tree.

use super::ahead::{self, Done};
use super::boot_files::Kernel;
use super::root::Root;
use super::{scripts, services};
use crate::base::epoch::Epoch;
use crate::base::progress::{Phase, Progress};
use crate::sandbox::{Access, Command, Stdin};
use anyhow::{Context as _, Result, anyhow};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Where the stand-ins are shown inside.
pub(super) const INSIDE: &str = "/run/imgbuild";
/// Where programs are looked for, after the stand-ins.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Programs, by where they are in a root, that scripts start by name.
const BY_NAME: [&str; 6] = [
    "usr/sbin/depmod",
    "usr/sbin/ldconfig",
    "usr/sbin/update-ca-certificates",
    "usr/sbin/update-initramfs",
    "usr/bin/py3compile",
    "usr/bin/systemd-hwdb",
];
/// Programs that scripts start by path; what they make is a cache that no image holds.
const BY_PATH: [&str; 1] = ["usr/bin/mandb"];
/// Separates the words of a command line that was asked for.
const SEPARATOR: char = '\u{1f}';

/// The stand-ins of one layer and what was asked of them.
#[derive(Debug)]
pub(super) struct Deferred {
    folder: PathBuf,
    /// What was done already.
    done: Mutex<Done>,
}

impl Deferred {
    /// Makes a place for stand-ins; the folder must not exist.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let making = || format!("making stand-ins in {}", folder.display());
        fs::create_dir_all(folder.join("bin")).with_context(making)?;
        fs::write(folder.join("asked"), b"").with_context(making)?;
        fs::write(folder.join("services"), b"").with_context(making)?;
        fs::write(folder.join("nothing"), b"#!/bin/sh\nexit 0\n").with_context(making)?;
        fs::set_permissions(folder.join("nothing"), fs::Permissions::from_mode(0o755)).with_context(making)?;
        Ok(Self { folder: folder.to_owned(), done: Mutex::default() })
    }

    /// A command in the root for whose children the stand-ins take the place of the programs that are there by now.
    pub(super) fn command(&self, root: &Root, epoch: Epoch, program: &str) -> Result<Command> {
        for path in BY_NAME.into_iter().chain([services::PROGRAM]) {
            let name = path.rsplit('/').next().unwrap_or(path);
            let script = self.folder.join("bin").join(name);
            if !script.exists() && root.find(path.as_bytes())?.is_some() {
                let text = if path == services::PROGRAM {
                    services::script(INSIDE)
                } else {
                    format!(
                        "#!/bin/sh\n{{ printf %s {name}; [ $# -eq 0 ] || printf '\\037%s' \"$@\"; echo; }} >> {INSIDE}/asked\n"
                    )
                };
                fs::write(&script, text)
                    .and_then(|()| fs::set_permissions(&script, fs::Permissions::from_mode(0o755)))
                    .with_context(|| format!("making a stand-in for {name}"))?;
            }
        }
        let mut command = scripts::command(root, epoch, program)
            .bind(&self.folder, INSIDE, Access::ReadWrite)
            .env("PATH", format!("{INSIDE}/bin:{PATH}"));
        for path in BY_PATH {
            if root.find(path.as_bytes())?.is_some() {
                command = command.bind(self.folder.join("nothing"), format!("/{path}"), Access::ReadWrite);
            }
        }
        Ok(command)
    }

    /// Asks for a program as a script would.
    pub(super) fn ask(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let path = self.folder.join("asked");
        let line = std::iter::once(&program).chain(arguments).copied().collect::<Vec<_>>();
        fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| writeln!(file, "{}", line.join(&SEPARATOR.to_string())))
            .with_context(|| format!("writing {}", path.display()))
    }

    /// Where the stand-ins lie.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A place of this layer's own that scripts are not shown.
    pub(super) fn aside(&self, name: &str) -> PathBuf {
        let mut path = self.folder.clone().into_os_string();
        path.push("-");
        path.push(name);
        path.into()
    }

    /// The command lines asked for, each once; one that is just being written does not count yet.
    pub(super) fn asked(&self) -> Result<BTreeSet<Vec<String>>> {
        let path = self.folder.join("asked");
        let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let text = String::from_utf8_lossy(&text);
        let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        Ok(whole.map(|line| line.split(SEPARATOR).map(str::to_owned).collect()).collect())
    }

    /// The command lines asked for, and forgets them.
    pub(super) fn take(&self) -> Result<BTreeSet<Vec<String>>> {
        let path = self.folder.join("asked");
        let asked = self.asked()?;
        fs::write(&path, b"").with_context(|| format!("writing {}", path.display()))?;
        Ok(asked)
    }

    /// Runs `configure`, and beside it what can be done already ([`ahead`]).
    pub(super) fn beside(
        &self,
        root: &Root,
        wanted: ahead::Wanted<'_>,
        epoch: Epoch,
        progress: &dyn Progress,
        configure: impl FnOnce(&mut dyn FnMut(&str)) -> Result<()>,
    ) -> Result<()> {
        let done = ahead::beside(self, root, wanted, epoch, progress, configure)?;
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = done;
        Ok(())
    }

    /// Makes the links of the units that scripts enabled: before anything else decides about units.
    pub(super) fn run_services(&self, root: &Root, epoch: Epoch, progress: &dyn Progress) -> Result<()> {
        let path = self.folder.join("services");
        let noted = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        fs::write(&path, b"").with_context(|| format!("writing {}", path.display()))?;
        services::replay(root, &noted, epoch, progress)
    }

    /// Does what was asked for, each thing once, side by side where one does not need the other. `initramfs` says
    /// whether inputs of the initial ramdisk changed beside what scripts asked for.
    pub(super) fn run(
        &self,
        root: &Root,
        kernels: &[Kernel],
        initramfs: bool,
        epoch: Epoch,
        progress: &dyn Progress,
    ) -> Result<()> {
        let done = std::mem::take(&mut *self.done.lock().unwrap_or_else(PoisonError::into_inner));
        let mut asked = self.take()?;
        let updated = asked.iter().any(|line| line[0] == "update-initramfs");
        // One store, however many asked for it.
        if let Some(line) = ahead::certificates(&asked)
            && done.holds(root, line)?
        {
            asked.retain(|line| line[0] != ahead::CERTIFICATES);
        }
        for line in asked.clone() {
            if done.holds(root, &line)? {
                asked.remove(&line);
            }
        }
        let work =
            Work { root, epoch, phase: progress.phase("finish", 0, crate::base::progress::Unit::Items), progress };
        let of = |name: &str| -> Vec<&Vec<String>> { asked.iter().filter(|line| line[0] == name).collect() };
        let missing =
            kernels.iter().any(|kernel| root.find(kernel.initrd.as_bytes()).is_ok_and(|found| found.is_none()));
        let initramfs = initramfs || missing || updated;
        for line in of("ldconfig").iter().take(1) {
            work.line(line)?;
        }
        // The initial ramdisk holds what these make.
        let hardware = of("systemd-hwdb");
        for line in &hardware {
            work.line(line)?;
        }
        let others = || -> Result<()> {
            for line in of("journalctl") {
                work.line(line)?;
            }
            if let Some(line) = ahead::certificates(&asked) {
                work.line(line)?;
            }
            work.side_by_side(&of("py3compile"))
        };
        let boot = || -> Result<()> {
            let asked_for = of("depmod");
            for line in &asked_for {
                work.line(line)?;
            }
            if initramfs && root.find(b"usr/sbin/update-initramfs")?.is_some() {
                for kernel in kernels {
                    let same = asked_for.is_empty() && hardware.is_empty();
                    let made = same && done.holds_initramfs(root, kernel, progress)?;
                    work.initramfs(kernel, made.then_some(self))?;
                }
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(others);
            let booted = boot();
            other.join().map_err(|_| anyhow!("a thread ended before its work was done"))??;
            booted
        })
    }
}

/// What the deferred work shares.
struct Work<'a> {
    root: &'a Root,
    epoch: Epoch,
    phase: Phase<'a>,
    progress: &'a dyn Progress,
}

impl Work<'_> {
    fn line(&self, line: &[String]) -> Result<()> {
        let (program, arguments) = line.split_first().context("a command line has a first word")?;
        self.phase.item(1, program.clone());
        scripts::command(self.root, self.epoch, program).args(arguments).run(|said| self.progress.log(said))
    }

    /// Makes the initial ramdisk; with the place where it was made ahead, puts that into its place. Either way
    /// update-initramfs does it, with all that it does besides.
    fn initramfs(&self, kernel: &Kernel, ahead: Option<&Deferred>) -> Result<()> {
        let mut command = scripts::command(self.root, self.epoch, "update-initramfs");
        if let Some(deferred) = ahead {
            let folder = deferred.folder.join("made");
            let script = format!(
                "#!/bin/sh\n[ \"$1 $3\" != '-o {0}' ] || exec cp {INSIDE}/initrd-{0} \"$2\"\nexec /usr/sbin/mkinitramfs \"$@\"\n",
                kernel.version
            );
            let path = folder.join("mkinitramfs");
            fs::create_dir_all(&folder)
                .and_then(|()| fs::write(&path, script))
                .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
                .context("making a stand-in for mkinitramfs")?;
            command =
                command.bind(&deferred.folder, INSIDE, Access::ReadOnly).env("PATH", format!("{INSIDE}/made:{PATH}"));
        } else {
            self.phase.item(1, format!("initramfs {}", kernel.version));
        }
        command
            .args(["-c", "-k", &kernel.version])
            .run(|said| self.progress.log(said))
            .with_context(|| format!("making the initial ramdisk of Linux {}", kernel.version))
    }

    /// Runs command lines in one sandbox, as many at a time as there are processors.
    fn side_by_side(&self, lines: &[&Vec<String>]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        self.phase.item(lines.len() as u64, lines[0][0].clone());
        let input: String = lines.iter().map(|line| ahead::quoted(line) + "\0").collect();
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).to_string();
        scripts::command(self.root, self.epoch, "xargs")
            .args(["-0", "-P", &threads, "-n", "1", "sh", "-c"])
            .stdin(Stdin::Bytes(input.into_bytes()))
            .run(|said| self.progress.log(said))
    }
}
