//! QEMU's command line for a machine.

use super::call::Call;
use super::disk::{chain, escaped};
use super::firmware::Files;
use super::machine::{Console, Machine};
use crate::base::firmware::Firmware;
use crate::base::size::MIB;
use anyhow::{Result, ensure};
use std::path::Path;

/// The emulator's program.
pub(super) const SYSTEM: &str = "qemu-system-x86_64";

/// The machine's own files beside its image.
pub(super) struct Parts<'a> {
    /// Its overlay.
    pub(super) disk: &'a Path,
    /// Its seed volume.
    pub(super) seed: Option<&'a Path>,
    /// OVMF's code, and the machine's own copy of the variables.
    pub(super) firmware: Option<Files>,
    /// Whether KVM works.
    pub(super) kvm: bool,
}

/// Adds the whole command line to a call.
pub(super) fn build(call: &mut Call, machine: &Machine, parts: &Parts) -> Result<()> {
    call.args(["-no-user-config", "-nodefaults", "-display", "none", "-vga", "std"]);
    call.args(["-smp".to_owned(), machine.processors.to_string()]);
    call.args(["-m".to_owned(), format!("{}M", machine.memory.0 / MIB)]);
    if parts.kvm {
        call.device("/dev/kvm");
        call.args(["-accel", "kvm", "-cpu", "host"]);
    } else {
        call.args(["-accel", "tcg,thread=multi", "-cpu", "max"]);
    }
    board(call, machine.firmware, parts.firmware.as_ref())?;
    // A guest that panics ends the machine instead of standing still.
    call.args(["-device", "virtio-rng-pci", "-device", "pvpanic", "-action", "panic=exit-failure"]);
    if let Some(number) = &machine.serial_number {
        call.args(["-smbios".to_owned(), format!("type=1,serial={}", number.replace(',', ",,"))]);
    }
    serial(call, machine)?;
    let disk = chain(call, &machine.image, parts.disk)?;
    call.args(["-blockdev".to_owned(), format!("node-name=disk,discard=unmap,cache.no-flush=on,{disk}")]);
    call.args(["-device", "virtio-blk-pci,drive=disk,bootindex=0"]);
    for (number, path) in
        parts.seed.into_iter().chain(machine.further_disks.iter().map(|path| path.as_path())).enumerate()
    {
        let file = escaped(&call.reads(path)?);
        call.args([
            "-blockdev".to_owned(),
            format!("node-name=extra{number},read-only=on,driver=raw,file.driver=file,file.filename={file}"),
        ]);
        call.args(["-device".to_owned(), format!("virtio-blk-pci,drive=extra{number}")]);
    }
    network(call, machine)
}

pub(super) fn board(call: &mut Call, firmware: Firmware, files: Option<&Files>) -> Result<()> {
    let Some(files) = files else {
        call.args(["-machine", "pc"]);
        return Ok(());
    };
    if firmware == Firmware::Secure {
        // Variables are safe only when nothing but the firmware's own mode may write them.
        call.args(["-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on"]);
    } else {
        call.args(["-machine", "q35"]);
    }
    let code = escaped(&call.reads(&files.code)?);
    let variables = escaped(&call.writes(&files.variables)?);
    call.args(["-drive".to_owned(), format!("if=pflash,unit=0,format=raw,readonly=on,file={code}")]);
    call.args(["-drive".to_owned(), format!("if=pflash,unit=1,format=raw,file={variables}")]);
    Ok(())
}

fn serial(call: &mut Call, machine: &Machine) -> Result<()> {
    match &machine.console {
        Console::Terminal => {
            call.args(["-chardev", "stdio,id=console,mux=on,signal=off", "-mon", "chardev=console,mode=readline"]);
        }
        Console::File(path) => {
            let file = escaped(&call.writes(path)?);
            call.args(["-chardev".to_owned(), format!("file,id=console,path={file}")]);
        }
    }
    call.args(["-serial", "chardev:console"]);
    if let Some(path) = &machine.second_serial {
        let file = escaped(&call.writes(path)?);
        call.args([
            "-chardev".to_owned(),
            format!("file,id=second,path={file}"),
            "-serial".to_owned(),
            "chardev:second".to_owned(),
        ]);
    }
    Ok(())
}

fn network(call: &mut Call, machine: &Machine) -> Result<()> {
    let pairs: Vec<&str> = machine.mac.split(':').collect();
    let valid = pairs.len() == 6 && pairs.iter().all(|pair| pair.len() == 2 && u8::from_str_radix(pair, 16).is_ok());
    ensure!(valid, "`{}` is no MAC address", machine.mac);
    let mut user = "user,id=lan".to_owned();
    if machine.isolated {
        user.push_str(",restrict=on");
    }
    if let Some(port) = machine.ssh_port {
        user.push_str(&format!(",hostfwd=tcp:127.0.0.1:{port}-:22"));
    }
    call.network();
    // Without its boot ROM no machine tries the network before its disk.
    call.args([
        "-netdev".to_owned(),
        user,
        "-device".to_owned(),
        format!("virtio-net-pci,netdev=lan,romfile=,mac={}", machine.mac),
    ]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Qemu;
    use std::path::PathBuf;

    /// The whole line, with the test's folder and the sandbox's own names as they come.
    fn text(qemu: &Qemu, change: impl FnOnce(&mut Machine, &Path)) -> String {
        let work = tempfile::tempdir().unwrap();
        let folder = work.path().canonicalize().unwrap();
        let file = |name: &str, bytes: &[u8]| -> PathBuf {
            let path = folder.join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let image = file("a,b.raw", &[0; 1024]);
        let mut machine = Machine::new(&image, Firmware::Bios, &folder);
        change(&mut machine, &folder);
        let (code, variables) = (file("code", b"c"), file("variables", b"v"));
        let firmware = (machine.firmware != Firmware::Bios).then_some(Files { code, variables });
        let (disk, seed) = (file("disk.qcow2", b""), file("seed.iso", b""));
        let parts = Parts { disk: &disk, seed: Some(&seed), firmware, kvm: false };
        let mut call = Call::new(qemu, SYSTEM);
        build(&mut call, &machine, &parts).unwrap();
        call.text().replace(folder.to_str().unwrap(), "/work").replace(" -", "\n-")
    }

    #[test]
    fn line_for_bios_on_a_terminal_is_this() {
        insta::assert_snapshot!(text(&Qemu::Host { version: 10 }, |_, _| ()));
    }

    #[test]
    fn line_for_secure_boot_in_a_tools_root_is_this() {
        let line = text(&Qemu::Root("/tools".into()), |machine, folder| {
            machine.firmware = Firmware::Secure;
            let path = folder.join("serial");
            std::fs::write(&path, "").unwrap();
            machine.console = Console::File(path.clone());
            machine.second_serial = Some(path);
            machine.ssh_port = Some(2222);
            machine.isolated = true;
        });
        insta::assert_snapshot!(line);
    }

    #[test]
    fn line_for_a_wrong_mac_address_is_refused() {
        let mut call = Call::new(&Qemu::Host { version: 10 }, SYSTEM);
        let mut machine = Machine::new("/nowhere", Firmware::Bios, "/nowhere");
        for wrong in ["", "52:54:00:12:34", "52:54:00:12:34:5g", "52:54:00:12:34:56,x=y"] {
            wrong.clone_into(&mut machine.mac);
            assert_eq!(network(&mut call, &machine).unwrap_err().to_string(), format!("`{wrong}` is no MAC address"));
        }
    }
}
