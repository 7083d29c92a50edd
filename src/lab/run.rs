//! Boots one machine and waits for its end.

use super::call::{Call, Ended};
use super::firmware::Files;
use super::kvm::{self, Accelerator};
use super::line::{Parts, SYSTEM};
use super::machine::{Console, Ending, Machine};
use super::qemu::Qemu;
use super::{disk, firmware, line, seed};
use crate::base::files;
use crate::base::firmware::Firmware;
use crate::base::progress::Progress;
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// Boots the machine and waits until it ends. Its temporary files go with it.
///
/// # Errors
/// When something of it cannot be prepared or QEMU cannot be started; how the machine itself ends is the answer.
pub fn boot(machine: &Machine, qemu: &Qemu, progress: &dyn Progress) -> Result<Ending> {
    files::create_dir_all(&machine.scratch)?;
    let work =
        tempfile::Builder::new().prefix("machine-").tempdir_in(&machine.scratch).context("creating a work folder")?;
    let overlay = machine.disk.clone().unwrap_or_else(|| work.path().join("disk.qcow2"));
    disk::prepare(qemu, &machine.image, &overlay, machine.size)?;
    let seed = machine.seed.as_deref().map(|path| seed_file(path, work.path())).transpose()?;
    let firmware = own_firmware(machine, qemu, work.path(), &overlay)?;
    for file in machine.second_serial.iter().chain(match &machine.console {
        Console::File(path) => Some(path),
        Console::Terminal => None,
    }) {
        files::write_atomic(file, &[])?;
    }
    let kvm = kvm::probe(qemu, work.path(), Accelerator::Kvm)?;
    if !kvm {
        progress.note("KVM does not work here: the machine is emulated in software, which is several times slower");
    }
    let mut call = Call::new(qemu, SYSTEM);
    let parts = Parts { disk: &overlay, seed: seed.as_deref(), firmware, kvm };
    line::build(&mut call, machine, &parts)?;
    progress.log(call.text());
    call.timeout(machine.timeout);
    let ended = match machine.console {
        Console::Terminal => {
            let _terminal = Terminal::keep();
            call.on_terminal()?
        }
        Console::File(_) => call.captured()?,
    };
    Ok(match ended {
        Ended::Exited(0, _) => Ending::PoweredOff,
        Ended::Exited(code, said) => Ending::Failed(if said.is_empty() { format!("exit status {code}") } else { said }),
        Ended::Killed(said) => Ending::Failed(if said.is_empty() { "QEMU was killed".to_owned() } else { said }),
        Ended::TimedOut => Ending::TimedOut(machine.timeout.unwrap_or_default()),
    })
}

/// A folder becomes a volume; a finished volume is taken as it is.
pub(super) fn seed_file(path: &Path, work: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        files::open(path)?;
        return Ok(path.to_owned());
    }
    let file = work.join("seed.iso");
    files::write_atomic(&file, &seed::volume(path)?)?;
    Ok(file)
}

/// The machine's own copy of the firmware's variables, kept beside a disk that is kept.
fn own_firmware(machine: &Machine, qemu: &Qemu, work: &Path, overlay: &Path) -> Result<Option<Files>> {
    let own = if machine.disk.is_some() { overlay.with_extension("efivars") } else { work.join("efivars") };
    variables(machine.firmware, qemu, own)
}

/// The firmware's code, and this copy of its variables, which is made when it is not there; nothing for SeaBIOS.
pub(super) fn variables(firmware: Firmware, qemu: &Qemu, own: PathBuf) -> Result<Option<Files>> {
    let Some(files) = firmware::files(firmware, qemu.root())? else { return Ok(None) };
    if !own.exists() {
        std::fs::copy(&files.variables, &own).with_context(|| format!("copying {}", files.variables.display()))?;
        let writable = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&own, writable).with_context(|| format!("opening {}", own.display()))?;
    }
    Ok(Some(Files { code: files.code, variables: own }))
}

/// The person's terminal as it was: QEMU changes it, and may be killed before it changes it back.
pub(super) struct Terminal(Option<rustix::termios::Termios>);

impl Terminal {
    pub(super) fn keep() -> Self {
        Self(rustix::termios::tcgetattr(std::io::stdin()).ok())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(state) = &self.0 {
            let _ = rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Now, state);
        }
    }
}
