//! Whether hardware virtualisation really works: a device node alone does not say so in nested or locked-down hosts.

use super::call::{Call, Ended};
use super::line::SYSTEM;
use super::qemu::Qemu;
use crate::base::limits::KVM_PROBE_TIME;
use anyhow::{Context as _, Result};
use std::path::Path;

/// What the probe guest writes to the exit device; QEMU then exits with twice that plus one.
const WORD: u8 = 0x2a;
/// Bytes of the probe's firmware, mapped to end at 4 GiB.
const ROM: usize = 64 << 10;
/// From the reset vector to 64-bit mode, some work, and out. `kvm_probe.s` beside it is its source.
const PROGRAM: &[u8; 1024] = include_bytes!("kvm_probe.bin");

/// What runs the probe guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor's own virtualisation.
    Kvm,
    /// Software, which always works.
    Emulation,
}

/// A firmware that is nothing but the probe.
fn rom() -> Vec<u8> {
    let mut rom = vec![0; ROM - PROGRAM.len()];
    rom.extend(PROGRAM);
    rom
}

/// Whether the probe guest runs to its end.
///
/// # Errors
/// When its file cannot be written; a guest that does not run is an answer, not an error.
pub fn probe(qemu: &Qemu, scratch: &Path, accelerator: Accelerator) -> Result<bool> {
    const DEVICE: &str = "/dev/kvm";
    if accelerator == Accelerator::Kvm && !Path::new(DEVICE).exists() {
        return Ok(false);
    }
    let mut file = tempfile::NamedTempFile::new_in(scratch).context("writing the probe guest")?;
    std::io::Write::write_all(&mut file, &rom()).context("writing the probe guest")?;
    let mut call = Call::new(qemu, SYSTEM);
    let rom = call.reads(file.path())?;
    call.args(["-nodefaults", "-no-user-config", "-display", "none", "-m", "16", "-bios", &rom]);
    call.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]);
    if accelerator == Accelerator::Kvm {
        call.device(DEVICE);
        call.args(["-accel", "kvm", "-cpu", "host"]);
    } else {
        call.args(["-accel", "tcg", "-cpu", "max"]);
    }
    let ended = call.timeout(Some(KVM_PROBE_TIME)).captured()?;
    Ok(matches!(ended, Ended::Exited(code, _) if code == i32::from(WORD) * 2 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::process::{Run, find};

    #[test]
    fn program_is_what_its_source_gives() {
        if find("as").is_none() || find("ld").is_none() {
            println!("SKIP: as and ld (binutils) are not installed");
            return;
        }
        let work = tempfile::tempdir().unwrap();
        let (object, program) = (work.path().join("o"), work.path().join("p"));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/lab/kvm_probe.s");
        Run::new("as").arg("-o").arg(&object).arg(source).run().unwrap();
        let words = ["-Ttext", "0", "-e", "0", "--oformat", "binary", "-o"];
        Run::new("ld").args(words).arg(&program).arg(&object).run().unwrap();
        assert!(std::fs::read(program).unwrap() == PROGRAM);
    }
}
