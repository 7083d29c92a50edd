//! Whether hardware virtualisation really works: a device node alone does not say so in nested or locked-down hosts.

use super::call::{Call, Ended};
use super::line::SYSTEM;
use super::qemu::Qemu;
use anyhow::{Context as _, Result};
use std::path::Path;
use std::time::Duration;

/// How long the probe guest may take; it needs milliseconds.
const LIMIT: Duration = Duration::from_secs(3);
/// What the probe guest writes to the exit device; QEMU then exits with twice that plus one.
const WORD: u8 = 0x2a;
/// Bytes of the probe's firmware, mapped to end at 4 GiB.
const ROM: usize = 64 << 10;

/// A firmware whose first instructions leave the machine: `mov al, WORD; out 0xf4, al; hlt; jmp $-1`.
fn rom() -> Vec<u8> {
    let mut rom = vec![0xf4; ROM];
    let reset = ROM - 16;
    rom[reset..reset + 7].copy_from_slice(&[0xb0, WORD, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd]);
    rom
}

/// Runs the probe guest under KVM.
///
/// # Errors
/// When its file cannot be written; a guest that does not run is an answer, not an error.
pub(super) fn works(qemu: &Qemu, scratch: &Path) -> Result<bool> {
    if !Path::new("/dev/kvm").exists() {
        return Ok(false);
    }
    probe(qemu, scratch, &["kvm", "host"])
}

/// Runs the probe guest under an accelerator with a processor model.
fn probe(qemu: &Qemu, scratch: &Path, [accelerator, processor]: &[&str; 2]) -> Result<bool> {
    let mut file = tempfile::NamedTempFile::new_in(scratch).context("writing the probe guest")?;
    std::io::Write::write_all(&mut file, &rom()).context("writing the probe guest")?;
    let mut call = Call::new(qemu, SYSTEM);
    let rom = call.reads(file.path())?;
    if *accelerator == "kvm" {
        call.device("/dev/kvm");
    }
    call.args(["-nodefaults", "-no-user-config", "-display", "none", "-m", "16"]);
    call.args(["-accel", accelerator, "-cpu", processor, "-bios", &rom]);
    call.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]);
    let ended = call.timeout(Some(LIMIT)).captured()?;
    Ok(matches!(ended, Ended::Exited(code, _) if code == i32::from(WORD) * 2 + 1))
}
